"""Any grid in, the same grid out: 48 axis orders and 20 oblique directions against SimpleITK's resampling.

The "network" here is perfect, so what is measured is geometry alone: resampling to RAS, windows, and the way back.
It tells labels from the Hounsfield units of an analytic truth without edges: two smooth blobs, one bright and one
dark, at places that no flip or permutation maps onto another.

Sizes are chosen so that 0.99 means something. Two honest samplings of one surface disagree by a fraction of a voxel,
which costs Dice about (fraction x spacing x surface / volume): with blobs of 35 and 50 mm radius and a truth of
0.4 mm, half a percent. A shift by 1 mm, less than a voxel of the network's grid, costs more than 1 % and fails (a
test shows it). Small organs could not tell: a millimetre of an adrenal gland is a third of it.
"""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SwinSSLLib.data.geometry import RAS_DIRECTION, Volume
from SwinSSLLib.models import make_card
from SwinSSLLib.segment.pipeline import Options, segment_volume
from SwinSSLLib.settings import InputSettings, NetworkSettings

#: Wide, so that whole HU are fine steps: at the borders the blobs fall by 15 to 20 HU a millimetre.
WINDOW = (-1000.0, 1000.0)
_INPUT = InputSettings(spacing=(1.5, 1.5, 2.0), hu_window=WINDOW, roi=(96, 64, 64))
CARD = make_card("segmenter", NetworkSettings(out_channels=3), _INPUT, {})
CARD["labels"] = CARD["labels"][:2]

#: HU that part the labels: air (0) | dark blob (2) | background (0) | bright blob (1). Halves: HU are whole numbers,
#: and a voxel on the border would belong to both sides.
BORDERS = (-850.5, -250.5, 250.5)
_LABELS = (0, 2, 0, 1)


def hounsfield(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The truth at a place in millimetres LPS: smooth, so that sampling it on any grid loses next to nothing."""

    def blob(at: tuple[float, float, float], size: tuple[float, float, float]) -> np.ndarray:
        i, j, k = (np.exp(-0.5 * ((v - a) / s) ** 2) for v, a, s in zip((x, y, z), at, size, strict=True))
        return i * j * k

    return 900.0 * blob((-22, 14, 9), (29, 26, 33)) - 750.0 * blob((42, -30, -28), (25, 27, 23))


def told_apart(hu: np.ndarray) -> np.ndarray:
    return np.array(_LABELS, np.uint8)[np.digitize(hu, BORDERS)]


class Thresholds(torch.nn.Module):
    """A perfect network: the logit of a label falls with the distance of the HU from the label's range.

    It falls by 1 in 30 HU, so that probabilities change over about a voxel, as those of a trained network do.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hu = x[:, 0] * (WINDOW[1] - WINDOW[0]) + WINDOW[0]
        lows, highs = (-torch.inf, *BORDERS), (*BORDERS, torch.inf)
        logits = torch.full((len(x), 3, *x.shape[2:]), -60.0)
        for label, low, high in zip(_LABELS, lows, highs, strict=True):
            logits[:, label] = torch.maximum(
                logits[:, label], torch.minimum(hu - low, high - hu).clamp(-1800, 1800) / 30
            )
        return logits


@pytest.fixture(scope="module")
def truth() -> sitk.Image:
    """Labels on a grid so fine that its own steps hardly count: 0.4 mm."""
    steps = np.arange(-100, 100, 0.4, dtype=np.float32)
    planes = [told_apart(hounsfield(steps[None, :], steps[:, None], z)) for z in steps]
    image = sitk.GetImageFromArray(np.stack(planes))
    image.SetSpacing((0.4, 0.4, 0.4))
    image.SetOrigin((-100.0, -100.0, -100.0))
    return image


def ct_on(shape, spacing, direction, centre=(0.0, 0.0, 0.0)) -> Volume:
    """The analytic CT sampled on a grid around a centre (LPS)."""
    axes = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    origin = np.asarray(centre) - axes @ ((np.array(shape) - 1) / 2)
    index = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    x, y, z = (sum(axes[row, n] * index[n] for n in range(3)) + origin[row] for row in range(3))
    hu = np.rint(hounsfield(x, y, z)).astype(np.int16)
    return Volume(hu, tuple(map(float, spacing)), tuple(map(float, origin)), tuple(map(float, np.ravel(direction))))


def check(volume: Volume, truth: sitk.Image) -> None:
    result = segment_volume(volume, CARD, Thresholds(), Options(overlap=0.25, device="cpu"))
    labels = result.labels
    assert labels.array.dtype == np.uint8
    assert labels.shape == volume.shape
    assert labels.spacing == volume.spacing, "not one bit of the geometry may change"
    assert labels.origin == volume.origin
    assert labels.direction == volume.direction

    expected = sitk.Resample(truth, volume.to_sitk(), sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(expected, labels.to_sitk())
    scores = {label: overlap.GetDiceCoefficient(label) for label in (1, 2)}
    foreground = sitk.LabelOverlapMeasuresImageFilter()
    foreground.Execute(expected > 0, labels.to_sitk() > 0)
    assert foreground.GetDiceCoefficient(1) >= 0.99, scores
    assert min(scores.values()) >= 0.99, scores
    assert not set(np.unique(labels.array)) - {0, 1, 2}


ORIENTATIONS = [
    np.eye(3)[:, list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


def axis_codes(axes: np.ndarray) -> str:
    """Such as +x-z+y, for the name of a test."""
    return "".join("+-"[int(axes[row, n] < 0)] + "xyz"[row] for n, row in enumerate(np.abs(axes).argmax(axis=0)))


@pytest.mark.parametrize("direction", ORIENTATIONS, ids=axis_codes)
def test_all_48_axis_orders_and_flips(direction, truth):
    check(ct_on((66, 72, 60), (2.6, 2.3, 3.0), direction), truth)


@pytest.mark.parametrize("seed", range(20))
def test_oblique_directions_spacings_and_origins(seed, truth):
    rng = np.random.default_rng(seed)
    direction, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    spacing = rng.uniform(1.2, 3.5, 3)
    shape = np.ceil(rng.uniform(140, 190, 3) / spacing).astype(int)
    check(ct_on(tuple(shape), spacing, direction, centre=rng.uniform(-12, 12, 3)), truth)


def test_the_bar_is_not_so_low_that_a_shift_passes(truth):
    right = ct_on((66, 72, 60), (2.6, 2.3, 3.0), np.eye(3))
    shifted = Volume(right.array, right.spacing, (right.origin[0] + 1.0, *right.origin[1:]), right.direction)
    with pytest.raises(AssertionError, match=r"0\.9"):
        check(shifted, truth)


def test_a_volume_that_needs_no_resampling_comes_back_as_the_network_said():
    volume = ct_on((70, 66, 40), (1.5, 1.5, 2.0), np.reshape(RAS_DIRECTION, (3, 3)))
    labels = segment_volume(volume, CARD, Thresholds(), Options(device="cpu")).labels
    assert np.array_equal(labels.array, told_apart(volume.array.astype(float)))

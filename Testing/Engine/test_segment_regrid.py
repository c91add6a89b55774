"""Back to the input's grid: the same labels as interpolating all classes of the whole volume at once."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from SwinSSLLib.data.volumes import Volume
from SwinSSLLib.segment import regrid
from SwinSSLLib.segment.regrid import LabelPainter, softmax_

RAS_AXES = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def a_tilted_volume(seed: int) -> Volume:
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    axes = axes if seed else np.eye(3)
    return Volume(np.zeros((42, 36, 25), np.int16), (1.3, 1.1, 2.2), (5.0, -3.0, 7.0), tuple(axes.ravel()))


def a_grid_around(volume: Volume) -> Volume:
    """An axis-aligned RAS grid that covers the centres of all voxels."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1)
    places = volume.ijk_to_ras[:3, :3] @ corners + volume.ijk_to_ras[:3, 3:]
    low, high = places.min(axis=1) - 0.1, places.max(axis=1) + 0.1
    spacing = (1.5, 1.5, 2.0)
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    return Volume(np.zeros(shape, np.int16), spacing, (-low[0], -low[1], low[2]), RAS_AXES)


def random_probabilities(shape, classes: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    scores = np.stack([gaussian_filter(rng.normal(size=shape), 3) * 60 for _ in range(classes)])
    scores[0] += 1.0
    return softmax_(torch.from_numpy(scores)).numpy().astype(np.float32)


def paint_in_slabs(painter: LabelPainter, probabilities: np.ndarray, seed: int) -> np.ndarray:
    rng, start, end = np.random.default_rng(seed), 0, probabilities.shape[3]
    while start < end:
        stop = min(start + int(rng.integers(1, 9)), end)
        painter.paint(start, stop, probabilities[..., start:stop])
        start = stop
    return painter.labels


@pytest.mark.parametrize("seed", range(4))
def test_slabs_give_what_interpolating_everything_at_once_gives(seed, monkeypatch):
    monkeypatch.setattr(regrid, "PIECE", 9_000)  # several pieces a slab
    target = a_tilted_volume(seed)
    grid = a_grid_around(target)
    probabilities = random_probabilities(grid.shape, classes=5)

    labels = paint_in_slabs(LabelPainter(target, grid), probabilities, seed)

    voxels = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij")).reshape(3, -1)
    to_grid = np.linalg.inv(grid.ijk_to_ras) @ target.ijk_to_ras
    places = to_grid[:3, :3] @ voxels + to_grid[:3, 3:]
    expected = np.stack([map_coordinates(p, places, order=1, mode="nearest") for p in probabilities]).argmax(axis=0)
    assert set(np.unique(expected)) == {0, 1, 2, 3, 4}
    assert (labels.ravel() != expected).mean() < 1e-4  # ties of float32 against float64


def test_nothing_but_background_paints_nothing_and_resamples_nothing(monkeypatch):
    target = a_tilted_volume(1)
    painter = LabelPainter(target, a_grid_around(target))
    monkeypatch.setattr(painter, "_resample", lambda *_: pytest.fail("there is nothing to interpolate"))
    probabilities = np.full((14, *painter.grid.shape), 0.01, np.float32)
    probabilities[0] = 0.87
    assert not paint_in_slabs(painter, probabilities, 0).any()


def test_softmax_is_that_of_torch_and_stays_in_its_memory():
    scores = torch.randn(5, 4, 3, 2) * 30
    expected = torch.softmax(scores, dim=0)
    result = softmax_(scores)
    assert result.data_ptr() == scores.data_ptr()
    assert torch.allclose(result, expected, atol=1e-6)

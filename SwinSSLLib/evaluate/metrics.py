"""How well a segmentation agrees with a reference: Dice, HD95 and normalised surface distance per organ.

All numbers come from MONAI's metrics, in millimetres where they are distances. The rules for organs that are not
there are ours, and the same everywhere in this project:

==================  =====  =======  =====  ==========================================
organ               Dice   HD95     NSD    state
==================  =====  =======  =====  ==========================================
in both             value  value    value  ``both``
in neither          none   none     none   ``absent``: no number, not in any mean
in reference only   0      none     0      ``missed``; its distance would be infinite
in prediction only  0      none     0      ``extra``; likewise
==================  =====  =======  =====  ==========================================

Means of Dice and NSD are over all organs that are not absent, so a missed and an invented organ both count as 0;
the mean of HD95 is over organs in both, and says over how many.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.volumes import Volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.organs import ORGANS, Organ

#: Tolerance of the normalised surface distance in mm. One value for all organs, 3 mm, is what TotalSegmentator
#: reports (Wasserthal et al. 2023, doi:10.1148/ryai.230024, and ``surface_dice_3`` in its evaluation script).
TOLERANCE = 3.0

#: Voxels around an organ that are looked at besides its box: its surface must not lie on the edge of the crop.
_MARGIN = 2


@dataclass(frozen=True)
class OrganScore:
    """Agreement on one organ in one case; see the module's table for the numbers that can be None.

    Attributes:
        id, name: of the organ.
        state: ``both``, ``absent``, ``missed`` or ``extra``.
        dice: 2 |A and B| / (|A| + |B|), 0..1.
        hd95_mm: the larger of the two directed 95th percentiles of surface distances.
        nsd: share of both surfaces, by area, that lies within the tolerance of the other one (Nikolov et al. 2021,
            doi:10.2196/26151), 0..1.
        reference_ml, prediction_ml: volumes.
    """

    id: int
    name: str
    state: str
    dice: float | None
    hd95_mm: float | None
    nsd: float | None
    reference_ml: float
    prediction_ml: float


@dataclass(frozen=True)
class Means:
    """Means over organs, or over cases.

    Attributes:
        dice, nsd: mean, or None if there is nothing to average.
        hd95_mm: mean over what has a distance.
        count: entries behind ``dice`` and ``nsd``.
        distances: entries behind ``hd95_mm``.
    """

    dice: float | None
    hd95_mm: float | None
    nsd: float | None
    count: int
    distances: int


@dataclass(frozen=True)
class Evaluation:
    """All scores of one case.

    Attributes:
        case: name of the case.
        scores: one for each organ, in the organs' order.
        tolerance_mm: of the normalised surface distance.
        warnings: sentences about the files that a user should read.
    """

    case: str
    scores: tuple[OrganScore, ...]
    tolerance_mm: float = TOLERANCE
    warnings: tuple[str, ...] = ()

    @property
    def mean(self) -> Means:
        """Means over the organs of this case."""
        return mean_of(self.scores)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "mean": asdict(self.mean)}


def evaluate(
    prediction: Volume, reference: Volume, organs: Sequence[Organ] = ORGANS, *, tolerance: float = TOLERANCE
) -> list[OrganScore]:
    """Score every organ.

    Args:
        prediction: label map.
        reference: label map on the same grid.
        organs: what to score; other labels and the background are not looked at.
        tolerance: of the normalised surface distance, in mm.

    Raises:
        InputError: the grids differ.
    """
    # Files keep their geometry in 32 or 64 bit: a twentieth of a voxel is no other place.
    if not prediction.same_grid(reference, tolerance=0.05 * min(reference.spacing)):
        raise InputError(
            f"{_title(prediction)} lies on another grid than {_title(reference)}: "
            f"{_grid(prediction)} against {_grid(reference)}.",
            "Compare label maps of the same CT; segment the CT that the reference was drawn on.",
        )
    return [_score(organ, prediction, reference, tolerance) for organ in organs]


def evaluate_files(
    prediction: Path, reference: Path, organs: Sequence[Organ] = ORGANS, *, tolerance: float = TOLERANCE
) -> Evaluation:
    """Score a label file against another: NIfTI, NRRD, MHA or Slicer's ``.seg.nrrd``.

    Raises:
        InputError: a file cannot be read, or the grids differ.
    """
    truth = read_label_map(reference)
    labels = read_label_map(prediction, reference=truth)
    scores = evaluate(labels, truth, organs, tolerance=tolerance)
    return Evaluation(labels.name or prediction.name, tuple(scores), tolerance, (*labels.warnings, *truth.warnings))


def mean_of(scores: Iterable[OrganScore]) -> Means:
    """Means over the organs of one case that are not absent from both label maps."""
    there = [score for score in scores if score.state != "absent"]
    return _means([score.dice for score in there], [score.hd95_mm for score in there], [score.nsd for score in there])


def mean_over_cases(evaluations: Sequence[Evaluation]) -> tuple[Means, dict[str, Means]]:
    """Means over cases: of the cases' own means, and of every organ.

    Returns:
        The mean over cases of each case's mean (every case counts alike, however many organs it has), and for each
        organ by name the means over the cases in which it is not absent.
    """
    cases = [evaluation.mean for evaluation in evaluations]
    overall = _means([m.dice for m in cases], [m.hd95_mm for m in cases], [m.nsd for m in cases])
    by_organ: dict[str, list[OrganScore]] = {}
    for evaluation in evaluations:
        for score in evaluation.scores:
            by_organ.setdefault(score.name, []).append(score)
    return overall, {name: mean_of(scores) for name, scores in by_organ.items()}


def _score(organ: Organ, prediction: Volume, reference: Volume, tolerance: float) -> OrganScore:
    found, truth = prediction.array == organ.id, reference.array == organ.id
    millilitres = float(np.prod(reference.spacing)) / 1000.0
    predicted_ml, reference_ml = (float(mask.sum()) * millilitres for mask in (found, truth))
    if predicted_ml and reference_ml:
        box = _box(found | truth)
        numbers = _agreement(found[box], truth[box], reference.spacing, tolerance)
        return OrganScore(organ.id, organ.name, "both", *numbers, reference_ml, predicted_ml)
    if not predicted_ml and not reference_ml:
        return OrganScore(organ.id, organ.name, "absent", None, None, None, 0.0, 0.0)
    state = "missed" if reference_ml else "extra"
    return OrganScore(organ.id, organ.name, state, 0.0, None, 0.0, reference_ml, predicted_ml)


def _agreement(
    found: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance: float
) -> tuple[float, float, float]:
    """Dice, HD95 and NSD of two masks (I, J, K), neither of them empty."""
    a, b = (torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None] for mask in (found, truth))
    millimetres = [float(size) for size in spacing]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI calls itself with an argument that it deprecates
        dice = compute_dice(a, b, include_background=True)
        distance = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=millimetres)
        # Sub-voxels weigh the surface by its area, as DeepMind's surface-distance does, whose figures are the published
        # ones (equal to 1e-4). Distances are rounded to the grid in both, which flatters: 0.50 becomes 0.62 at 1 mm.
        surface = compute_surface_dice(a, b, [tolerance], True, spacing=millimetres, use_subvoxels=True)
    return float(dice), float(distance), float(surface)


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The box around a mask with a margin, as far as the array reaches."""
    slices = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        slices.append(slice(max(int(where[0]) - _MARGIN, 0), int(where[-1]) + _MARGIN + 1))
    return tuple(slices)


def _means(dice: list[float | None], hd95: list[float | None], nsd: list[float | None]) -> Means:
    dices, distances, shares = ([v for v in values if v is not None] for values in (dice, hd95, nsd))
    mean = [float(np.mean(values)) if values else None for values in (dices, distances, shares)]
    return Means(mean[0], mean[1], mean[2], len(dices), len(distances))


def _title(volume: Volume) -> str:
    return str(volume.source or volume.name or "the label map")


def _grid(volume: Volume) -> str:
    size = " x ".join(str(n) for n in volume.shape)
    spacing = " x ".join(f"{n:.4g}" for n in volume.spacing)
    origin = ", ".join(f"{n:.4g}" for n in volume.origin)
    return f"{size} voxels of {spacing} mm from ({origin})"

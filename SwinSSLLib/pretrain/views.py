"""Two corrupted views of a sub-volume: rotation about the patient's axis and random cutout.

Paper, sections 4.1 and 4.2. Arrays are (N, C, I, J, K) with i to the patient's right, j to anterior, k to superior.
Everything is drawn on the device, for the whole batch at once (:mod:`SwinSSLLib.pretrain.draws`); the draws that give
the public code's own statistics are in :mod:`SwinSSLLib.pretrain.official_views`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.official_views import official_cutout
from SwinSSLLib.settings import ViewSettings

#: Array axes of the plane that is turned, channel and batch included: R-A as in the paper, A-S as in the public code.
PLANES = {"axial": (2, 3), "sagittal": (3, 4)}


@dataclass(frozen=True)
class Views:
    """N views of N sub-volumes.

    Attributes:
        corrupted: (N, C, I, J, K), what the network sees.
        target: (N, C, I, J, K), the rotated but whole sub-volume that it is to restore.
        mask: (N, 1, I, J, K) bool, true where something was removed.
        rotation: (N,) int64, k of the rotation by k * 90 degrees.
    """

    corrupted: Tensor
    target: Tensor
    mask: Tensor
    rotation: Tensor


def make_views(sub_volumes: Tensor, settings: ViewSettings, roi: tuple[int, int, int], draws: Draws) -> Views:
    """One random view of each sub-volume.

    Args:
        sub_volumes: (N, C, I', J', K'), values 0..1, of the size :func:`source_size` asks for.
        settings: how to turn and what to remove.
        roi: size (I, J, K) of a view.
        draws: source of every draw, on the device of ``sub_volumes``.

    Returns:
        The views; the same draws give the same views.
    """
    count = len(sub_volumes)
    rotation = draws.integers(0, 4, count)
    target = centre_crop(rotate(sub_volumes, rotation, settings.rotation), roi)
    if settings.cutout == "official":
        corrupted = official_cutout(target, settings, draws)
        return Views(corrupted, target, (corrupted != target).any(dim=1, keepdim=True), rotation)
    mask = cutout_mask(count, roi, settings.cutout_share, settings.box_sides, draws)
    corrupted = torch.where(mask, _fill(target, settings.fill, draws), target)
    return Views(corrupted, target, mask, rotation)


def source_size(roi: tuple[int, int, int], rotation: str) -> tuple[int, int, int]:
    """Size to cut out of the volume so that a view of ``roi`` is full at every angle.

    A quarter turn exchanges the two sides of the plane; where they differ the larger one is cut for both.
    """
    first, second = (axis - 2 for axis in PLANES[rotation])
    size = list(roi)
    size[first] = size[second] = max(roi[first], roi[second])
    return size[0], size[1], size[2]


def rotate(volumes: Tensor, quarter_turns: Tensor, plane: str = "axial") -> Tensor:
    """Turn each volume by its own number of quarter turns.

    One quarter turn about the superior axis follows the right-hand rule: what lay to the patient's right
    comes to lie in front (R -> A).

    Args:
        volumes: (N, C, I, J, K), the two sides of the plane equal.
        quarter_turns: (N,) int64; taken modulo 4.
        plane: key of :data:`PLANES`.

    Raises:
        ValueError: the sides of the plane differ.
    """
    axes = PLANES[plane]
    if volumes.shape[axes[0]] != volumes.shape[axes[1]]:
        raise ValueError(f"The turned plane must be square, not {tuple(volumes.shape[2:])}.")
    turned = [torch.rot90(volumes, turns, axes) for turns in range(4)]
    chosen = quarter_turns.remainder(4).view(-1, 1, 1, 1, 1)
    result = turned[0]
    for turns in (1, 2, 3):
        result = torch.where(chosen == turns, turned[turns], result)
    return result


def centre_crop(volumes: Tensor, size: tuple[int, int, int]) -> Tensor:
    """The middle (N, C, *size) of (N, C, I, J, K)."""
    starts = [(have - want) // 2 for have, want in zip(volumes.shape[2:], size, strict=True)]
    i, j, k = (slice(start, start + want) for start, want in zip(starts, size, strict=True))
    return volumes[:, :, i, j, k]


def cutout_mask(
    count: int,
    size: tuple[int, int, int],
    share: float,
    box_sides: tuple[float, float],
    draws: Draws,
) -> Tensor:
    """Random boxes that together cover exactly ``round(share * voxels)`` voxels of each sample.

    Boxes are drawn in an order; as many are taken as the share needs, and of the last one only the first
    voxels (in array order). How many voxels n boxes cover is one matrix product, because a box is the outer
    product of three intervals; the number of boxes is then found by bisection for all samples at once.

    Returns:
        (count, 1, I, J, K) bool on the device of the draws.
    """
    wanted = round(share * math.prod(size))
    device = draws.device
    if wanted == 0:
        return torch.zeros((count, 1, *size), dtype=torch.bool, device=device)
    along_i, along_j, along_k = _boxes(count, size, share, box_sides, draws)
    boxes = along_i.shape[1]
    # Column b holds the cross-section of box b in the I-J plane: (N, I * J, boxes).
    sections = torch.einsum("nbi,nbj->nijb", along_i, along_j).flatten(1, 2)
    low = torch.zeros(count, dtype=torch.int64, device=device)  # so many boxes cover less than wanted
    high = torch.full_like(low, boxes)  # so many cover enough; one box over everything stands last
    for _ in range(math.ceil(math.log2(boxes + 1))):
        middle = (low + high) // 2
        enough = _covered(sections, along_k, middle).flatten(1).sum(1) >= wanted
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    whole = _covered(sections, along_k, high - 1).flatten(1)
    last = _covered(sections, along_k, high).flatten(1) & ~whole
    remaining = wanted - whole.sum(1, keepdim=True)
    part = last & (last.cumsum(1) <= remaining)
    return (whole | part).view(count, 1, *size)


def _boxes(
    count: int,
    size: tuple[int, int, int],
    share: float,
    box_sides: tuple[float, float],
    draws: Draws,
) -> list[Tensor]:
    """Boxes as three lists of intervals, each (count, boxes, side) float 0 or 1; the last box covers everything."""
    mean_side = (box_sides[0] + box_sides[1]) / 2
    # n boxes of mean volume v leave (1 - v)^n uncovered; twice as many as needed on average are ample,
    # and the last box over everything makes the search end in any case.
    boxes = math.ceil(2 * -math.log(1 - share) / mean_side**3)
    device = draws.device
    intervals = []
    for side in size:
        shortest, longest = max(1, round(box_sides[0] * side)), max(1, round(box_sides[1] * side))
        length = draws.integers(shortest, longest + 1, count, boxes, 1)
        # A box may stick out and is clipped, so that borders are removed as often as the middle.
        start = (draws.uniform(count, boxes, 1) * (side + length - 1)).long() - length + 1
        position = torch.arange(side, device=device)
        inside = (position >= start) & (position < start + length)
        everything = torch.ones((count, 1, side), dtype=torch.bool, device=device)
        intervals.append(torch.cat([inside, everything], dim=1).float())
    return intervals


def _covered(sections: Tensor, along_k: Tensor, first: Tensor) -> Tensor:
    """Where the first ``first[n]`` boxes of sample n lie: (N, I * J, K) bool."""
    taken = torch.arange(along_k.shape[1], device=first.device) < first.view(-1, 1)
    return torch.bmm(sections, along_k * taken.unsqueeze(-1)) > 0.5


def _fill(target: Tensor, fill: str, draws: Draws) -> Tensor:
    """What stands in removed places: noise, zeros, or the same place of another sample."""
    if fill == "zeros":
        return torch.zeros_like(target)
    if fill == "swap":
        return target.roll(1, dims=0)
    noise = draws.normal_like(target)
    # The public code scales its normal noise to 0..1 box by box (utils/ops.py:32-39); three standard
    # deviations either side do the same without a search for extremes.
    return (noise / 6 + 0.5).clamp_(0, 1)

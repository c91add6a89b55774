"""From class scores on the network's grid to a label map on the input's own grid, slab by slab.

Scores are interpolated and the best class is taken afterwards: interpolating a finished label map would
step along the edges, and at another obliqueness it would do so in both grids. Each voxel of the input is
painted once, from the slab in which its position lies, so that no more than one slab of scores is needed.

A class is looked at only where it can win. Interpolated scores are weighted means, and the winner of C
classes has at least 1 / C; so it has at least that at one of the nodes around. Everything farther away
from such nodes is passed over, which is most of a CT for most of the organs, without changing a voxel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its manual uses
import torch

from SwinSSLLib.data.volumes import Volume

#: Voxels of the input painted in one piece: bounds the memory whatever the angle between the grids.
PIECE = 4_000_000


@dataclass(frozen=True)
class Box:
    """Voxels ``low <= index < high`` of a grid."""

    low: np.ndarray
    high: np.ndarray

    @property
    def empty(self) -> bool:
        """Whether no voxel is in it."""
        return bool((self.low >= self.high).any())

    @property
    def slices(self) -> tuple[slice, ...]:
        """For indexing an array [i, j, k]."""
        return tuple(slice(int(a), int(b)) for a, b in zip(self.low, self.high, strict=True))

    def __and__(self, other: Box) -> Box:
        return Box(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def within(self, other: Box) -> tuple[slice, ...]:
        """The same voxels, counted from the first voxel of ``other``."""
        return Box(self.low - other.low, self.high - other.low).slices


def softmax_(scores: torch.Tensor) -> torch.Tensor:
    """Softmax over the classes, shape (C, ...), in place and class by class: slabs are large, and not contiguous."""
    highest = scores[0].clone()
    for score in scores[1:]:
        torch.maximum(highest, score, out=highest)
    total = torch.zeros_like(highest)
    for score in scores:
        total += score.sub_(highest).exp_()
    for score in scores:
        score /= total
    return scores


@dataclass(frozen=True)
class _Nodes:
    """Probabilities on the network's grid: one slab, and the last slice of the slab before it.

    Attributes:
        first: number of the lowest slice.
        below: (C, I, J, 1), or None for the lowest slab.
        slab: (C, I, J, k).
    """

    first: int
    below: np.ndarray | None
    slab: np.ndarray

    @property
    def box(self) -> Box:
        """All nodes."""
        high = self.first + self.slab.shape[3] + (self.below is not None)
        return Box(np.array([0, 0, self.first]), np.array([*self.slab.shape[1:3], high]))

    def where_it_can_win(self, label: int) -> Box | None:
        """The nodes that decide about a class, those of at least 1 / C and their neighbours; None if there are none."""
        least = (1 - 1e-4) / len(self.slab)  # a little less: float32 weights add up to 1 roughly
        parts = [(self.slab, self.box.high[2] - self.slab.shape[3])]
        parts += [] if self.below is None else [(self.below, self.first)]
        found: list[Box] = []
        for values, k in parts:
            strong = values[label] >= least
            along = [np.flatnonzero(strong.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
            if along[0].size:
                low, high = (np.add([nodes[end] for nodes in along], (0, 0, k)) for end in (0, -1))
                found.append(Box(low - 1, high + 2))
        return _union(found) & self.box if found else None

    def values(self, label: int, box: Box) -> np.ndarray:
        """The probabilities of one class in a box, copied as (k, j, i) in memory."""
        i, j, k = box.within(self.box)
        if self.below is None:
            return np.ascontiguousarray(self.slab[label, i, j, k].T)
        values = np.empty(tuple(box.high - box.low)[::-1], np.float32)
        start = int(k.start == 0)
        if start:
            values[0] = self.below[label, i, j, 0].T
        values[start:] = self.slab[label, i, j, k.start + start - 1 : k.stop - 1].T
        return values


class LabelPainter:
    """Paints a label map on the grid of ``target`` from slabs of probabilities on ``grid``.

    Args:
        target: the input volume; gives the geometry of the label map.
        grid: the resampled volume that the network saw.

    Attributes:
        labels: uint8 (I, J, K), complete once slabs up to the last slice of ``grid`` were painted.
    """

    def __init__(self, target: Volume, grid: Volume) -> None:
        self.target, self.grid = target, grid
        # [k, j, i] in memory, as files and SimpleITK want it, seen as [i, j, k].
        self.labels = np.zeros(target.shape[::-1], np.uint8).T
        self.to_grid = np.linalg.inv(grid.ijk_to_ras) @ target.ijk_to_ras
        self._below: np.ndarray | None = None

    def paint(self, start: int, stop: int, probabilities: np.ndarray) -> None:
        """Paint all voxels that lie between the last slice of the previous slab and that of this one.

        Args:
            start: first slice of the slab on the network's grid.
            stop: end of the slab.
            probabilities: (C, I, J, stop - start), class 0 is the background; not kept.
        """
        low = -np.inf if self._below is None else float(start - 1)
        high = np.inf if stop == self.grid.shape[2] else float(stop - 1)
        nodes = _Nodes(start if self._below is None else start - 1, self._below, probabilities)
        boxes = {label: nodes.where_it_can_win(label) for label in range(1, len(probabilities))}
        winners = {label: box for label, box in boxes.items() if box is not None}
        if winners:
            whole = Box(np.zeros(3, int), np.array(self.target.shape))
            reach = _mapped(_union(list(winners.values())), np.linalg.inv(self.to_grid)) & whole
            for piece in _pieces(reach):
                here = self._slices_between(piece, low, high)
                if here is not None:
                    self._paint_piece(piece, here, nodes, winners)
        self._below = probabilities[..., -1:].copy()

    def _paint_piece(self, piece: Box, here: np.ndarray, nodes: _Nodes, winners: dict[int, Box]) -> None:
        """Paint one box of the target where ``here`` is true."""
        around = _mapped(piece, self.to_grid) & nodes.box
        crops = {label: box & around for label, box in winners.items()}
        crops = {label: crop for label, crop in crops.items() if not crop.empty}
        if not crops:
            return
        best = self._resample(nodes, 0, _union(list(crops.values())), piece)
        labels = np.zeros(best.shape, np.uint8)
        for label, crop in crops.items():
            part = _mapped(crop, np.linalg.inv(self.to_grid)) & piece
            if part.empty:
                continue
            score, where = self._resample(nodes, label, crop, part), part.within(piece)
            better = score > best[where]
            np.copyto(best[where], score, where=better)
            np.copyto(labels[where], np.uint8(label), where=better)
        np.copyto(self.labels[piece.slices], labels, where=here)

    def _resample(self, nodes: _Nodes, label: int, crop: Box, box: Box) -> np.ndarray:
        """Interpolate one class linearly at the voxels of a box of the target.

        Outside the crop its nearest node is taken. At the rim of the grid this is what is wanted; elsewhere that node
        has less than 1 / C, and so does not win against the class that has more.
        """
        image = sitk.GetImageFromArray(nodes.values(label, crop))
        image.SetSpacing(self.grid.spacing)
        image.SetDirection(self.grid.direction)
        image.SetOrigin(_point(self.grid, crop.low))
        resampler = sitk.ResampleImageFilter()
        resampler.SetInterpolator(sitk.sitkLinear)
        resampler.UseNearestNeighborExtrapolatorOn()
        resampler.SetSize([int(n) for n in box.high - box.low])
        resampler.SetOutputSpacing(self.target.spacing)
        resampler.SetOutputDirection(self.target.direction)
        resampler.SetOutputOrigin(_point(self.target, box.low))
        return np.asarray(sitk.GetArrayFromImage(resampler.Execute(image)).T)

    def _slices_between(self, piece: Box, low: float, high: float) -> np.ndarray | None:
        """Mask of the voxels whose position on the network's k axis is in [low, high); None if there is none.

        Sums in float64 of the same terms for every slab: a voxel is in one slab and no other.
        """
        i, j, k = (np.arange(piece.low[axis], piece.high[axis]) * self.to_grid[2, axis] for axis in range(3))
        lowest, highest = (sum(end(terms) for terms in (i, j, k)) + self.to_grid[2, 3] for end in (np.min, np.max))
        if highest < low - 1 or lowest > high + 1:
            return None
        position = (k[None, None, :] + j[None, :, None]) + i[:, None, None] + self.to_grid[2, 3]
        here = (position >= low) & (position < high)
        return here if here.any() else None


def _union(boxes: list[Box]) -> Box:
    """The smallest box around others, none of which is empty."""
    return Box(np.min([box.low for box in boxes], axis=0), np.max([box.high for box in boxes], axis=0))


def _mapped(box: Box, affine: np.ndarray) -> Box:
    """The voxels of another grid that can lie inside a box or next to it.

    A margin of one voxel is for what sticks out at the rim: grids cover each other's voxels, not their centres.
    """
    corners = np.stack(np.meshgrid(*zip(box.low - 1, box.high, strict=True), indexing="ij")).reshape(3, -1)
    indices = affine[:3, :3] @ corners + affine[:3, 3:]
    return Box(np.floor(indices.min(axis=1)).astype(int), np.ceil(indices.max(axis=1)).astype(int) + 1)


def _pieces(box: Box) -> Iterator[Box]:
    """Cut a box into pieces of at most ``PIECE`` voxels along k."""
    if box.empty:
        return
    step = max(PIECE // int(np.prod(box.high[:2] - box.low[:2])), 1)
    for k in range(int(box.low[2]), int(box.high[2]), step):
        yield Box(np.array([*box.low[:2], k]), np.array([*box.high[:2], min(k + step, int(box.high[2]))]))


def _point(volume: Volume, index: np.ndarray) -> tuple[float, float, float]:
    """Millimetres LPS of a voxel index."""
    direction = np.reshape(volume.direction, (3, 3))
    x, y, z = np.asarray(volume.origin) + direction @ (np.asarray(volume.spacing) * index)
    return float(x), float(y), float(z)

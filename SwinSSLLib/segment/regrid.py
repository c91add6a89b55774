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

    def __or__(self, other: Box) -> Box:
        return Box(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def within(self, other: Box) -> tuple[slice, ...]:
        """The same voxels, counted from the first voxel of ``other``."""
        return Box(self.low - other.low, self.high - other.low).slices


def softmax_(scores: torch.Tensor) -> torch.Tensor:
    """Softmax over the classes, shape (C, ...), in place: slabs are large."""
    scores -= scores.amax(dim=0)
    scores.exp_()
    scores /= scores.sum(dim=0)
    return scores


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
        self._to_target = np.linalg.inv(self.to_grid)
        self._below: np.ndarray | None = None

    def paint(self, start: int, stop: int, probabilities: np.ndarray) -> None:
        """Paint all voxels that lie between the last slice of the previous slab and that of this one.

        Args:
            start: first slice of the slab on the network's grid.
            stop: end of the slab.
            probabilities: (C, I, J, stop - start), class 0 is the background; not kept.
        """
        last = stop == self.grid.shape[2]
        low = -np.inf if self._below is None else float(start - 1)
        high = np.inf if last else float(stop - 1)
        first = start if self._below is None else start - 1
        boxes: dict[int, Box] = {}
        images: dict[int, sitk.Image] = {}
        for label in range(1, len(probabilities)):
            values = self._with_slice_below(probabilities, label)
            box = self._where_it_can_win(values, first, classes=len(probabilities))
            if box is not None:
                boxes[label], images[label] = box, self._image(values, first, box)
        if boxes:
            images[0] = self._image(self._with_slice_below(probabilities, 0), first, _union(list(boxes.values())))
            self._paint_between(low, high, images, {label: self._on_target(box) for label, box in boxes.items()})
        self._below = probabilities[..., -1:].copy()

    def _paint_between(self, low: float, high: float, images: dict[int, sitk.Image], regions: dict[int, Box]) -> None:
        for piece in self._pieces(_union(list(regions.values()))):
            here = self._slices_between(piece, low, high)
            if here is not None:
                self._paint_piece(piece, here, images, regions)

    def _paint_piece(
        self, piece: Box, here: np.ndarray, images: dict[int, sitk.Image], regions: dict[int, Box]
    ) -> None:
        best = self._resample(images[0], piece)
        labels = np.zeros(best.shape, np.uint8)
        for label, region in regions.items():
            part = region & piece
            if part.empty:
                continue
            score, where = self._resample(images[label], part), part.within(piece)
            better = score > best[where]
            best[where][better] = score[better]
            labels[where][better] = label
        np.copyto(self.labels[piece.slices], labels, where=here)

    def _with_slice_below(self, probabilities: np.ndarray, label: int) -> np.ndarray:
        """One class of the slab and of the last slice before it: (I, J, 1 + k)."""
        if self._below is None:
            return probabilities[label]
        return np.concatenate([self._below[label], probabilities[label]], axis=2)

    @staticmethod
    def _where_it_can_win(values: np.ndarray, first: int, classes: int) -> Box | None:
        """The nodes of the network's grid that decide about one class, or None if it wins nowhere."""
        strong = values >= (1 - 1e-4) / classes  # a little less: float32 weights add up to 1 roughly
        along = [np.flatnonzero(strong.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        if not along[0].size:
            return None
        offset = np.array([0, 0, first])
        low, high = (np.array([nodes[end] for nodes in along]) + offset for end in (0, -1))
        return Box(low - 1, high + 2) & Box(offset, offset + values.shape)

    def _image(self, values: np.ndarray, start: int, box: Box) -> sitk.Image:
        """One class inside a box as an image in its place."""
        nodes = values[box.within(Box(np.array([0, 0, start]), box.high))]
        image = sitk.GetImageFromArray(np.ascontiguousarray(nodes.T))
        image.SetSpacing(self.grid.spacing)
        image.SetDirection(self.grid.direction)
        image.SetOrigin(_point(self.grid, box.low))
        return image

    def _resample(self, image: sitk.Image, box: Box) -> np.ndarray:
        """Interpolate linearly at the voxels of a box of the target; nearest node outside the image."""
        resampler = sitk.ResampleImageFilter()
        resampler.SetInterpolator(sitk.sitkLinear)
        resampler.UseNearestNeighborExtrapolatorOn()
        resampler.SetSize([int(n) for n in box.high - box.low])
        resampler.SetOutputSpacing(self.target.spacing)
        resampler.SetOutputDirection(self.target.direction)
        resampler.SetOutputOrigin(_point(self.target, box.low))
        return sitk.GetArrayFromImage(resampler.Execute(image)).T

    def _on_target(self, box: Box) -> Box:
        """The voxels of the target that can lie inside a box of the network's grid."""
        # At the rim of the grid half a voxel of the input may stick out.
        corners = np.stack(np.meshgrid(*zip(box.low - 1, box.high, strict=True), indexing="ij")).reshape(3, -1)
        indices = self._to_target[:3, :3] @ corners + self._to_target[:3, 3:]
        low, high = np.floor(indices.min(axis=1)), np.ceil(indices.max(axis=1)) + 1
        return Box(low.astype(int), high.astype(int)) & Box(np.zeros(3, int), np.array(self.target.shape))

    def _pieces(self, box: Box) -> Iterator[Box]:
        """Cut a box of the target into pieces of at most ``PIECE`` voxels along k."""
        if box.empty:
            return
        plane = int(np.prod(box.high[:2] - box.low[:2]))
        step = max(PIECE // plane, 1)
        for k in range(int(box.low[2]), int(box.high[2]), step):
            yield Box(np.array([*box.low[:2], k]), np.array([*box.high[:2], min(k + step, int(box.high[2]))]))

    def _slices_between(self, piece: Box, low: float, high: float) -> np.ndarray | None:
        """Mask of the voxels whose position on the network's k axis is in [low, high); None if there is none.

        Sums in float64 of the same terms for every slab: a voxel is in one slab and no other.
        """
        i, j, k = (np.arange(piece.low[axis], piece.high[axis]) * self.to_grid[2, axis] for axis in range(3))
        ends = [np.array([t.min(), t.max()]) for t in (i, j, k)]
        reach = sum(ends) + self.to_grid[2, 3]
        if reach[1] < low - 1 or reach[0] > high + 1:
            return None
        position = (k[None, None, :] + j[None, :, None]) + i[:, None, None] + self.to_grid[2, 3]
        here = (position >= low) & (position < high)
        return here if here.any() else None


def _union(boxes: list[Box]) -> Box:
    first, *others = boxes
    for other in others:
        first = first if other.empty else other if first.empty else first | other
    return first


def _point(volume: Volume, index: np.ndarray) -> tuple[float, float, float]:
    """Millimetres LPS of a voxel index."""
    direction = np.reshape(volume.direction, (3, 3))
    x, y, z = np.asarray(volume.origin) + direction @ (np.asarray(volume.spacing) * index)
    return float(x), float(y), float(z)

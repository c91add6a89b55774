"""Sliding window with Gaussian blending that holds the class scores of one band of slices only.

The usual implementations, MONAI's ``SlidingWindowInferer`` among them, keep the scores of the whole
volume: 14 classes of a 512 x 512 x 1000 CT are 14 GiB in float32, plus as much again for the result.
Here the windows are visited from the feet upwards. A slice that no later window can reach is
finished: it is normalised and handed on, and its memory is used again. What is held is one band as
high as a window, however long the volume is. Positions, weights and padding are MONAI's, so the
scores are those of ``SlidingWindowInferer(mode="gaussian")``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from torch import Tensor

from SwinSSLLib.data.scaling import scale_window
from SwinSSLLib.errors import InputError, SwinSSLError, is_shortage
from SwinSSLLib.segment.scoring import Network, Scorer, Size

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]


class Stopped(SwinSSLError):
    """The work was stopped on request: nothing was written, nothing is wrong."""

    exit_code = 0


class Slab(NamedTuple):
    """Finished scores of the slices ``start <= k < stop``.

    ``scores`` is a view, shape (C, I, J, stop - start), float32, of memory that the next slab uses
    again: read it or change it in place, but copy what you keep.
    """

    start: int
    stop: int
    scores: Tensor


def window_starts(size: Size, roi: Size, overlap: float) -> list[Size]:
    """First voxels of the windows, sorted by k: those of MONAI's sliding window inference.

    Args:
        size: volume size, at least the roi along each axis.
        roi: window size.
        overlap: share of a window that its neighbour covers too, 0 <= overlap < 1.

    Raises:
        InputError: the overlap is not possible.
    """
    if not 0 <= overlap < 1:
        raise InputError(f"The overlap of windows is {overlap}, but must be at least 0 and below 1.")
    # As monai.inferers.utils._get_scan_interval, which is private.
    steps = [r if r == s else max(int(r * (1 - overlap)), 1) for r, s in zip(roi, size, strict=True)]
    corners = [(int(i.start), int(j.start), int(k.start)) for i, j, k in dense_patch_slices(size, roi, steps)]
    return sorted(corners, key=lambda corner: corner[2])


@dataclass(frozen=True)
class _Grid:
    """A volume on its way through the window: ``size`` is its own, ``padded`` at least ``roi`` along each axis."""

    image: np.ndarray
    roi: Size
    fill: float

    @property
    def size(self) -> Size:
        return _three(self.image.shape)

    @property
    def padded(self) -> Size:
        return _three([max(s, r) for s, r in zip(self.size, self.roi, strict=True)])

    @property
    def before(self) -> Size:
        """Voxels of padding below the first one along each axis."""
        return _three([(p - s) // 2 for p, s in zip(self.padded, self.size, strict=True)])

    def crop(self, corner: Size) -> np.ndarray:
        """Read one window as float32; outside the image it is ``fill``, the HU that is scaled to 0."""
        first = [c - b for c, b in zip(corner, self.before, strict=True)]
        low = [max(f, 0) for f in first]
        high = [min(f + r, s) for f, r, s in zip(first, self.roi, self.size, strict=True)]
        crop = np.full(self.roi, self.fill, np.float32)
        target = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, first, strict=True))
        crop[target] = self.image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        return crop


def sliding_scores(
    image: np.ndarray,
    network: Network,
    roi: Size,
    *,
    hu_window: Sequence[float],
    overlap: float = 0.5,
    progress: Progress | None = None,
    stop: Stop | None = None,
    **how: Any,
) -> Iterator[Slab]:
    """Run the network over a volume and yield its blended scores from the lowest slice to the highest.

    Equal to MONAI's ``SlidingWindowInferer(roi, batch, overlap, mode="gaussian")`` on the scaled
    volume, zero padding of volumes smaller than the roi included.

    Args:
        image: HU (I, J, K), any integer or float type; may be memory-mapped, one window is read at a time.
        network: see ``Network``; called without gradients.
        roi: window size in voxels.
        hu_window: lower and upper HU that become 0 and 1.
        overlap: share of a window that its neighbour covers too.
        progress: called with windows done and windows in all.
        stop: asked before every call of the network.
        how: what :class:`SwinSSLLib.segment.scoring.Scorer` takes: batch, device, precision, skip_air, note.

    Returns:
        slabs that cover all K slices once, in order.

    Raises:
        Stopped: ``stop`` returned true.
        InputError: overlap, batch or precision is not possible.
    """
    scorer, grid = Scorer(network, roi, hu_window, **how), _Grid(image, roi, hu_window[0])
    return _slide(grid, scorer, window_starts(grid.padded, roi, overlap), progress, stop)


def _slide(
    grid: _Grid, scorer: Scorer, starts: Sequence[Size], progress: Progress | None, stop: Stop | None
) -> Iterator[Slab]:
    band, done = _Band(grid.padded, grid.roi, grid.before, grid.size), 0
    scorer.relieve = band.to_main_memory
    for k_start, group in groupby(starts, key=lambda start: start[2]):
        yield from band.advance(k_start)
        for some in scorer.portions((corner, grid.crop(corner)) for corner in group):
            if stop is not None and stop():
                raise Stopped("The segmentation was stopped on request; nothing was written.")
            for corner, score in scorer(some):
                band.add(corner, score)
            done += len(some)
            if progress is not None:
                progress(done, len(starts))
    yield from band.advance(grid.padded[2])
    scorer.finish()


def central_window(image: np.ndarray, roi: Size, hu_window: Sequence[float]) -> Tensor:
    """The window in the middle of a volume as the network gets it: (1, 1, i, j, k), 0..1, on the CPU."""
    grid = _Grid(image, roi, hu_window[0])
    middle = _three([(p - r) // 2 for p, r in zip(grid.padded, roi, strict=True)])
    return scale_window(torch.from_numpy(grid.crop(middle)), hu_window)[None, None]


def count_windows(size: Size, roi: Size, overlap: float) -> int:
    """How many windows a volume takes, those of air included."""
    return len(window_starts(_three([max(s, r) for s, r in zip(size, roi, strict=True)]), roi, overlap))


class _Band:
    """Sums of weighted scores and of weights for the slices that windows still reach."""

    def __init__(self, padded: Size, roi: Size, before: Size, size: Size) -> None:
        self.padded, self.roi, self.before, self.size = padded, roi, before, size
        self.start = 0
        self.scores: Tensor | None = None
        self.weights = torch.empty(0)
        self.importance = torch.empty(0)

    @property
    def bytes(self) -> int:
        """Memory of the sums; does not depend on the number of slices."""
        return 0 if self.scores is None else self.scores.nbytes + self.weights.nbytes

    def to_main_memory(self) -> bool:
        """Free the device's memory; False if nothing of it is held."""
        if self.scores is None or self.scores.device.type == "cpu":
            return False
        self.scores, self.weights, self.importance = self.scores.cpu(), self.weights.cpu(), self.importance.cpu()
        return True

    def add(self, corner: Size, score: Tensor) -> None:
        """Add one window's scores (C, i, j, k); in main memory from the first time that the device's is too small."""
        try:
            self._add(corner, score)
            return
        except RuntimeError as error:
            if not (is_shortage(error) and self.to_main_memory()):
                raise
        self._add(corner, score)

    def _add(self, corner: Size, score: Tensor) -> None:
        if self.scores is None:
            self._allocate(score)
        assert self.scores is not None
        place = tuple(slice(c, c + r) for c, r in zip((*corner[:2], corner[2] - self.start), self.roi, strict=True))
        self.scores[(slice(None), *place)].addcmul_(score.to(self.scores.device).float(), self.importance)
        self.weights[place].add_(self.importance)

    def advance(self, start: int) -> Iterator[Slab]:
        """Hand out the slices below ``start``, which no later window reaches, and move up."""
        count = start - self.start
        if self.scores is None or count == 0:
            return
        finished = self.scores[..., :count].div_(self.weights[..., :count])
        first, last = max(self.start, self.before[2]), min(start, self.before[2] + self.size[2])
        if first < last:
            i, j = (slice(b, b + s) for b, s in zip(self.before[:2], self.size[:2], strict=True))
            inside = finished[:, i, j, first - self.start : last - self.start]
            yield Slab(first - self.before[2], last - self.before[2], inside)
        for sums in (*self.scores, self.weights):  # class by class: source and target overlap, so a copy is needed
            kept = sums[..., count:].clone()
            sums[..., : self.roi[2] - count] = kept
            sums[..., self.roi[2] - count :] = 0
        self.start = start

    def _allocate(self, score: Tensor) -> None:
        # Laid out as the network's output, (C, i, j, k): adding a window is then several times faster.
        shape, device = (score.shape[0], *self.padded[:2], self.roi[2]), score.device
        if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] < 2 * 4 * int(np.prod(shape)):
            device = torch.device("cpu")
        self.scores = torch.zeros(shape, device=device)
        self.weights = torch.zeros(shape[1:], device=device)
        self.importance = compute_importance_map(self.roi, mode="gaussian", device=device)


def _three(numbers: Sequence[int]) -> Size:
    i, j, k = (int(number) for number in numbers)
    return i, j, k

"""From windows to their class scores: in portions, without those of air, and with less memory where it is short."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from SwinSSLLib.data.scaling import scale_window
from SwinSSLLib.errors import InputError, is_shortage
from SwinSSLLib.settings import PRECISIONS

log = logging.getLogger(__name__)

#: Takes windows (B, 1, i, j, k) scaled to 0..1, returns class scores (B, C, i, j, k).
Network = Callable[[Tensor], Tensor]
Size = tuple[int, int, int]
#: First voxel of a window and its HU as float32; None in place of HU stands for a window of air.
Window = tuple[Size, np.ndarray | None]

AUTOCAST: dict[str, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Scorer:
    """Runs a network on windows.

    A window with nothing above the lowest HU of the network's range is 0 everywhere for the network. All of them
    have the same scores, which are computed once: the result is that of computing them all.

    Where the device has too little memory, fewer windows are taken at a time, then :attr:`relieve` is asked to make
    room, and only then the error is raised.

    Args:
        network: see :data:`Network`; called without gradients.
        roi: window size in voxels.
        hu_window: lower and upper HU that become 0 and 1.
        batch: windows per call of the network.
        device: where the network runs.
        precision: one of ``settings.PRECISIONS``, Lightning Fabric's names.
        skip_air: compute the scores of air only once.
        note: told in a sentence, at the end, what was done for want of memory.

    Attributes:
        relieve: frees memory of the device that others hold; False if there is none.

    Raises:
        InputError: batch or precision is not possible.
    """

    def __init__(
        self,
        network: Network,
        roi: Size,
        hu_window: Sequence[float],
        *,
        batch: int = 1,
        device: torch.device | str = "cpu",
        precision: str = "32-true",
        skip_air: bool = True,
        note: Callable[[str], None] | None = None,
    ) -> None:
        if batch < 1:
            raise InputError(f"The batch of windows is {batch}, but must be at least 1.")
        if precision not in PRECISIONS:
            raise InputError(f"The precision is {precision!r}, but must be one of {', '.join(PRECISIONS)}.")
        self.network, self.roi, self.hu_window, self.batch = network, roi, hu_window, batch
        self.device, self.precision, self.skip_air = torch.device(device), precision, skip_air
        self.relieve: Callable[[], bool] = lambda: False
        self._asked, self._relieved, self._note = batch, False, note
        self._of_air: Tensor | None = None

    def portions(self, windows: Iterable[tuple[Size, np.ndarray]]) -> Iterator[list[Window]]:
        """Gather windows for one call of the network; those of air come along for nothing, in their place."""
        some: list[Window] = []
        full = 0
        for corner, crop in windows:
            air = self.skip_air and bool((crop <= self.hu_window[0]).all())
            some.append((corner, None if air else crop))
            full += not air
            if full >= self.batch:
                yield some
                some, full = [], 0
        if some:
            yield some

    def __call__(self, some: Sequence[Window]) -> Iterator[tuple[Size, Tensor]]:
        """The windows of a portion in their order, each with its scores (C, i, j, k)."""
        scores = self._in_batches([crop for _, crop in some if crop is not None])
        for corner, crop in some:
            yield corner, next(scores) if crop is not None else self._air()

    def finish(self) -> None:
        """Tell what was done for want of memory."""
        parts = []
        if self.batch < self._asked:
            parts.append(f"{self.batch} instead of {self._asked} windows were computed at a time")
        if self._relieved:
            parts.append("the scores were kept in main memory")
        if parts and self._note:
            self._note(f"The memory of {self.device} was short: {' and '.join(parts)}. The result is the same.")

    def _air(self) -> Tensor:
        if self._of_air is None:
            self._of_air = next(self._in_batches([np.full(self.roi, self.hu_window[0], np.float32)])).clone()
        return self._of_air

    def _in_batches(self, crops: Sequence[np.ndarray]) -> Iterator[Tensor]:
        while len(crops):
            scores = self._attempt(crops[: self.batch])
            if scores is not None:
                yield from scores
                crops = crops[len(scores) :]

    def _attempt(self, crops: Sequence[np.ndarray]) -> Tensor | None:
        """Scores of some windows; None if there was too little memory, and less of it is needed now."""
        try:
            hu = torch.stack([torch.from_numpy(crop) for crop in crops])
            windows = scale_window(hu.to(self.device), self.hu_window)[:, None]
            with torch.inference_mode(), _autocast(self.device, self.precision):
                return self.network(windows)
        except (RuntimeError, MemoryError) as error:
            # The second try is made outside of this block: the error holds the tensors of the first one.
            if not (is_shortage(error) and self._step_down()):
                raise
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _step_down(self) -> bool:
        if self.batch > 1:
            self.batch //= 2
        elif self.relieve():
            self._relieved = True
        else:
            return False
        log.info("Memory of %s is short: batch %d, relieved: %s", self.device, self.batch, self._relieved)
        return True


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    dtype = AUTOCAST.get(precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)

"""Random numbers of a batch that is shared by processes: each sample has the same ones, whoever draws them.

So a run with four processes of two sub-volumes sees what a run with one process of eight sees.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Draws:
    """Draws for the samples of a batch, one after the other in one order.

    Small numbers (angles, boxes) are drawn for the whole batch, of which a process keeps its part: that is cheaper than
    a generator for each sample. What fills a volume comes from a generator of the sample.

    Args:
        seed: one or several numbers; the same ones give the same draws.
        device: where to draw.
        first: number of this process's first sample in the batch.
        total: samples of the batch in all processes; None where this process has all of them.
    """

    def __init__(
        self, *seed: int, device: torch.device | str = "cpu", first: int = 0, total: int | None = None
    ) -> None:
        self.seed, self.device, self.first, self.total = seed, torch.device(device), first, total
        self._common = self._generator(0)
        self._own: dict[int, torch.Generator] = {}

    def uniform(self, count: int, *shape: int) -> Tensor:
        """(count, *shape) of 0..1 for this process's samples."""
        return self._mine(torch.rand((self._all(count), *shape), generator=self._common, device=self.device), count)

    def integers(self, low: int, high: int, count: int, *shape: int) -> Tensor:
        """(count, *shape) of low..high - 1 for this process's samples."""
        size = (self._all(count), *shape)
        return self._mine(torch.randint(low, high, size, generator=self._common, device=self.device), count)

    def normal_like(self, samples: Tensor) -> Tensor:
        """Normal noise of the shape of ``samples`` (N, ...), each from its own generator."""
        noise = torch.empty_like(samples)
        for number, into in enumerate(noise):
            into.normal_(generator=self.own(number))
        return noise

    def own(self, number: int) -> torch.Generator:
        """The generator of this process's sample ``number``."""
        place = self.first + number
        if place not in self._own:
            self._own[place] = self._generator(1, place)
        return self._own[place]

    def _all(self, count: int) -> int:
        return count if self.total is None else self.total

    def _mine(self, drawn: Tensor, count: int) -> Tensor:
        return drawn[self.first : self.first + count] if self.total is not None else drawn

    def _generator(self, *more: int) -> torch.Generator:
        state = np.random.SeedSequence([*self.seed, *more]).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(state) >> 1)

"""Sub-volumes out of the store: which one comes when is a pure function of the seed and the number of the draw.

Nothing needs to be remembered to resume: draw number n is the same whenever, wherever and by how many
threads it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np

from SwinSSLLib.data.store import Entry
from SwinSSLLib.settings import TrainingSettings

AIR = -1024
_TRIES = 20

T = TypeVar("T")


@dataclass(frozen=True)
class SubVolume:
    """A block of a CT as it lies in the store.

    Attributes:
        array: (I, J, K) int16 in HU.
        entry: where it comes from.
        corner: index of its first voxel in the entry; negative where it was padded with air.
    """

    array: np.ndarray
    entry: Entry
    corner: tuple[int, int, int]

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """(4, 4) affine of the block."""
        affine = self.entry.ijk_to_ras.copy()
        affine[:3, 3] += affine[:3, :3] @ np.asarray(self.corner, dtype=float)
        return affine


@dataclass(frozen=True)
class SubVolumeSampler:
    """Random sub-volumes of several CTs; every CT comes once in a round, in a new order each round.

    Args:
        entries: the CTs.
        size: (I, J, K) in voxels. A smaller CT is padded with air on both sides.
        seed: same seed, same draws.
        air_below: HU below which a voxel counts as air.
        most_air: a block with a larger share of air is drawn again (at most 20 times, the best is kept).
    """

    entries: Sequence[Entry]
    size: tuple[int, int, int]
    seed: int
    air_below: float = -500.0
    most_air: float = 1.0

    def draw(self, number: int) -> SubVolume:
        """Draw number ``number`` (0, 1, ...)."""
        entry = self.entries[self._entry(number)]
        image = entry.image()
        random = np.random.default_rng([self.seed, 1, number])
        best: SubVolume | None = None
        least = np.inf
        for _ in range(_TRIES if self.most_air < 1 else 1):
            corner = tuple(
                int(random.integers(0, have - want + 1)) if have >= want else -((want - have) // 2)
                for have, want in zip(image.shape, self.size, strict=True)
            )
            block = cut(image, (corner[0], corner[1], corner[2]), self.size)
            air = _air_share(block, image.shape, self.air_below)
            if air < least:
                best, least = SubVolume(block, entry, (corner[0], corner[1], corner[2])), air
            if air <= self.most_air:
                break
        assert best is not None
        return best

    def _entry(self, number: int) -> int:
        count = len(self.entries)
        return int(order_of_round(self.seed, number // count, count)[number % count])


@lru_cache(maxsize=4)
def order_of_round(seed: int, round_number: int, count: int) -> np.ndarray:
    """The order in which ``count`` CTs come in a round; every round has its own."""
    return np.random.default_rng([seed, 2, round_number]).permutation(count)


def cut(image: np.ndarray, corner: tuple[int, int, int], size: tuple[int, int, int], outside: int = AIR) -> np.ndarray:
    """Copy a block out of an array; what lies outside of the array becomes ``outside``."""
    inside = tuple(slice(start, start + want) for start, want in zip(corner, size, strict=True))
    if min(corner) >= 0 and all(part.stop <= have for part, have in zip(inside, image.shape, strict=True)):
        return np.array(image[inside])
    block = np.full(size, outside, dtype=image.dtype)
    source, target = [], []
    for start, want, have in zip(corner, size, image.shape, strict=True):
        first, last = max(start, 0), min(start + want, have)
        source.append(slice(first, last))
        target.append(slice(first - start, last - start))
    block[tuple(target)] = image[tuple(source)]
    return block


def _air_share(block: np.ndarray, shape: tuple[int, ...], below: float) -> float:
    """Share of air among the voxels that the CT really has (padding does not count); every eighth one is looked at."""
    some = block[::2, ::2, ::2]
    real = np.prod([min(want, have) for want, have in zip(block.shape, shape, strict=True)]) * some.size / block.size
    return float(1 - np.count_nonzero(some >= below) / real)


def ahead(draw: Callable[[int], T], numbers: Iterable[int], workers: int) -> Iterator[T]:
    """``draw(n)`` for each n in order, read ahead by some threads.

    Args:
        draw: a pure function of the number.
        numbers: which, in order.
        workers: threads; 0 draws in the caller's thread.
    """
    if workers == 0:
        yield from map(draw, numbers)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="read-ahead") as pool:
        waiting: list[Future[T]] = []
        try:
            for number in numbers:
                waiting.append(pool.submit(draw, number))
                if len(waiting) > 2 * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


class BatchReader(Generic[T]):
    """Batches of draws for one process of a run, read ahead in order; a jump (after a resume) starts anew.

    Draws are dealt out to the processes batch by batch, so that together they see every draw once.

    Args:
        draw: a pure function of the number of the draw.
        training: batch size, accumulation, steps and threads.
        world: number of processes.
        rank: which of them this is.
    """

    def __init__(self, draw: Callable[[int], T], training: TrainingSettings, world: int, rank: int) -> None:
        self._draw, self._training, self._world, self._rank = draw, training, world, rank
        self._batches: Iterator[list[T]] = iter(())
        self._next = -1
        self._last: list[T] = []

    def batch(self, step: int, part: int) -> list[T]:
        """The draws of accumulation part ``part`` of step ``step``; the last one may be asked for again."""
        number = step * self._training.accumulate + part
        if number + 1 == self._next:
            return self._last
        if number != self._next:
            self._batches = self._from(number)
        self._next = number + 1
        self._last = next(self._batches)
        return self._last

    def _from(self, first: int) -> Iterator[list[T]]:
        size = self._training.batch
        last = self._training.steps * self._training.accumulate
        numbers = (
            (number * self._world + self._rank) * size + index for number in range(first, last) for index in range(size)
        )
        draws = ahead(self._draw, numbers, self._training.workers)
        for _ in range(first, last):
            yield [next(draws) for _ in range(size)]

"""Work that all processes of a run do together, each its share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """This process's share of work in pieces; of one process alone it is everything.

    Attributes:
        rank: which process this is.
        world: of how many.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def of(cls, fabric: Fabric) -> Share:
        """The share of a process of a run."""
        return cls(fabric.global_rank, fabric.world_size)

    def numbers(self, count: int) -> range:
        """Which of ``count`` pieces are this process's; none where there are fewer pieces than processes."""
        return range(self.rank, count, self.world)

    def each(self, count: int, work: Callable[[int], T]) -> list[T]:
        """``work(n)`` for n = 0 .. count - 1, done by all processes and known to all of them; all of them call this.

        What comes out travels between the processes and should be small, and lie on the CPU.
        """
        mine = [work(number) for number in self.numbers(count)]
        if self.world == 1:
            return mine
        import torch

        parts: list[list[T]] = [[] for _ in range(self.world)]
        torch.distributed.all_gather_object(parts, mine)
        return [parts[number % self.world][number // self.world] for number in range(count)]

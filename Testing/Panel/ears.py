"""Listening to workers, and to whether they are still there."""

from __future__ import annotations

from SwinSSLPanel.jobs import Listener
from SwinSSLPanel.watching import processExists


class Ear:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events, self.log, self.stages, self.outcomes = [], [], [], []
        self.listener = Listener(self.events.append, self.log.append, self.stages.append, self.outcomes.append)

    @property
    def ended(self) -> bool:
        return bool(self.outcomes)


def exists(number: int) -> bool:
    """Whether there is a process of this number."""
    return processExists(number)

"""Short commands of the engine that end with an answer: one JSON object, however long it takes to come."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from SwinSSLPanel.jobs import Event, JobRunner, Listener, Outcome

Answer = dict[str, Any]


class Errand:
    """Runs one command at a time and hands its answer over.

    Args:
        runner: the worker.
        onProgress: every ``progress`` event.
        onLog: every line of free text.
        onEnded: called at the end of every command, before ``after``.
    """

    def __init__(
        self,
        runner: JobRunner,
        onProgress: Callable[[Event], None],
        onLog: Callable[[str], None],
        onEnded: Callable[[Outcome, bool], None],
    ) -> None:
        self.runner, self._onProgress, self._onLog, self._onEnd = runner, onProgress, onLog, onEnded
        self._answer: Answer = {}
        self._after: Callable[[Answer], None] = lambda answer: None
        self._stopping = False

    @property
    def running(self) -> bool:
        """Whether a command is at work."""
        return self.runner.running

    def start(self, command: list[str], after: Callable[[Answer], None]) -> None:
        """Run a command; ``after`` gets its answer if it ends well."""
        self._answer, self._after, self._stopping = {}, after, False
        self.runner.start(command, Listener(self._onEvent, self._onWord, lambda stage: None, self._onEnded))

    def stop(self) -> None:
        """End the command; what a download has brought is kept."""
        if self.running:
            self._stopping = True
            # These commands listen to signals and not to lines: go straight on to the second stage.
            self.runner.requestStop()
            self.runner.requestStop()

    def _onEvent(self, event: Event) -> None:
        if event["event"] == "progress":
            self._onProgress(event)
        elif event["event"] == "finished":
            self._answer = event

    def _onWord(self, line: str) -> None:
        self._onLog(line)
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                return
            self._answer = found if isinstance(found, dict) else self._answer

    def _onEnded(self, outcome: Outcome) -> None:
        self._onEnd(outcome, self._stopping)
        if outcome.good and not self._stopping:
            self._after(self._answer)

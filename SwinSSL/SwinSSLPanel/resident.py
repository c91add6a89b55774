"""A worker that stays: it answers one request after the other, so that only the first waits for imports and weights.

It is started when a volume and a model are chosen, or by the first request, and ends by itself when nothing was asked
for ten minutes. Towards its listener a request looks like a worker of its own; see :mod:`SwinSSLPanel.jobs`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import qt
from slicer.i18n import tr as _

from SwinSSLPanel.jobs import EXIT_CODES, JobRunner, Listener, Outcome, ProcessRunner, parsed


class Resident(JobRunner, Protocol):
    """What the panel needs of a worker that stays; ``running`` is true while it answers a request."""

    @property
    def alive(self) -> bool:
        """Whether there is a process, at work or waiting."""

    def warm(self, model: Path) -> None:
        """Start the process and let it load a model, if there is no process yet."""

    def release(self) -> None:
        """End the process if it waits: its memory and files are wanted elsewhere."""


class ResidentRunner(ProcessRunner):
    """A :class:`Resident` on ``QProcess`` and ``swinssl serve``; the arguments are those of :class:`ProcessRunner`."""

    def __init__(self, *arguments: float, **options: float) -> None:
        super().__init__(*arguments, **options)
        self._request = b""
        self._heard = self._older = False

    @property
    def running(self) -> bool:
        """Whether a request is being answered."""
        return bool(self._request)

    @property
    def alive(self) -> bool:
        """Whether there is a process, at work or waiting."""
        return self._process is not None

    def warm(self, model: Path) -> None:
        """Start the process and let it load a model, if there is no process yet."""
        if not self.alive:
            self._launch(["serve", "--model", str(model)])

    def start(self, arguments: list[str], listener: Listener) -> None:
        """Ask for a command, such as ``["segment", "ct.nrrd", ...]``.

        Raises:
            RuntimeError: a request is being answered already.
        """
        if self.running:
            raise RuntimeError("A worker is at work already.")
        self._begin(listener)
        self._request = json.dumps({"request": arguments[0], "arguments": arguments[1:]}).encode() + b"\n"
        self._heard, self._older = False, self.alive
        if not self.alive:
            self._launch(["serve"])
        # It may have failed to start at once, and then nobody waits any more.
        if self.running:
            self._process.write(self._request)

    def release(self) -> None:
        """End the process if it waits: its memory and files are wanted elsewhere."""
        if not self.running:
            self.abandon()

    def abandon(self) -> None:
        """End the process now and tell nobody."""
        self._request, self.stage = b"", ""
        super().abandon()

    def _onLine(self, line: str) -> None:
        event = parsed(line)
        if event is None or event["event"] not in ("ready", "done"):
            self._heard = self._heard or event is not None
            super()._onLine(line)
        elif event["event"] == "done" and self.running:
            code = event.get("exit_code")
            self._answered(code if isinstance(code, int) else 1)

    def _answered(self, code: int) -> None:
        """A request has its answer; the process waits for the next one."""
        if self.stage in ("terminating", "killing"):
            self._drop()  # it is dying: the next request needs another one
        error, last = self._error, self.log[-1] if self.log else ""
        if error is not None:
            outcome = Outcome(False, str(error.get("message", "")), str(error.get("hint") or ""), code)
        elif code:
            words = EXIT_CODES.get(code, _("The worker ended with exit code {code}.").format(code=code))
            outcome = Outcome(False, words, last, code)
        else:
            outcome = Outcome(True)
        self._tell(outcome)

    def _onFinished(self, exitCode: int, status: Any) -> None:
        process = self._process
        if process is None:
            return
        if not self.running:
            self._drop()
        elif self._older and not self._heard and self.stage == "running":
            # It ended just when the request was written: its ten minutes were over, or it was killed while it waited.
            self._drop()
            self._older = False
            self._launch(["serve"])
            if self.running:
                self._process.write(self._request)
        else:
            super()._onFinished(exitCode, status)

    def _outcome(self, exitCode: int, crashed: bool) -> Outcome:
        outcome = super()._outcome(exitCode, crashed)
        if outcome.good and self.stage not in ("terminating", "killing"):
            return Outcome(False, _("The worker ended before it had answered."), _("Start again."), exitCode)
        return outcome

    def _onProblem(self, error: Any) -> None:
        if self.running:
            super()._onProblem(error)
        elif self.alive and error == qt.QProcess.FailedToStart:
            self._drop()  # whoever asks for something will be told

    def _end(self, outcome: Outcome) -> None:
        if self.running:  # else the last words of the process were its answer
            self._drop()
            self._tell(outcome)
        else:
            self._drop()

    def _tell(self, outcome: Outcome) -> None:
        """The request is over; from now on nobody listens."""
        self._timer.stop()
        self._quiet.stop()
        listener, self._listener = self._listener, Listener()
        self._request, self.stage = b"", ""
        listener.onEnded(outcome)

    def _drop(self) -> None:
        """Let go of the process; it is dead or must die. What it still says must not be taken for the next one's."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.waitForFinished(2000)
            process.deleteLater()

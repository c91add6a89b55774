"""Worker processes of the engine: started, listened to, stopped in three stages that the user can see.

A worker writes one JSON object a line on standard output; everything else is free text for the log. It ends well with
exit code 0; any other code comes with an ``error`` event that holds one sentence and a hint.
"""

from __future__ import annotations

import codecs
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import qt

from SwinSSLPanel import engine

Event = dict[str, Any]

#: Seconds after which a worker that was asked to stop is terminated, and after which it is killed.
PATIENCE = 60.0
GRACE = 10.0
#: Seconds without a word after which the user is told; the worker may well be busy.
SILENCE = 60.0
#: Lines of free text that are kept for the log and for the report of a failure.
LOG_LINES = 2000
#: Longest line that is taken for an event; more without a line end is rubbish.
LONGEST_LINE = 1 << 20

#: What the engine's exit codes mean, for workers that die without a word.
EXIT_CODES = {
    1: "The worker ended with an error.",
    2: "The worker refused its input.",
    3: "The memory was too small.",
    4: "Something that the worker needs is missing.",
}


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        good: exit code 0: done, or stopped on request.
        message: one sentence for the user; empty if all went well.
        hint: what to do about it.
        exitCode: of the process; -1 if it never started or was killed.
    """

    good: bool
    message: str = ""
    hint: str = ""
    exitCode: int = 0


@dataclass
class Listener:
    """Whom a job tells what; every function is called in the main thread.

    Attributes:
        onEvent: every event of the worker, in order.
        onLog: every line of free text.
        onStage: "running", "asked", "terminating", "killing"; and "silent" when nothing was heard for a minute.
        onEnded: once, when everything has been read.
    """

    onEvent: Callable[[Event], None] = lambda event: None
    onLog: Callable[[str], None] = lambda line: None
    onStage: Callable[[str], None] = lambda stage: None
    onEnded: Callable[[Outcome], None] = lambda outcome: None


class JobRunner(Protocol):
    """What the panel needs of whoever runs workers; tests may bring their own."""

    @property
    def running(self) -> bool:
        """Whether a worker is at work."""

    def start(self, arguments: list[str], listener: Listener) -> None:
        """Start a command of the engine, such as ``["pretrain", "--data", ...]``."""

    def requestStop(self) -> None:
        """Ask the worker to end; calling it again goes on to the next stage at once."""

    def abandon(self) -> None:
        """End the worker now and tell nobody: the application is closing."""


@dataclass
class LineReader:
    """Bytes in pieces become whole lines; half lines wait, foreign bytes are replaced, endless lines are cut."""

    take: Callable[[str], None]
    _decoder: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))
    _rest: str = ""

    def feed(self, data: bytes, last: bool = False) -> None:
        """Read the next piece; with ``last`` what is left counts as a line."""
        self._rest += self._decoder.decode(data, last)
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            self.take(line.rstrip("\r"))
        if self._rest and (last or len(self._rest) > LONGEST_LINE):
            self.take(self._rest[:LONGEST_LINE])
            self._rest = ""


class ProcessRunner:
    """A :class:`JobRunner` on ``QProcess``.

    Args:
        patience: seconds from the request to stop to termination.
        grace: seconds from termination to killing.
        silence: seconds without a word after which the listener is told.
    """

    def __init__(self, patience: float = PATIENCE, grace: float = GRACE, silence: float = SILENCE) -> None:
        self.patience, self.grace, self.silence = patience, grace, silence
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.stage = ""
        self._process = None
        self._listener = Listener()
        self._error: Event | None = None
        self._out = self._err = LineReader(self._onText)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._nextStage)
        self._quiet = qt.QTimer()
        self._quiet.connect("timeout()", self._onSilence)

    @property
    def running(self) -> bool:
        """Whether a worker is at work."""
        return self._process is not None

    def start(self, arguments: list[str], listener: Listener) -> None:
        """Start a command of the engine.

        Raises:
            RuntimeError: a worker is at work already.
        """
        if self.running:
            raise RuntimeError("A worker is at work already.")
        self._begin(listener)
        self._launch(arguments)

    def _begin(self, listener: Listener) -> None:
        """Somebody listens from now on."""
        self._listener, self._error = listener, None
        self.log.clear()
        self._setStage("running")
        self._quiet.start(int(1000 * self.silence))

    def _launch(self, arguments: list[str]) -> None:
        """Start a process."""
        self._out, self._err = LineReader(self._onLine), LineReader(self._onText)
        process = _newProcess()
        process.connect("readyReadStandardOutput()", self._readOutput)
        process.connect("readyReadStandardError()", self._readError)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onProblem)
        self._process = process
        process.start(engine.pythonProgram(), engine.workerArguments(arguments))

    def requestStop(self) -> None:
        """Ask the worker to save and end; a second call terminates it, a third one kills it."""
        if self.running:
            self._nextStage()

    def abandon(self) -> None:
        """End the worker now and tell nobody."""
        process, self._process = self._process, None
        self._timer.stop()
        self._quiet.stop()
        if process is not None:
            self._listener = Listener()
            process.kill()
            process.waitForFinished(2000)

    def _nextStage(self) -> None:
        if not self.running:
            return
        if self.stage == "running":
            self._setStage("asked")
            self._process.write(b"stop\n")
            self._timer.start(int(1000 * self.patience))
        elif self.stage == "asked":
            self._setStage("terminating")
            self._process.terminate()
            self._timer.start(int(1000 * self.grace))
        else:
            self._setStage("killing")
            self._process.kill()

    def _onSilence(self) -> None:
        self._listener.onStage("silent")

    def _setStage(self, stage: str) -> None:
        self.stage = stage
        self._listener.onStage(stage)

    def _readOutput(self) -> None:
        if self._process is not None:
            self._hear()
            self._out.feed(self._process.readAllStandardOutput().data())

    def _readError(self) -> None:
        if self._process is not None:
            self._hear()
            self._err.feed(self._process.readAllStandardError().data())

    def _hear(self) -> None:
        if self._quiet.isActive():
            self._quiet.start()

    def _onLine(self, line: str) -> None:
        event = parsed(line)
        if event is None:
            self._onText(line)
            return
        if event["event"] == "error":
            self._error = event
        self._listener.onEvent(event)

    def _onText(self, line: str) -> None:
        if line.strip():
            self.log.append(line)
            self._listener.onLog(line)

    def _onProblem(self, error: Any) -> None:
        # A worker that does not start emits no `finished`; all other problems do.
        if self.running and error == qt.QProcess.FailedToStart:
            reason = self._process.errorString()
            self._end(Outcome(False, f"The worker could not be started: {reason}.", "Run Setup again.", -1))

    def _onFinished(self, exitCode: int, status: Any) -> None:
        if self._process is None:
            return
        self._readOutput()
        self._readError()
        self._out.feed(b"", last=True)
        self._err.feed(b"", last=True)
        self._end(self._outcome(exitCode, crashed=status != qt.QProcess.NormalExit))

    def _outcome(self, exitCode: int, crashed: bool) -> Outcome:
        wanted = self.stage in ("terminating", "killing")
        if self._error is not None and not (wanted and crashed):
            return Outcome(False, str(self._error.get("message", "")), str(self._error.get("hint") or ""), exitCode)
        if wanted:
            return Outcome(True, "The worker was ended by force; its last checkpoint is kept.", "", -1)
        if crashed:
            return Outcome(
                False,
                "The worker died without a word (it was killed, or it crashed).",
                "The memory may have been too small; the last checkpoint is kept, resume the run.",
                -1,
            )
        if exitCode == 0:
            return Outcome(True)
        last = self.log[-1] if self.log else ""
        return Outcome(False, EXIT_CODES.get(exitCode, f"The worker ended with exit code {exitCode}."), last, exitCode)

    def _end(self, outcome: Outcome) -> None:
        self._timer.stop()
        self._quiet.stop()
        process, self._process = self._process, None
        self.stage = ""
        process.deleteLater()
        self._listener.onEnded(outcome)


def startDetached(arguments: list[str]) -> bool:
    """Start a worker that outlives Slicer and is stopped through its folder; whether it could be started."""
    process = _newProcess()
    process.setProgram(engine.pythonProgram())
    process.setArguments(engine.workerArguments(arguments))
    process.setStandardOutputFile(qt.QProcess.nullDevice())
    process.setStandardErrorFile(qt.QProcess.nullDevice())
    return bool(process.startDetached())


def _newProcess() -> Any:
    process = qt.QProcess()
    environment = qt.QProcessEnvironment.systemEnvironment()
    for name, value in engine.workerVariables().items():
        environment.insert(name, value)
    process.setProcessEnvironment(environment)
    return process


def parsed(line: str) -> Event | None:
    """The event in a line, or None for free text."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None

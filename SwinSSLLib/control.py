"""How a running job is asked to stop: by a signal, by a line on standard input from the process that started it, or
by a file in its run folder from anybody who can write there."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from SwinSSLLib.runs import RunFolder

#: What asks a job to save and end: Ctrl+C, a scheduler before the time is up (Slurm's --signal, kill).
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
#: Signals within this time, in seconds, are one wish: torchrun hands on what its processes have got as well.
_ONE_WISH = 1.0

#: The run folder is looked at this often, in seconds: it may lie on a slow shared disk.
_LOOK_EVERY = 1.0


class Control:
    """Wishes of whoever started the job; a second interrupt, a second later, ends it at once.

    Args:
        stdin: also read ``stop`` and ``preview`` from standard input, where end of file means that the parent
            died and the job stops. Only for jobs started by a program that keeps the pipe open.
        signals: listen to SIGINT, SIGTERM and SIGUSR1 (main thread only).
        run: look for wishes in this run folder; those of an earlier run are forgotten.
    """

    def __init__(self, *, stdin: bool = False, signals: bool = False, run: RunFolder | None = None) -> None:
        self._stop = threading.Event()
        self._preview = threading.Event()
        self._stdin = stdin
        self._signals = signals and threading.current_thread() is threading.main_thread()
        self._before: dict[int, Any] = {}
        self._run = run
        self._looked = 0.0
        self._asked = float("inf")

    def __enter__(self) -> Control:
        if self._run:
            for word in ("stop", "preview"):
                with contextlib.suppress(OSError):  # no folder yet, or none that can be one: the job tells of that
                    self._run.wish(word).unlink()
        if self._signals:
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._on_signal)
        if self._stdin:
            threading.Thread(target=self._read, daemon=True, name="control").start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def stop(self) -> bool:
        """Whether the job is to finish its step, save and end."""
        self._look()
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Ask the job to stop."""
        self._stop.set()

    def take_preview(self) -> bool:
        """Whether a preview was asked for since the last call."""
        self._look()
        asked = self._preview.is_set()
        self._preview.clear()
        return asked

    def _look(self) -> None:
        if self._run is None or time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._looked = time.monotonic()
        for word, wish in (("stop", self._stop), ("preview", self._preview)):
            if self._run.wish(word).exists():
                wish.set()
                with contextlib.suppress(OSError):  # read-only, or gone meanwhile: the wish was heard all the same
                    self._run.wish(word).unlink()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if time.monotonic() - self._asked > _ONE_WISH:
            raise KeyboardInterrupt
        self._asked = min(self._asked, time.monotonic())
        self._stop.set()

    def _read(self) -> None:
        for line in lines_of_stdin():
            if line.strip() == "stop":
                self._stop.set()
            elif line.strip() == "preview":
                self._preview.set()
        self._stop.set()


def lines_of_stdin() -> Iterator[str]:
    """Lines of standard input; one that is no text does not end the listening.

    Read from the file itself: a thread that waits in Python's buffer holds its lock, and the interpreter aborts when
    it ends meanwhile.
    """
    try:
        number = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # replaced by something in memory
        for line in getattr(sys.stdin, "buffer", sys.stdin):
            yield line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        return
    rest = b""
    while piece := os.read(number, 4096):
        *lines, rest = (rest[-4096:] + piece).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
    yield rest.decode("utf-8", "replace")

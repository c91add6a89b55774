"""Telling what happens in a run: events, status with heartbeat, rate and time left."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from SwinSSLLib import atomic
from SwinSSLLib.discretion import Discretion
from SwinSSLLib.errors import InputError
from SwinSSLLib.runs import Event, RunFolder, now

Sink = Callable[[Event], None]

#: A person who watches should see a sign of life at least this often, in seconds.
HEARTBEAT = 2.0

#: In the file, two progress events of a run of t seconds lie at least t / 1,000 apart, so that a week leaves 7,000 of
#: them; status.json and whoever listens get every one.
SPARSE = 1000

#: The rate is measured over this many seconds: long enough to be calm, short enough to follow.
MEMORY = 60.0


@dataclass
class Reporter:
    """Tells what happens: to events.jsonl, to status.json and to whoever listens.

    Only one process of a run may have one with ``run`` set; others use ``Reporter(None)``, which is silent.
    Use it as a context manager: a thread keeps the heartbeat while a long step is computed.

    Args:
        run: where to write, or None for nowhere.
        sinks: called with every event, in order.
        discretion: what of the files' names stays out of the run folder; sinks get all.
    """

    run: RunFolder | None
    sinks: tuple[Sink, ...] = ()
    discretion: Discretion | None = None
    _status: dict[str, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _done: threading.Event = field(default_factory=threading.Event)
    _last: float = 0.0
    _marks: deque[tuple[float, int]] = field(default_factory=deque)
    _began: float = 0.0
    _last_kept: float = 0.0

    def __enter__(self) -> Reporter:
        if self.run:
            self._mend_last_line()
            self._status = {"pid": os.getpid(), "host": platform.node()}
            threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def emit(self, event: str, **fields: Any) -> None:
        """Append one event and tell every sink."""
        self._tell({"event": event, "time": now(), **fields})

    def _tell(self, record: Event, *, keep: bool = True) -> None:
        with self._lock:
            if self.run and keep:
                written = self.discretion.of(record) if self.discretion else record
                try:
                    with self.run.events_file.open("ab") as file:
                        file.write(json.dumps(written, ensure_ascii=False).encode() + b"\n")
                except OSError as error:
                    raise atomic.cannot_write(self.run.events_file, error) from error
            for sink in self.sinks:
                sink(record)

    def state(self, state: str, **fields: Any) -> None:
        """Change the state of the run (one of :data:`STATES`)."""
        with self._lock:
            self._status |= {"state": state, **fields}
            self._write_status()

    def progress(self, step: int, total: int, *, every: float = 1.0) -> None:
        """A step is done. Events and status follow at most once in ``every`` seconds, and for the last step."""
        with self._lock:
            clock = time.monotonic()
            rate = self._rate(clock, step)
            left = (total - step) / rate if rate else None
            self._status |= {"step": step, "total": total, "rate": rate, "seconds_left": left}
            if clock - self._last >= every or step == total:
                self._tell_progress()

    def stage(self, name: str, done: int, total: int) -> None:
        """Progress of what comes before the first step (event ``progress`` with ``stage``); at most once a second."""
        with self._lock:
            if done in (0, total) or time.monotonic() - self._last >= 1.0:
                self._last = time.monotonic()
                self.emit("progress", stage=name, step=done, total=total, rate=None, seconds_left=None)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """One ``metric`` event for each value, under its name ("train/inpaint", "validation/dice/liver")."""
        for name, value in values.items():
            self.emit("metric", name=name, value=float(value), step=step)

    def _rate(self, clock: float, step: int) -> float | None:
        """Steps a second over the last :data:`MEMORY` seconds, or over the last step where that took longer."""
        self._marks.append((clock, step))
        while len(self._marks) > 2 and self._marks[1][0] < clock - MEMORY:
            self._marks.popleft()
        since, first = self._marks[0]
        return (step - first) / (clock - since) if clock > since and step > first else None

    def _tell_progress(self) -> None:
        self._last = time.monotonic()
        fields = {key: self._status.get(key) for key in ("step", "total", "rate", "seconds_left")}
        self._began = self._began or self._last
        whole = fields["step"] == fields["total"]
        keep = whole or (self._last - self._last_kept) * SPARSE >= self._last - self._began
        if keep:
            self._last_kept = self._last
        self._tell({"event": "progress", "time": now(), **fields}, keep=keep)
        self._write_status()

    def _write_status(self) -> None:
        if self.run:
            self._status["heartbeat"] = now()
            status = self.discretion.of(self._status) if self.discretion else self._status
            atomic.write_json(self.run.status_file, status)

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT / 4):
            with self._lock:
                quiet = time.monotonic() - self._last > HEARTBEAT * 0.75
                if quiet and not self._done.is_set() and self._status.get("state") == "running":
                    # A full disk is told by the next step, on the main thread, where it can be acted on.
                    with contextlib.suppress(InputError):
                        self._tell_progress()

    def _mend_last_line(self) -> None:
        """A writer that died in mid-line leaves no newline; ours must not be glued to its rest."""
        if self.run and self.run.events_file.exists():
            with self.run.events_file.open("rb+") as file:
                size = file.seek(0, os.SEEK_END)
                if size:
                    file.seek(size - 1)
                    if file.read(1) != b"\n":
                        file.write(b"\n")

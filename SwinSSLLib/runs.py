"""The run folder: the only interface between panel, command line, cluster and test.

::

    job.json          kind, settings, inputs, seed, versions: enough to run it again
    status.json       state, pid, host, device, step, total, rate, seconds left, heartbeat; replaced atomically
    events.jsonl      append-only, one JSON object a line
    log.txt           everything else, tracebacks included
    previews/         step-000500.npz
    checkpoints/      last.ckpt previous.ckpt best.ckpt
    model/            the result
    report.html       what happened, with pictures

Writing is in :class:`RunFolder` and :class:`Reporter`; reading (:func:`read_events`) is right for a reader
that starts late, meets half a line, or reads while the writer dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from SwinSSLLib import __version__, atomic
from SwinSSLLib.errors import InputError

Event = dict[str, Any]
Sink = Callable[[Event], None]

#: A person who watches should see a sign of life at least this often, in seconds.
HEARTBEAT = 2.0

STATES = ("starting", "running", "stopping", "stopped", "finished", "failed")


@dataclass(frozen=True)
class RunFolder:
    """Names of everything in a run folder, and how to make and read it."""

    path: Path

    @property
    def job_file(self) -> Path:
        """What was asked for."""
        return self.path / "job.json"

    @property
    def status_file(self) -> Path:
        """Where the run stands."""
        return self.path / "status.json"

    @property
    def events_file(self) -> Path:
        """What happened, in order."""
        return self.path / "events.jsonl"

    @property
    def log_file(self) -> Path:
        """Free text and tracebacks."""
        return self.path / "log.txt"

    @property
    def previews(self) -> Path:
        """Folder of pictures in numbers."""
        return self.path / "previews"

    @property
    def checkpoints(self) -> Path:
        """Folder of last.ckpt, previous.ckpt and best.ckpt."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The resulting model folder."""
        return self.path / "model"

    @property
    def report(self) -> Path:
        """The page that tells what happened."""
        return self.path / "report.html"

    @classmethod
    def is_run(cls, path: Path) -> bool:
        """Whether this folder holds a run."""
        return (path / "job.json").is_file()

    def job(self) -> dict[str, Any]:
        """The content of job.json.

        Raises:
            InputError: missing or damaged.
        """
        return _read_json(self.job_file, "Is this a run folder?")

    def status(self) -> dict[str, Any]:
        """The content of status.json; empty when the run has not started."""
        return _read_json(self.status_file, "") if self.status_file.exists() else {}

    def events(self) -> Iterator[Event]:
        """All whole events so far."""
        events, _ = read_events(self.events_file)
        return iter(events)

    def preview_files(self) -> list[Path]:
        """Preview files in order of their step."""
        return sorted(self.previews.glob("step-*.npz"))

    def create(self, kind: str, settings: Mapping[str, Any], inputs: list[dict[str, Any]], **more: Any) -> None:
        """Start a new run here.

        Raises:
            InputError: the folder holds something already, or cannot be written.
        """
        if RunFolder.is_run(self.path):
            raise InputError(
                f"{self.path} already holds a run ({self.job().get('kind', 'unknown')}).",
                "Continue it with --resume, or choose another output folder.",
            )
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(
                f"{self.path} is not an empty folder and holds no run.", "Choose a new or empty output folder."
            )
        job = {
            "format": 1,
            "kind": kind,
            "created": now(),
            "settings": dict(settings),
            "inputs": inputs,
            "versions": versions(),
            **more,
        }
        atomic.write_json(self.job_file, job)
        for folder in (self.previews, self.checkpoints):
            folder.mkdir(exist_ok=True)

    def check_same(self, kind: str, settings: Mapping[str, Any]) -> None:
        """Refuse to continue a run as something that it is not.

        Raises:
            InputError: another kind of run, or other settings; names what differs.
        """
        job = self.job()
        if job.get("kind") != kind:
            raise InputError(
                f"{self.path} holds a {job.get('kind')} run, not a {kind} run.", "Choose another output folder."
            )
        differing = _differences(job.get("settings", {}), settings)
        if differing:
            listing = ", ".join(differing[:8])
            raise InputError(
                f"{self.path} holds a run with other settings ({listing}).",
                "Resume without these options, or choose another output folder.",
            )


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Read the whole lines of an events file from ``offset`` (bytes).

    A line that is still being written is left for the next call. A line that a dying writer left
    broken, and that another line follows, is passed over.

    Returns:
        The events and the offset to go on from.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    end = content.rfind(b"\n") + 1
    events = []
    for line in content[:end].splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                events.append(event)
    return events, offset + end


@dataclass
class Reporter:
    """Tells what happens: to events.jsonl, to status.json and to whoever listens.

    Only one process of a run may have one with ``run`` set; others use ``Reporter(None)``, which is silent.
    Use it as a context manager: a thread keeps the heartbeat while a long step is computed.

    Args:
        run: where to write, or None for nowhere.
        sinks: called with every event, in order.
    """

    run: RunFolder | None
    sinks: tuple[Sink, ...] = ()
    _status: dict[str, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _done: threading.Event = field(default_factory=threading.Event)
    _last: float = 0.0
    _rate: float = 0.0
    _step_at: float = 0.0

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
        with self._lock:
            record: Event = {"event": event, "time": now(), **fields}
            if self.run:
                try:
                    with self.run.events_file.open("ab") as file:
                        file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
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
            if self._step_at and step > self._status.get("step", step):
                steps = step - self._status["step"]
                rate = steps / max(clock - self._step_at, 1e-9)
                self._rate = rate if not self._rate else 0.9 * self._rate + 0.1 * rate
            self._step_at = clock
            left = (total - step) / self._rate if self._rate else None
            self._status |= {"step": step, "total": total, "rate": self._rate or None, "seconds_left": left}
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

    def _tell_progress(self) -> None:
        self._last = time.monotonic()
        fields = {key: self._status.get(key) for key in ("step", "total", "rate", "seconds_left")}
        self.emit("progress", **fields)
        self._write_status()

    def _write_status(self) -> None:
        if self.run:
            self._status["heartbeat"] = now()
            atomic.write_json(self.run.status_file, self._status)

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


def now() -> str:
    """Time of day in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"swinssl": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in ("torch", "monai", "lightning-fabric", "numpy", "SimpleITK"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _read_json(path: Path, hint: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}.", hint) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it holds no object.", hint)
    return content


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    found: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _differences(before, after, f"{path}{key}.")
        elif before != after:
            found.append(f"{path}{key}: {before} there, {after} now")
    return found

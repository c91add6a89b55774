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
    lock              held by the process that writes here; means nothing when that process is gone
    wishes/           stop, preview: empty files by which anybody who can write here asks something of the run

What happens is written by :class:`SwinSSLLib.reporting.Reporter`; reading (:func:`read_events`) is right for a
reader that starts late, meets half a line, or reads while the writer dies.
"""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from SwinSSLLib import __version__, atomic, leftovers
from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.locking import only_writer

Event = dict[str, Any]

#: Values of ``state`` in status.json.
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
    def lock(self) -> Path:
        """Held by the process that writes the run."""
        return self.path / "lock"

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

    def wish(self, word: str) -> Path:
        """The file by which the run is asked for ``stop`` or ``preview``, from whatever machine sees the folder."""
        return self.path / "wishes" / word

    def ask(self, word: str) -> None:
        """Ask the run for ``stop`` or ``preview``; it answers within a step and a second.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            self.wish(word).parent.mkdir(exist_ok=True)
            self.wish(word).touch()
        except OSError as error:
            raise atomic.cannot_write(self.wish(word), error) from error

    def job(self) -> dict[str, Any]:
        """The content of job.json.

        Raises:
            InputError: missing or damaged.
        """
        job = _read_json(self.job_file, "Is this a run folder?")
        if not isinstance(job.get("settings", {}), dict):
            raise InputError(f"{self.job_file} is damaged: its settings are no object.", "Is this a run folder?")
        return job

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

    def has_checkpoint(self) -> bool:
        """Whether a run got as far as its first checkpoint."""
        return any((self.checkpoints / name).exists() for name in ("last.ckpt", "previous.ckpt"))

    def create(self, kind: str, settings: Mapping[str, Any], inputs: list[dict[str, Any]], **more: Any) -> None:
        """Start a new run here, in place of one that ended before its first step if there is one.

        Raises:
            InputError: the folder holds something already, or cannot be written.
        """
        self._check_empty()
        if RunFolder.is_run(self.path):  # one that never began; its log stays
            for file in (self.status_file, self.events_file):
                file.unlink(missing_ok=True)
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

    def never_began(self) -> bool:
        """Whether a run is here that ended before its first step, and left nothing but words: it may be begun anew."""
        status = self.status()
        made = (self.previews, self.checkpoints, self.model)
        return (
            status.get("state") in ("failed", "stopped")
            and not status.get("step")
            and not any(file.is_file() for folder in made for file in folder.rglob("*"))
        )

    def _check_empty(self) -> None:
        if RunFolder.is_run(self.path):
            if self.never_began():
                return
            raise InputError(
                f"{self.path} already holds a run ({self.job().get('kind', 'unknown')}).",
                "Continue it with --resume, or choose another output folder.",
            )
        if self.path.exists() and (not self.path.is_dir() or any(f != self.lock for f in self.path.iterdir())):
            raise InputError(
                f"{self.path} is not an empty folder and holds no run.", "Choose a new or empty output folder."
            )

    @contextmanager
    def writing(self, *, new: bool) -> Iterator[None]:
        """Be the only process that writes this run.

        Args:
            new: the folder must hold nothing yet; it is made.

        Raises:
            InputError: another process writes it, it holds something, or it cannot be written.
        """
        if new:
            self._check_empty()  # before a lock is left in a folder that is none of ours
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise atomic.cannot_write(self.path, error) from error
        hint = f"Wait for it, or stop it: swinssl stop {self.path}"
        with only_writer(self.lock, str(self.path), hint):
            for folder in (self.path, self.checkpoints, self.previews, self.model):
                leftovers.clear(folder)
            yield

    def check_same(self, kind: str, settings: Mapping[str, Any]) -> None:
        """Refuse to continue a run as something that it is not.

        Raises:
            InputError: another kind of run, or other settings; names what differs.
        """
        job = self.job()
        if job.get("kind") != kind:
            found = one_line(job.get("kind"), 40)
            raise InputError(f"{self.path} holds a {found} run, not a {kind} run.", "Choose another output folder.")
        differing = _differences(job.get("settings", {}), settings)
        if differing:
            listing = ", ".join(differing[:8])
            raise InputError(
                f"{self.path} holds a run with other settings ({listing}).",
                "Resume without these options, or choose another output folder.",
            )


def read_events(path: Path, offset: int = 0, most: int = -1) -> tuple[list[Event], int]:
    """Read the whole lines of an events file from ``offset`` (bytes).

    A line that is still being written is left for the next call. A line that a dying writer left
    broken, and that another line follows, is passed over.

    Args:
        path: the file; it need not be there yet.
        offset: where to begin.
        most: bytes to read at a time, for a reader that must not be held up; -1 for all.

    Returns:
        The events and the offset to go on from.
    """
    if not path.exists():
        return [], offset
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = piece = file.read(most)
            # A line that is longer than a piece is read whole, or its reader would stand still before it for ever.
            while most > 0 and len(piece) == most and b"\n" not in piece and b"\n" not in content:
                content += (piece := file.read(most))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Is this a run folder?") from error
    end = content.rfind(b"\n") + 1
    events = []
    for line in content[:end].splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                events.append(event)
    return events, offset + end


def now() -> str:
    """Time of day in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _commit() -> str:
    """Which commit this is, where the package lies in its clone: many of them bear one version."""
    clone = Path(__file__).resolve().parents[1]
    if not (clone / ".git").exists():  # installed, perhaps into a folder of somebody else's repository
        return ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        words = ["git", "-C", str(clone), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    return ""


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"swinssl": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in ("torch", "monai", "lightning-fabric", "numpy", "SimpleITK"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if commit := _commit():
        found["commit"] = commit
    return found


def _read_json(path: Path, hint: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {one_line(error)}.", hint) from error
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
            found.append(one_line(f"{path}{key}: {before} there, {after} now"))
    return found

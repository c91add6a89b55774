"""Following a run by its folder: one way for runs of this panel, of a cluster, and of yesterday."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import qt

from SwinSSLLib.errors import InputError
from SwinSSLLib.runs import RunFolder, read_events

Event = dict[str, Any]

#: Milliseconds between two looks, and bytes of events that are read in one of them.
INTERVAL = 500
PIECE = 256 * 1024
#: Seconds without a heartbeat after which a run that should be alive counts as dead.
SILENCE = 90.0
ALIVE = ("starting", "running", "stopping")


@dataclass
class Watcher:
    """Whom a watch tells what.

    Attributes:
        onEvents: new events in order, in pieces.
        onStatus: content of status.json whenever it changed.
        onProblem: one sentence when the folder is gone or damaged, or the run died; empty when all is well again.
    """

    onEvents: Callable[[list[Event]], None] = lambda events: None
    onStatus: Callable[[dict[str, Any]], None] = lambda status: None
    onProblem: Callable[[str], None] = lambda sentence: None


@dataclass
class RunWatch:
    """A timer that reads what is new in a run folder.

    Args:
        folder: the run folder; it need not be there yet.
        watcher: whom to tell.
        interval: milliseconds between two looks; 0 for a watch that only looks when told to.
    """

    folder: Path
    watcher: Watcher
    interval: int = INTERVAL
    offset: int = 0
    status: dict[str, Any] = field(default_factory=dict)
    _problem: str = ""
    _seen: bool = False

    def __post_init__(self) -> None:
        self.run = RunFolder(self.folder)
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self.look)
        if self.interval:
            self._timer.start(self.interval)

    def close(self) -> None:
        """Look no more."""
        self._timer.stop()
        self.watcher = Watcher()

    @property
    def alive(self) -> bool:
        """Whether the run is at work, as far as its folder tells."""
        return self.status.get("state") in ALIVE and not self._problem

    def look(self) -> None:
        """Read what is new; a long file in pieces, so that the window never waits."""
        if not self.folder.is_dir():
            if self._seen:
                self._tell(f"The run folder {self.folder} is gone.")
            return
        self._seen = True
        try:
            events, self.offset = read_events(self.run.events_file, self.offset, PIECE)
            status = self.run.status()
        except (InputError, OSError) as error:
            self._tell(f"The run folder {self.folder} cannot be read: {error}")
            return
        if events:
            self.watcher.onEvents(events)
        if status != self.status:
            self.status = status
            self.watcher.onStatus(status)
        self._tell(died(status))

    def _tell(self, sentence: str) -> None:
        if sentence != self._problem:
            self._problem = sentence
            self.watcher.onProblem(sentence)


def died(status: dict[str, Any], now: datetime | None = None) -> str:
    """Why a run that should be alive is not, in a sentence; empty if it may be alive or has ended."""
    if status.get("state") not in ALIVE:
        return ""
    if status.get("host") == platform.node() and not processExists(int(status.get("pid", 0))):
        return "The run's process is gone without a word; its last checkpoint is kept, resume it."
    try:
        beat = datetime.fromisoformat(str(status.get("heartbeat")))
    except ValueError:
        return ""
    silence = ((now or datetime.now(UTC)) - beat).total_seconds()
    if silence > SILENCE:
        return f"Nothing was heard of the run for {silence:,.0f} s on {status.get('host', 'its machine')}."
    return ""


def processExists(pid: int) -> bool:
    """Whether a process with this number is there; in doubt yes."""
    if pid <= 0:
        return False
    if os.name == "nt":  # os.kill would end it there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _isZombie(pid)


def _isZombie(pid: int) -> bool:
    """A process that has ended and that nobody has asked about yet still has its number (Linux)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[:1] == ["Z"]

"""What the sections of the panel share: the worker, the places, the parameters."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import qt
import slicer

from SwinSSLLib import leftovers
from SwinSSLPanel.jobs import JobRunner, ProcessRunner
from SwinSSLPanel.resident import Resident, ResidentRunner

RUNS_FOLDER = "SwinSSL/RunsFolder"


class PanelContext:
    """Shared by all sections.

    Args:
        resourcePath: gives the path of a file of the module's Resources folder.
        parameters: parameters of the scene.
        makeRunner: makes workers; tests may bring their own.
        makeSegmenter: makes the worker that stays; tests may bring their own.
    """

    def __init__(
        self,
        resourcePath: Callable[[str], str],
        parameters: Any,
        makeRunner: Callable[[], JobRunner] = ProcessRunner,
        makeSegmenter: Callable[[], Resident] = ResidentRunner,
    ) -> None:
        self.resourcePath, self.parameters, self.makeRunner = resourcePath, parameters, makeRunner
        #: Pre-training and fine-tuning, and segmentation; only one of the two is at work at a time.
        self.runner: JobRunner = makeRunner()
        self.segmenter: Resident = makeSegmenter()
        #: The panel is gone: nothing may be started any more.
        self.closed = False
        self._listeners: list[Callable[[str], None]] = []
        self._temporary: Path | None = None

    def close(self) -> None:
        """End what is at work and clear what lies about."""
        self.closed = True
        self.runner.abandon()
        self.segmenter.abandon()
        self._listeners = []
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    @property
    def busy(self) -> bool:
        """Whether one of the long jobs is at work."""
        return self.runner.running or self.segmenter.running

    @property
    def temporaryFolder(self) -> Path:
        """A folder for this session, in Slicer's own temporary folder."""
        if self._temporary is None or not self._temporary.is_dir():
            Path(slicer.app.temporaryPath).mkdir(parents=True, exist_ok=True)
            # Exported CTs lie here: what a Slicer that crashed has left goes now.
            leftovers.clear(Path(slicer.app.temporaryPath), "SwinSSL-*")
            self._temporary = Path(tempfile.mkdtemp(prefix=leftovers.marked("SwinSSL-"), dir=slicer.app.temporaryPath))
        return self._temporary

    @property
    def runsFolder(self) -> Path:
        """Where runs are kept; remembered from one start of Slicer to the next."""
        named = slicer.util.settingsValue(RUNS_FOLDER, "")
        return Path(named) if named else Path(slicer.app.defaultScenePath) / "SwinSSL runs"

    @runsFolder.setter
    def runsFolder(self, folder: Path) -> None:
        qt.QSettings().setValue(RUNS_FOLDER, str(folder))

    def newRunFolder(self, kind: str) -> Path:
        """A folder that does not exist yet, named after the kind of run and the time."""
        stem = f"{kind}-{datetime.now():%Y-%m-%d-%H%M}"
        number, folder = 1, self.runsFolder / stem
        while folder.exists():
            number += 1
            folder = self.runsFolder / f"{stem}-{number}"
        return folder

    def announce(self, word: str) -> None:
        """Tell all sections that something has changed: "job", "models" or "setup"."""
        for listener in list(self._listeners):
            listener(word)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Be told by :meth:`announce`."""
        self._listeners.append(listener)

"""The list of runs of one kind: those of the runs folder, and those that were opened from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLLib.errors import InputError
from SwinSSLLib.runs import RunFolder
from SwinSSLPanel.context import PanelContext


class RunList:
    """A list to choose a run from, as it looks in every section that has runs.

    Args:
        selector: the ``QComboBox`` that shows them.
        context: knows the runs folder.
        kind: of the runs.
    """

    def __init__(self, selector: Any, context: PanelContext, kind: str) -> None:
        self.selector, self.context, self.kind = selector, context, kind

    def fill(self, shown: Path | None) -> None:
        """List the runs of the runs folder, newest first, and the one that is shown."""
        paths = runsOf(self.context.runsFolder, self.kind)
        if shown is not None and shown not in paths:
            paths.insert(0, shown)
        self.selector.clear()
        for path in paths:
            self.selector.addItem(path.name, str(path))
        self.selector.setCurrentIndex(paths.index(shown) if shown is not None else -1)

    def chosen(self, number: int) -> Path | None:
        """The run of a row."""
        path = self.selector.itemData(number)
        return Path(path) if path else None

    def ask(self) -> Path | None:
        """A run of another place."""
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Open a run folder"), str(self.context.runsFolder)
        )
        return Path(folder) if folder else None


def kindOf(folder: Path) -> str:
    """Kind of the run in a folder; empty if there is none."""
    try:
        return str(RunFolder(folder).job().get("kind", "")) if RunFolder.is_run(folder) else ""
    except InputError:
        return ""


def runsOf(folder: Path, kind: str) -> list[Path]:
    """Runs of a kind in a folder, newest first."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir(), reverse=True) if path.is_dir() and kindOf(path) == kind]


def dataOf(folder: Path) -> list[str]:
    """What a run was started with; nothing if that cannot be told, which the engine then says."""
    try:
        data = RunFolder(folder).job().get("data")
    except InputError:
        return []
    return [str(path) for path in data] if isinstance(data, list) else []

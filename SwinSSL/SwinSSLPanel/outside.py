"""Datalists that name files outside of their own folder: the engine reads them only when the user has said so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SwinSSLPanel.volumes import isOurs


def outsideFiles(source: Path) -> list[str]:
    """Files that a datalist names outside of its folder, as they stand in it; none for what is no datalist."""
    path = source / "dataset.json" if source.is_dir() else source
    if path.suffix.lower() != ".json":
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return []  # the engine says what is wrong with it
    root = path.absolute().parent
    return [name for name in _names(content) if not Path(os.path.normpath(root / name)).is_relative_to(root)]


def _names(content: Any) -> list[str]:
    """Images and labels of all parts of a list, whichever way it writes them."""
    parts = content.values() if isinstance(content, dict) else []
    entries = [entry for part in parts if isinstance(part, list) for entry in part]
    values = [
        value
        for entry in entries
        for value in ((entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (entry,))
    ]
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return [one for one in flat if isinstance(one, str)]


def outsideArguments(data: list[str], run: Path) -> list[str] | None:
    """What lets the engine follow a datalist out of its folder, after asking; None if the user does not want that.

    A list that the panel has made itself, beside the run, names volumes where they are: nobody is asked about it.
    """
    source = Path(data[0]) if len(data) == 1 else None  # of several sources none is read as a datalist
    names = outsideFiles(source) if source is not None else []
    if not names:
        return []
    if not (source.parent.parent == run.parent and isOurs(source.parent)):
        words = _("{file} names files outside of its own folder ({count}, such as {name}). Use them?")
        question = words.format(file=source.name, count=len(names), name=names[0][:200])
        if not slicer.util.confirmYesNoDisplay(question, _("SwinSSL")):
            return None
    return ["--allow-outside"]


def notStarted() -> str:
    """What is said when the user does not want it."""
    return _("Nothing was started: the list names files outside of its own folder.")

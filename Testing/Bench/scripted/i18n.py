# ruff: noqa: N803 - the names are those of Slicer
"""``slicer.i18n``: translation through Qt, with the context taken from the caller's file."""

from __future__ import annotations

import inspect
from pathlib import Path


def translate(context: str, text: str) -> str:
    """A text in the language of the application."""
    import slicer

    return slicer.app.translate(context, text) if hasattr(slicer, "app") else text


def getContext(sourceFile: str) -> str:
    """The translation context of a file: its name, after that of its package if it is in one."""
    path = Path(sourceFile)
    if path.is_file() and (path.parent / "__init__.py").is_file():
        return f"{path.parent.name}.{path.stem}"
    return path.stem if path.is_file() else path.name


def tr(text: str) -> str:
    """A text in the language of the application, with the context of the calling file."""
    frame = inspect.currentframe()
    caller = frame.f_back if frame is not None else None
    return translate(getContext(caller.f_code.co_filename if caller is not None else ""), text)

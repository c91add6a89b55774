"""Answers of static dialogs as PythonQt gives them: the text alone, without a filter or a flag beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtWidgets

from .members import REPLACED, refuse_keywords
from .values import Listed, to_qt


class BoolResult:
    """``PythonQt.BoolResult()``: takes the answer that C++ gives through a ``bool*``."""

    def __init__(self) -> None:
        self.value = False

    def __bool__(self) -> bool:
        return self.value


def _bare(name: str, native: Callable, nothing: Any) -> Callable:
    """A static dialog method that gives its first result; ``nothing`` when it was cancelled without one."""

    def ask(*arguments: Any, **keywords: Any) -> Any:
        refuse_keywords(name, keywords)
        flags = [one for one in arguments if isinstance(one, BoolResult)]
        answer = native(*(to_qt(one) for one in arguments if not isinstance(one, BoolResult)))
        if not isinstance(answer, tuple):
            return answer
        for flag in flags:
            flag.value = bool(answer[1])
        value = answer[0] if answer[0] is not None else nothing
        return Listed(value) if isinstance(value, list) else value

    return ask


def install() -> None:
    """Put the bare forms where strict callers find them."""
    for kind, names, nothing in (
        (QtWidgets.QFileDialog, ("getOpenFileName", "getSaveFileName", "getOpenFileNames", "getExistingDirectory"), ""),
        (QtWidgets.QInputDialog, ("getText", "getItem", "getMultiLineText"), ""),
        (QtWidgets.QInputDialog, ("getInt", "getDouble"), 0),
    ):
        for name in names:
            REPLACED[f"{kind.__name__}.{name}"] = _bare(f"{kind.__name__}.{name}", getattr(kind, name), nothing)

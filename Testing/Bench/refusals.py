"""Mistakes that real PythonQt meets with silence or a crash, refused here with a sentence."""

from __future__ import annotations

import sys
import threading
from typing import Any

from PySide6 import QtCore, QtWidgets

from .callers import plain
from .members import CHECKS
from .strictness import refuse
from .values import check_setting, named


def install() -> None:
    """Refuse settings, button boxes, byte arrays, threads and thread classes the way PythonQt would fail with them."""
    CHECKS["QSettings.setValue"] = _setting
    CHECKS["QDialogButtonBox.__init__"] = _button_box
    CHECKS["QTableWidgetItem.__init__"] = CHECKS["QStandardItem.__init__"] = _number_as_text
    for name in ("__len__", "__getitem__"):
        setattr(QtCore.QByteArray, name, _byte_array(name, getattr(QtCore.QByteArray, name)))
    QtCore.QByteArray.__bytes__ = _byte_array("__bytes__", lambda self: self.data())
    for kind in (QtCore.QThread, QtCore.QRunnable):
        kind.__init_subclass__ = classmethod(_no_thread_class)
    if not hasattr(threading.Thread.start, "of_the_bench"):
        threading.Thread.start = _starting(threading.Thread.start)


def _setting(_owner: Any, key: str, value: Any = None) -> None:
    check_setting(str(key), value)


def _button_box(_owner: Any, *arguments: Any) -> None:
    if arguments and isinstance(arguments[0], QtWidgets.QDialogButtonBox.StandardButton):
        raise ValueError(
            "qt.QDialogButtonBox(buttons) is a box without buttons in PythonQt, which takes them for an orientation: "
            "write box = qt.QDialogButtonBox(), then box.setStandardButtons(buttons)"
        )


def _number_as_text(owner: Any, *arguments: Any) -> None:
    if arguments and isinstance(arguments[0], int | float):
        raise ValueError(
            f"qt.{type(owner).__name__}({named(arguments)}): PythonQt takes the number for a type or a row count and "
            "the item stays empty: write str() of it"
        )


def _byte_array(name: str, native: Any) -> Any:
    """A method of QByteArray for PySide6's own callers only."""

    def refuse(self: Any, *arguments: Any) -> Any:
        if plain(sys._getframe(1)):
            return native(self, *arguments)
        what = {"__len__": "len()", "__getitem__": "indexing"}.get(name, "bytes()")
        raise TypeError(f"cannot convert 'QByteArray' object to bytes: {what} fails in PythonQt, write .data()")

    return refuse


def _no_thread_class(cls: type, **_: Any) -> None:
    if not plain(sys._getframe(1)):
        raise TypeError(
            f"class {cls.__name__}: subclasses of QThread and QRunnable crash Slicer: use qt.QProcess, or do the work "
            "in pieces from a qt.QTimer"
        )


def _starting(native: Any) -> Any:
    """``Thread.start`` that refuses panels: their threads would stand still whenever Slicer is idle."""

    def start(self: threading.Thread) -> None:
        frame = sys._getframe(1)
        if QtCore.QCoreApplication.instance() is not None and _of_a_panel(frame):
            told = (
                "threading.Thread.start: PythonQt keeps the interpreter lock while Slicer is idle, so that the thread "
                "gets almost no time: use qt.QProcess and its signals, or a qt.QTimer that polls"
            )
            refuse(RuntimeError(told))
        native(self)

    start.of_the_bench = True
    return start


def _of_a_panel(frame: Any) -> bool:
    """Whether code that is neither Python's, nor of an installed package, nor the bench's runs in a frame."""
    name = (frame.f_globals.get("__name__") or "").partition(".")[0]
    path = frame.f_code.co_filename
    return not (
        name in sys.stdlib_module_names or "site-packages" in path or path.startswith("<frozen") or plain(frame)
    )

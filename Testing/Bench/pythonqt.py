"""Module ``qt``: PySide6 with the manners of PythonQt, for everybody except PySide6's own friends."""

from __future__ import annotations

import enum
import os
import sys
from types import ModuleType
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtWidgets

from . import access, dialogs, refusals, search
from .members import REPLACED, Method, Property
from .signals import by_string, by_string_no_more

LIBRARIES = (QtCore, QtGui, QtWidgets, QtNetwork)
#: Names of Qt 5 that Slicer on Qt 6 lacks, and what serves both.
ONLY_QT5 = {
    "QRegExp": "QRegularExpression",
    "QRegExpValidator": "QRegularExpressionValidator",
    "QTextCodec": "bytes.decode()",
    "QDesktopWidget": "QGuiApplication.screens()",
    "QGLWidget": "QOpenGLWidget",
}
#: Names of PySide6 that are no PythonQt.
ONLY_PYSIDE = {
    "Property",
    "ClassInfo",
    "QEnum",
    "QFlag",
    "QT_TR_NOOP",
    "SignalInstance",
    "Signal",
    "QMessageLogContext",
}


def native(name: str) -> Any:
    """A class of PySide6 by name, or None."""
    return next((getattr(library, name) for library in LIBRARIES if hasattr(library, name)), None)


def install() -> ModuleType:
    """Give every class PythonQt's manners and put ``qt`` and ``PythonQt`` into ``sys.modules``."""
    if "qt" in sys.modules and hasattr(sys.modules["qt"], "of_the_bench"):
        return sys.modules["qt"]
    dialogs.install()
    refusals.install()
    REPLACED["QObject.connect"], REPLACED["QObject.disconnect"] = by_string, by_string_no_more
    REPLACED["QObject.findChild"], REPLACED["QObject.findChildren"] = search.find_child, search.find_children
    qt = ModuleType("qt", "Qt as 3D Slicer's Python sees it.")
    kinds = []
    for library in LIBRARIES:
        for name in dir(library):
            if "." not in name and not name.startswith("_") and name not in ONLY_PYSIDE:
                found = getattr(library, name)
                if isinstance(found, type(QtCore.QObject)):
                    kinds.append(found)
                if isinstance(found, type) or name in ("SIGNAL", "SLOT", "qVersion"):
                    setattr(qt, name, found)
    adopt(kinds)
    meta = type(QtCore.QObject)
    meta.__instancecheck__, meta.__subclasscheck__ = access.is_instance, access.is_subclass
    qt.Signal, qt.of_the_bench, qt.__getattr__ = Signal, True, _qt_attribute
    python_qt = ModuleType("PythonQt")
    python_qt.BoolResult, python_qt.QtCore, python_qt.QtGui = dialogs.BoolResult, qt, qt
    sys.modules["qt"], sys.modules["PythonQt"] = qt, python_qt
    return qt


def application() -> Any:
    """The one application; the first call makes it, without a screen where there is none."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    instance = QtWidgets.QApplication.instance()
    return instance if instance is not None else QtWidgets.QApplication(["Slicer"])


def adopt(kinds: list[type]) -> None:
    """Give Qt classes their manners, bases first."""
    natives = {kind: _hooks(kind) for kind in sorted(set(kinds), key=lambda kind: len(kind.__mro__))}
    for kind in natives:
        _members(kind)
        access.CPP.add(kind)
    for kind, (read, make) in natives.items():
        kind.__getattribute__ = access.reading(read)
        kind.__setattr__ = access.write
        if make is not None:
            kind.__init__ = access.making(make, kind)
    QtCore.QObject.__bool__ = _alive
    QtWidgets.QLayout.__bool__ = lambda self: _alive(self) and not self.isEmpty()
    for name, extra in EXTRAS.items():
        setattr(QtCore.QObject, name, Method(extra, QtCore.QObject, name))


def _hooks(kind: type) -> tuple[Any, Any]:
    """PySide6's own access functions of a class, before they are replaced."""
    return kind.__getattribute__, kind.__dict__.get("__init__")


def _members(kind: type) -> None:
    """Replace methods and getters in a class."""
    properties = _properties(kind)
    for name, value in list(kind.__dict__.items()):
        if isinstance(value, enum.EnumType):
            _numbers(value)
        elif (
            name.startswith("__") or isinstance(value, type) or not (callable(value) or isinstance(value, staticmethod))
        ):
            continue
        elif not isinstance(value, QtCore.Signal) and name not in properties:
            setattr(kind, name, Method(value, kind, name))
    for name, (kind_name, writable, own) in properties.items():
        getter = kind.__dict__.get(name)
        if own or (getter is not None and not isinstance(getter, QtCore.Signal)):
            plain_getter = getter if callable(getter) and not isinstance(getter, QtCore.Signal) else None
            setattr(kind, name, Property(plain_getter, kind, name, kind_name, writable))


def _properties(kind: type) -> dict[str, tuple[str, bool, bool]]:
    """Properties of a class: name to type, whether writable, whether declared by it."""
    meta = kind.__dict__.get("staticMetaObject")
    if not issubclass(kind, QtCore.QObject) or meta is None:
        return {}
    found = {}
    for index in range(meta.propertyCount()):
        entry = meta.property(index)
        if (kind.__name__, entry.name()) not in STAY_METHODS:
            found[entry.name()] = (entry.typeName(), entry.isWritable(), index >= meta.propertyOffset())
    return found


#: Static functions that share their name with a property.
STAY_METHODS = {("QTimer", "singleShot"), ("QGuiApplication", "primaryScreen"), ("QApplication", "primaryScreen")}


def _numbers(kind: enum.EnumType) -> None:
    """Let an enum equal its number, as all enums of PythonQt do."""
    if issubclass(kind, int):
        return

    def equal(self: Any, other: object) -> bool:
        return self is other or (isinstance(other, int) and self._value_ == other)

    kind.__eq__, kind.__hash__ = equal, lambda self: hash(self._value_)
    kind.__ne__ = lambda self, other: not equal(self, other)
    kind.__int__ = kind.__index__ = lambda self: self._value_
    kind.__bool__ = lambda self: bool(self._value_)


def _alive(self: Any) -> bool:
    return shiboken6.isValid(self)


def _delete(self: Any) -> None:
    shiboken6.delete(self)


def _class_name(self: Any) -> str:
    kind = access.nearest_cpp(type(self))
    return type(self).__name__ if kind is None else kind.__name__


#: Methods of every QObject that only PythonQt has.
EXTRAS = {"className": _class_name, "delete": _delete}


class Signal:
    """``qt.Signal(types)``, for classes that are a QObject."""

    def __init__(self, *types: Any) -> None:
        self.types = types

    def __set_name__(self, owner: type, name: str) -> None:
        if not issubclass(owner, QtCore.QObject):
            raise TypeError(
                f"{owner.__name__}.{name}: qt.Signal on a class that is no QObject ends Slicer with a segmentation "
                "fault when it is connected: derive from qt.QObject and call super().__init__() first, or keep a "
                "list of callbacks"
            )
        setattr(owner, name, QtCore.Signal(*self.types))


def _qt_attribute(name: str) -> Any:
    """Names that are looked up late, and reasons for those that are not there."""
    if name == "QUiLoader":
        from .uiloader import Loader

        return Loader
    if name in ONLY_QT5:
        raise AttributeError(f"qt.{name} is gone with Qt 6: use qt.{ONLY_QT5[name]}")
    raise AttributeError(f"qt has no attribute '{name}'")

"""Attribute access, construction and isinstance of Qt classes, for code that believes to be in PythonQt."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

import shiboken6
from PySide6 import QtCore

from .callers import plain
from .members import CHECKS, Method, Property, refuse_keywords
from .signals import BoundSignal
from .strictness import refuse
from .values import refusal, to_qt

#: Classes that are C++ to PythonQt: Qt's, and the bench's own for CTK and MRML.
CPP: set[type] = set()
#: Signals that PySide6 6.10 has and no Qt of Slicer.
TOO_NEW = {"checkStateChanged": "stateChanged(int)"}

_MISSING = object()


def nearest_cpp(kind: type) -> type | None:
    """The C++ class that a Python class is, or was made from."""
    return next((one for one in kind.__mro__ if one in CPP), None)


def exposed(owner: type) -> dict[str, Any]:
    """Members of a C++ class that Python code sees."""
    return owner.__dict__.get("__members__", owner.__dict__)


def lookup(kind: type, name: str) -> tuple[type | None, Any]:
    """Class of the MRO that answers to ``name``, and what stands there."""
    for one in kind.__mro__:
        members = exposed(one) if one in CPP else one.__dict__
        if name in members:
            return one, members[name]
    return None, _MISSING


def reading(native: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """An ``__getattribute__`` over PySide6's own."""

    def read(self: Any, name: str) -> Any:
        try:
            frame = sys._getframe(1)
        except ValueError:  # C++ asks when no Python runs
            return native(self, name)
        if plain(frame) or (name.startswith("__") and name.endswith("__")):
            return native(self, name)
        owner, found = lookup(type(self), name)
        if owner is None:
            return _missing(self, name, native)
        if isinstance(found, QtCore.Signal):
            return _signal(self, name, native)
        if owner not in CPP:
            return native(self, name)
        if isinstance(found, Property):
            return found.read(self, None, frame)
        if isinstance(found, Method):
            raw = native(self, name)
            # C++ asks here for overrides too, and must find those of the bench's own widgets as they are.
            is_override = isinstance(raw, MethodType) and "__members__" not in owner.__dict__
            return raw if is_override else found.read(self, raw, frame)
        return native(self, name)

    return read


def _signal(self: Any, name: str, native: Callable[[Any, str], Any]) -> Any:
    """A signal in PythonQt's dress.

    Raises:
        RuntimeError: the object was never initialised.
        ValueError: it is deleted.
    """
    kind = type(self).__name__
    if name in TOO_NEW:
        raise AttributeError(f"{kind} has no {name} in the Qt of Slicer: connect '{TOO_NEW[name]}'")
    try:
        value = native(self, name)
        return BoundSignal(self, value, name) if isinstance(value, QtCore.SignalInstance) else value
    except RuntimeError as error:
        if "already deleted" in str(error):
            raise ValueError(f"Trying to reach signal '{name}' of a destroyed {kind} object") from None
        raise RuntimeError(
            f"{kind}.{name} before super().__init__(): a qt.Signal of an object that was never initialised ends Slicer "
            "with a segmentation fault. Call super().__init__() first"
        ) from None


def _missing(self: Any, name: str, native: Callable[[Any, str], Any]) -> Any:
    """Attributes that are in no class: of the instance, dynamic properties, enum values, children by name.

    Raises:
        AttributeError: none of these.
    """
    kind = type(self)
    if not shiboken6.isValid(self):
        raise ValueError(f"Trying to read '{name}' from a destroyed {kind.__name__} object")
    own = native(self, "__dict__") if hasattr(kind, "__dict__") else {}
    if name in own and not (name == "_d" and any("__members__" in one.__dict__ for one in kind.__mro__)):
        return own[name]
    if isinstance(self, QtCore.QObject):
        if name == "name":
            return self.objectName()
        if name in (bytes(known.data()).decode() for known in self.dynamicPropertyNames()):
            return self.property(name)
        child = self.findChild(QtCore.QObject, name, QtCore.Qt.FindDirectChildrenOnly)
        if child is not None:
            return child
    if name[:1].isupper() and nearest_cpp(kind) is not None:
        value = getattr(nearest_cpp(kind), name, _MISSING)
        if value is not _MISSING:
            return value
    raise AttributeError(f"{kind.__name__} has no attribute named '{name}'{advice(self, name)}")


def advice(self: Any, name: str) -> str:
    """What to write instead of a name that is not there."""
    kind = type(self)
    bare = f"{name[3:4].lower()}{name[4:]}" if name.startswith("set") else name
    if bare != name and isinstance(lookup(kind, bare)[1], Property):
        owner = lookup(kind, bare)[0]
        return f": {owner.__name__ if owner else ''} shows no such method to Python, assign the property .{bare} = ..."
    known = {member for one in kind.__mro__ for member in (exposed(one) if one in CPP else one.__dict__)}
    near = [one for one in known if one.lower() == name.lower()] or difflib.get_close_matches(name, known, 1, 0.75)
    return f": did you mean '{near[0]}'?" if near else ""


def write(self: Any, name: str, value: Any) -> None:
    """The ``__setattr__`` of every Qt class."""
    if plain(sys._getframe(1)) or name.startswith("__"):
        _store(self, name, value)
        return
    kind = type(self)
    owner, found = lookup(kind, name)
    if owner is not None and owner not in CPP and isinstance(found, property):
        _store(self, name, value)
        return
    owner, found = next(((one, exposed(one)[name]) for one in kind.__mro__ if _shows(one, name)), (None, None))
    if isinstance(found, Property):
        found.write(self, value)
    elif owner is not None:
        raise AttributeError(
            f"Slot '{name}' can not be overwritten on {kind.__name__} object: {name} belongs to {owner.__name__}. "
            "Choose another name, or subclass and define it, or use an event filter"
        )
    elif kind in CPP:
        _assign_new(self, name, value)
    else:
        _refuse_near_miss(kind, name)
        _store(self, name, value)


def _store(self: Any, name: str, value: Any) -> None:
    """What object.__setattr__ does, which refuses to be applied to classes of PySide6."""
    found = next((one.__dict__[name] for one in type(self).__mro__ if name in one.__dict__), None)
    if isinstance(found, QtCore.Property):
        found.fset(self, value)
    elif hasattr(type(found), "__set__"):
        found.__set__(self, value)
    else:
        self.__dict__[name] = value


def _shows(one: type, name: str) -> bool:
    return one in CPP and name in exposed(one)


def _assign_new(self: Any, name: str, value: Any) -> None:
    """Assign to a dynamic property or the object's name.

    Raises:
        AttributeError: the object has no such thing.
    """
    if isinstance(self, QtCore.QObject):
        if name == "name":
            self.setObjectName(value)
            return
        if name in (bytes(known.data()).decode() for known in self.dynamicPropertyNames()):
            self.setProperty(name, value)
            return
    raise AttributeError(
        f"'{name}' does not exist on {type(self).__name__} and creating new attributes on C++ objects is not allowed"
        f"{advice(self, name)}"
    )


def _refuse_near_miss(kind: type, name: str) -> None:
    """A property in the wrong case would become a Python attribute that sets nothing in Qt."""
    for one in kind.__mro__:
        if one in CPP and name not in exposed(one):
            for known, found in exposed(one).items():
                if isinstance(found, Property) and known.lower() == name.lower():
                    raise AttributeError(f"{kind.__name__}.{name} sets nothing in Qt: the property is '{known}'")


def making(native: Callable[..., None], owner: type) -> Callable[..., None]:
    """An ``__init__`` over PySide6's own."""
    check = CHECKS.get(f"{owner.__name__}.__init__")

    def make(self: Any, *arguments: Any, **keywords: Any) -> None:
        if plain(sys._getframe(1)):
            native(self, *arguments, **keywords)
            return
        name = type(self).__name__ if owner.__name__ == "StandIn" else f"qt.{owner.__name__}"
        refuse_keywords(name, keywords)
        if check is not None:
            check(self, *arguments)
        given = tuple(map(to_qt, arguments))
        try:
            native(self, *given)
        except TypeError as error:
            raise refusal(name, given, error) from None

    return make


def is_instance(cls: type, thing: Any) -> bool:
    """``isinstance``: only the exact class matches in PythonQt.

    Raises:
        TypeError: a class further up was asked for.
    """
    answer = type.__instancecheck__(cls, thing)
    if not answer or cls not in CPP or nearest_cpp(type(thing)) is cls or plain(sys._getframe(1)):
        return answer
    told = (
        f"isinstance({type(thing).__name__}, {cls.__name__}) is always False in PythonQt, whose classes have no Qt "
        f"base classes: write thing.inherits('{cls.__name__}')"
    )
    refuse(TypeError(told))
    return False


def is_subclass(cls: type, other: Any) -> bool:
    """``issubclass``, with the same refusal."""
    answer = type.__subclasscheck__(cls, other)
    if not answer or cls not in CPP or nearest_cpp(other) is cls or plain(sys._getframe(1)):
        return answer
    refuse(TypeError(f"issubclass({other.__name__}, {cls.__name__}) is always False in PythonQt"))
    return False

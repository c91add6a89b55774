"""What the bench's own CTK and MRML widgets are made from: declared members, and nothing else, are seen by Python."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterator
from typing import Any

from PySide6 import QtCore, QtGui

from . import access
from .callers import plain
from .members import Bound, Method, Property
from .receivers import split_types
from .signals import BoundSignal
from .strictness import refuse
from .values import Listed, none_as_text, to_qt

#: Types of C++ as PySide6's properties and signals know them, and what a property begins with.
KINDS: dict[str, tuple[Any, Any]] = {
    "bool": (bool, False),
    "int": (int, 0),
    "double": (float, 0.0),
    "QString": (str, ""),
    "QStringList": ("QStringList", ()),
    "QColor": (QtGui.QColor, None),
    "QIcon": (QtGui.QIcon, None),
}
#: Virtual functions that extensions like to override. The wrappers of CTK and MRML widgets never call them.
VIRTUALS = """event eventFilter sizeHint minimumSizeHint heightForWidth hasHeightForWidth focusNextPrevChild
    nextCheckState hitButton checkStateSet stepBy validate fixup showPopup hidePopup accept reject done setVisible
    initStyleOption"""


class StandIn:
    """Base of a stand-in, before its Qt base.

    A class declares ``_properties_``, ``_signals_``, ``_slots_`` and ``_invokables_`` in the words of its C++ header,
    separated by semicolons, and enum values in ``_values_``. A property ``name`` is served by ``_get_name`` and
    ``_set_name``, by the native part of ``_d`` that ``_through_`` names ("part: property property"), or else kept as
    it is. ``_build`` makes the content. What the class keeps for itself is in the dictionary ``_d``.
    """

    _values_ = _through_ = ""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "_properties_" in cls.__dict__:
            _declare(cls)
        else:
            _refuse_overrides(cls)

    def __init__(self, parent: Any = None) -> None:
        self._d: dict[str, Any] = {}
        super().__init__(parent)
        self._build()

    def _build(self) -> None:
        """Make the content."""


def _declare(cls: Any) -> None:
    """Make properties, signals and the table of members from the declarations."""
    members: dict[str, Any] = {}
    for name, _, value in (one.partition("=") for one in cls._values_.split()):
        members[name] = int(value, 0)
        setattr(cls, name, members[name])
    served = (one.partition(":") for one in entries(cls._through_))
    parts = {name: part for part, _, names in served for name in names.split()}
    for kind, name, writable in _declared_properties(cls._properties_):
        python, default = KINDS.get(kind, ("QVariant", None))
        members[name] = StandInProperty(cls, name, kind, writable)
        read, write = _through(parts[name], name) if name in parts else _kept(name, default)
        getter = getattr(cls, f"_get_{name}", read)
        setter = getattr(cls, f"_set_{name}", write)
        setattr(cls, name, QtCore.Property(python, getter, setter if writable else None))
    cls.__signals_by_string__ = _declare_signals(cls, members)
    cls.__slots_by_string__ = [normalised(one) for one in entries(cls._slots_)]
    for declaration in [*entries(cls._slots_), *entries(cls._invokables_)]:
        _declare_method(cls, declaration, members)
    cls.__members__ = members
    if "__init__" in cls.__dict__:
        cls.__init__ = access.making(cls.__dict__["__init__"], cls)
    access.CPP.add(cls)


def entries(text: str) -> list[str]:
    """Declarations in a text."""
    return [one.strip() for one in text.split(";") if one.strip()]


def normalised(signature: str) -> str:
    """A signature without spaces, const and references."""
    return QtCore.QMetaObject.normalizedSignature(signature).data().decode()


def _declared_properties(text: str) -> Iterator[tuple[str, str, bool]]:
    for one in entries(text):
        kind, _, name = one.removesuffix(" (read-only)").rpartition(" ")
        yield kind, name, not one.endswith("(read-only)")


def _kept(name: str, default: Any) -> tuple[Any, Any]:
    """Getter and setter of a property that is only remembered."""
    return lambda self: self._d.get(name, default), lambda self, value: self._d.__setitem__(name, value)


def _through(part: str, name: str) -> tuple[Any, Any]:
    """Getter and setter of a property that a native part in ``_d`` has under the same name."""
    setter = f"set{name[0].upper()}{name[1:]}"
    return (
        lambda self: getattr(self._d[part], name)(),
        lambda self, value: getattr(self._d[part], setter)(value),
    )


def _declare_signals(cls: Any, members: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """PySide6's signals of a class, overloads together; signature to name and overload."""
    overloads: dict[str, list[tuple]] = {}
    found = {}
    for one in map(normalised, entries(cls._signals_)):
        name = one.partition("(")[0]
        types = tuple(KINDS.get(kind, (object,))[0] if kind in KINDS else object for kind in split_types(one))
        overloads.setdefault(name, []).append(types)
        found[one] = (_attribute(cls, name), types)
    for name, every in overloads.items():
        signal = QtCore.Signal(*every) if len(every) > 1 else QtCore.Signal(*every[0])
        setattr(cls, _attribute(cls, name), signal)
        members[name] = signal if _attribute(cls, name) == name else AliasedSignal(cls, name)
    return found


def _attribute(cls: type, name: str) -> str:
    """Where a signal is kept: C++ would take one that is named like a virtual function for an override."""
    taken = (one.__dict__.get(name) for one in cls.__mro__[1:] if one.__module__.startswith("PySide6"))
    return f"_{name}" if any(one is not None and not isinstance(one, QtCore.Signal) for one in taken) else name


class AliasedSignal(Property):
    """A signal that is kept under another name."""

    __slots__ = ()

    def __init__(self, owner: type, name: str) -> None:
        super().__init__(None, owner, name, "signal", False)

    def read(self, instance: Any, _raw: Any, _frame: Any) -> BoundSignal:
        return BoundSignal(instance, getattr(instance, f"_{self.name}"), self.name)


def _declare_method(cls: Any, declaration: str, members: dict[str, Any]) -> None:
    """A slot or invokable: ours, or the setter of a property, or one that says it is not there yet."""
    signature = normalised(declaration)
    name = signature.partition("(")[0]
    if name in members:
        members[name].overloads.append(split_types(signature))
        return
    if name not in cls.__dict__ and not _inherited(cls, name):
        bare = f"{name[3:4].lower()}{name[4:]}"
        if name.startswith("set") and isinstance(members.get(bare), StandInProperty):
            setattr(cls, name, lambda self, value: setattr(self, bare, members[bare].fitting(self, value)))
        else:
            setattr(cls, name, _not_yet(cls.__name__, name))
    members[name] = StandInMethod(cls, name, split_types(signature))


def _inherited(cls: type, name: str) -> bool:
    return any(name in one.__dict__ for one in cls.__mro__[1:])


def _not_yet(class_name: str, name: str) -> Any:
    def refuse(*_: Any) -> None:
        raise NotImplementedError(f"{class_name}.{name}() exists in Slicer, and not in the bench")

    return refuse


def _refuse_overrides(cls: type) -> None:
    """A subclass of a stand-in, by somebody else, must not count on virtual functions."""
    above = access.nearest_cpp(cls)
    named = [name for name in cls.__dict__ if name in VIRTUALS.split() or name.endswith("Event")]
    if named and above is not None and not plain(sys._getframe(2)):
        raise TypeError(
            f"class {cls.__name__}({above.__name__}) defines {', '.join(named)}: overrides on CTK and MRML widgets are "
            "never called in PythonQt. Install an event filter"
        )


class StandInMethod(Method):
    """A slot or invokable of a stand-in."""

    __slots__ = ("overloads",)

    def __init__(self, owner: type, name: str, types: list[str]) -> None:
        self.native, self.owner, self.name, self.static = None, owner, name, False
        self.overloads = [types]

    def read(self, instance: Any, raw: Any, _frame: Any) -> Any:
        return Bound(raw, instance, self.name, self)

    @property
    def check(self) -> Any:
        return self._check

    def _check(self, owner: Any, *arguments: Any) -> None:
        """Refuse too many arguments and None as text."""
        name = f"{type(owner).__name__}.{self.name}"
        if len(arguments) > max(map(len, self.overloads)):
            raise ValueError(f"{name}: wrong number of arguments, {len(arguments)}")
        for position, argument in enumerate(arguments):
            kinds = {one[position] for one in self.overloads if len(one) > position}
            if argument is None and kinds == {"QString"}:
                refuse(none_as_text(name))
            if isinstance(argument, int) and len(kinds) == 1 and "::" in next(iter(kinds)):
                raise TypeError(f"{name}({argument}): an int for the enum {next(iter(kinds)).replace('::', '.')}")
            if kinds == {"QModelIndex"} and not isinstance(argument, QtCore.QModelIndex):
                raise ValueError(f"{name}({type(argument).__name__}): give an index, model().index(row, 0)")


class StandInProperty(Property):
    """A property of a stand-in."""

    __slots__ = ()

    def __init__(self, owner: type, name: str, kind: str, writable: bool) -> None:
        super().__init__(None, owner, name, kind, writable)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self

    def value(self, instance: Any) -> Any:
        value = getattr(instance, self.name)
        return Listed(value) if self.kind == "QStringList" else value

    def write(self, instance: Any, value: Any) -> None:
        name = f"{type(instance).__name__}.{self.name}"
        if not self.writable:
            raise AttributeError(f"Property '{self.name}' of {type(instance).__name__} object is not writable")
        if value is None and self.kind == "QString":
            refuse(none_as_text(name))
            value = "None"
        setattr(instance, self.name, self.fitting(instance, value))

    def fitting(self, instance: Any, value: Any) -> Any:
        """A value of the declared type.

        Raises:
            AttributeError: it does not fit.
        """
        value = to_qt(value)
        if self.kind == "bool":
            return bool(value)
        if self.kind in ("int", "double") and isinstance(value, int | float):
            return KINDS[self.kind][0](value)
        if self.kind == "QString" and isinstance(value, str | os.PathLike):
            return os.fspath(value)
        if self.kind == "QStringList" and isinstance(value, list):
            return [str(one) for one in value]
        if self.kind not in KINDS or self.kind in ("QColor", "QIcon"):
            wanted = type(getattr(instance, self.name))
            if not isinstance(value, int) or not issubclass(wanted, enum.Enum) or issubclass(wanted, int):
                return value
            raise TypeError(f"{type(instance).__name__}.{self.name}: an int for the enum {self.kind}")
        raise AttributeError(
            f"Property '{self.name}' of type '{self.kind}' does not accept an object of type {type(value).__name__}"
        )


def unseen(cls: Any) -> Any:
    """Class decorator: nothing of it is seen by Python code in Slicer."""
    access.CPP.add(cls)
    cls.__members__ = {}
    return cls


unseen(StandIn)
StandIn.__init__ = access.making(StandIn.__init__, StandIn)

"""Members of Qt classes as PythonQt shows them: properties are values, methods take positional arguments only."""

from __future__ import annotations

import functools
import operator
import sys
import threading
from collections.abc import Callable
from types import MethodType
from typing import Any

from PySide6 import QtCore

from .callers import calls_at_once, plain
from .strictness import is_lenient, refuse
from .values import as_enums, as_texts, by_truth, check_texts, from_qt, none_as_text, none_in_words, refusal, to_qt

#: Checks of arguments by "Class.method", run before Qt sees them.
CHECKS: dict[str, Callable[..., None]] = {}
#: Methods answered by our own functions, by "Class.method".
REPLACED: dict[str, Callable[..., Any]] = {}


class Bound:
    """A C++ method of one object."""

    __slots__ = ("__weakref__", "member", "name", "native", "owner")

    def __init__(self, native: Any, owner: Any, name: str, member: Method | None = None) -> None:
        self.native, self.owner, self.name, self.member = native, owner, name, member

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if self.member is not None and self.member.check is not None:
            self.member.check(self.owner, *arguments)
        source = None if self.member is None else self.member.native
        return call(f"{type(self.owner).__name__}.{self.name}", self.native, arguments, keywords, self.owner, source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and other.owner is self.owner and other.name == self.name

    def __hash__(self) -> int:
        return hash((id(self.owner), self.name))

    def __getattr__(self, name: str) -> Any:
        if name == "__name__":
            return self.name
        raise AttributeError(f"{self.name} is a method: call it, {self.name}(), before reading {name}")

    def native_for_qt(self) -> Any:
        return self.native


class Unbound:
    """A C++ method of a class: a static one, or the portable form ``qt.QDialog.accept(self)``."""

    __slots__ = ("name", "native", "owner")

    def __init__(self, native: Any, owner: type, name: str) -> None:
        self.native, self.owner, self.name = native, owner, name

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return call(f"{self.owner.__name__}.{self.name}", self.native, arguments, keywords)

    def native_for_qt(self) -> Any:
        return self.native


def call(name: str, native: Any, arguments: tuple, keywords: dict, owner: Any = None, source: Any = None) -> Any:
    """Call a C++ method with PythonQt's rules.

    Raises:
        ValueError: keywords, arguments that fit no overload, a deleted object.
        TypeError: None as text, an int for an enum.
        RuntimeError: a widget or timer touched from a Python thread.
    """
    refuse_keywords(name, keywords)
    if owner is not None:
        refuse_threads(name, owner)
    if any(argument is None for argument in arguments):
        check_texts(name, source or native, arguments)
        arguments = none_in_words(source or native, arguments)
    given = as_texts(source or native, tuple(map(to_qt, arguments)))
    try:
        return from_qt(_called(native, source or native, given))
    except TypeError as error:
        raise refusal(name, given, error) from None
    except RuntimeError as error:
        raise _destroyed(name, error) from None


def _called(native: Any, source: Any, given: tuple) -> Any:
    try:
        return native(*given)
    except TypeError as error:
        again = by_truth(source, given)
        if is_lenient():
            again = as_enums(again, error)
        if "wrong argument types" not in str(error) or all(map(operator.is_, again, given)):
            raise
        return native(*again)


def refuse_keywords(name: str, keywords: dict) -> None:
    """Raise for keyword arguments of a C++ method or constructor."""
    if keywords:
        raise ValueError(
            f"{name}({', '.join(f'{key}=' for key in keywords)}): called slot does not support kwargs. "
            "PythonQt takes positional arguments only; set the rest afterwards"
        )


def refuse_threads(name: str, owner: Any) -> None:
    """Raise when a Python thread touches what belongs to Qt's thread."""
    if threading.current_thread() is not threading.main_thread() and not isinstance(owner, QtCore.QByteArray):
        instance = QtCore.QCoreApplication.instance()
        if isinstance(owner, QtCore.QObject) and instance is not None and owner.thread() is instance.thread():
            told = (
                f"{name} from a Python thread: Qt objects belong to the main thread, and timers started elsewhere "
                "never fire. Emit a qt.Signal of a QObject that was made in the main thread"
            )
            refuse(RuntimeError(told))


def _destroyed(name: str, error: RuntimeError) -> Exception:
    if "already deleted" not in str(error):
        return error
    return ValueError(f"Trying to call '{name}' on a destroyed object")


class Method:
    """Stands in the class where PySide6 had its method."""

    __slots__ = ("name", "native", "owner", "static")

    def __init__(self, native: Any, owner: type, name: str) -> None:
        self.native, self.owner, self.name = native, owner, name
        self.static = not hasattr(native, "__objclass__") or isinstance(native, staticmethod)

    @property
    def check(self) -> Callable[..., None] | None:
        """What looks at the arguments first."""
        return CHECKS.get(f"{self.owner.__name__}.{self.name}")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        strict = not plain(sys._getframe(1))
        if instance is not None and strict:
            # The usual way to an attribute of an object is Access.__getattribute__; only super() comes here.
            raise AttributeError(
                f"'super' object has no attribute '{self.name}': in PythonQt super() reaches only __init__. "
                f"Write qt.{self.owner.__name__}.{self.name}(self, ...)"
            )
        native = self.native.__get__(instance, owner)
        if not strict:
            return native
        replaced = REPLACED.get(f"{self.owner.__name__}.{self.name}")
        return replaced if replaced is not None and self.static else Unbound(native, self.owner, self.name)

    def read(self, instance: Any, raw: Any, _frame: Any) -> Any:
        """The attribute of an object, ``raw`` being PySide6's."""
        replaced = REPLACED.get(f"{self.owner.__name__}.{self.name}")
        if replaced is not None:
            return replaced if self.static and self.owner is not QtCore.QObject else MethodType(replaced, instance)
        return Bound(raw, instance, self.name, self)


class Property:
    """A Q_PROPERTY: reading gives the value, assigning sets it, and it cannot be called."""

    __slots__ = ("kind", "name", "native", "owner", "setter", "writable")

    def __init__(self, native: Any, owner: type, name: str, kind: str, writable: bool) -> None:
        self.native, self.owner, self.name = native, owner, name
        self.kind, self.writable = kind, writable
        self.setter = f"set{name[0].upper()}{name[1:]}"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if plain(sys._getframe(1)):
            if self.native is None:
                raise AttributeError(self.name)
            return self.native.__get__(instance, owner)
        if instance is None:
            raise AttributeError(
                f"qt.{self.owner.__name__}.{self.name} is a property in PythonQt: there is no value at the class, "
                "and no base method to call"
            )
        raise AttributeError(f"'super' object has no attribute '{self.name}': write self.{self.name}")

    def read(self, instance: Any, _raw: Any, frame: Any) -> Any:
        """The value."""
        value = self.value(instance)
        if calls_at_once(frame, self.name) and not callable(value):
            raise TypeError(
                f"'{type(value).__name__}' object is not callable: {type(instance).__name__}.{self.name} is a property "
                f"in PythonQt, write {self.name} without ()"
            )
        return value

    def value(self, instance: Any) -> Any:
        """The value as Qt gives it."""
        try:
            if self.native is not None:
                return from_qt(self.native.__get__(instance, type(instance))())
            return from_qt(instance.property(self.name))
        except RuntimeError as error:
            if "already deleted" not in str(error):
                raise
            raise ValueError(
                f"Trying to read property '{self.name}' from a destroyed {type(instance).__name__} object"
            ) from None

    def write(self, instance: Any, value: Any) -> None:
        """Assign.

        Raises:
            AttributeError: read-only, or of a type that does not fit.
        """
        name = f"{type(instance).__name__}.{self.name}"
        if not self.writable:
            raise AttributeError(f"Property '{self.name}' of {type(instance).__name__} object is not writable")
        if value is None and self.kind == "QString":
            refuse(none_as_text(name))
            value = "None"
        refuse_threads(name, instance)
        value = to_qt(bool(value) if self.kind == "bool" else value)
        setter = getattr(self.owner, self.setter, None)
        try:
            if callable(setter):
                _called(functools.partial(setter, instance), setter, (value,))
            elif not instance.setProperty(self.name, value):
                raise TypeError("wrong argument types")
        except TypeError as error:
            told = refusal(name, (value,), error)
            if isinstance(told, TypeError) and told is not error:
                raise told from None
            raise AttributeError(
                f"Property '{self.name}' of type '{self.kind}' does not accept an object of type {type(value).__name__}"
            ) from None
        except RuntimeError as error:
            raise AttributeError(f"Trying to set property '{self.name}' on a destroyed object: {error}") from None

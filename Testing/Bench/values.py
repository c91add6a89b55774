"""What goes into Qt and what comes out of it, as PythonQt would have it."""

from __future__ import annotations

import enum
import os
import re
from typing import Any

from PySide6 import QtCore

from .strictness import refuse


class Listed(tuple):
    """A list from Qt. PythonQt gives a tuple, and code that takes it for a list fails; here it is told why."""

    __slots__ = ()

    def __add__(self, other: Any) -> tuple:
        if isinstance(other, list):
            raise TypeError("lists from Qt are tuples in PythonQt: write list(...) around it before adding a list")
        return tuple.__add__(self, other)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, list):
            raise TypeError("lists from Qt are tuples in PythonQt, never equal to a list: write list(...) around it")
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def __getattr__(self, name: str) -> Any:
        if hasattr(list, name):
            raise AttributeError(f"lists from Qt are tuples in PythonQt, without {name}(): write list(...) around it")
        raise AttributeError(f"'tuple' object has no attribute '{name}'")


def from_qt(value: Any) -> Any:
    """A value that Qt gave."""
    if type(value) is list:
        return Listed(from_qt(item) for item in value)
    return value


def to_qt(value: Any) -> Any:
    """An argument for Qt: paths become text, numpy's numbers become Python's, our wrappers what they wrap."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    native = getattr(type(value), "native_for_qt", None)
    if native is not None:
        return native(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    if isinstance(value, list | tuple):
        return [to_qt(item) for item in value]
    return value


def named(arguments: tuple) -> str:
    """Types of arguments for a message."""
    return ", ".join(type(argument).__name__ for argument in arguments)


def refusal(name: str, arguments: tuple, error: Exception) -> Exception:
    """What to raise for arguments that Qt did not take."""
    said = str(error)
    if "wrong argument types" not in said and "not supported" not in said:
        return error
    enums = _enums(said)
    if enums and any(isinstance(argument, int) for argument in arguments):
        return TypeError(
            f"{name}({named(arguments)}): an int for an enum. Numbers of enums differ between Qt 5 and Qt 6: "
            f"write a name of qt.{' or qt.'.join(enums)}"
        )
    return ValueError(
        f"{name}({named(arguments)}): Could not find matching overload\n{said.partition('Supported ')[2]}"
    )


def none_as_text(name: str) -> TypeError:
    """The refusal of None where Qt takes text."""
    return TypeError(f"{name}: None as text. PythonQt shows the word 'None': write '' for no text")


def _enum(path: str) -> Any:
    """The enum ``QFrame.Shape`` and the like; None for what is no enum."""
    from . import pythonqt

    found: Any = pythonqt.native(path.partition(".")[0])
    for part in path.split(".")[1:]:
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, enum.Enum) else None


def _enums(said: str) -> list[str]:
    """Enums that PySide6 names among the arguments it would take."""
    allowed = re.findall(r"PySide6\.\w+\.([\w.]+)", said.partition("Supported signatures:")[2])
    return sorted({word for word in allowed if _enum(word) is not None})


def as_enums(arguments: tuple, error: Exception) -> tuple:
    """Arguments with enums in place of their numbers, as PythonQt takes them."""
    found = list(arguments)
    for position, argument in enumerate(arguments):
        for kind in map(_enum, _enums(str(error))) if isinstance(argument, int) else ():
            if issubclass(kind, enum.Flag) or any(argument == member for member in kind):
                found[position] = kind(int(argument))
    return tuple(found)


def as_texts(native: Any, arguments: tuple) -> tuple:
    """Arguments with str() of everything in lists of text; PySide6 leaves numbers out with a line on the console."""
    if all(isinstance(one, str) for given in arguments if isinstance(given, list) for one in given):
        return arguments
    from shibokensupport.signature import get_signature

    signatures = get_signature(native)
    found = list(arguments)
    for signature in signatures if isinstance(signatures, list) else [signatures]:
        kinds = [] if signature is None else [p.annotation for p in signature.parameters.values() if p.name != "self"]
        for position, (given, kind) in enumerate(zip(arguments, kinds, strict=False)):
            if isinstance(given, list) and str(kind).endswith("[str]"):
                if None in given:
                    refuse(none_as_text(getattr(native, "__name__", "a list")))
                found[position] = [str(one) for one in given]
    return tuple(found)


def takes_text(native: Any, position: int) -> bool:
    """Whether None as argument number ``position`` of a native method would be text, and nothing else."""
    from shibokensupport.signature import get_signature

    signatures = get_signature(native)
    kinds = []
    for signature in signatures if isinstance(signatures, list) else [signatures]:
        parameters = [] if signature is None else [p for p in signature.parameters.values() if p.name != "self"]
        if position < len(parameters):
            kinds.append(parameters[position].annotation)
    return bool(kinds) and all(kind is str for kind in kinds)


def by_truth(native: Any, arguments: tuple) -> tuple:
    """Arguments with the truth of whatever stands where Qt takes a bool; PythonQt does the same."""
    from shibokensupport.signature import get_signature

    signature = get_signature(native)
    if signature is None or isinstance(signature, list):
        return arguments
    kinds = [one.annotation for one in signature.parameters.values() if one.name != "self"]
    kinds += [None] * len(arguments)
    return tuple(bool(one) if kind is bool else one for one, kind in zip(arguments, kinds, strict=False))


def check_texts(name: str, native: Any, arguments: tuple) -> None:
    """Refuse None where text is meant: PySide6 takes it for '', PythonQt writes 'None'."""
    for position, argument in enumerate(arguments):
        if argument is None and takes_text(native, position):
            refuse(none_as_text(name))


def none_in_words(native: Any, arguments: tuple) -> tuple:
    """Arguments with the word that PythonQt writes for a None that was let through."""
    return tuple(
        "None" if argument is None and takes_text(native, position) else argument
        for position, argument in enumerate(arguments)
    )


#: What survives in an ini file and comes back in another process.
PLAIN_SETTINGS = (bool, int, float, str, bytes, type(None))
QT_SETTINGS = (QtCore.QByteArray, QtCore.QSize, QtCore.QPoint, QtCore.QRect)


def check_setting(key: str, value: Any) -> None:
    """Refuse what PythonQt would write as a pointer.

    Raises:
        TypeError: a Path, a numpy number or another Python object.
    """
    if isinstance(value, list | tuple):
        for item in value:
            check_setting(key, item)
    elif isinstance(value, dict):
        for item in value.values():
            check_setting(key, item)
    elif not isinstance(value, PLAIN_SETTINGS + QT_SETTINGS) and type(value).__module__ != "PySide6.QtGui":
        told = (
            f"QSettings.setValue({key!r}, {type(value).__name__}): PythonQt stores it so that reading it in the next "
            "start of Slicer is a crash: write str(), int(), float() or bool() of it"
        )
        refuse(TypeError(told))

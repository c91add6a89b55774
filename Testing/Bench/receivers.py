"""What a signal may be connected to, and how many arguments of the signal it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

from .members import Bound
from .values import from_qt


def split_types(signature: str) -> list[str]:
    inside = signature.partition("(")[2].rstrip(")")
    depth, parts, part = 0, [], ""
    for letter in inside:
        depth += (letter == "<") - (letter == ">")
        if letter == "," and not depth:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [*parts, part] if inside else []


def of_qt(receiver: Any) -> bool:
    """Whether a receiver is a slot or a signal of C++."""
    return hasattr(type(receiver), "native_for_qt")


def deliver(receiver: Callable, count: int) -> Callable[..., None]:
    """What Qt calls: hands on as many arguments as the code of a plain function names, all to anything else."""
    wanted = _named(receiver)
    take = count if wanted is None else min(count, wanted)

    def deliver(*arguments: Any) -> None:
        receiver(*map(from_qt, arguments[:take]))

    return deliver


def _named(receiver: Any) -> int | None:
    """Positional parameters of a plain function or method; None for what takes everything."""
    function = getattr(receiver, "__func__", receiver)
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - (1 if inspect.ismethod(receiver) else 0)


def required(receiver: Any) -> int:
    """How many arguments a receiver cannot do without."""
    if of_qt(receiver):
        return 0
    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):
        return 0
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is one.empty for one in parameters)


def refuse_receiver(receiver: Any, count: int, name: str) -> None:
    """Raise for receivers that PythonQt would connect and then fail to call."""
    if isinstance(receiver, Bound):
        arities = _arities(receiver)
        if arities and count not in arities:
            raise TypeError(
                f"{name}, to {receiver.name}(), which takes {' or '.join(map(str, sorted(arities)))}: PythonQt does "
                "not cut arguments for C++ slots and nothing happens. Connect by a string that fits, as 'clicked()', "
                "or a lambda"
            )
        return
    if of_qt(receiver):
        return
    if not callable(receiver):
        raise TypeError(f"{name}, to {type(receiver).__name__}, which cannot be called")
    if _named(receiver) is not None:
        count = min(count, _named(receiver) or 0)
    try:
        inspect.signature(receiver).bind(*range(count))
    except TypeError as error:
        raise TypeError(
            f"{name}, to {getattr(receiver, '__name__', type(receiver).__name__)}: {error}. PythonQt hands every "
            "argument to partials, decorated functions and callable objects: add a parameter *_"
        ) from None
    except ValueError:
        return  # some builtins tell nothing of their parameters


def _arities(receiver: Bound) -> set[int]:
    """Argument counts that a C++ slot takes; empty when Qt knows no slot of that name."""
    meta = receiver.owner.metaObject() if isinstance(receiver.owner, QtCore.QObject) else None
    found = set()
    for one in type(receiver.owner).__mro__:
        found |= {
            len(split_types(slot))
            for slot in one.__dict__.get("__slots_by_string__", {})
            if slot.startswith(f"{receiver.name}(")
        }
    for index in range(meta.methodCount() if meta else 0):
        method = meta.method(index)
        if method.name().data().decode() == receiver.name:
            found.add(method.parameterCount())
    return found

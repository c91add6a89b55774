"""``findChild`` and ``findChildren``, which take a class or the name of one."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore

from .members import refuse_keywords
from .values import Listed


def find_children(self: Any, *arguments: Any, **keywords: Any) -> Listed:
    """Children of any depth, as a tuple.

    Raises:
        ValueError: no type was named.
    """
    refuse_keywords("findChildren", keywords)
    if not arguments or not isinstance(arguments[0], str | type):
        raise ValueError("findChildren() without a type: write findChildren(qt.QObject) or a class name")
    kind, *rest = arguments
    if not isinstance(kind, str):
        return Listed(self.findChildren(kind, *rest))
    return Listed(one for one in self.findChildren(QtCore.QObject, *rest) if is_a(one, kind))


def find_child(self: Any, *arguments: Any, **keywords: Any) -> Any:
    """The first child of a type, or None."""
    return next(iter(find_children(self, *arguments, **keywords)), None)


def is_a(thing: QtCore.QObject, class_name: str) -> bool:
    """``inherits`` that also knows the bench's own classes."""
    return thing.inherits(class_name) or any(one.__name__ == class_name for one in type(thing).__mro__)

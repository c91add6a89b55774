# ruff: noqa: N803 - the names are those of Slicer
"""Lists and dicts that write every change to the parameter node at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from typing import Any


class _Observed:
    """A container, and where it is kept."""

    _kind: Callable[[Any], Any]

    def __init__(self, parameterNode: Any, serializer: Any, name: str) -> None:
        self._node, self._serializer, self._name = parameterNode, serializer, name
        self._content = serializer.items(parameterNode, name)

    def _changed(self, method: str, arguments: tuple, keywords: dict) -> Any:
        """Change a copy; only what could be written becomes the content."""
        copy = self._kind(self._content)
        result = getattr(copy, method)(*arguments, **keywords)
        self._serializer.write(self._node, self._name, copy)
        self._content = self._serializer.items(self._node, self._name)
        return result

    def __len__(self) -> int:
        return len(self._content)

    def __getitem__(self, key: Any) -> Any:
        return self._content[key]

    def __eq__(self, other: object) -> bool:
        return self._content == (other._content if isinstance(other, _Observed) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._content})"


def _changing(method: str) -> Callable[..., Any]:
    def change(self: _Observed, *arguments: Any, **keywords: Any) -> Any:
        result = self._changed(method, arguments, keywords)
        return self if method in ("__iadd__", "__imul__") else result

    change.__name__ = method
    return change


def _refused(self: _Observed, other: Any) -> Any:
    raise NotImplementedError("The result would be tied to nothing: use += or *=, or list(...) first")


class ObservedList(_Observed, MutableSequence):
    """A list in a parameter node."""

    _kind = list
    __add__ = __radd__ = __mul__ = __rmul__ = _refused
    __setitem__, __delitem__ = _changing("__setitem__"), _changing("__delitem__")
    __iadd__, __imul__ = _changing("__iadd__"), _changing("__imul__")
    insert, append, extend = _changing("insert"), _changing("append"), _changing("extend")
    pop, remove, clear = _changing("pop"), _changing("remove"), _changing("clear")
    reverse, sort = _changing("reverse"), _changing("sort")


class ObservedDict(_Observed, MutableMapping):
    """A dict in a parameter node."""

    _kind = dict
    __setitem__, __delitem__ = _changing("__setitem__"), _changing("__delitem__")
    pop, popitem, clear = _changing("pop"), _changing("popitem"), _changing("clear")
    update, setdefault = _changing("update"), _changing("setdefault")

    def __iter__(self) -> Iterator[Any]:
        return iter(self._content)

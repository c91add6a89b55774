# ruff: noqa: N803 - the names are those of Slicer
"""How lists, tuples, dicts and unions are kept in a MRML node: each element under a name of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import slicer

from .observed import ObservedDict, ObservedList
from .scalars import NoneSerializer, NumberSerializer, Serializer, ValidatedSerializer

__all__ = [
    "DictSerializer",
    "ListSerializer",
    "TupleSerializer",
    "UnionSerializer",
]


class ListSerializer(Serializer):
    """A list: its length, and each element under its number."""

    def __init__(self, elementTypeSerializer: Serializer) -> None:
        self.element = elementTypeSerializer

    def default(self) -> list[Any]:
        return []

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return parameterNode.HasParameter(f"{name}.len")

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}.len")) if self.isIn(node, name) else 0

    def validate(self, value: Any) -> None:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise TypeError(f"Value must be a list, is {value!r}")
        for each in value:
            self.element.validate(each)

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        value = list(value)
        self.validate(value)
        with slicer.util.NodeModify(parameterNode):
            for index in range(len(value), self._length(parameterNode, name)):
                self.element.remove(parameterNode, f"{name}.{index}")
            parameterNode.SetParameter(f"{name}.len", str(len(value)))
            for index, each in enumerate(value):
                self.element.write(parameterNode, f"{name}.{index}", each)

    def items(self, node: Any, name: str) -> list[Any]:
        """The elements, each with its own tie to the node where its type has one."""
        return [self.element.read(node, f"{name}.{index}") for index in range(self._length(node, name))]

    def read(self, parameterNode: Any, name: str) -> ObservedList:
        return ObservedList(parameterNode, self, name)

    def remove(self, parameterNode: Any, name: str) -> None:
        for index in range(self._length(parameterNode, name)):
            self.element.remove(parameterNode, f"{name}.{index}")
        parameterNode.UnsetParameter(f"{name}.len")

    def supportsCaching(self) -> bool:
        return self.element.supportsCaching()


class TupleSerializer(Serializer):
    """A tuple with a type for each place."""

    def __init__(self, serializers: list[Serializer]) -> None:
        self.places = serializers

    def default(self) -> tuple[Any, ...]:
        return tuple(place.default() for place in self.places)

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return all(place.isIn(parameterNode, f"{name}.{i}") for i, place in enumerate(self.places))

    def validate(self, value: Any) -> None:
        if len(value) != len(self.places):
            raise ValueError(f"Value must have {len(self.places)} elements, has {len(value)}")
        for place, each in zip(self.places, value, strict=True):
            place.validate(each)

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        self.validate(value)
        with slicer.util.NodeModify(parameterNode):
            for index, (place, each) in enumerate(zip(self.places, value, strict=True)):
                place.write(parameterNode, f"{name}.{index}", each)

    def read(self, parameterNode: Any, name: str) -> tuple[Any, ...]:
        return tuple(place.read(parameterNode, f"{name}.{i}") for i, place in enumerate(self.places))

    def remove(self, parameterNode: Any, name: str) -> None:
        for index, place in enumerate(self.places):
            place.remove(parameterNode, f"{name}.{index}")

    def supportsCaching(self) -> bool:
        return all(place.supportsCaching() for place in self.places)


class DictSerializer(Serializer):
    """A dict, as a list of keys and a list of values."""

    def __init__(self, keySerializer: Serializer, valueSerializer: Serializer) -> None:
        self.keys, self.values = ListSerializer(keySerializer), ListSerializer(valueSerializer)

    def default(self) -> dict[Any, Any]:
        return {}

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return self.keys.isIn(parameterNode, f"{name}.keys")

    def validate(self, value: Any) -> None:
        self.keys.validate(value.keys())
        self.values.validate(value.values())

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        self.validate(value)
        with slicer.util.NodeModify(parameterNode):
            self.keys.write(parameterNode, f"{name}.keys", value.keys())
            self.values.write(parameterNode, f"{name}.values", value.values())

    def items(self, node: Any, name: str) -> dict[Any, Any]:
        """Keys and values, tied to the node."""
        keys, values = self.keys.items(node, f"{name}.keys"), self.values.items(node, f"{name}.values")
        return dict(zip(keys, values, strict=True))

    def read(self, parameterNode: Any, name: str) -> ObservedDict:
        return ObservedDict(parameterNode, self, name)

    def remove(self, parameterNode: Any, name: str) -> None:
        self.keys.remove(parameterNode, f"{name}.keys")
        self.values.remove(parameterNode, f"{name}.values")

    def supportsCaching(self) -> bool:
        return self.keys.supportsCaching() and self.values.supportsCaching()


class UnionSerializer(Serializer):
    """One of several types; which one, says the number under which the value is found."""

    def __init__(self, serializers: list[Serializer]) -> None:
        self.choices = serializers

    def default(self) -> Any:
        if any(isinstance(each, NoneSerializer) for each in self.choices):
            return None
        return self.choices[0].default()

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return any(each.isIn(parameterNode, f"{name}.{i}") for i, each in enumerate(self.choices))

    def _fitting(self, value: Any) -> int:
        """Number of the type that fits best.

        Raises:
            TypeError: none fits.
            ValueError: one would, but for its own conditions.
        """
        refused: ValueError | None = None
        found: list[int] = []
        for index, each in enumerate(self.choices):
            if value is None and not isinstance(each, NoneSerializer):
                continue
            if isinstance(value, bool) and isinstance(_core(each), NumberSerializer):
                continue  # a bool is an int to Python, and never meant as one in a union
            try:
                each.validate(value)
            except TypeError:
                continue
            except ValueError as error:
                refused = refused or error
                continue
            found.append(index)
        if not found:
            raise refused or TypeError(f"Unable to write value '{value}' of type '{type(value)}'")
        exact = (i for i in found if getattr(_core(self.choices[i]), "type", None) is type(value))
        return next(exact, found[0])

    def validate(self, value: Any) -> None:
        self._fitting(value)

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        chosen = self._fitting(value)
        with slicer.util.NodeModify(parameterNode):
            self.remove(parameterNode, name)
            self.choices[chosen].write(parameterNode, f"{name}.{chosen}", value)

    def read(self, parameterNode: Any, name: str) -> Any:
        for index, each in enumerate(self.choices):
            if each.isIn(parameterNode, f"{name}.{index}"):
                return each.read(parameterNode, f"{name}.{index}")
        raise KeyError(f"Unable to find value for name: {name}")

    def remove(self, parameterNode: Any, name: str) -> None:
        for index, each in enumerate(self.choices):
            each.remove(parameterNode, f"{name}.{index}")

    def supportsCaching(self) -> bool:
        return all(each.supportsCaching() for each in self.choices)


def _core(serializer: Serializer) -> Serializer:
    while isinstance(serializer, ValidatedSerializer):
        serializer = serializer.serializer
    return serializer

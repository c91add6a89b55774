# ruff: noqa: N803 - the names are those of Slicer
"""How values of each type are kept in the text parameters and node references of a MRML node."""

from __future__ import annotations

import enum
import importlib
import pathlib
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

import qt
import slicer

from .observed import ObservedDict, ObservedList
from .rules import IsInstance, NotNone, Validator, sort_notes, splitAnnotations

__all__ = [
    "BoolSerializer",
    "DictSerializer",
    "EnumSerializer",
    "ListSerializer",
    "NodeSerializer",
    "NoneSerializer",
    "NumberSerializer",
    "PathSerializer",
    "QColorSerializer",
    "Serializer",
    "StringSerializer",
    "TupleSerializer",
    "UnionSerializer",
    "ValidatedSerializer",
    "createSerializer",
    "createSerializerFromAnnotatedType",
    "parameterNodeSerializer",
]


class Serializer:
    """Reads and writes values of a type under a name of a parameter node."""

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        """Whether this serializer is for a type."""
        raise NotImplementedError

    @staticmethod
    def create(type_: Any) -> Serializer | None:
        """A serializer for a type, or None."""
        raise NotImplementedError

    def default(self) -> Any:
        """The value where no other is given."""
        raise NotImplementedError

    def isIn(self, parameterNode: Any, name: str) -> bool:
        """Whether there is a value."""
        return parameterNode.HasParameter(name)

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        """Put a value there."""
        raise NotImplementedError

    def read(self, parameterNode: Any, name: str) -> Any:
        """Get the value."""
        raise NotImplementedError

    def remove(self, parameterNode: Any, name: str) -> None:
        """Leave no trace."""
        parameterNode.UnsetParameter(name)

    def supportsCaching(self) -> bool:
        """Whether a value may be kept between reads."""
        return False

    def validate(self, value: Any) -> None:
        """Raise if a value is not allowed."""


class ValidatedSerializer(Serializer):
    """Another serializer, with conditions."""

    def __init__(self, serializer: Serializer, validators: Iterable[Any]) -> None:
        self.serializer = serializer
        self.validators = [each() if isinstance(each, type) else each for each in validators]

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)
        self.serializer.validate(value)

    def default(self) -> Any:
        return self.serializer.default()

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return self.serializer.isIn(parameterNode, name)

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        self.validate(value)
        self.serializer.write(parameterNode, name, value)

    def read(self, parameterNode: Any, name: str) -> Any:
        return self.serializer.read(parameterNode, name)

    def remove(self, parameterNode: Any, name: str) -> None:
        self.serializer.remove(parameterNode, name)

    def supportsCaching(self) -> bool:
        return self.serializer.supportsCaching()


class _Text(Serializer):
    """One text parameter."""

    def supportsCaching(self) -> bool:
        return True

    def encode(self, value: Any) -> str:
        return str(value)

    def decode(self, text: str) -> Any:
        return text

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        parameterNode.SetParameter(name, self.encode(value))

    def read(self, parameterNode: Any, name: str) -> Any:
        return self.decode(parameterNode.GetParameter(name))


class NumberSerializer(_Text):
    """int and float."""

    def __init__(self, type: Any) -> None:
        self.type = type

    def default(self) -> Any:
        return self.type()

    def decode(self, text: str) -> Any:
        return self.type(text)


class StringSerializer(_Text):
    """str."""

    def default(self) -> str:
        return ""


class PathSerializer(_Text):
    """The classes of pathlib."""

    def __init__(self, pathtype: Any) -> None:
        self.type = pathtype

    def default(self) -> Any:
        return self.type()

    def decode(self, text: str) -> Any:
        return self.type(text)


class BoolSerializer(_Text):
    """bool."""

    def default(self) -> bool:
        return False

    def encode(self, value: Any) -> str:
        return "True" if value else "False"

    def decode(self, text: str) -> bool:
        return text == "True"


class EnumSerializer(_Text):
    """A member of an enum, by name."""

    def __init__(self, enum_: Any) -> None:
        self.type = enum_

    def default(self) -> Any:
        return next(iter(self.type))

    def encode(self, value: Any) -> str:
        return value.name

    def decode(self, text: str) -> Any:
        return self.type[text]


class NoneSerializer(_Text):
    """None, in unions."""

    def default(self) -> None:
        return None

    def decode(self, text: str) -> None:
        return None

    def validate(self, value: Any) -> None:
        if value is not None:
            raise TypeError("Value must be None")


class QColorSerializer(_Text):
    """A colour, as #aarrggbb."""

    def default(self) -> Any:
        return qt.QColor()

    def encode(self, value: Any) -> str:
        return value.name(qt.QColor.HexArgb)

    def decode(self, text: str) -> Any:
        return qt.QColor(text)

    def supportsCaching(self) -> bool:
        return False


class NodeSerializer(Serializer):
    """A reference to a node; an empty parameter of the same name says that it was set, to None maybe."""

    def default(self) -> None:
        return None

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(parameterNode):
            parameterNode.SetParameter(name, "")
            parameterNode.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, parameterNode: Any, name: str) -> Any:
        return parameterNode.GetNodeReference(name)

    def remove(self, parameterNode: Any, name: str) -> None:
        parameterNode.UnsetParameter(name)
        parameterNode.RemoveNodeReferenceIDs(name)

    def supportsCaching(self) -> bool:
        return True


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


class AnySerializer(Serializer):
    """Any value whose class can be found again by its name."""

    _class = TupleSerializer([StringSerializer(), StringSerializer()])

    def default(self) -> None:
        return None

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return self._class.isIn(parameterNode, f"{name}.type")

    def _stored(self, node: Any, name: str) -> Serializer:
        module, kind = self._class.read(node, f"{name}.type")
        return _for_value_type(None if kind == "NoneType" else getattr(importlib.import_module(module), kind))

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(parameterNode):
            self.remove(parameterNode, name)
            kind = type(value)
            _for_value_type(kind).write(parameterNode, f"{name}.value", value)
            self._class.write(parameterNode, f"{name}.type", (kind.__module__, kind.__name__))

    def read(self, parameterNode: Any, name: str) -> Any:
        return self._stored(parameterNode, name).read(parameterNode, f"{name}.value")

    def remove(self, parameterNode: Any, name: str) -> None:
        if self.isIn(parameterNode, name):
            self._stored(parameterNode, name).remove(parameterNode, f"{name}.value")
            self._class.remove(parameterNode, f"{name}.type")


def _for_value_type(kind: Any) -> Serializer:
    """Serializer for a class as a value has it: a list without element type holds anything."""
    shapes = {list: list[Any], dict: dict[Any, Any], type(None): None}
    return createSerializerFromAnnotatedType(shapes.get(kind, kind))


def _core(serializer: Serializer) -> Serializer:
    while isinstance(serializer, ValidatedSerializer):
        serializer = serializer.serializer
    return serializer


_PATHS = tuple(getattr(pathlib, name) for name in dir(pathlib) if name.endswith("Path"))
#: Serializers of others, asked first, newest first.
_registered: list[Any] = []


def parameterNodeSerializer(classtype: Any = None) -> Any:
    """Class decorator: this serializer is asked for every type from now on."""
    if classtype is None:
        return parameterNodeSerializer
    _registered.insert(0, classtype)
    return classtype


def _checked(serializer: Serializer, *validators: Validator) -> Serializer:
    return ValidatedSerializer(serializer, validators)


def _of_class(kind: type) -> Serializer | None:
    simple: dict[type, Callable[[], Serializer]] = {
        int: lambda: _checked(NumberSerializer(int), NotNone(), IsInstance(int)),
        float: lambda: _checked(NumberSerializer(float), NotNone(), IsInstance((float, int))),
        str: lambda: _checked(StringSerializer(), NotNone(), IsInstance(str)),
        bool: lambda: _checked(BoolSerializer(), NotNone(), IsInstance(bool)),
        type(None): NoneSerializer,
        qt.QColor: lambda: _checked(QColorSerializer(), NotNone(), IsInstance(qt.QColor)),
    }
    if kind in simple:
        return simple[kind]()
    if kind in _PATHS:
        return _checked(PathSerializer(kind), NotNone(), IsInstance(kind))
    if issubclass(kind, enum.Enum):
        return _checked(EnumSerializer(kind), NotNone(), IsInstance(kind))
    return _checked(NodeSerializer(), IsInstance(kind)) if issubclass(kind, slicer.vtkMRMLNode) else None


def _of_type(kind: Any) -> Serializer:
    for each in _registered:
        if (found := each.create(kind)) is not None:
            return found
    if kind is None:
        return NoneSerializer()
    if kind is Any:
        return AnySerializer()
    origin, inner = typing.get_origin(kind), [createSerializerFromAnnotatedType(each) for each in typing.get_args(kind)]
    if origin is list:
        return _checked(ListSerializer(*inner), NotNone())
    if origin is tuple:
        return _checked(TupleSerializer(inner), NotNone())
    if origin is dict:
        return _checked(DictSerializer(*inner), NotNone())
    if origin in (typing.Union, types.UnionType):
        return UnionSerializer(inner)
    found = _of_class(kind) if isinstance(kind, type) else None
    if found is None:
        raise TypeError(f"Unable to find a serializer for type {kind}")
    return found


def createSerializer(type_: Any, annotations: Iterable[Any]) -> tuple[Serializer, list[Any]]:
    """A serializer for a type and its annotations, and the annotations that it did not use."""
    own = next((note for note in annotations if isinstance(note, Serializer)), None)
    validators, default, rest = sort_notes(note for note in annotations if note is not own)
    serializer = own if own is not None else _of_type(type_)
    if isinstance(serializer, ValidatedSerializer):
        # In one list: what a type demands is asked before what an annotation compares.
        serializer = ValidatedSerializer(serializer.serializer, [*serializer.validators, *validators])
    elif validators:
        serializer = ValidatedSerializer(serializer, validators)
    return serializer, ([default] if default is not None else []) + rest


def createSerializerFromAnnotatedType(annotatedType: Any) -> Serializer:
    """A serializer for a type with its annotations."""
    kind, notes = splitAnnotations(annotatedType)
    return createSerializer(kind, notes)[0]

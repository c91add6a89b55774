# ruff: noqa: N803 - the names are those of Slicer
"""Which serializer is for which type."""

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

from .containers import DictSerializer, ListSerializer, TupleSerializer, UnionSerializer
from .rules import IsInstance, NotNone, Validator, sort_notes, splitAnnotations
from .scalars import (
    BoolSerializer,
    EnumSerializer,
    NodeSerializer,
    NoneSerializer,
    NumberSerializer,
    PathSerializer,
    QColorSerializer,
    Serializer,
    StringSerializer,
    ValidatedSerializer,
)

__all__ = [
    "createSerializer",
    "createSerializerFromAnnotatedType",
    "parameterNodeSerializer",
]


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

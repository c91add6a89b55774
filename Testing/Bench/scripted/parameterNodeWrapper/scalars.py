# ruff: noqa: N803 - the names are those of Slicer
"""How single values are kept in a MRML node: as text, or as a node reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import qt
import slicer

__all__ = [
    "BoolSerializer",
    "EnumSerializer",
    "NodeSerializer",
    "NoneSerializer",
    "NumberSerializer",
    "PathSerializer",
    "QColorSerializer",
    "Serializer",
    "StringSerializer",
    "ValidatedSerializer",
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

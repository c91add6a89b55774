"""Types that are MRML nodes, or unions of them."""

from __future__ import annotations

import types
import typing
from typing import Any

import slicer

from .rules import unannotatedType

__all__ = ["getNodeTypes", "isNodeOrUnionOfNodes"]


def _alternatives(datatype: Any) -> list[Any]:
    kind = unannotatedType(datatype)
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return [unannotatedType(each) for each in typing.get_args(kind)] if is_union else [kind]


def _is_node(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def isNodeOrUnionOfNodes(datatype: Any) -> bool:
    """Whether a type is a node class, or a union of node classes and None."""
    kinds = _alternatives(datatype)
    return any(map(_is_node, kinds)) and all(_is_node(kind) or kind is type(None) for kind in kinds)


def getNodeTypes(datatype: Any) -> tuple[str, ...]:
    """Names of the node classes in a type.

    Raises:
        TypeError: there is none.
    """
    names = tuple(kind().GetClassName() for kind in _alternatives(datatype) if _is_node(kind))
    if not names:
        raise TypeError(f"Cannot handle type {datatype}")
    return names

# ruff: noqa: N803, N815 - the names are those of Slicer
"""Parameter packs: classes of typed members that are kept together."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import slicer

from .rules import Default, IsInstance, NotNone, splitAnnotations, unannotatedType
from .scalars import Serializer, ValidatedSerializer
from .serializers import createSerializer, parameterNodeSerializer

__all__ = ["FloatRange", "isParameterPack", "nestedParameterNames", "parameterPack"]


@dataclasses.dataclass
class ParameterInfo:
    """A member: its name, how it is stored, what it begins with, and its type as written."""

    basename: str
    serializer: Serializer
    default: Any
    unalteredType: Any


def members(classtype: Any) -> dict[str, ParameterInfo]:
    """The typed members of a class, in their order; the default is a :class:`Default`."""
    found = {}
    for name, hint in typing.get_type_hints(classtype, include_extras=True).items():
        kind, notes = splitAnnotations(hint)
        serializer, rest = createSerializer(kind, notes)
        default = next((note for note in rest if isinstance(note, Default)), None)
        if name in classtype.__dict__:
            default = Default(classtype.__dict__[name])
        elif default is None:
            default = Default(generator=serializer.default)
        found[name] = ParameterInfo(name, serializer, default, hint)
    return found


def reserve(classtype: Any, additions: dict[str, Any], what: str) -> None:
    """Add attributes to a class.

    Raises:
        ValueError: it has one of that name.
    """
    for name, value in additions.items():
        if name in classtype.__dict__:
            raise ValueError(f"Cannot use reserved name '{name}' in a {what}")
        setattr(classtype, name, value)


def split(name: str) -> tuple[str, str]:
    """First part and the rest of a dotted name."""
    first, _, rest = name.partition(".")
    return first, rest


def isParameterPack(obj: Any) -> bool:
    """Whether something is a pack or a class of packs."""
    return getattr(obj, "_is_parameterPack", False)


def _slot(name: str) -> str:
    return f"_parameterPack_{name}_impl"


def _member(info: ParameterInfo) -> property:
    """A typed attribute; in a pack that came from a node, setting it writes it there."""
    slot = _slot(info.basename)

    def read(self: Any) -> Any:
        return self.__dict__[slot]

    def write(self: Any, value: Any) -> None:
        info.serializer.validate(value)
        home = self.__dict__.get("_parameterPack_home")
        if home is not None:
            node, name = home
            info.serializer.write(node, f"{name}.{info.basename}", value)
            value = info.serializer.read(node, f"{name}.{info.basename}")
        self.__dict__[slot] = value

    return property(read, write)


def _fill(self: Any, *arguments: Any, **keywords: Any) -> None:
    """The ``__init__`` of a pack: members by position and by name, the rest by default."""
    names = list(self.allParameters)
    if len(arguments) > len(names):
        raise TypeError(f"__init__() takes {len(names)} positional arguments but {len(arguments)} were given")
    given = dict(zip(names, arguments, strict=False))
    for name, value in keywords.items():
        if name not in self.allParameters:
            raise TypeError(f"__init__() got an unexpected keyword argument '{name}'")
        if name in given:
            raise TypeError(f"__init__() got multiple values for argument '{name}'")
        given[name] = value
    for name, info in self.allParameters.items():
        setattr(self, name, given.get(name, info.default.value))


def _refuse_new(self: Any, name: str, value: Any) -> None:
    if "_parameterPack_home" in self.__dict__ and not hasattr(self, name):
        raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}' and attributes cannot be added")
    object.__setattr__(self, name, value)


def _equal(self: Any, other: object) -> bool:
    return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.allParameters)


def _text(self: Any) -> str:
    parts = (f"{name}={getattr(self, name)!r}" for name in self.allParameters)
    return f"{type(self).__name__}({', '.join(parts)})"


def _get(self: Any, membername: str) -> Any:
    first, rest = split(membername)
    if not hasattr(self, first):
        raise ValueError(f"{self} has no member '{first}'")
    value = getattr(self, first)
    return _get(value, rest) if rest else value


def _set(self: Any, membername: str, value: Any) -> None:
    first, rest = split(membername)
    if not hasattr(self, first):
        raise ValueError(f"{self} has no member '{first}'")
    if rest:
        _set(getattr(self, first), rest, value)
    else:
        setattr(self, first, value)


def type_of(parameters: dict[str, ParameterInfo], membername: str) -> Any:
    """The type of a member as written, of a nested one by its dotted name.

    Raises:
        ValueError: there is no such member.
    """
    first, rest = split(membername)
    if first not in parameters:
        raise ValueError(f"Cannot find a parameter with the given name: {first}; there is {', '.join(parameters)}")
    kind = parameters[first].unalteredType
    if not rest:
        return kind
    inner = unannotatedType(kind)
    if not isParameterPack(inner):
        raise ValueError(f"{inner} is not a parameter pack but expects to have '{rest}'")
    return type_of(inner.allParameters, rest)


def parameterPack(classtype: Any = None) -> Any:
    """Class decorator: a class of typed members."""
    if classtype is None:
        return parameterPack
    found = members(classtype)
    if not found:
        raise ValueError("Unable to find any members in parameterPack")
    for name in found:
        for reserved in (_slot(name), f"_parameterPack_{name}_serializer"):
            if reserved in found or reserved in classtype.__dict__:
                raise ValueError(f"Cannot use reserved name '{reserved}' in a parameterPack")
    additions = {
        "allParameters": found,
        "_is_parameterPack": True,
        "getValue": _get,
        "setValue": _set,
        "dataType": staticmethod(lambda membername: type_of(found, membername)),
    }
    if clash := set(additions) & set(found):
        raise ValueError(f"Cannot use reserved name '{clash.pop()}' in a parameterPack")
    for name, info in found.items():
        info.serializer.validate(info.default.value)
        setattr(classtype, name, _member(info))
    _give_methods(classtype)
    reserve(classtype, additions, "parameterPack")
    return classtype


def _give_methods(classtype: Any) -> None:
    """Methods that the class does not define itself."""
    own = classtype.__dict__.get("__init__")

    def start(self: Any, *arguments: Any, **keywords: Any) -> None:
        _fill(self)
        own(self, *arguments, **keywords)

    classtype.__init__ = _fill if own is None else start
    classtype.__setattr__ = _refuse_new
    for name, method in (("__eq__", _equal), ("__str__", _text), ("__repr__", _text)):
        if name not in classtype.__dict__:
            setattr(classtype, name, method)


def nestedParameterNames(parameterPackClassOrInstance: Any) -> list[str]:
    """Dotted names of all members that are no packs."""
    names = []
    for name, info in unannotatedType(parameterPackClassOrInstance).allParameters.items():
        inner = unannotatedType(info.unalteredType)
        names += [f"{name}.{each}" for each in nestedParameterNames(inner)] if isParameterPack(inner) else [name]
    return names


@parameterNodeSerializer
class ParameterPackSerializer(Serializer):
    """A pack, each member under its dotted name."""

    def __init__(self, type_: Any) -> None:
        self.type = type_

    @staticmethod
    def canSerialize(type_: Any) -> bool:
        return isParameterPack(type_)

    @staticmethod
    def create(type_: Any) -> Serializer | None:
        if not isParameterPack(type_):
            return None
        return ValidatedSerializer(ParameterPackSerializer(type_), [NotNone(), IsInstance(type_)])

    def _members(self, name: str) -> list[tuple[ParameterInfo, str]]:
        return [(info, f"{name}.{info.basename}") for info in self.type.allParameters.values()]

    def default(self) -> Any:
        return self.type()

    def isIn(self, parameterNode: Any, name: str) -> bool:
        return all(info.serializer.isIn(parameterNode, place) for info, place in self._members(name))

    def write(self, parameterNode: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(parameterNode):
            for info, place in self._members(name):
                info.serializer.write(parameterNode, place, getattr(value, info.basename))

    def read(self, parameterNode: Any, name: str) -> Any:
        # Not through the class's own __init__, which may ask for more than the members.
        pack = self.type.__new__(self.type)
        for info, place in self._members(name):
            pack.__dict__[_slot(info.basename)] = info.serializer.read(parameterNode, place)
        pack.__dict__["_parameterPack_home"] = (parameterNode, name)
        return pack

    def remove(self, parameterNode: Any, name: str) -> None:
        for info, place in self._members(name):
            info.serializer.remove(parameterNode, place)

    def supportsCaching(self) -> bool:
        return all(info.serializer.supportsCaching() for info in self.type.allParameters.values())


@parameterPack
class FloatRange:
    """Two numbers, the first not above the second."""

    _minimum: float
    _maximum: float

    def __init__(self, minimum: float = 0, maximum: float = 0) -> None:
        self.setRange(minimum, maximum)

    @property
    def minimum(self) -> float:
        return self._minimum

    @minimum.setter
    def minimum(self, value: float) -> None:
        self.setRange(value, self._maximum)

    @property
    def maximum(self) -> float:
        return self._maximum

    @maximum.setter
    def maximum(self, value: float) -> None:
        self.setRange(self._minimum, value)

    def setRange(self, minimum: float, maximum: float) -> None:
        """Change both."""
        if not minimum <= maximum:
            raise ValueError(f"FloatRange must have minimum <= maximum: {minimum} <= {maximum}")
        self._minimum, self._maximum = minimum, maximum

    def __repr__(self) -> str:
        return f"FloatRange(minimum={self._minimum}, maximum={self._maximum})"

    __str__ = __repr__

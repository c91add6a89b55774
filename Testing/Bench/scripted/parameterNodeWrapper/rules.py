# ruff: noqa: N803 - the names are those of Slicer
"""Annotations of parameters: defaults, limits, choices, and how a widget shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "IsInstance",
    "Label",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "SingleStep",
    "Validator",
    "WithinRange",
    "findFirstAnnotation",
    "splitAnnotations",
    "unannotatedType",
]


def splitAnnotations(possiblyAnnotatedType: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its annotations, and they."""
    # One annotation more makes every type annotated, and annotations flatten.
    kind, *notes = get_args(Annotated[possiblyAnnotatedType, None])
    return kind, tuple(notes[:-1])


def unannotatedType(possiblyAnnotatedType: Any) -> Any:
    """A type without its annotations."""
    return splitAnnotations(possiblyAnnotatedType)[0]


def findFirstAnnotation(annotationsList: Iterable[Any], annotationType: type) -> Any:
    """The first annotation of a class, or None."""
    return next((note for note in annotationsList if isinstance(note, annotationType)), None)


class Default:
    """The value that a parameter begins with; a generator is asked each time."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._value if self._generator is None else self._generator()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Default) and (self._value, self._generator) == (other._value, other._generator)

    __hash__ = object.__hash__


@dataclasses.dataclass(frozen=True)
class Decimals:
    """Digits after the point, in spin boxes and sliders."""

    value: int


@dataclasses.dataclass(frozen=True)
class SingleStep:
    """Step of spin boxes and sliders."""

    value: float


@dataclasses.dataclass(frozen=True)
class Label:
    """Text beside a generated widget."""

    text: str


class Validator:
    """A condition on values; subclasses define :meth:`validate`, static or not."""

    def validate(self, value: Any) -> None:
        """Raise ValueError (or TypeError) when the value is not allowed."""
        raise NotImplementedError("validate is not implemented")


class NotNone(Validator):
    """A value must be there."""

    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    """A value must be of a class, or None."""

    def __init__(self, classtype: Any) -> None:
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type '{self.classtype}', is type '{type(value)}' value '{value}'")


class WithinRange(Validator):
    """Limits, both inside."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Minimum(Validator):
    """The least value."""

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if not value >= self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


class Maximum(Validator):
    """The greatest value."""

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if not value <= self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


class Choice(Validator):
    """One of these."""

    def __init__(self, choices: list[Any]) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


class Exclude(Validator):
    """None of these."""

    def __init__(self, excludedValues: list[Any]) -> None:
        self.excludedValues = excludedValues

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value is {value}, but must not be one of {self.excludedValues}")


class RangeBounds(Validator):
    """Limits of a range."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if value.minimum < self.minimum or value.maximum > self.maximum:
            raise ValueError(f"Range must be within [{self.minimum}, {self.maximum}], is {value}")


def sort_notes(notes: Iterable[Any]) -> tuple[list[Validator], Default | None, list[Any]]:
    """Validators (made, where a class was given), the default, and the rest."""
    validators, default, rest = [], None, []
    for note in notes:
        if isinstance(note, Validator):
            validators.append(note)
        elif isinstance(note, type) and issubclass(note, Validator):
            validators.append(note())
        elif isinstance(note, Default):
            if default is not None:
                raise ValueError("A parameter has one default")
            default = note
        else:
            rest.append(note)
    return validators, default, rest

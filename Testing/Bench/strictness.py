"""How mistakes are met that Slicer survives: raised, or, for modules of others, printed and passed over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_state = {"lenient": False}


def lenient(on: bool = True) -> None:
    """From now on print survivable mistakes and do what PythonQt does; ``False`` raises them again.

    Survivable are None as text, an int for an enum, a connect string that names no signal, isinstance of a base class,
    values that QSettings cannot keep, and Python threads. Everything else fails in Slicer too.
    """
    _state["lenient"] = on


@contextmanager
def leniently() -> Iterator[None]:
    """A stretch of :func:`lenient`."""
    before = _state["lenient"]
    lenient()
    try:
        yield
    finally:
        lenient(before)


def is_lenient() -> bool:
    """Whether mistakes are only printed."""
    return _state["lenient"]


def refuse(error: Exception) -> None:
    """Raise an error that Slicer would survive, or print it."""
    if not _state["lenient"]:
        raise error
    logging.getLogger("Bench").warning("%s", error)

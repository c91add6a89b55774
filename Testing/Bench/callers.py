"""Who is asking: Qt answers as PySide6 to its own libraries and as PythonQt to everybody else."""

from __future__ import annotations

from types import CodeType, FrameType
from typing import Any

#: Packages that were written for PySide6, or that build the bench out of it.
PLAIN = frozenset({"Bench", "PySide6", "shiboken6", "shibokensupport", "vtkmodules", "pytestqt"})

_known: dict[CodeType, bool] = {}


def plain(frame: FrameType) -> bool:
    """Whether the code of ``frame`` sees PySide6 as it is."""
    try:
        return _known[frame.f_code]
    except KeyError:
        name = frame.f_globals.get("__name__") or ""
        if name == "__main__":  # python -m Bench.panel
            name = getattr(frame.f_globals.get("__spec__"), "name", None) or ""
        answer = _known[frame.f_code] = name.partition(".")[0] in PLAIN
        return answer


def calls_at_once(frame: FrameType, name: str) -> bool:
    """Whether the instruction that now runs in ``frame`` is the beginning of ``something.name(...)``."""
    instruction = _instruction(frame.f_code, frame.f_lasti)
    return instruction is not None and instruction == (name, True)


_instructions: dict[tuple[CodeType, int], Any] = {}


def _instruction(code: CodeType, offset: int) -> tuple[str, bool] | None:
    """The attribute name that one instruction loads, and whether it is loaded to be called."""
    key = code, offset
    if key not in _instructions:
        _instructions[key] = _decoded(code, offset)
    return _instructions[key]


def _decoded(code: CodeType, offset: int) -> tuple[str, bool] | None:
    import dis

    for instruction in dis.get_instructions(code):
        if instruction.offset == offset:
            if instruction.opname == "LOAD_METHOD":
                return str(instruction.argval), True
            if instruction.opname == "LOAD_ATTR":  # from Python 3.12 its lowest bit says that a call follows
                called = instruction.arg is not None and "NULL" in instruction.argrepr
                return str(instruction.argval), called
            return None
    return None

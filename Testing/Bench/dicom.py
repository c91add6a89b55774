"""Just enough DICOM to sort the files of a folder into series and slices; the pixels are read by ITK."""

from __future__ import annotations

import re
import struct
from pathlib import Path

_SERIES, _POSITION, _ORIENTATION = (0x0020, 0x000E), (0x0020, 0x0032), (0x0020, 0x0037)
_HEAD = 64 * 1024


def _value(head: bytes, tag: tuple[int, int]) -> str:
    """Text of an element, in little endian with or without explicit types; empty when it is not there."""
    where = struct.pack("<HH", *tag)
    explicit = re.search(re.escape(where) + rb"(?:UI|DS|IS|LO|SH)(..)", head, re.DOTALL)
    implicit = re.search(re.escape(where) + rb"(..\x00\x00)", head, re.DOTALL)
    found, form = (explicit, "<H") if explicit else (implicit, "<I")
    if found is None:
        return ""
    length = struct.unpack(form, found.group(1))[0]
    return head[found.end() : found.end() + length].decode("latin-1").strip("\0 ")


def _along(position: str, orientation: str) -> float:
    """Place of a slice along the normal of its plane."""
    at = [float(part) for part in position.split("\\")]
    a, b, c, d, e, f = (float(part) for part in orientation.split("\\"))
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return sum(x * n for x, n in zip(at, normal, strict=True))


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def series_of(folder: Path) -> list[list[str]]:
    """Files of each series under a folder, slice by slice; files that are no DICOM are passed over."""
    series: dict[str, list[tuple[float, str]]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and is_dicom(path):
            with path.open("rb") as file:
                head = file.read(_HEAD)[132:]
            place, turn = _value(head, _POSITION), _value(head, _ORIENTATION)
            along = _along(place, turn) if place and turn else 0.0
            series.setdefault(_value(head, _SERIES), []).append((along, str(path)))
    return [[path for _, path in sorted(files)] for files in series.values()]

"""Headers in text, MetaImage and NRRD, read before ITK reads them.

What ITK's libraries do with such a header may be anything: MetaIO hands a file name to printf, teem waits for ever for
the end of a device, both ask for the memory that the header names. So names, counts and sizes are checked here first.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from SwinSSLLib.data.headers import AGAIN, check_plausible_size, damaged, not_a
from SwinSSLLib.errors import InputError, one_line

_CHUNK = 1 << 20
#: Bytes in which a header ends, if it is one.
_LONGEST = 1 << 20
_MOST_FILES, _MOST_AXES = 100_000, 10
#: MetaIO copies texts into arrays of 255 signs without looking at their length.
_LONGEST_TEXT = 254
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 8, "ULONG": 8}
_META_BYTES |= {"LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
#: Numbers that a field of a MetaImage has: for each axis, or for each pair of axes.
_META_EACH = ("Offset", "Position", "Origin", "CenterOfRotation", "ElementSpacing", "ElementSize")
_META_PAIRS = ("TransformMatrix", "Rotation", "Orientation")
#: Types of NRRD (teem.sourceforge.net/nrrd/format.html, section 4) by bytes; signs and "int" change no width.
_NRRD_BYTES = {"char": 1, "int8": 1, "short": 2, "int16": 2, "int": 4, "int32": 4, "float": 4, "double": 8}
_NRRD_BYTES |= {"longlong": 8, "int64": 8}
#: Its fields (section 5). At what it does not know, and at long lines, teem writes beyond the end of its message.
_NRRD_FIELDS = {
    "content", "number", "type", "block size", "blocksize", "dimension", "space", "space dimension",
    "spacedimension", "sizes", "spacings", "thicknesses", "axis mins", "axismins", "axis maxs", "axismaxs",
    "space directions", "spacedirections", "centers", "centerings", "kinds", "labels", "units", "min", "max",
    "old min", "oldmin", "old max", "oldmax", "endian", "encoding", "line skip", "byte skip", "sample units",
    "sampleunits", "space units", "spaceunits", "space origin", "spaceorigin", "measurement frame",
    "measurementframe", "data file",
}  # fmt: skip
_LONGEST_FIELD = 1000
_FIELD = re.compile(r"\s*([^:=]+?)\s*[:=]\s*(.*?)\s*")


# -- MetaImage -------------------------------------------------------------------------------------


def check_meta(path: Path) -> None:
    """Check an .mha or .mhd file: its header, that its files are there and long enough, and the checksum of a
    compressed body.

    Raises:
        InputError: damaged, incomplete, or larger than it can be.
    """
    fields, rest, offset = _meta_fields(path)
    try:
        sizes = [int(n) for n in fields["DimSize"].split()]
        expected = _META_BYTES[fields["ElementType"].removeprefix("MET_")] * int(
            fields.get("ElementNumberOfChannels", "1")
        )
        skipped = int(fields.get("HeaderSize", "0"))
        packed = int(fields.get("CompressedDataSize", "0"))
        _check_meta_numbers(fields, len(sizes))
    except (KeyError, ValueError) as error:
        raise damaged(path) from error
    if not 1 <= len(sizes) <= _MOST_AXES or min(sizes) < 1 or expected < 1 or skipped < -1 or packed < 0:
        raise damaged(path)
    expected *= math.prod(sizes)
    name, compressed = fields["ElementDataFile"], _is_true(fields.get("CompressedData", ""))
    if not _is_true(fields.get("BinaryData", "True")):
        expected = 2 * math.prod(sizes) - 1  # as text, each number has a digit and a blank
    if name.upper() == "LOCAL":
        bodies = [path]
    else:
        bodies, offset = _named_files(path, name, rest), max(0, skipped)
    if len(bodies) > 1:
        held = sum(body.stat().st_size for body in bodies)
        length = min(held, expected) if not compressed else expected
        check_plausible_size(expected, path, held if compressed else 0)
    elif compressed:
        check_plausible_size(expected, path, bodies[0].stat().st_size)
        length = _inflated_length(bodies[0], offset, packed, path)
    else:
        length = bodies[0].stat().st_size - offset
    if length < expected:
        raise InputError(f"{path} is incomplete: {max(0, length)} of {expected} bytes are there.", AGAIN)


def _meta_fields(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The fields up to the name of the data, the lines after it, and where the voxels of an .mha begin."""
    fields: dict[str, str] = {}
    lines = _head(path).split(b"\n")
    offset = 0
    for number, line in enumerate(lines):
        offset += len(line) + 1
        text = line.decode("latin-1").rstrip("\r")
        found = _FIELD.fullmatch(text)
        if found is None:
            if text.strip() or number + 1 == len(lines):
                break
            continue
        numbers = found[1] in (*_META_EACH, *_META_PAIRS)
        if found[1] in fields or len(found[1]) > 80 or (len(line) > _LONGEST_TEXT and not numbers):
            raise damaged(path)  # of two of one name it is ITK's secret which it takes
        fields[found[1]] = found[2]
        if found[1] == "ElementDataFile" and "DimSize" in fields:
            return fields, [rest.decode("utf-8", "replace").strip() for rest in lines[number + 1 :]], offset
    raise damaged(path) if "ObjectType" in fields or "NDims" in fields else not_a("MetaImage file", path)


def _check_meta_numbers(fields: Mapping[str, str], axes: int) -> None:
    """Fields with numbers have as many as there are axes, and they are numbers; raises ValueError."""
    if fields.get("ObjectType", "Image") != "Image" or int(fields.get("NDims", "0")) != axes:
        raise ValueError
    for name, count in (*((name, axes) for name in _META_EACH), *((name, axes**2) for name in _META_PAIRS)):
        values = [float(word) for word in fields.get(name, "").split()]
        if (name in fields and len(values) != count) or not all(map(math.isfinite, values)):
            raise ValueError
    for name in ("BinaryData", "CompressedData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB"):
        if fields.get(name, "True").lower() not in ("true", "false", "1", "0"):
            raise ValueError


def _is_true(word: str) -> bool:
    return word.lower() in ("true", "1")


def _inflated_length(body: Path, offset: int, packed: int, path: Path) -> int:
    """Bytes in a zlib stream of ``packed`` bytes (0: to the end of the file), its checksum verified."""
    inflate, length = zlib.decompressobj(zlib.MAX_WBITS | 32), 0
    left = packed or body.stat().st_size
    if packed > body.stat().st_size - offset:
        raise damaged(path)
    try:
        with body.open("rb") as file:
            file.seek(offset)
            while not inflate.eof and left > 0 and (chunk := file.read(min(_CHUNK, left))):
                left -= len(chunk)
                while chunk:
                    length += len(inflate.decompress(chunk, _CHUNK))
                    chunk = inflate.unconsumed_tail
    except zlib.error as error:
        raise damaged(path) from error
    if not inflate.eof:
        raise damaged(path)
    return length


# -- NRRD ------------------------------------------------------------------------------------------


def check_nrrd(path: Path) -> None:
    """Check an .nrrd or .nhdr file: its header, that its files are there, and that they can hold what it says.

    Raises:
        InputError: damaged, incomplete, or larger than it can be.
    """
    fields, names, offset = _nrrd_fields(path)
    try:
        sizes = [int(n) for n in fields["sizes"].split()]
        axes, skipped = int(fields["dimension"]), int(fields.get("byte skip", "0"))
        lines = int(fields.get("line skip", "0"))
        width = _NRRD_BYTES[_plain_type(fields["type"])]
        encoding = fields["encoding"]
    except (KeyError, ValueError) as error:
        raise damaged(path) from error
    if axes != len(sizes) or not 1 <= axes <= 16 or min(sizes) < 1 or skipped < -1 or lines < 0:
        raise damaged(path)
    expected = width * math.prod(sizes)
    held = sum(body.stat().st_size for body in _nrrd_files(path, fields, names)) or path.stat().st_size - offset
    if encoding in ("gzip", "gz", "bzip2", "bz2"):
        check_plausible_size(expected, path, held)
        return
    if encoding in ("ascii", "text", "txt"):
        expected = 2 * math.prod(sizes) - 1
    elif encoding == "hex":
        expected *= 2
    elif encoding != "raw":
        raise damaged(path)
    if held - max(0, skipped) < expected:
        raise InputError(f"{path} is incomplete: {max(0, held - skipped)} of {expected} bytes are there.", AGAIN)


def _plain_type(name: str) -> str:
    """A type without its sign and its other spellings: "unsigned short int" and "uint16_t" are "short" and "int16"."""
    words = [word for word in name.split() if word not in ("signed", "unsigned")]
    plain = "".join(words).removesuffix("_t").removeprefix("u")
    return plain if plain == "int" else plain.removesuffix("int")


def _nrrd_fields(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The fields up to the empty line, the lines of a list of files, and where the voxels begin."""
    head = _head(path)
    if re.match(rb"NRRD000\d\r?\n", head) is None:
        raise damaged(path) if head.startswith(b"NRRD") else not_a("NRRD file", path)
    fields: dict[str, str] = {}
    offset = 0
    lines = head.split(b"\n")
    for number, line in enumerate(lines):
        offset += len(line) + 1
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text:
            return fields, [], min(offset, path.stat().st_size)
        name, _, value = text.partition(":")
        if number == 0 or text.startswith("#") or value.startswith("="):
            continue
        name = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}.get(
            name.strip().lower(), name.strip().lower()
        )
        if name in fields or name not in _NRRD_FIELDS or len(line) > _LONGEST_FIELD:
            raise damaged(path)
        fields[name] = value.strip() if name == "data file" else value.strip().lower()
        if name == "data file" and value.split()[:1] == ["LIST"]:
            return fields, [rest.decode("utf-8", "replace").strip() for rest in lines[number + 1 :]], offset
    if "data file" not in fields:  # only a detached header may end with the file
        raise damaged(path)
    return fields, [], offset


def _nrrd_files(path: Path, fields: Mapping[str, str], names: list[str]) -> list[Path]:
    data = fields.get("data file")
    return [] if data is None else _named_files(path, data, names)


# -- files that a header names ---------------------------------------------------------------------


def _named_files(path: Path, data: str, rest: list[str]) -> list[Path]:
    """The files that hold the voxels; only files, no devices: reading those may never end.

    Raises:
        InputError: one is missing, or the header names them in a way that is not understood.
    """
    words = data.split()
    if words[:1] == ["LIST"]:
        names = [name for name in rest if name][:_MOST_FILES]
    elif "%" in data:
        names = list(_numbered(words, path))
    else:
        names = [data]
    files = []
    for name in names:
        try:
            there = "\0" not in name and (path.parent / name).is_file()
        except OSError:  # a name that no file can have
            there = False
        if not there:
            raise InputError(f"{path} belongs to {one_line(name)}, which is missing.", "Keep both files in one folder.")
        files.append(path.parent / name)
    if not files:
        raise damaged(path)
    return files


def _numbered(words: list[str], path: Path) -> Iterator[str]:
    """Names by a pattern as of printf, with one whole number in it, and first, last and step."""
    if not 3 <= len(words) <= 5 or re.fullmatch(r"[^%]*%0?\d?\d?d[^%]*", words[0]) is None:
        raise damaged(path)
    try:
        first, last, step = (int(word) for word in (*words[1:4], "1")[:3])
    except ValueError as error:
        raise damaged(path) from error
    if step == 0 or abs(last - first) // abs(step) > _MOST_FILES or (last - first) * step < 0:
        raise damaged(path)
    for number in range(first, last + (1 if step > 0 else -1), step):
        yield words[0] % number


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST)

"""Changes to volumes by the fields of their headers: NIfTI, NRRD, MetaImage and DICOM."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator
from random import Random

from Fuzz import mutators

#: Offset, type and count of the fields of a NIfTI-1 header (nifti1.h).
_NIFTI = (
    (0, "i", 1), (38, "b", 1), (39, "b", 1), (40, "h", 8), (40, "h", 8), (40, "h", 8), (56, "f", 3), (68, "h", 1),
    (70, "h", 1), (72, "h", 1), (74, "h", 1), (76, "f", 8), (76, "f", 8), (108, "f", 1), (108, "f", 1), (112, "f", 2),
    (120, "h", 1), (122, "b", 1), (123, "b", 1), (124, "f", 4), (252, "h", 2), (256, "f", 6), (280, "f", 12),
    (328, "4s", 1), (344, "4s", 1), (348, "4s", 1), (352, "i", 2),
)  # fmt: skip
_FLOATS = (
    math.nan,
    math.inf,
    -math.inf,
    0.0,
    -0.0,
    -1.0,
    1e-30,
    1e30,
    -1e30,
    3e38,
    1e9,
    2e9,
    352.0,
    351.5,
    1e-3,
    999.0,
)
_INTEGERS = (
    0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 64, 127, -128, 128, 255, 256, 512, 768, 1024, 1280, 1536, 2048, 2304, 32767,
)  # fmt: skip
_WIDE = (348, 540, 1543569408, 469893120, 2**31 - 1, -(2**31), 16, 32, 8, -8)
_MAGIC = (b"n+1\0", b"ni1\0", b"n+2\0", b"\0\0\0\0", b"n+1x", b"\1\0\0\0", b"\xff\xff\xff\xff")

#: Fields of NRRD and MetaImage headers, to be put in beside those that are there.
_NRRD = (
    b"encoding: raw", b"encoding: gzip", b"encoding: ascii", b"encoding: hex", b"encoding: bzip2", b"encoding: zrl",
    b"data file: {other}", b"data file: /dev/zero", b"data file: /dev/stdin", b"data file: ../x.raw",
    b"data file: LIST",
    b"data file: x%03d.raw 0 5 1", b"data file: x%03d.raw 0 2000000000 1", b"data file: %s%s%n 1 9 1",
    b"line skip: 1", b"line skip: 99999999999", b"byte skip: -1", b"byte skip: 999999999", b"byte skip: -9",
    b"sizes: 8 9 10", b"sizes: 2000 2000 2000", b"sizes: 60000 60000 60000", b"sizes: 4294967297 2 2", b"sizes: 0 0 0",
    b"sizes: -1 8 8", b"dimension: 3", b"dimension: 2", b"dimension: 4", b"dimension: 16", b"dimension: 17",
    b"dimension: 0", b"dimension: -3", b"type: float", b"type: double", b"type: block", b"type: uchar", b"type: uint64",
    b"block size: 7", b"block size: -1", b"endian: big", b"space: scanner-xyz", b"space: left-posterior-superior-time",
    b"space dimension: 3", b"space dimension: 99", b"spacings: 1 nan 1", b"spacings: 0 0 0", b"spacings: 1e300 1 1",
    b"space directions: none none none", b"space directions: (1,0,0) (0,1,0) (0,0,0)", b"space origin: (nan,0,0)",
    b"space directions: (1,0,0) (1,0,0) (0,0,1)", b"space directions: (1e300,0,0) (0,1e300,0) (0,0,1)",
    b"space directions: (999,0,0) (0,999,0) (0,0,999)", b"kinds: RGB-color domain domain", b"kinds: vector list list",
    b"centers: cell ??? node", b"content: " + b"x" * 5000, b"old min: 1", b"measurement frame: (1,0,0) (0,1,0) (0,0,1)",
    b"Segment0_ID:=Segment_1", b"Segment0_LabelValue:=999999999999", b"Segment0_Layer:=7", b"Segment0_Layer:=-9",
    b"Segment0_Extent:=0 a 0", b"Segment0_Color:=1 2", b"Segment0_Tags:=Segmentation.Status:x|TerminologyEntry:~^~^~",
    b"Segment9_Name:=liver", b"Segmentation_ReferenceImageExtentOffset:=9 9", b"a:=b", b"labels: \"a\" \"b",
)  # fmt: skip
_META = (
    b"NDims = 3", b"NDims = 2", b"NDims = 4", b"NDims = 10", b"NDims = 11", b"NDims = 100000", b"NDims = -1",
    b"NDims = 0",
    b"DimSize = 8 9 10", b"DimSize = 8 9", b"DimSize = 8 9 10 11 12 13 14 15 16 17 18", b"DimSize = 60000 60000 60000",
    b"DimSize = 1000 1000 1000", b"DimSize = 0 0 0", b"DimSize = -8 9 10", b"ElementNumberOfChannels = 3",
    b"ElementNumberOfChannels = 1000000000", b"ElementNumberOfChannels = -1", b"ElementNumberOfChannels = 0",
    b"ElementType = MET_UCHAR", b"ElementType = MET_DOUBLE", b"ElementType = MET_SHORT_ARRAY",
    b"ElementType = MET_STRING",
    b"ElementType = MET_OTHER", b"ElementType = MET_FLOAT_MATRIX", b"ElementType = x", b"CompressedData = True",
    b"CompressedData = False", b"CompressedDataSize = 5", b"CompressedDataSize = 99999999999",
    b"CompressedDataSize = -1",
    b"HeaderSize = -1", b"HeaderSize = 99999999", b"HeaderSize = -7", b"ElementByteOrderMSB = True",
    b"BinaryData = False", b"BinaryDataByteOrderMSB = True", b"ElementSpacing = 1 1", b"ElementSpacing = 0 0 0",
    b"ElementSpacing = nan 1 1", b"ElementSpacing = 999 999 999", b"ElementSpacing = 1 1 1 1 1 1 1 1 1 1 1 1",
    b"TransformMatrix = 1 0 0", b"TransformMatrix = 1 0 0 0 1 0 0 0 0", b"TransformMatrix = " + b"1 " * 200,
    b"Offset = inf 0 0", b"ElementDataFile = LOCAL", b"ElementDataFile = LIST", b"ElementDataFile = LIST 2",
    b"ElementDataFile = LIST 99", b"ElementDataFile = x%03d.raw 1 9 1", b"ElementDataFile = %s%s%n 1 9 1",
    b"ElementDataFile = {other}", b"ElementDataFile = /dev/zero", b"ElementDataFile = /dev/stdin", b"ElementDataFile =",
    b"ObjectType = Mesh", b"ObjectType = Image", b"ObjectSubType = x", b"Comment = " + b"x" * 40000,
    b"Modality = MET_MOD_CT",
    b"Name = " + b"y" * 300, b"AnatomicalOrientation = ???", b"CenterOfRotation = 0", b"ElementMin = nan", b"a = b",
    b"=",
)  # fmt: skip
#: Kinds of DICOM values with a length of four bytes.
_LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UT", b"UN", b"UC", b"UR")


def nifti(random: Random, data: bytes, other: bytes) -> bytes:
    """Fields of the header, or bytes anywhere."""
    if len(data) < 360 or random.random() < 0.2:
        return mutators.mutated(random, data, other, mutators.BINARY)
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        offset, kind, count = random.choice(_NIFTI)
        at = offset + random.randrange(count) * struct.calcsize(kind)
        order = "<" if random.random() < 0.98 else ">"
        struct.pack_into(order + kind, changed, at, _value(random, kind))
    if random.random() < 0.1:
        return mutators.truncate(random, bytes(changed), other)
    return bytes(changed)


def _value(random: Random, kind: str) -> object:
    if kind == "4s":
        return random.choice(_MAGIC)
    if kind == "f":
        return random.choice((random.choice(_FLOATS), random.uniform(-10, 10)))
    number = random.choice((random.choice(_INTEGERS), random.randrange(1, 40)))
    if kind == "i":
        return random.choice((number, random.choice(_WIDE)))
    return max(-128, min(127, number)) if kind == "b" else number


def nrrd(random: Random, data: bytes, other: bytes) -> bytes:
    """Lines of the header, or bytes anywhere."""
    return _lines(random, data, other, b"\n\n", _NRRD, before=False)


def meta(random: Random, data: bytes, other: bytes) -> bytes:
    """Lines of the header, or bytes anywhere."""
    return _lines(random, data, other, b"LOCAL\n", _META, before=True)


def _lines(random: Random, data: bytes, other: bytes, end: bytes, known: tuple[bytes, ...], before: bool) -> bytes:
    """Change the text up to ``end``; the voxels after it stay mostly as they are."""
    at = data.find(end)
    if at < 0 or random.random() < 0.15:
        return mutators.mutated(random, data, other, mutators.BINARY)
    cut = at + (len(end) if before else 0)
    head, body = data[:cut], data[cut:]
    if random.random() < 0.6:
        lines = head.split(b"\n")
        for _ in range(random.choice((1, 1, 2, 3))):
            _put(random, lines, random.choice(known).replace(b"{other}", b"other.raw"))
        head = b"\n".join(lines)
    else:
        head = mutators.mutated(random, head, other[:at], mutators.TEXT)
    if random.random() < 0.1:
        body = mutators.mutated(random, body or b"x", other, mutators.BINARY)
    return head + body


def _put(random: Random, lines: list[bytes], line: bytes) -> None:
    """In place of the line of that name, or anywhere."""
    name = line.replace(b"=", b":").partition(b":")[0].strip()
    same = [n for n, old in enumerate(lines) if old.replace(b"=", b":").partition(b":")[0].strip() == name]
    if same and random.random() < 0.8:
        lines[same[0]] = line
    else:
        lines.insert(random.randrange(1, max(2, len(lines))), line)


def zipped(change):
    """The same inside of a gzip file; sometimes of the gzip file itself, or several members, or a bomb."""

    def change_inside(random: Random, data: bytes, other: bytes) -> bytes:
        if random.random() < 0.15:
            return mutators.mutated(random, data, other, mutators.BINARY)
        inside = change(random, gzip.decompress(data), gzip.decompress(other))
        if random.random() < 0.03:
            inside += bytes(random.choice((1 << 10, 1 << 22, 1 << 28)))
        half = len(inside) // 2 if random.random() < 0.1 else 0
        packed = gzip.compress(inside[:half], 1, mtime=0) if half else b""
        packed += gzip.compress(inside[half:], 1, mtime=0)
        return packed + (bytes(512) if random.random() < 0.05 else b"")

    return change_inside


def dicom(random: Random, data: bytes, other: bytes) -> bytes:
    """Values, lengths and kinds of elements, or bytes anywhere."""
    found = list(_elements(data))
    if not found or random.random() < 0.2:
        return mutators.mutated(random, data, other, mutators.BINARY)
    start, at, length, kind = random.choice(found)
    what = random.randrange(8)
    if what == 0:
        return data[:start] + data[at + length :]
    if what == 1:  # another length than there is
        size = struct.pack("<I", random.choice((0xFFFFFFFF, 0x7FFFFFFF, length + 2, 0, 1 << 28)))
        place = at - 4 if kind in _LONG else at - 2
        return data[:place] + (size if kind in _LONG else size[:2]) + data[at:]
    if what == 2:
        return data[: start + 4] + random.choice((*_LONG, b"US", b"DS", b"LO", b"\0\0", b"??")) + data[start + 6 :]
    if what == 3:
        return data[: at + length] + data[start : at + length] + data[at + length :]
    if kind == b"US":
        value = struct.pack("<H", random.choice((0, 1, 2, 3, 8, 12, 16, 32, 64, 255, 4096, 32767, 65535)))
    elif kind in (b"OW", b"OB"):
        value = data[at : at + length][: random.randrange(length + 1)]
    else:
        values = random.choice((mutators.NUMBERS, mutators.WORDS))
        parts = data[at : at + length].split(b"\\")
        parts[random.randrange(len(parts))] = random.choice(values)[:4000]
        value = b"\\".join(parts)
    value += b" " * (len(value) % 2)
    size = struct.pack("<I", len(value)) if kind in _LONG else struct.pack("<H", len(value) & 0xFFFF)
    place = at - len(size)
    return data[:place] + size + value + data[at + length :]


def _elements(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Start of element, start of value, length and kind, in explicit little endian."""
    at = 132
    while at + 8 <= len(data):
        kind = data[at + 4 : at + 6]
        if kind in _LONG:
            if at + 12 > len(data):
                return
            value, length = at + 12, struct.unpack_from("<I", data, at + 8)[0]
        else:
            value, length = at + 8, struct.unpack_from("<H", data, at + 6)[0]
        if value + length > len(data):
            return
        yield at, value, length, kind
        at = value + length

"""Damage that ITK does not notice, looked for in the bytes of NIfTI and MetaImage files.

ITK reads a truncated NIfTI, and a MetaImage whose compressed body is damaged, without a complaint
and fills the rest with zeros or rubbish; it turns NaN into 0 and non-positive spacing into a positive one.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SwinSSLLib.errors import InputError

AGAIN = "Copy or export the file again."

_CHUNK = 1 << 20
#: Deflate cannot shrink anything by more than this factor (zlib's technical details).
_LARGEST_COMPRESSION = 1032
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 8, "ULONG": 8}
_META_BYTES |= {"LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


# -- NIfTI -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NiftiHeader:
    """What is checked of a NIfTI-1 header (nifti1.h).

    Attributes:
        length: bytes of header and voxels together.
        offset: where the voxels begin.
        number: numpy name of a floating-point voxel, byte order included; empty for integers.
        placed: whether it says how the volume lies in the patient.
    """

    length: int
    offset: int
    number: str
    placed: bool


def check_nifti(path: Path) -> NiftiHeader:
    """Check the header of a NIfTI file, and that the file can be as long as it says."""
    zipped = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        if zipped and file.read(2) != b"\x1f\x8b":
            raise not_a("compressed NIfTI file", path)
    try:
        with gzip.open(path) if zipped else path.open("rb") as stream:
            header = _nifti_header(stream.read(348), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path) from error
    check_plausible_size(header.length, path, zipped)
    return header


def is_as_long_as_it_says(header: NiftiHeader, path: Path) -> bool:
    """Whether the last bytes of a file promise its whole length, so that memory may be asked for before all is read."""
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size >= header.length
    with path.open("rb") as file:
        file.seek(-4, 2)
        # RFC 1952: length modulo 2^32 of the last member; nearly all files have one member.
        return int(struct.unpack("<I", file.read(4))[0]) >= min(header.length, 2**32 - 1)


def check_nifti_body(header: NiftiHeader, path: Path) -> None:
    """Check length and numbers of a NIfTI file, and the checksum of a compressed one."""
    length, strange, rest = 0, 0, b""
    try:
        for chunk in _inflated(path) if path.name.lower().endswith(".gz") else _chunks(path):
            start = max(0, header.offset - length)
            length += len(chunk)
            if header.number:  # ITK would turn them into zeros
                rest += chunk[start:]
                whole = len(rest) - len(rest) % 8
                numbers = np.frombuffer(rest[:whole], dtype=header.number)
                strange += numbers.size - int(np.count_nonzero(np.isfinite(numbers)))
                rest = rest[whole:]
    except (EOFError, zlib.error) as error:
        raise damaged(path) from error
    if length < header.length:
        raise InputError(f"{path} is incomplete: {length} of {header.length} bytes are there.", AGAIN)
    if strange:
        raise not_numbers(strange, path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _inflated(path: Path) -> Iterator[bytes]:
    """The content of a gzip file, its checksums verified; Python's gzip module takes it in small bites.

    Raises:
        EOFError, zlib.error: cut off or damaged.
    """
    inflate, inside = zlib.decompressobj(zlib.MAX_WBITS | 16), False
    for chunk in _chunks(path):
        data = chunk
        while data:
            yield inflate.decompress(data, _CHUNK)
            inside, data = not inflate.eof, inflate.unconsumed_tail
            if inflate.eof:  # another member may follow, or zeros to fill a block
                data = inflate.unused_data.lstrip(b"\0")
                inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    if inside:
        raise EOFError


def _nifti_header(header: bytes, path: Path) -> NiftiHeader:
    sizes_of_header = [struct.unpack_from(o + "i", header)[0] if len(header) >= 4 else 0 for o in "<>"]
    if 540 in sizes_of_header:
        raise InputError(f"{path} is NIfTI-2, which cannot be read.", "Save it as NIfTI-1 (.nii.gz) or NRRD.")
    if len(header) < 348 or 348 not in sizes_of_header:
        raise not_a("NIfTI file", path)
    order = "<>"[sizes_of_header.index(348)]
    count, *sizes = struct.unpack_from(order + "8h", header, 40)
    kind, bits = struct.unpack_from(order + "2h", header, 70)
    spacing = struct.unpack_from(order + "3f", header, 80)
    (offset,) = struct.unpack_from(order + "f", header, 108)
    codes = struct.unpack_from(order + "2h", header, 252)
    if not 1 <= count <= 7 or min(sizes[:count]) < 1 or bits < 1 or not 348 <= offset < 1e9:
        raise damaged(path)
    if not all(0 < s < np.inf for s in spacing[: min(count, 3)]):
        raise impossible_spacing(spacing, path)
    voxels = 1
    for n in sizes[:count]:
        voxels *= n
    number = {16: f"{order}f4", 64: f"{order}f8"}.get(kind, "")
    return NiftiHeader(int(offset) + voxels * bits // 8, int(offset), number, max(codes) > 0)


# -- MetaImage -------------------------------------------------------------------------------------


def check_meta(path: Path) -> None:
    """Check length and, where compressed, the checksum of the voxels of an .mha or .mhd file."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
    found = re.search(rb"ElementDataFile\s*=\s*(.*?)\r?\n", start)
    if found is None or b"DimSize" not in start[: found.end()]:
        raise not_a("MetaImage file", path)
    text = start[: found.end()].decode("latin-1")
    fields = dict(re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", text, re.MULTILINE))
    data, offset = fields["ElementDataFile"], 0
    if data == "LOCAL":
        body, offset = path, found.end()
    elif data.startswith("LIST") or "%" in data:
        return  # one file a slice: ITK finds out what is missing
    else:
        body = path.parent / data
        if not body.is_file():
            raise InputError(f"{path} belongs to {data}, which is missing.", "Keep both files in one folder.")
    width = _META_BYTES.get(fields.get("ElementType", "").removeprefix("MET_"))
    try:
        sizes = [int(n) for n in fields["DimSize"].split()]
        channels = int(fields.get("ElementNumberOfChannels", "1"))
    except ValueError as error:
        raise damaged(path) from error
    if width is None or min(sizes, default=0) < 1:
        raise damaged(path)
    expected = width * channels
    for n in sizes:
        expected *= n
    if fields.get("CompressedData", "False").lower() == "true":
        check_plausible_size(expected, path)
        length = _inflated_length(body, offset, path)
    else:
        length = body.stat().st_size - offset
    if length < expected:
        raise InputError(f"{path} is incomplete: {length} of {expected} bytes are there.", AGAIN)


def _inflated_length(body: Path, offset: int, path: Path) -> int:
    """Bytes in a zlib stream, its checksum verified."""
    inflate, length = zlib.decompressobj(zlib.MAX_WBITS | 32), 0
    try:
        with body.open("rb") as file:
            file.seek(offset)
            while not inflate.eof and (chunk := file.read(_CHUNK)):
                length += len(inflate.decompress(chunk))
    except zlib.error as error:
        raise damaged(path) from error
    if not inflate.eof:
        raise damaged(path)
    return length


# -- sentences -------------------------------------------------------------------------------------


def check_plausible_size(expected: int, path: Path, zipped: bool = True) -> None:
    """Refuse a header that promises more than the file can hold, before any memory is asked for."""
    held = path.stat().st_size * (_LARGEST_COMPRESSION if zipped else 1)
    if expected > held + (1 << 20):
        raise InputError(
            f"{path} says that it holds {expected / 2**20:.0f} MiB of voxels, more than can be in it.",
            "Its header is wrong or the file is cut off. " + AGAIN,
        )


def not_numbers(count: int, source: object) -> InputError:
    """The sentence for NaN and infinite voxels."""
    return InputError(
        f"{source} has {count} voxels that are not numbers (NaN or infinite).",
        "Replace them, for example by -1024, and try again.",
    )


def impossible_spacing(spacing: tuple[float, ...], source: object) -> InputError:
    """The sentence for spacing that is zero, negative, absurd or no number."""
    numbers = " x ".join(f"{value:g}" for value in spacing)
    return InputError(f"{source} has an impossible voxel spacing of {numbers} mm.", "Correct its header.")


def not_a(kind: str, path: Path) -> InputError:
    return InputError(f"{path} is not a {kind}, whatever its name says.", "Choose a NIfTI, NRRD, MHA or DICOM volume.")


def damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged or incomplete.", AGAIN)


def skewed(path: Path) -> InputError:
    return InputError(
        f"{path} has axes that are not at right angles (a tilted gantry or a sheared header).",
        "Resample it to a straight grid first, in 3D Slicer with Resample Scalar Volume.",
    )

"""Damage that ITK does not notice, looked for in the bytes of NIfTI files; MetaImage and NRRD are in text_headers.py.

ITK reads a truncated NIfTI, and a MetaImage whose compressed body is damaged, without a complaint
and fills the rest with zeros or rubbish; it turns NaN into 0 and non-positive spacing into a positive one.
"""

from __future__ import annotations

import gzip
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
#: Bits of a voxel by its code in the header (nifti1.h); what the header itself says about them ITK does not look at.
_NIFTI_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_NIFTI_BITS |= {1792: 128, 2304: 32}
#: Millimetres; no patient lies farther from the origin.
_FARTHEST = 1e7
#: More bytes after the voxels than this are no padding: unpacking them could take for ever.
_MOST_BEHIND = 64 << 20


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
    check_plausible_size(header.length, path, zipped=zipped)
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
            if length > header.length + _MOST_BEHIND:
                raise InputError(f"{path} holds far more than the {header.length} bytes that it says.", AGAIN)
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
    (kind,) = struct.unpack_from(order + "h", header, 70)
    spacing = struct.unpack_from(order + "3f", header, 80)
    (offset,) = struct.unpack_from(order + "f", header, 108)
    codes = struct.unpack_from(order + "2h", header, 252)
    bits = _NIFTI_BITS.get(kind, 0)
    if not 1 <= count <= 7 or min(sizes[:count]) < 1 or bits < 1 or not 348 <= offset < 1e9:
        raise damaged(path)
    if not all(0 < s < np.inf for s in spacing[: min(count, 3)]):
        raise impossible_spacing(spacing, path)
    place = struct.unpack_from(order + "6f", header, 256) if codes[0] > 0 else ()
    place += struct.unpack_from(order + "12f", header, 280) if codes[1] > 0 else ()
    if not all(abs(value) < _FARTHEST for value in place):  # at some of those ITK computes for ever
        raise InputError(f"{path} has no valid position in space.", "Correct its header.")
    voxels = 1
    for n in sizes[:count]:
        voxels *= n
    number = {16: f"{order}f4", 64: f"{order}f8"}.get(kind, "")
    return NiftiHeader(int(offset) + voxels * bits // 8, int(offset), number, max(codes) > 0)


# -- sentences -------------------------------------------------------------------------------------


def check_plausible_size(expected: int, path: Path, held: int | None = None, zipped: bool = True) -> None:
    """Refuse a header that promises more than the file can hold, before any memory is asked for.

    Args:
        expected: bytes of the voxels.
        path: named in the message.
        held: bytes of the file that holds them, where that is another one.
        zipped: whether they may be compressed.
    """
    held = (path.stat().st_size if held is None else held) * (_LARGEST_COMPRESSION if zipped else 1)
    if expected > held + (1 << 20):
        raise InputError(
            f"{path} says that it holds {expected >> 20} MiB of voxels, more than can be in it.",
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
    """What to say of a file that is of another kind than its name says."""
    return InputError(f"{path} is not a {kind}, whatever its name says.", "Choose a NIfTI, NRRD, MHA or DICOM volume.")


def damaged(path: Path) -> InputError:
    """What to say of a file that ends too early or contradicts itself."""
    return InputError(f"{path} is damaged or incomplete.", AGAIN)


def skewed(path: Path) -> InputError:
    """What to say of axes that are not at right angles."""
    return InputError(
        f"{path} has axes that are not at right angles (a tilted gantry or a sheared header).",
        "Resample it to a straight grid first, in 3D Slicer with Resample Scalar Volume.",
    )

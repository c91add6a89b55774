"""Single volume files: what is damaged is refused before and after ITK looks at it.

ITK reads a truncated NIfTI, and a MetaImage whose compressed body is damaged, without a complaint
and fills the rest with zeros or rubbish; a header with an absurd size makes it ask for the memory first;
it turns zero and negative spacing into positive numbers. The checks here close these doors.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import SimpleITK as sitk  # noqa: N813 - the name that its manual uses

from SwinSSLLib.errors import InputError, MemoryShortage

#: Endings of the files that are read, longest first.
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

_CHUNK = 1 << 20
#: Deflate cannot shrink anything by more than this factor (zlib's technical details).
_LARGEST_COMPRESSION = 1032
_AGAIN = "Copy or export the file again."
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 8, "ULONG": 8}
_META_BYTES |= {"LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's warnings go to the terminal, where nobody can catch them


@dataclass(frozen=True)
class Loaded:
    """An ITK image, three-dimensional and scalar, and what its header was silent about."""

    image: sitk.Image
    warnings: tuple[str, ...] = ()


def volume_suffix(path: Path) -> str | None:
    """The ending of a volume file name in lower case, or None."""
    return next((suffix for suffix in VOLUME_SUFFIXES if path.name.lower().endswith(suffix)), None)


def companions(path: Path) -> list[Path]:
    """The files that a detached header (.mhd, .nhdr) needs beside it, as far as it names them."""
    pattern = {".mhd": rb"ElementDataFile\s*=\s*(.+?)\s*\r?\n", ".nhdr": rb"data ?file:\s*(.+?)\s*\r?\n"}
    wanted = pattern.get(volume_suffix(path) or "")
    if wanted is None:
        return []
    with path.open("rb") as file:
        names = re.findall(wanted, file.read(1 << 16) + b"\n", re.IGNORECASE)
    beside = [path.parent / name.decode("utf-8", "replace") for name in names]
    return [file for file in beside if file.is_file()]


def load_file(path: Path) -> Loaded:
    """Read one NIfTI, NRRD or MetaImage file.

    Raises:
        InputError: not such a file, damaged, incomplete, not a 3D scalar image, or impossible geometry.
        MemoryShortage: the image does not fit into the free memory.
    """
    suffix = volume_suffix(path)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.", _AGAIN)
    warnings: tuple[str, ...] = ()
    if suffix in (".nii.gz", ".nii"):
        warnings = _check_nifti(path)
    elif suffix in (".mha", ".mhd"):
        _check_meta(path)
    elif suffix in (".nrrd", ".nhdr"):
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != b"NRRD":
            raise _not_a("NRRD file", path)
    else:
        raise InputError(
            f"{path} is not a volume file that can be read.", f"Use {', '.join(VOLUME_SUFFIXES)} or DICOM."
        )
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise _skewed(path) from error
        raise _damaged(path) from error
    if suffix in (".nrrd", ".mha"):
        _check_plausible_size(_bytes_of(reader), path)
    check_header(reader, path)
    try:
        return Loaded(reader.Execute(), warnings)
    except RuntimeError as error:
        raise _damaged(path) from error


def check_header(reader: sitk.ImageFileReader, path: Path) -> None:
    """Refuse what is not a 3D scalar image with a proper geometry, before its voxels are read."""
    size, parts = reader.GetSize(), reader.GetNumberOfComponents()
    if parts != 1:
        raise InputError(f"{path} has {parts} values in each voxel (colour or vector).", "Choose a grey-scale CT.")
    if len(size) > 3 and any(n > 1 for n in size[3:]):
        frames = int(np.prod(size[3:]))
        raise InputError(f"{path} is a series of {frames} volumes (4D).", "Export one of its volumes and use that.")
    if len(size) < 3:
        raise InputError(f"{path} is a two-dimensional image.", "Choose a CT volume.")
    if len(size) > 3 or min(size) < 2:
        shape = " x ".join(str(n) for n in size[:3])
        raise InputError(f"{path} has a single slice ({shape} voxels).", "Choose a CT volume with several slices.")
    check_geometry(reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection(), path)
    needed, free = 2 * _bytes_of(reader), psutil.virtual_memory().available
    if needed > free:
        raise MemoryShortage(
            f"{path} needs {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free.",
            "Close other programs or use a smaller volume.",
        )


def check_geometry(
    spacing: tuple[float, ...], origin: tuple[float, ...], direction: tuple[float, ...], path: Path
) -> None:
    """Refuse spacing that is not positive, and axes that are not at right angles."""
    if not all(0.001 < s < 1000 for s in spacing):
        raise InputError(f"{path} has an impossible voxel spacing of {_numbers(spacing)} mm.", "Correct its header.")
    axes = np.reshape(direction, (3, 3))
    if not (np.isfinite(axes).all() and np.isfinite(origin).all()):
        raise InputError(f"{path} has no valid position in space.", "Correct its header.")
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise _skewed(path)


# -- NIfTI -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _NiftiLayout:
    """Where a NIfTI header keeps what is checked (nifti1.h, nifti2.h): offset and struct format."""

    dimensions: tuple[int, str]
    bits: tuple[int, str]
    spacing: tuple[int, str]
    offset: tuple[int, str]
    codes: tuple[int, str]
    length: int


_NIFTI = {
    348: _NiftiLayout((40, "8h"), (72, "h"), (80, "3f"), (108, "f"), (252, "2h"), 348),
    540: _NiftiLayout((16, "8q"), (14, "h"), (112, "3d"), (168, "q"), (344, "2i"), 540),
}


def _check_nifti(path: Path) -> tuple[str, ...]:
    """Check header and length of a NIfTI file, and the checksum of a compressed one; returns warnings."""
    zipped = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        if zipped and file.read(2) != b"\x1f\x8b":
            raise _not_a("compressed NIfTI file", path)
    try:
        with gzip.open(path) if zipped else path.open("rb") as stream:
            header = stream.read(540)
            expected, placed = _nifti_length(header, path)
            _check_plausible_size(expected, path, zipped)
            length = len(header)
            while chunk := stream.read(_CHUNK):
                length += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path) from error
    if length < expected:
        raise InputError(f"{path} is incomplete: {length} of {expected} bytes are there.", _AGAIN)
    if not placed:
        return (f"{path.name} does not say how it lies in the patient; left and right may be swapped.",)
    return ()


def _nifti_length(header: bytes, path: Path) -> tuple[int, bool]:
    """Bytes that header and voxels must have, and whether the header places the volume in the patient."""
    order = next((o for o in "<>" if len(header) >= 348 and struct.unpack_from(o + "i", header)[0] in _NIFTI), None)
    if order is None:
        raise _not_a("NIfTI file", path)
    layout = _NIFTI[struct.unpack_from(order + "i", header)[0]]
    if len(header) < layout.length:
        raise _damaged(path)
    dimensions, bits, spacing, offset, codes = (
        struct.unpack_from(order + kind, header, place)
        for place, kind in (layout.dimensions, layout.bits, layout.spacing, layout.offset, layout.codes)
    )
    count, sizes = dimensions[0], dimensions[1:]
    if not 1 <= count <= 7 or min(sizes[:count]) < 1 or bits[0] < 1 or not 0 <= offset[0] < 1e9:
        raise _damaged(path)
    if not all(0 < s < np.inf for s in spacing[: min(count, 3)]):
        raise InputError(f"{path} has an impossible voxel spacing of {_numbers(spacing)} mm.", "Correct its header.")
    voxels = 1
    for n in sizes[:count]:
        voxels *= n
    return int(offset[0]) + voxels * bits[0] // 8, max(codes) > 0


# -- MetaImage -------------------------------------------------------------------------------------


def _check_meta(path: Path) -> None:
    """Check length and, where compressed, the checksum of the voxels of an .mha or .mhd file."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
    found = re.search(rb"ElementDataFile\s*=\s*(.*?)\r?\n", start)
    if found is None or b"DimSize" not in start[: found.end()]:
        raise _not_a("MetaImage file", path)
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
        raise _damaged(path) from error
    if width is None or min(sizes, default=0) < 1:
        raise _damaged(path)
    expected = width * channels
    for n in sizes:
        expected *= n
    if fields.get("CompressedData", "False").lower() == "true":
        _check_plausible_size(expected, path)
        length = _inflated_length(body, offset, path)
    else:
        length = body.stat().st_size - offset
    if length < expected:
        raise InputError(f"{path} is incomplete: {length} of {expected} bytes are there.", _AGAIN)


def _inflated_length(body: Path, offset: int, path: Path) -> int:
    """Bytes in a zlib stream, its checksum verified."""
    inflate, length = zlib.decompressobj(zlib.MAX_WBITS | 32), 0
    try:
        with body.open("rb") as file:
            file.seek(offset)
            while not inflate.eof and (chunk := file.read(_CHUNK)):
                length += len(inflate.decompress(chunk))
    except zlib.error as error:
        raise _damaged(path) from error
    if not inflate.eof:
        raise _damaged(path)
    return length


# -- sentences -------------------------------------------------------------------------------------


def _check_plausible_size(expected: int, path: Path, zipped: bool = True) -> None:
    """Refuse a header that promises more than the file can hold, before any memory is asked for."""
    held = path.stat().st_size * (_LARGEST_COMPRESSION if zipped else 1)
    if expected > held + (1 << 20):
        raise InputError(
            f"{path} says that it holds {expected / 2**20:.0f} MiB of voxels, more than can be in it.",
            "Its header is wrong or the file is cut off. " + _AGAIN,
        )


def _bytes_of(reader: sitk.ImageFileReader) -> int:
    width = {sitk.sitkInt8: 1, sitk.sitkUInt8: 1, sitk.sitkInt16: 2, sitk.sitkUInt16: 2}
    width |= {sitk.sitkInt32: 4, sitk.sitkUInt32: 4, sitk.sitkFloat32: 4}
    total = width.get(reader.GetPixelID(), 8) * reader.GetNumberOfComponents()
    for n in reader.GetSize():
        total *= n
    return int(total)


def _numbers(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _not_a(kind: str, path: Path) -> InputError:
    return InputError(f"{path} is not a {kind}, whatever its name says.", "Choose a NIfTI, NRRD, MHA or DICOM volume.")


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged or incomplete.", _AGAIN)


def _skewed(path: Path) -> InputError:
    return InputError(
        f"{path} has axes that are not at right angles (a tilted gantry or a sheared header).",
        "Resample it to a straight grid first, in 3D Slicer with Resample Scalar Volume.",
    )

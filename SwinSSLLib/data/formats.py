"""Single volume files: checked before ITK reads their voxels, and after.

A header with an absurd size makes ITK ask for the memory first, and it leaves a program with messages of
several lines. ``headers.py`` finds the damage that it does not notice at all.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import SimpleITK as sitk  # noqa: N813 - the name that its manual uses

from SwinSSLLib.data.geometry import Volume
from SwinSSLLib.data.headers import (
    AGAIN,
    check_nifti,
    check_nifti_body,
    damaged,
    impossible_spacing,
    is_as_long_as_it_says,
    skewed,
)
from SwinSSLLib.data.text_headers import check_meta, check_nrrd
from SwinSSLLib.errors import InputError, MemoryShortage

#: Endings of the files that are read, longest first.
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

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
        raise InputError(f"{path} is empty.", AGAIN)
    if suffix in (".nii.gz", ".nii"):
        return _load_nifti(path)
    if suffix in (".mha", ".mhd"):
        check_meta(path)
    elif suffix in (".nrrd", ".nhdr"):
        check_nrrd(path)
    else:
        raise InputError(
            f"{path} is not a volume file that can be read.", f"Use {', '.join(VOLUME_SUFFIXES)} or DICOM."
        )
    reader = _informed_reader(path)
    check_header(reader, path)
    return Loaded(_voxels(reader, path))


def _load_nifti(path: Path) -> Loaded:
    header = check_nifti(path)
    reader = _informed_reader(path)
    check_header(reader, path)
    if is_as_long_as_it_says(header, path):
        # ITK does not look at checksums. They are verified while it reads: two passes in the time of one.
        with ThreadPoolExecutor(1) as pool:
            checked = pool.submit(check_nifti_body, header, path)
            try:
                image = _voxels(reader, path)
            finally:
                checked.result()  # knows better what is wrong
    else:
        check_nifti_body(header, path)
        image = _voxels(reader, path)
    if header.placed:
        return Loaded(image)
    words = f"{path.name} does not say how it lies in the patient; left and right may be swapped."
    return Loaded(image, (words,))


def outline(path: Path) -> Volume:
    """The shape and the geometry of a volume file by its header alone; its voxels stand for nothing.

    Raises:
        InputError: the header cannot be read, or is not that of a CT.
    """
    if not path.is_file() or volume_suffix(path) is None:
        raise InputError(f"{path} is not a volume file that can be read.", AGAIN)
    reader = _informed_reader(path)
    check_header(reader, path)
    voxels = np.broadcast_to(np.int16(0), reader.GetSize())
    return Volume(voxels, reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection(), source=path)


def load_segmentation(path: Path) -> sitk.Image:
    """Read a ``.seg.nrrd``: whole numbers in three dimensions, with several values a voxel where segments overlap.

    Raises:
        InputError: not such a file, damaged, incomplete, or impossible geometry.
        MemoryShortage: the image does not fit into the free memory.
    """
    check_nrrd(path)
    reader = _informed_reader(path)
    if reader.GetDimension() != 3 or "integer" not in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise InputError(f"{path} is no segmentation of a volume.", "Save it again with 3D Slicer.")
    check_geometry(reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection(), path)
    check_memory(bytes_of(reader), path)
    return _voxels(reader, path)


def _informed_reader(path: Path) -> sitk.ImageFileReader:
    """A reader that knows the header."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise skewed(path) from error
        raise damaged(path) from error
    return reader


def _voxels(reader: sitk.ImageFileReader, path: Path) -> sitk.Image:
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise damaged(path) from error


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
    check_memory(bytes_of(reader), path)


def check_memory(needed: int, path: Path) -> None:
    """Refuse an image of so many bytes when there is no room for it and for a copy."""
    free = psutil.virtual_memory().available
    if 2 * needed > free:
        raise MemoryShortage(
            f"{path} needs {2 * needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free.",
            "Close other programs or use a smaller volume.",
        )


def check_geometry(
    spacing: tuple[float, ...], origin: tuple[float, ...], direction: tuple[float, ...], path: Path
) -> None:
    """Refuse spacing that is not positive, and axes that are not at right angles."""
    if not all(0.001 < s < 1000 for s in spacing):
        raise impossible_spacing(spacing, path)
    axes = np.reshape(direction, (3, 3))
    if not (np.isfinite(axes).all() and np.isfinite(origin).all()):
        raise InputError(f"{path} has no valid position in space.", "Correct its header.")
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise skewed(path)


def bytes_of(reader: sitk.ImageFileReader) -> int:
    """Bytes of the voxels, by the header."""
    width = {sitk.sitkInt8: 1, sitk.sitkUInt8: 1, sitk.sitkInt16: 2, sitk.sitkUInt16: 2}
    width |= {sitk.sitkInt32: 4, sitk.sitkUInt32: 4, sitk.sitkFloat32: 4}
    total = width.get(reader.GetPixelID(), 8) * reader.GetNumberOfComponents()
    for n in reader.GetSize():
        total *= n
    return int(total)

"""One door for reading and writing CT volumes and label maps.

NIfTI, NRRD, MetaImage and DICOM come in through SimpleITK. What cannot be used is refused with one
sentence; what is strange but usable comes with a sentence in ``Volume.warnings``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its manual uses

from SwinSSLLib import leftovers
from SwinSSLLib.atomic import cannot_write
from SwinSSLLib.data.content import to_hounsfield, to_labels
from SwinSSLLib.data.dicom import Series, choose_series, is_dicom, list_series
from SwinSSLLib.data.dicom_stack import read_series
from SwinSSLLib.data.formats import VOLUME_SUFFIXES, load_file, volume_suffix
from SwinSSLLib.data.geometry import AIR, RAS_DIRECTION, Volume, affine, resample_to_ras
from SwinSSLLib.errors import InputError, is_shortage

__all__ = [
    "AIR",
    "RAS_DIRECTION",
    "VOLUME_SUFFIXES",
    "Series",
    "Volume",
    "affine",
    "is_volume_file",
    "list_series",
    "read_labels",
    "read_volume",
    "resample_to_ras",
    "volume_name",
    "write_volume",
]

_WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha")


def is_volume_file(path: Path) -> bool:
    """Whether this is a file that ``read_volume`` takes by its name (DICOM files have no such name)."""
    return volume_suffix(path) is not None and not path.name.startswith(".") and path.is_file()


def volume_name(path: Path) -> str:
    """The name of a file without its volume ending, or the name of a folder."""
    suffix = volume_suffix(path) if not path.is_dir() else None
    return path.absolute().name if suffix is None else path.name[: -len(suffix)] or path.name


def read_volume(path: Path | str, series: str | None = None) -> Volume:
    """Read a CT.

    Args:
        path: a NIfTI, NRRD or MetaImage file, a DICOM folder (searched with the folders below it), or
            one DICOM file, which stands for its series.
        series: for DICOM, the series UID or (a part of) the description; by default the CT series with
            most slices is read, and a warning lists them all.

    Returns:
        int16 Hounsfield units, not below -1024, in the file's own grid: spacing, origin and direction
        are exactly what the file says.

    Raises:
        InputError: missing, damaged, not 3D, not scalar, not numbers, constant, or impossible geometry.
        MemoryShortage: larger than the free memory.
    """
    path = Path(path)
    image, warnings = _read(path, series)
    array, unlike = to_hounsfield(sitk.GetArrayViewFromImage(image), path, volume_name(path))
    return _volume(image, array.T, path, warnings + unlike)


def read_labels(path: Path, reference: Volume | None = None) -> Volume:
    """Read a label map.

    Args:
        path: a NIfTI, NRRD or MetaImage file.
        reference: the CT that it belongs to; both must lie on one grid.

    Returns:
        uint8 ids 0..13.

    Raises:
        InputError: as ``read_volume``; also ids outside the list, or a grid unlike the reference's.
    """
    path = Path(path)
    image, warnings = _read(path, None)
    labels = _volume(image, to_labels(sitk.GetArrayViewFromImage(image), path).T, path, warnings)
    # files keep geometry in 32 or 64 bit and round directions; a twentieth of a voxel is no other place
    if reference is not None and not labels.same_grid(reference, tolerance=0.05 * min(reference.spacing)):
        raise InputError(
            f"{path} does not lie on the grid of {reference.source or reference.name}: {_grid(labels)}"
            f" against {_grid(reference)}.",
            "Export the label map with the CT as reference volume.",
        )
    return labels


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write a volume, whole or not at all; the ending decides the format.

    NRRD keeps the geometry in full precision, MetaImage to 17 digits, NIfTI in single precision.

    Args:
        volume: what to write.
        path: ends with .nii.gz, .nii, .nrrd or .mha.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    path = Path(path)
    suffix = volume_suffix(path)
    if suffix not in _WRITABLE:
        raise InputError(f"{path} has an ending that cannot be written.", "Use .nii.gz, .nrrd or .mha.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=leftovers.marked(f".{path.name}."), dir=path.parent) as folder:
            temporary = Path(folder) / f"volume{suffix}"
            sitk.WriteImage(volume.to_sitk(), temporary, useCompression=True, compressionLevel=4)
            temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    except RuntimeError as error:
        raise InputError(f"{path} could not be written.", "Is the disk full? Nothing was changed.") from error


def _read(path: Path, series: str | None) -> tuple[sitk.Image, tuple[str, ...]]:
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Check the path.")
    try:
        if path.is_dir() or (volume_suffix(path) is None and is_dicom(path)):
            chosen, warnings = choose_series(path, series)
            image, notes = read_series(chosen, path)
            if chosen.modality not in ("CT", ""):
                notes += (f"{volume_name(path)} is {chosen.modality}, not CT.",)
            return image, warnings + notes
        loaded = load_file(path)
    except OSError as error:
        if is_shortage(error):
            raise
        raise InputError(f"{path} could not be read: {error.strerror or error}.", "Check the permissions.") from error
    return loaded.image, loaded.warnings


def _volume(image: sitk.Image, array: np.ndarray, path: Path, warnings: tuple[str, ...]) -> Volume:
    return Volume(
        array=array,
        spacing=image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=image.GetDirection(),
        name=volume_name(path),
        source=path,
        warnings=warnings,
    )


def _grid(volume: Volume) -> str:
    return f"{' x '.join(map(str, volume.shape))} voxels of {' x '.join(f'{s:.3g}' for s in volume.spacing)} mm"

"""Volumes: an array with its place in the patient."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its manual uses

from SwinSSLLib.atomic import cannot_write
from SwinSSLLib.errors import InputError

#: ITK speaks LPS, the engine and 3D Slicer speak RAS.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Volume:
    """A scalar image and its geometry, exactly as ITK reports it.

    Attributes:
        array: voxels (I, J, K), i being ITK's first (fastest) index; CT in Hounsfield units.
        spacing: millimetres along i, j, k.
        origin: centre of voxel (0, 0, 0) in millimetres, LPS.
        direction: 9 numbers, row-major as in ITK: column n is the direction of index axis n, LPS.
        name: what to call the volume in messages and tables.
        source: the file or folder that it was read from.
        warnings: sentences about the content that a user should read.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    name: str = ""
    source: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along i, j, k."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """The 4x4 float64 affine from voxel index to millimetres RAS."""
        return affine(self.spacing, self.origin, self.direction)

    def to_sitk(self) -> sitk.Image:
        """The same volume as a SimpleITK image."""
        # SimpleITK indexes arrays [k, j, i]; the transpose is a view, the copy is SimpleITK's own.
        image = sitk.GetImageFromArray(np.ascontiguousarray(self.array.T))
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    @classmethod
    def from_sitk(
        cls, image: sitk.Image, name: str = "", source: Path | None = None, warnings: tuple[str, ...] = ()
    ) -> Volume:
        """Take over a three-dimensional scalar SimpleITK image; the voxels are copied."""
        return cls(
            array=sitk.GetArrayFromImage(image).T,
            spacing=image.GetSpacing(),
            origin=image.GetOrigin(),
            direction=image.GetDirection(),
            name=name,
            source=source,
            warnings=warnings,
        )

    def same_grid(self, other: Volume, tolerance: float = 1e-3) -> bool:
        """Whether both volumes have equal shapes and every voxel corner agrees within ``tolerance`` mm."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        homogeneous = np.vstack([corners, np.ones(corners.shape[1])])
        difference = (self.ijk_to_ras - other.ijk_to_ras) @ homogeneous
        return bool(np.abs(difference).max() <= tolerance)


def affine(
    spacing: tuple[float, float, float], origin: tuple[float, float, float], direction: tuple[float, ...]
) -> np.ndarray:
    """The 4x4 index to RAS matrix of an ITK geometry (LPS, millimetres)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    matrix[:3, 3] = origin
    return LPS_TO_RAS @ matrix


#: Endings of the files that are read and written, longest first.
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume, whole or not at all; the ending decides the format.

    NRRD and MHA keep the geometry in full precision, NIfTI in single precision.

    Args:
        volume: what to write.
        path: ends with .nii.gz, .nii, .nrrd or .mha.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    suffix = next((s for s in (".nii.gz", ".nii", ".nrrd", ".mha") if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise InputError(f"{path} has an ending that cannot be written.", "Use .nii.gz, .nrrd or .mha.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            temporary = Path(folder) / f"volume{suffix}"
            sitk.WriteImage(volume.to_sitk(), temporary, useCompression=True)
            temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    except RuntimeError as error:
        raise InputError(f"{path} could not be written.", "Is the disk full?") from error

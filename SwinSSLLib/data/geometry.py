"""Volumes, where they lie in the patient, and how they come to lie along the patient's axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its manual uses

from SwinSSLLib.errors import InputError

#: ITK speaks LPS, the engine and 3D Slicer speak RAS.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Directions of i, j, k in LPS for a grid whose axes run to the patient's right, front and head.
RAS_DIRECTION = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
#: No CT needs more voxels than this many times its own.
_FINEST = 64
#: What lies outside of a CT: air.
AIR = -1024

Triple = tuple[float, float, float]


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
    spacing: Triple
    origin: Triple
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
        """The same volume as a SimpleITK image; the voxels are copied."""
        # SimpleITK wants [k, j, i]; the transpose of an array that came from SimpleITK is contiguous already
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
        """Whether the shapes are equal and all corners of the grids agree within ``tolerance`` mm."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(_corners(self, 0.0) - _corners(other, 0.0)).max() <= tolerance)


def affine(spacing: Triple, origin: Triple, direction: tuple[float, ...]) -> np.ndarray:
    """The 4x4 index to RAS matrix of an ITK geometry (LPS, millimetres)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    matrix[:3, 3] = origin
    return LPS_TO_RAS @ matrix


def resample_to_ras(volume: Volume, spacing: Triple | None, *, labels: bool = False) -> Volume:
    """Lay a volume on a grid along the patient's axes: i to the right, j to the front, k to the head.

    The grid covers the bounding box of the input's voxels, also when those are oblique. Input that
    already lies along the axes and keeps its spacing is only flipped and permuted: no voxel changes.

    Args:
        volume: CT in HU, or a label map.
        spacing: millimetres to the right, front and head; None keeps the input's own, each at the
            patient axis that it is closest to.
        labels: nearest neighbour and 0 outside instead of linear interpolation and air outside.

    Returns:
        int16 (CT, rounded) or uint8 (labels), contiguous in memory with k fastest.

    Raises:
        InputError: the new grid would have an impossible number of voxels.
    """
    upright, wanted = _upright(volume, spacing)
    if upright is not None:
        return replace(upright, array=np.ascontiguousarray(upright.array, dtype=np.uint8 if labels else np.int16))
    size, first = _grid_of(volume, wanted)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(size)
    resampler.SetOutputSpacing([float(s) for s in wanted])
    resampler.SetOutputOrigin([-float(first[0]), -float(first[1]), float(first[2])])
    resampler.SetOutputDirection(RAS_DIRECTION)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if labels else sitk.sitkLinear)
    resampler.SetDefaultPixelValue(0 if labels else AIR)
    # ITK cuts off fractions on the way back to integers, so the rounding is done here
    resampler.SetOutputPixelType(sitk.sitkUInt8 if labels else sitk.sitkFloat32)
    image = resampler.Execute(volume.to_sitk())
    return Volume(
        array=_turned(sitk.GetArrayViewFromImage(image).T, np.uint8 if labels else np.int16),
        spacing=image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=image.GetDirection(),
        name=volume.name,
        source=volume.source,
        warnings=volume.warnings,
    )


def shape_at(volume: Volume, spacing: Triple | None) -> tuple[int, int, int]:
    """Voxels (I, J, K) that ``resample_to_ras`` would give; only the shape and the geometry are looked at.

    Raises:
        InputError: the new grid would have an impossible number of voxels.
    """
    upright, wanted = _upright(volume, spacing)
    if upright is not None:
        return upright.shape
    i, j, k = _grid_of(volume, wanted)[0]
    return i, j, k


def _upright(volume: Volume, spacing: Triple | None) -> tuple[Volume | None, tuple[float, ...]]:
    """The same voxels flipped and permuted, where no more is needed; and the spacing that is wanted."""
    axes, closest, own, aligned = _ras_axes(volume)
    wanted = tuple(own) if spacing is None else spacing
    keeps = aligned and np.allclose(wanted, own, rtol=1e-6, atol=0)
    return _reordered(volume, axes, closest) if keeps else None, wanted


def _grid_of(volume: Volume, wanted: tuple[float, ...]) -> tuple[list[int], np.ndarray]:
    """Size of the grid around a volume, and the place of its first voxel in RAS."""
    corners = _corners(volume, 0.5)
    low, high = corners.min(axis=1), corners.max(axis=1)
    size = [max(1, int(np.ceil(extent / step - 1e-4))) for extent, step in zip(high - low, wanted, strict=True)]
    if not _is_plausible(size, volume):
        raise InputError(
            f"{volume.source or volume.name or 'The volume'} would have {' x '.join(map(str, size))} voxels at"
            f" {' x '.join(f'{s:g}' for s in wanted)} mm.",
            "Check its spacing.",
        )
    return size, (low + high) / 2 - (np.array(size) - 1) / 2 * np.array(wanted)


def _is_plausible(size: list[int], volume: Volume) -> bool:
    """Whether a new grid is one that a CT can need: a header with a wrong spacing would fill the memory with air."""
    voxels = float(np.prod([float(n) for n in size]))
    return voxels <= 2**28 or (voxels <= 2**34 and voxels <= _FINEST * volume.array.size)


def reordered_to_ras(volume: Volume) -> Volume:
    """The same voxels in the order of the patient's axes that the index axes are closest to; a view, no copy."""
    axes, closest, _, _ = _ras_axes(volume)
    return _reordered(volume, axes, closest)


def _ras_axes(volume: Volume) -> tuple[np.ndarray, list[int], list[float], bool]:
    """Index axes in RAS, which is closest to each patient axis, the spacing there, and whether they are the same."""
    axes = np.reshape(volume.direction, (3, 3)) * np.array([[-1.0], [-1.0], [1.0]])  # columns in RAS
    closest = _closest_axes(axes)
    aligned = bool(np.allclose(np.abs(axes[:, closest]), np.eye(3), atol=1e-6))
    return axes, closest, [volume.spacing[n] for n in closest], aligned


def _turned(array: np.ndarray, dtype: type) -> np.ndarray:
    """(I, J, K) with i fastest, as ITK has it, rounded and with k fastest; plane by plane, for the cache."""
    result: np.ndarray = np.empty(array.shape, dtype)
    for j in range(array.shape[1]):
        plane = array[:, j]
        result[:, j] = np.rint(plane) if np.issubdtype(array.dtype, np.floating) else plane
    return result


def _closest_axes(axes: np.ndarray) -> list[int]:
    """For each patient axis the index axis that runs along it best, each used once."""
    best = max(permutations(range(3)), key=lambda order: sum(abs(axes[row, n]) for row, n in enumerate(order)))
    return list(best)


def _reordered(volume: Volume, axes: np.ndarray, order: list[int]) -> Volume:
    """The same voxels, permuted and flipped so that the axes run to the right, front and head; a view."""
    flipped = [axes[row, n] < 0 for row, n in enumerate(order)]
    array = volume.array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]
    corner = np.array([0.0, 0.0, 0.0, 1.0])
    for row, n in enumerate(order):
        corner[n] = volume.shape[n] - 1 if flipped[row] else 0
    first = volume.ijk_to_ras @ corner
    return replace(
        volume,
        array=array,
        spacing=(volume.spacing[order[0]], volume.spacing[order[1]], volume.spacing[order[2]]),
        origin=(-float(first[0]), -float(first[1]), float(first[2])),
        direction=RAS_DIRECTION,
    )


def _corners(volume: Volume, margin: float) -> np.ndarray:
    """RAS positions (3, 8) of the corners of the grid, ``margin`` voxels outside of the outer centres."""
    ends = [(-margin, n - 1 + margin) for n in volume.shape]
    index = np.array(np.meshgrid(*ends, indexing="ij"), dtype=float).reshape(3, -1)
    return (volume.ijk_to_ras @ np.vstack([index, np.ones(8)]))[:3]

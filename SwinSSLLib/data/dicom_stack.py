"""One DICOM series as a volume: slices in order along the normal of their plane, or why they are none.

File names and instance numbers are no reliable order, so positions are what is sorted by.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its manual uses

from SwinSSLLib.data.dicom import Series, Slice
from SwinSSLLib.data.formats import check_geometry, check_memory
from SwinSSLLib.data.headers import check_plausible_size
from SwinSSLLib.errors import InputError

#: A gap between slices may differ from the usual one by this share before the series is refused.
UNEVEN = 0.25
#: From this share on the reader is told.
NOTICEABLE = 0.02


def read_series(series: Series, path: Path) -> tuple[sitk.Image, tuple[str, ...]]:
    """Read the voxels of a series, slices in order along the normal of their plane.

    Returns:
        A 3D scalar image, and warnings.

    Raises:
        InputError: slices are missing, doubled, uneven or tilted, or a file is damaged.
    """
    if len(series.parts) == 1:
        return _read_alone(series, path), ()
    parts, warnings = _largest_stack(series, path)
    for part in parts:
        check_plausible_size(part.bytes, part.path)
    check_memory(sum(part.bytes for part in parts), path)
    positions = np.array([part.position for part in parts])
    rows, columns = np.array(parts[0].orientation[:3]), np.array(parts[0].orientation[3:])
    normal = np.cross(rows, columns)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    step, notes = _even_step(gaps, series, path)
    first, last = positions[order[0]], positions[order[-1]]
    drift = np.linalg.norm((last - first) - normal * float((last - first) @ normal))
    if drift > 0.01 * float(along[order[-1]] - along[order[0]]):
        raise InputError(
            f"{path}: the slices of {series.description or series.uid} are tilted against the table (gantry tilt).",
            "Load it into 3D Slicer, which straightens it, and export it as NRRD.",
        )
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(parts[n].path) for n in order])
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _damaged(path) from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{path} holds colour pictures.", "Choose a CT series.")
    spacing = (parts[0].spacing[0], parts[0].spacing[1], step)
    direction = tuple(np.stack([rows, columns, normal], axis=1).ravel())
    check_geometry(spacing, tuple(first), direction, path)
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin([float(x) for x in first])
    image.SetDirection([float(d) for d in direction])
    return image, warnings + notes


def _read_alone(series: Series, path: Path) -> sitk.Image:
    """A series of one file: a multi-frame volume, or a single picture, which is refused."""
    part = series.parts[0]
    if len(part.size) < 3 or part.size[2] < 2:
        raise InputError(
            f"{path}: the series {series} has a single slice.", "Choose a series with several slices (--series)."
        )
    check_plausible_size(part.bytes, part.path)
    check_memory(part.bytes, path)
    try:
        image = sitk.ReadImage(part.path, imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise _damaged(part.path) from error
    check_geometry(image.GetSpacing(), image.GetOrigin(), image.GetDirection(), path)
    return image


def _largest_stack(series: Series, path: Path) -> tuple[list[Slice], tuple[str, ...]]:
    """The files of one series that have one size and orientation; scouts stored with them are left out."""
    unique = {part.instance or str(part.path): part for part in series.parts}  # copies of one file count once
    stacks: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for part in unique.values():
        if len(part.orientation) == 6 and len(part.position) == 3:
            stacks[(part.size, part.spacing, tuple(np.round(part.orientation, 3)))].append(part)
    if not stacks:
        raise InputError(f"{path}: the files of {series} do not say where they lie.", "Choose another series.")
    best = max(stacks.values(), key=len)
    if len(best) < 2:
        raise InputError(f"{path}: the series {series} has no two slices that fit together.", "Choose another series.")
    left = len(unique) - len(best)
    if left:
        return best, (f"{path.name}: {left} pictures of another size or direction in the series were left out.",)
    return best, ()


def _even_step(gaps: np.ndarray, series: Series, path: Path) -> tuple[float, tuple[str, ...]]:
    """The distance of the slices in mm; refuses a stack with holes or doubled positions."""
    step = float(np.median(gaps))
    what = series.description or series.uid
    if step < 1e-3 or gaps.min() < 1e-3:
        raise InputError(
            f"{path}: {what} has several slices at one place (phases or time points in one series).",
            "Export one phase as a series of its own.",
        )
    uneven = float(np.abs(gaps - step).max() / step)
    if uneven > UNEVEN:
        at = int(np.abs(gaps - step).argmax())
        raise InputError(
            f"{path}: slices of {what} are missing or uneven: after slice {at + 1} comes a gap of"
            f" {gaps[at]:.2f} mm, the others are {step:.2f} mm.",
            "Copy the whole series again.",
        )
    if uneven > NOTICEABLE:
        return float(gaps.mean()), (
            f"{path.name}: the slices of {what} are uneven by up to {uneven:.0%}; their mean distance"
            f" of {gaps.mean():.2f} mm is used.",
        )
    return float(gaps.mean()), ()


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} holds a DICOM file that is damaged or incomplete.", "Copy the series again.")

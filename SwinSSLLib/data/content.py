"""What voxels must be like to pass as CT or as a label map."""

from __future__ import annotations

import numpy as np

from SwinSSLLib.data.headers import not_numbers
from SwinSSLLib.errors import InputError
from SwinSSLLib.organs import CLASSES, ORGANS

HU_FLOOR = -1024
HU_CEILING = np.iinfo(np.int16).max


def to_hounsfield(array: np.ndarray, source: object, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Check the voxels of a CT and make them int16.

    Values below -1024 (scanners fill the corners of the field of view with -2000 or -3024) become
    -1024, values above 32767 that, and fractions are rounded.

    Args:
        array: voxels as read, any shape and number type; not changed.
        source: named in messages.
        name: short name for warnings.

    Returns:
        int16 HU of the same shape and memory order, a copy; and warnings about values that are unlike CT.

    Raises:
        InputError: NaN or infinite voxels, or all voxels equal.
    """
    if np.issubdtype(array.dtype, np.floating):
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        if bad:
            raise not_numbers(bad, source)
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise InputError(f"{source} is empty: every voxel has the value {low:g}.", "Choose another volume.")
    floor, ceiling = (min(max(float(np.rint(value)), HU_FLOOR), HU_CEILING) for value in (low, high))
    if floor == ceiling:
        raise InputError(
            f"{source} holds no CT: its values, {low:g} to {high:g}, are all {floor:g} HU.", "Choose another volume."
        )
    warnings = _unlike_ct(array, low, high, name)
    if array.dtype == np.int16:
        return np.maximum(array, np.int16(HU_FLOOR)), warnings
    rounded = np.rint(array) if np.issubdtype(array.dtype, np.floating) else array
    return np.clip(rounded, HU_FLOOR, HU_CEILING).astype(np.int16), warnings


def _unlike_ct(array: np.ndarray, low: float, high: float, name: str) -> tuple[str, ...]:
    """A CT of a body holds air or at least fat, so it has negative values, and it spans hundreds of HU."""
    sample = array[::2, ::2, ::2] if array.size > 1_000_000 else array
    negative = np.count_nonzero(sample < -40) / sample.size
    if negative >= 0.001 and high - low >= 300:
        return ()
    return (
        f"{name} does not look like CT in Hounsfield units (values {low:g} to {high:g}); "
        "with MR or unscaled values the result will be wrong.",
    )


def to_labels(array: np.ndarray, source: object) -> np.ndarray:
    """Check a label map and make it uint8.

    Raises:
        InputError: fractions, or ids outside 0..13.
    """
    ids = np.unique(array)
    if not np.isfinite(ids).all() or (ids != np.rint(ids)).any():
        raise InputError(f"{source} is not a label map: its values are no whole numbers.", "Choose a label map.")
    unknown = [int(n) for n in ids if not 0 <= n < CLASSES]
    if unknown:
        some = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise InputError(
            f"{source} has label ids that are not in the list: {some}.",
            f"Use 0 for background and 1 ({ORGANS[0].name}) to {CLASSES - 1} ({ORGANS[-1].name}).",
        )
    return array.astype(np.uint8)

"""Label maps from any file, Slicer's segmentations among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its manual uses
import slicerio

from SwinSSLLib.data.formats import load_segmentation
from SwinSSLLib.data.volumes import Volume, read_labels
from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.organs import ORGANS, Organ

#: Largest distance in voxels between lattices that count as the same one.
_SAME_LATTICE = 1e-2


def read_label_map(path: Path, reference: Volume | None = None) -> Volume:
    """Read label ids 1..13 from NIfTI, NRRD, MHA or ``.seg.nrrd``.

    Slicer numbers the segments of a ``.seg.nrrd`` as it likes, so their organs are found by terminology code and
    laterality, then by name. Slicer may also crop the file to the segments; with a reference on the same lattice
    the labels are put back in their place.

    Args:
        path: the file.
        reference: grid that the labels should lie on.

    Raises:
        InputError: the file cannot be read, holds overlapping organs, or does not fit the reference.
    """
    if not path.name.lower().endswith(".seg.nrrd"):
        return read_labels(path, reference)
    if not path.is_file():
        raise InputError(f"{path} does not exist.", "Check the path.")
    labels = _read_segmentation(path)
    return labels if reference is None else _put_on_grid(labels, reference)


def organ_of(segment: Mapping[str, Any], organs: Sequence[Organ] = ORGANS) -> Organ | None:
    """The organ that a segment (as ``slicerio`` reads it) stands for, or None."""
    terminology = segment.get("terminology", {})
    code, modifier = terminology.get("type", ["", ""]), terminology.get("typeModifier")
    for organ in organs:
        same_side = (organ.modifier or ("", ""))[:2] == tuple((modifier or ("", ""))[:2])
        if tuple(code[:2]) == organ.code[:2] and same_side:
            return organ
    name = str(segment.get("name", "")).strip().casefold()
    return next((organ for organ in organs if organ.name.casefold() == name), None)


def _read_segmentation(path: Path) -> Volume:
    image = load_segmentation(path)
    try:
        segments = slicerio.read_segmentation(str(path), skip_voxels=True).get("segments", [])
    except Exception as error:  # pynrrd and slicerio raise what they like on a damaged header
        raise _unreadable(path, _first_line(error)) from error
    # [k, j, i] or, with overlapping segments, [k, j, i, layer].
    layers = sitk.GetArrayViewFromImage(image)
    layers = layers[..., None] if layers.ndim == 3 else layers
    labels = np.zeros(layers.shape[:3], np.uint8)
    ignored: list[str] = []
    for segment in segments:
        organ = organ_of(segment)
        if organ is None:
            ignored.append(str(segment.get("name", "?")))
            continue
        layer, value = segment.get("layer", 0), segment.get("labelValue", 1)
        if not (isinstance(layer, int) and isinstance(value, int) and 0 <= layer < layers.shape[3]):
            raise _unreadable(path, f"{organ.name} is value {value!r} in layer {layer!r}")
        mask = layers[..., layer] == value
        taken = np.unique(labels[mask & (labels != organ.id)])
        if taken.any():
            other = next(o.name for o in ORGANS if o.id == taken[-1])
            raise InputError(
                f"{path}: {organ.name} and {other} overlap, but a voxel can belong to one organ only.",
                "Remove the overlap in Segment Editor (masking: overwrite all segments).",
            )
        labels[mask] = organ.id
    left_out = one_line(", ".join(ignored))
    warnings = (f"{path.name}: not one of the 13 organs and left out: {left_out}.",) if ignored else ()
    name = path.name[: -len(".seg.nrrd")]
    return Volume(
        labels.T, image.GetSpacing(), image.GetOrigin(), image.GetDirection(), name=name, source=path, warnings=warnings
    )


def _put_on_grid(labels: Volume, reference: Volume) -> Volume:
    """Paste labels that lie on a part of the reference's lattice; others stay as they are for the caller to judge."""
    step = np.linalg.inv(reference.ijk_to_ras) @ labels.ijk_to_ras
    offset = np.rint(step[:3, 3]).astype(int)
    ends = step[:3, :3] @ (np.array(labels.shape) - 1) + step[:3, 3]
    on_lattice = np.abs(step[:3, 3] - offset).max() < _SAME_LATTICE
    on_lattice &= np.abs(ends - (offset + np.array(labels.shape) - 1)).max() < _SAME_LATTICE
    if not on_lattice or labels.same_grid(reference):
        return labels
    low = np.maximum(offset, 0)
    high = np.minimum(offset + labels.shape, reference.shape)
    pasted = np.zeros(reference.shape[::-1], np.uint8).T
    if (low < high).all():
        target = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        pasted[target] = labels.array[tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))]
    if np.count_nonzero(pasted) < np.count_nonzero(labels.array):
        raise InputError(
            f"{labels.source} has labels outside of {reference.source or 'its reference'}.",
            "Is it the segmentation of another CT?",
        )
    return replace(
        labels, array=pasted, spacing=reference.spacing, origin=reference.origin, direction=reference.direction
    )


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(f"{path} cannot be read as a segmentation: {why}.", "Save it again.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return one_line(lines[-1]).rstrip(".")

"""What a segmentation is handed on as: a label file that 3D Slicer reads, and a table of organs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicerio
from scipy.ndimage import find_objects

from SwinSSLLib import atomic
from SwinSSLLib.data.volumes import Volume, write_volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.organs import ANATOMICAL_STRUCTURE, Organ

#: Label files that can be written; the first is the default.
SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")

#: What stands between a case's name and the ending of its tables.
_TABLE = ".organs"
_COLUMNS = ("id", "name", "present", "volume_ml", "mean_hu", "voxels")

#: The terminology that holds the organs' codes, and that of the (unused) anatomic region, as 3D Slicer names them
#: (Slicer, Modules/Loadable/Terminologies/Resources/*-DICOM-Master.json).
_TERMINOLOGY = "Segmentation category and type - DICOM master list"
_REGIONS = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class OrganMeasure:
    """Size and density of one organ, on the input's own grid.

    Attributes:
        id, name: of the label.
        voxels: number of voxels; 0 for an organ that was not found.
        volume_ml: millilitres.
        mean_hu: mean Hounsfield units of the input inside the organ; None if it was not found.
    """

    id: int
    name: str
    voxels: int
    volume_ml: float
    mean_hu: float | None

    @property
    def present(self) -> bool:
        """Whether the organ was found."""
        return self.voxels > 0


def measure(labels: np.ndarray, volume: Volume, organs: Sequence[Organ]) -> tuple[OrganMeasure, ...]:
    """Volume and mean HU of every organ.

    Args:
        labels: uint8 (I, J, K) on the grid of ``volume``.
        volume: the CT, in HU.
        organs: the labels to look for; those without a voxel are listed as absent.
    """
    counts, sums = np.zeros(256, np.int64), np.zeros(256)
    for k in range(labels.shape[2]):  # slice by slice: bincount turns its weights into float64
        inside = labels[:, :, k] != 0
        flat = labels[:, :, k][inside]
        counts += np.bincount(flat, minlength=256)
        sums += np.bincount(flat, weights=volume.array[:, :, k][inside], minlength=256)
    millilitres = float(np.prod(volume.spacing)) / 1000.0
    return tuple(
        OrganMeasure(
            organ.id,
            organ.name,
            int(counts[organ.id]),
            float(counts[organ.id]) * millilitres,
            float(sums[organ.id] / counts[organ.id]) if counts[organ.id] else None,
        )
        for organ in organs
    )


def label_suffix(path: Path) -> str | None:
    """The ending of a label file's name that this module can write, or None."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def write_labels(labels: Volume, organs: Sequence[Organ], path: Path) -> None:
    """Write a label map whole or not at all, in the format that its name asks for.

    Raises:
        InputError: the name has no known ending, or the file cannot be written.
    """
    suffix = label_suffix(path)
    if suffix is None:
        raise InputError(f"{path} names no label format.", f"Use one of the endings {', '.join(SUFFIXES)}.")
    if suffix == ".seg.nrrd":
        with atomic.replacing(path) as file:
            # Level 1: label maps shrink a hundredfold at any level, and 9 takes ten times as long.
            slicerio.write_segmentation(file, _slicer_segmentation(labels, organs), compression_level=1)
    else:
        write_volume(labels, path)


def write_tables(path: Path, organs: Sequence[OrganMeasure], more: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write ``<name>.organs.json`` and ``<name>.organs.csv`` beside a label file.

    The double ending keeps clear of the ``<name>.json`` that DICOM converters write beside a CT.

    Args:
        path: the label file.
        organs: rows of the tables.
        more: fields of the JSON besides ``organs``.
    """
    rows = [
        {
            "id": organ.id,
            "name": organ.name,
            "present": organ.present,
            "voxels": organ.voxels,
            "volume_ml": round(organ.volume_ml, 3),
            "mean_hu": None if organ.mean_hu is None else round(organ.mean_hu, 1),
        }
        for organ in organs
    ]
    as_json, as_csv = tables_of(path)
    atomic.write_json(as_json, {**more, "labels": path.name, "organs": rows})
    _write_csv(as_csv, _COLUMNS, rows)
    return as_json, as_csv


def tables_of(path: Path) -> tuple[Path, Path]:
    """Where the tables of a label file are: JSON and CSV."""
    stem = path.name[: -len(label_suffix(path) or path.suffix)]
    return path.with_name(f"{stem}{_TABLE}.json"), path.with_name(f"{stem}{_TABLE}.csv")


def is_complete(path: Path) -> bool:
    """Whether a label file is there with its tables, which are written after it."""
    return path.is_file() and all(table.is_file() for table in tables_of(path))


def write_overview(folder: Path) -> Path:
    """Write ``organs.csv``: the tables of all cases in a folder in one, a row a case and organ.

    Several processes may do so at the same time: the last one to finish has seen what all of them have written.

    Raises:
        InputError: a table cannot be read, or the file cannot be written.
    """
    overview = folder / "organs.csv"
    while True:
        before = _marks(folder)
        rows = [{"case": name.removesuffix(f"{_TABLE}.json"), **row} for name in before for row in _rows(folder / name)]
        _write_csv(overview, ("case", *_COLUMNS), rows)
        if _marks(folder) == before:
            return overview


def _marks(folder: Path) -> dict[str, int]:
    """The tables in a folder by name, and when each was written."""
    return {file.name: file.stat().st_mtime_ns for file in sorted(folder.glob(f"*{_TABLE}.json"))}


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        return [{name: row[name] for name in _COLUMNS} for row in json.loads(file.read_bytes())["organs"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{file} cannot be read as a table of organs.", "Delete it, and segment that CT again with --skip-existing."
        ) from error


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns)
    table.writeheader()
    table.writerows({**row, "present": "yes" if row["present"] else "no"} for row in rows)
    with atomic.replacing(path) as file:
        file.write(text.getvalue().encode())


def _slicer_segmentation(labels: Volume, organs: Sequence[Organ]) -> dict[str, Any]:
    """The segmentation as ``slicerio`` takes it; organs without a voxel make no segment."""
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ labels.ijk_to_ras
    extents = _extents(labels.array)
    geometry = ";".join(f"{value:.17g}" for value in labels.ijk_to_ras.ravel())
    extent = ";".join(f"0;{size - 1}" for size in labels.shape)
    return {
        "voxels": labels.array,
        "ijkToLPS": to_lps,
        "encoding": "gzip",
        "containedRepresentationNames": ["Binary labelmap"],
        # Without it Slicer takes the box around the organs for the grid of the whole segmentation.
        # Slicer takes a parameter only when it meets the separator after it, and slicerio writes none after the last:
        # the one that matters comes first.
        "conversionParameters": [
            {"name": "Reference image geometry", "value": f"{geometry};{extent};", "description": "Grid of the CT"},
            {"name": "Oversampling factor", "value": "1", "description": "Voxels of the CT"},
        ],
        "segments": [_segment(organ, extents[organ.id]) for organ in organs if organ.id in extents],
    }


def _segment(organ: Organ, extent: list[int]) -> dict[str, Any]:
    terminology: dict[str, Any] = {
        "contextName": _TERMINOLOGY,
        "category": list(ANATOMICAL_STRUCTURE),
        "type": list(organ.code),
        "anatomicContextName": _REGIONS,
    }
    if organ.modifier:
        terminology["typeModifier"] = list(organ.modifier)
    return {
        "id": f"Segment_{organ.id}",
        "name": organ.name,
        "nameAutoGenerated": False,
        "color": [round(channel / 255, 6) for channel in organ.colour],
        "colorAutoGenerated": False,
        "labelValue": organ.id,
        "layer": 0,
        "extent": extent,
        "terminology": terminology,
    }


def _extents(labels: np.ndarray) -> dict[int, list[int]]:
    """First and last index along i, j, k of every label that occurs: [i0, i1, j0, j1, k0, k1]."""
    boxes = find_objects(labels.T)  # [k, j, i], as it lies in memory
    return {
        label: [index for along in reversed(box) for index in (along.start, along.stop - 1)]
        for label, box in enumerate(boxes, 1)
        if box is not None
    }

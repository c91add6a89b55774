"""What data are like before anything is made of them: whether each CT can be used, and how much the cache will take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from SwinSSLLib.data.cases import Case
from SwinSSLLib.data.dicom import Series, choose_series, is_dicom
from SwinSSLLib.data.fingerprints import content_of
from SwinSSLLib.data.formats import outline, volume_suffix
from SwinSSLLib.data.geometry import Triple, Volume, shape_at
from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.volumes import read_volume
from SwinSSLLib.errors import InputError, SwinSSLError

#: How many headers are read to estimate what all CTs take.
_SAMPLE = 50


@dataclass(frozen=True)
class Finding:
    """What one CT is like.

    Attributes:
        case: which one.
        problem: why it cannot be used, or None.
        shape, spacing: of the file: voxels and millimetres.
        lowest, highest: HU.
        labels: ids in its label map, without background; None if it has no label map.
        content: digest of the voxels; equal ones are the same CT.
        prepared: voxels at the spacing of the settings.
        warnings: what the reader of the CT should know.
    """

    case: Case
    problem: SwinSSLError | None = None
    shape: tuple[int, int, int] = (0, 0, 0)
    spacing: Triple = (0.0, 0.0, 0.0)
    lowest: int = 0
    highest: int = 0
    labels: tuple[int, ...] | None = None
    content: str = ""
    prepared: tuple[int, int, int] = (0, 0, 0)
    warnings: tuple[str, ...] = field(default=())

    def sub_volumes(self, roi: tuple[int, int, int]) -> int:
        """How many sub-volumes of this size it takes to cover the prepared CT; 0 for one that cannot be used."""
        return math.prod(math.ceil(count / side) for count, side in zip(self.prepared, roi, strict=True))


def look_at(case: Case, spacing: Triple | None) -> Finding:
    """Read a CT and its labels as a job would; nothing is written, and what is wrong is in the finding."""
    try:
        volume = read_volume(case.image)
        prepared = shape_at(volume, spacing)
        label_map = read_label_map(case.labels, volume) if case.labels is not None else None
    except SwinSSLError as error:
        return Finding(case, error)
    ids = None if label_map is None else tuple(int(n) for n in np.unique(label_map.array) if n)
    return Finding(
        case,
        shape=volume.shape,
        spacing=volume.spacing,
        lowest=int(volume.array.min()),
        highest=int(volume.array.max()),
        labels=ids,
        content=content_of(volume),
        prepared=prepared,
        warnings=(*volume.warnings, *(label_map.warnings if label_map else ())),
    )


def cache_bytes(cases: Sequence[Case], spacing: Triple | None, *, labels: bool) -> int:
    """About what the cache of so many CTs takes, by their headers; of many CTs some are asked.

    Args:
        cases: CTs; those whose header cannot be read count as the others.
        spacing: of the settings, in mm; None keeps each CT's own.
        labels: with the label maps that they have.
    """
    step = max(1, len(cases) // _SAMPLE)
    sizes = []
    for case in cases[::step]:
        try:
            voxels = math.prod(shape_at(_outline(case.image), spacing))
        except SwinSSLError:  # said when it is read
            continue
        sizes.append(voxels * (3 if labels and case.labels is not None else 2))
    return round(sum(sizes) / len(sizes) * len(cases)) if sizes else 0


def _outline(path: Path) -> Volume:
    """The shape and the geometry of a CT by its headers alone; its voxels stand for nothing.

    Raises:
        InputError: the headers cannot be read.
    """
    if path.is_dir() or (volume_suffix(path) is None and path.is_file() and is_dicom(path)):
        return _outline_of_series(choose_series(path, None)[0], path)
    return outline(path)


def _outline_of_series(series: Series, path: Path) -> Volume:
    first = series.parts[0]
    across = np.reshape(first.orientation, (2, 3)) if len(first.orientation) == 6 else np.eye(3)[:2]
    normal = np.cross(*across)
    placed = (np.array(part.position) for part in series.parts if len(part.position) == 3)
    places = sorted({round(float(position @ normal), 3) for position in placed})
    gap = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else 1.0
    if gap <= 0 or len(first.spacing) < 2 or min(first.spacing) <= 0:
        raise InputError(f"{path} has no valid position in space.", "Correct its header.")
    shape = (first.size[0], first.size[1], max(len(places), series.slices if len(places) < 2 else 1))
    direction = tuple(float(value) for value in np.column_stack([*across, normal]).ravel())
    voxels = np.broadcast_to(np.int16(0), shape)
    return Volume(voxels, (first.spacing[0], first.spacing[1], gap), (0.0, 0.0, 0.0), direction, source=path)

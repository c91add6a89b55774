"""Readers of volumes and label maps, and what prepares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from Fuzz import headers, mutators, seeds
from Fuzz.inputs import Input
from Fuzz.readers import Mutate, Reader, bytewise, everywhere
from SwinSSLLib.data.dicom import list_series
from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.data.volumes import Volume, read_labels, read_volume

#: No file of these sizes holds more voxels.
MOST = 1 << 28


def volume_problem(volume: Volume) -> str:
    """Why a CT is not what ``read_volume`` promises."""
    if volume.array.dtype != np.int16 or volume.array.ndim != 3 or min(volume.shape) < 2:
        return f"a CT of {volume.array.dtype} {volume.array.shape}"
    if int(volume.array.min()) < -1024 or volume.array.min() == volume.array.max():
        return f"HU from {volume.array.min()} to {volume.array.max()}"
    return _grid_problem(volume)


def labels_problem(labels: Volume) -> str:
    """Why a label map is not what was promised."""
    if labels.array.dtype != np.uint8 or labels.array.ndim != 3 or int(labels.array.max()) > 13:
        return f"labels of {labels.array.dtype} {labels.array.shape} up to {labels.array.max()}"
    return _grid_problem(labels)


def _grid_problem(volume: Volume) -> str:
    axes = np.reshape(volume.direction, (3, 3))
    if not all(0 < step < 1000 for step in volume.spacing) or not np.isfinite(volume.origin).all():
        return f"spacing {volume.spacing}, origin {volume.origin}"
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-2:
        return f"axes {volume.direction} are not at right angles"
    words = [sentence for sentence in volume.warnings if not sentence.isprintable()]
    return f"a warning of several lines: {words[0]!r}" if words else ""


def _store(source: Path, out: Path) -> Any:
    entry = Store(out / "store").add(source, Recipe())
    return entry, entry.image()


def _store_problem(found: Any) -> str:
    entry, image = found
    if image.shape != entry.shape or image.dtype != np.int16:
        return f"an image of {image.dtype} {image.shape} for a card of {entry.shape}"
    return "" if image.size < MOST else f"{image.shape} voxels out of a small file"


def _labels_on(path: Path, out: Path) -> Volume:
    return read_label_map(path, Volume.from_sitk(seeds.ct()))


def _of(ending: str, *compress: bool) -> Any:
    return lambda folder: seeds.volumes(folder, ending, compress or (False,))


def _label_seeds(folder: Path) -> Sequence[Input]:
    endings = ((".nii.gz", True), (".nrrd", True), (".mha", False))
    return [seeds.written(folder / "w", seeds.labels(), ending, packed) for ending, packed in endings]


def _any_volume(random: Random, seed: Input, other: Input) -> Input:
    changes = {".gz": headers.zipped(headers.nifti), "rrd": headers.nrrd, "mha": headers.meta}
    change = next(change for ending, change in changes.items() if seed.main.endswith(ending))
    same = other if other.main == seed.main else seed
    return bytewise(change)(random, seed, same)


def _dicom(random: Random, seed: Input, other: Input) -> Input:
    """One file or several are damaged, are gone, come twice, or are no DICOM."""
    changed = seed
    for _ in range(random.choice((1, 1, 2, 4))):
        changed = everywhere(headers.dicom)(random, changed, other)
    what = random.random()
    if what < 0.05:
        name = random.choice(("..x", "im 9", "DICOMDIR", ".hidden", "x" * 200, "ä.dcm", "sub/im1", "ct.nrrd"))
        changed = changed.with_content(random.choice((b"", b"text", seed.content, bytes(200))), name)
    if what > 0.97:
        changed = Input(changed.main, changed.files, {"loop": ".", "gone": "nowhere"}, changed.target)
    return changed


def _detached(change: mutators.Change) -> Mutate:
    def mutate(random: Random, seed: Input, other: Input) -> Input:
        changed = bytewise(change)(random, seed, other)
        body = next((name for name in changed.files if name != changed.main), None)
        if body is None or random.random() < 0.85:
            return changed
        if random.random() < 0.2:
            return Input(changed.main, {changed.main: changed.content})
        return changed.with_content(mutators.mutated(random, changed.files[body], b"x", mutators.BINARY), body)

    return mutate


def _volume(name: str, seeds_of: Any, mutate: Mutate, share: float = 1.0) -> Reader:
    return Reader(name, seeds_of, mutate, lambda path, out: read_volume(path), volume_problem, share)


READERS = (
    _volume("volume-nii", _of(".nii"), bytewise(headers.nifti), 3),
    _volume("volume-nii-gz", _of(".nii.gz", True), bytewise(headers.zipped(headers.nifti)), 3),
    _volume("volume-nrrd", _of(".nrrd", False, True), bytewise(headers.nrrd), 3),
    _volume("volume-nhdr", _of(".nhdr", False, True), _detached(headers.nrrd), 3),
    _volume("volume-mha", _of(".mha", False, True), bytewise(headers.meta), 3),
    _volume("volume-mhd", _of(".mhd", False, True), _detached(headers.meta), 3),
    _volume("dicom-folder", lambda _: [seeds.series(), seeds.series(5)], _dicom, 1.5),
    Reader(
        "dicom-series",
        lambda _: [seeds.series(1, frames=3), seeds.series(2), seeds.series(3, first=20)],
        _dicom,
        lambda path, out: list_series(path),
        lambda found: "" if all(str(one).isprintable() for one in found) else "a series whose name is not one line",
    ),
    Reader("labels", _label_seeds, _any_volume, lambda path, out: read_labels(path), labels_problem),
    Reader("segmentation", lambda _: [seeds.segmentation()], bytewise(headers.nrrd), _labels_on, labels_problem, 3),
    Reader(
        "prepared",
        lambda folder: [*_of(".nrrd")(folder), *_of(".nii.gz", True)(folder)],
        _any_volume,
        _store,
        _store_problem,
        1.5,
    ),
)

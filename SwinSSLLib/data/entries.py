"""Entries of the store: the card of a prepared volume and the arrays beside it."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from SwinSSLLib.data.fingerprints import file_digest
from SwinSSLLib.data.geometry import Triple, Volume, affine
from SwinSSLLib.errors import InputError, is_shortage, one_line

IMAGE, LABELS, CARD = "image.npy", "labels.npy", "entry.json"
_TYPES = {IMAGE: np.int16, LABELS: np.uint8}


@dataclass(frozen=True)
class Recipe:
    """How volumes are prepared; the orientation is always RAS (right, front, head).

    Attributes:
        spacing: millimetres to the right, front and head; None keeps each volume's own.
        version: raised when the preparation changes, so that old entries are not used.
    """

    spacing: Triple | None = (1.5, 1.5, 2.0)
    version: int = 1


@dataclass(frozen=True)
class Entry:
    """A prepared volume on disk. It holds no file open and no voxels.

    Attributes:
        key: name of its folder.
        folder: where it is.
        name: name of the source without ending.
        source: the file or folder that it was made from.
        shape: voxels (I, J, K) to the right, front and head.
        spacing: millimetres.
        origin: centre of the first voxel, LPS as in ITK.
        direction: ITK direction, LPS.
        content: digest of the source's voxels, whatever file format or axis order they came in.
        labels: whether there is a label map.
        warnings: what the reader of the CT should know.
    """

    key: str
    folder: Path
    name: str
    source: Path
    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple
    direction: tuple[float, ...]
    content: str
    labels: bool
    warnings: tuple[str, ...]

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """The 4x4 affine from voxel index to millimetres RAS."""
        return affine(self.spacing, self.origin, self.direction)

    def image(self) -> np.ndarray:
        """(I, J, K) int16 HU, read-only and memory-mapped.

        Each call maps the file anew; the array holds one file open until it is let go.
        """
        return self._open(IMAGE)

    def label_map(self) -> np.ndarray:
        """(I, J, K) uint8 ids 0..13, read-only and memory-mapped.

        Raises:
            InputError: the entry has no labels.
        """
        if not self.labels:
            raise InputError(f"{self.source} was stored without labels.", "Name its label map in the datalist.")
        return self._open(LABELS)

    def _open(self, file: str) -> np.ndarray:
        problem: Exception | None = None
        try:
            if _is_array(self.folder / file, self.shape, _TYPES[file]):
                return np.load(self.folder / file, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy's own, tokenize's, the disk's: each has its kinds of damage
            if is_shortage(error):  # the file may be whole; there is no room to look at it
                raise
            problem = error
        raise InputError(
            f"The stored copy of {self.source} in {self.folder} is damaged or gone.",
            "Start the job again: it is rebuilt from the source.",
        ) from problem


def _is_array(file: Path, shape: tuple[int, ...], kind: type) -> bool:
    """Whether the header of an array says what its card says, and the file is as long as that."""
    with file.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        found, _, dtype = read(stream)
        held = file.stat().st_size - stream.tell()
    return found == shape and dtype == kind and held >= math.prod(shape) * np.dtype(kind).itemsize


def write_entry(folder: Path, arrays: dict[str, np.ndarray], card: dict[str, Any]) -> None:
    """Write arrays and card to an empty folder, with the checksums of the arrays, flushed to the disk."""
    card["files"] = {}
    for name, array in arrays.items():
        with (folder / name).open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        card["files"][name] = {"bytes": (folder / name).stat().st_size, "sha256": file_digest(folder / name)}
    with (folder / CARD).open("w", encoding="utf-8") as text:
        json.dump(card, text, indent=1)
        text.flush()
        os.fsync(text.fileno())


def make_card(key: str, source: Path, image: Volume, content: str, recipe: Recipe, labels: bool) -> dict[str, Any]:
    """The card of an entry, without the checksums."""
    return {
        "format": 1,
        "key": key,
        "name": image.name,
        "source": str(source.absolute()),
        "recipe": asdict(recipe),
        "shape": list(image.shape),
        "spacing": list(image.spacing),
        "origin": list(image.origin),
        "direction": list(image.direction),
        "content": content,
        "labels": labels,
        "warnings": list(image.warnings),
    }


def entry_of(folder: Path, card: dict[str, Any]) -> Entry | None:
    """The entry that a card describes; None when the card is not whole."""
    try:
        entry = Entry(
            key=folder.name,
            folder=folder,
            name=one_line(card["name"]),
            source=Path(card["source"]),
            shape=_three(card["shape"], int),
            spacing=_three(card["spacing"], float),
            origin=_three(card["origin"], float),
            direction=_matrix(card["direction"]),
            content=str(card["content"]),
            labels=bool(card["labels"]),
            warnings=tuple(one_line(sentence, 2000) for sentence in card["warnings"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    numbers = (*entry.spacing, *entry.origin, *entry.direction)
    good = np.isfinite(numbers).all() and min(entry.spacing) > 0 and min(entry.shape) > 0
    return entry if good else None


def _three(values: Any, kind: type) -> Any:
    first, second, third = values
    return kind(first), kind(second), kind(third)


def _matrix(values: Any) -> tuple[float, ...]:
    if len(values) != 9:
        raise ValueError
    return tuple(float(value) for value in values)


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card in a folder; None when there is none or it cannot be read."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return card if isinstance(card, dict) and card.get("format") == 1 else None

"""The store: every CT is read once, resampled, and kept as a memory-mapped int16 array.

An entry is a folder ``<root>/<key>`` with ``image.npy``, ``labels.npy`` (if there are labels) and
``entry.json``. The key is a digest of the bytes of the source files and of the recipe, so the same CT
under two names is stored once and a changed file or recipe makes a new entry. Folders are built
aside and renamed into place: an entry is either whole or not there, however many processes build.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from SwinSSLLib.atomic import cannot_write
from SwinSSLLib.data.fingerprints import SourceIndex, content_of, file_digest
from SwinSSLLib.data.geometry import Triple, Volume, affine, resample_to_ras
from SwinSSLLib.data.volumes import read_labels, read_volume
from SwinSSLLib.errors import InputError

IMAGE, LABELS, CARD = "image.npy", "labels.npy", "entry.json"
_BUILDING = ".building-"
#: Seconds after which a folder that a killed process left behind is cleared away.
_STALE = 6 * 3600


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
        """(I, J, K) int16 HU, read-only and memory-mapped; mapped anew by each call, unmapped when let go."""
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
        try:
            return np.load(self.folder / file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"The stored copy of {self.source} in {self.folder} is damaged or gone.",
                "Start the job again: it is rebuilt from the source.",
            ) from error


def default_root() -> Path:
    """The user's cache folder; the environment variable SWINSSL_CACHE names another."""
    if named := os.environ.get("SWINSSL_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "SwinSSL" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "SwinSSL"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swinssl"


class Store:
    """Prepared volumes in one folder.

    Args:
        root: the folder; made when the first entry is built.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._sources = SourceIndex(self.root / "sources")

    def add(
        self,
        source: Path,
        recipe: Recipe,
        *,
        labels: Path | None = None,
        series: str | None = None,
        thorough: bool = False,
    ) -> Entry:
        """The entry of a CT; built when it is missing or damaged.

        Args:
            source: a volume file or a DICOM folder.
            recipe: how to prepare it.
            labels: its label map.
            series: DICOM series, see ``read_volume``.
            thorough: also compare the checksums of an entry that is there; otherwise only its sizes.

        Raises:
            InputError: the source cannot be used, or the store cannot be written (the disk is full).
        """
        source = Path(source)
        parts = [self._sources.digest(source, series), self._sources.digest(labels, None) if labels else ""]
        parts.append(json.dumps(asdict(recipe), sort_keys=True))
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
        entry = self._load(key)
        if entry is not None and (self.verify(entry) if thorough else self._complete(entry)):
            return replace(entry, source=source)
        return replace(self._build(key, source, recipe, labels, series), source=source)

    def entries(self) -> list[Entry]:
        """All entries that can be read, by name."""
        if not self.root.is_dir():
            return []
        folders = (f for f in self.root.iterdir() if not f.name.startswith(".") and f.name != "sources")
        found = (self._load(folder.name) for folder in folders)
        return sorted((entry for entry in found if entry is not None), key=lambda entry: (entry.name, entry.key))

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries; returns the bytes freed. Unknown keys are passed over."""
        freed = 0
        for key in keys:
            folder = self.root / key
            if (folder / CARD).is_file() or (folder / IMAGE).is_file():
                freed += _size(folder)
                _remove(folder)
        return freed

    def verify(self, entry: Entry) -> bool:
        """Whether every byte of an entry is what it was when it was built."""
        card = _read_card(entry.folder)
        if card is None or not self._complete(entry):
            return False
        try:
            return all(file_digest(entry.folder / file) == sums["sha256"] for file, sums in card["files"].items())
        except (OSError, KeyError, TypeError):
            return False

    @property
    def size(self) -> int:
        """Bytes on disk of the whole store."""
        return _size(self.root)

    def _load(self, key: str) -> Entry | None:
        folder = self.root / key
        card = _read_card(folder)
        return None if card is None else _entry(folder, card)

    @staticmethod
    def _complete(entry: Entry) -> bool:
        card = _read_card(entry.folder) or {}
        try:
            files = card["files"]
            return IMAGE in files and all((entry.folder / f).stat().st_size == s["bytes"] for f, s in files.items())
        except (OSError, KeyError, TypeError, AttributeError):
            return False

    def _build(self, key: str, source: Path, recipe: Recipe, labels: Path | None, series: str | None) -> Entry:
        volume = read_volume(source, series)
        label_map = read_labels(labels, volume) if labels is not None else None
        image = resample_to_ras(volume, recipe.spacing)
        arrays = {IMAGE: image.array}
        if label_map is not None:
            # the label file may round its geometry otherwise; it lies on the CT's grid, that was checked
            on_grid = replace(volume, array=label_map.array)
            arrays[LABELS] = resample_to_ras(on_grid, recipe.spacing, labels=True).array
        card = _card(key, source, image, content_of(volume), recipe, label_map is not None)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._clear_stale()
            with tempfile.TemporaryDirectory(prefix=_BUILDING, dir=self.root, ignore_cleanup_errors=True) as place:
                folder = Path(place) / key
                folder.mkdir()
                _write(folder, arrays, card)
                self._put(folder, self.root / key)
        except OSError as error:
            raise cannot_write(self.root / key, error) from error
        entry = self._load(key)
        if entry is None:  # deleted by someone else in between
            raise InputError(f"The entry of {source} vanished from {self.root}.", "Start the job again.")
        return entry

    def _put(self, folder: Path, target: Path) -> None:
        """Rename a finished folder into place; an entry that another process put there meanwhile wins if whole."""
        for _ in range(5):
            try:
                folder.rename(target)
                return
            except OSError:
                there = self._load(target.name)
                if there is not None and self.verify(there):
                    return
                if not target.exists():
                    raise
                _remove(target)
        folder.rename(target)

    def _clear_stale(self) -> None:
        for left in self.root.glob(_BUILDING + "*"):
            if time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left, ignore_errors=True)


def _write(folder: Path, arrays: dict[str, np.ndarray], card: dict[str, Any]) -> None:
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


def _card(key: str, source: Path, image: Volume, content: str, recipe: Recipe, labels: bool) -> dict[str, Any]:
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


def _entry(folder: Path, card: dict[str, Any]) -> Entry | None:
    try:
        return Entry(
            key=folder.name,
            folder=folder,
            name=str(card["name"]),
            source=Path(card["source"]),
            shape=_three(card["shape"], int),
            spacing=_three(card["spacing"], float),
            origin=_three(card["origin"], float),
            direction=tuple(float(d) for d in card["direction"]),
            content=str(card["content"]),
            labels=bool(card["labels"]),
            warnings=tuple(map(str, card["warnings"])),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _three(values: Any, kind: type) -> Any:
    first, second, third = values
    return kind(first), kind(second), kind(third)


def _read_card(folder: Path) -> dict[str, Any] | None:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) and card.get("format") == 1 else None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _remove(folder: Path) -> None:
    """Take the folder out of sight at once, then delete it: no reader finds half an entry."""
    hidden = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=folder.parent))
    try:
        folder.rename(hidden / folder.name)
    except FileNotFoundError:
        pass  # another process was faster
    finally:
        shutil.rmtree(hidden, ignore_errors=True)

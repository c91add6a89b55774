"""The store: every CT is read once, resampled, and kept as a memory-mapped int16 array.

An entry is a folder ``<root>/<key>`` with ``image.npy``, ``labels.npy`` (if there are labels) and
``entry.json``. The key is a digest of the bytes of the source files and of the recipe, so the same CT
under two names is stored once and a changed file or recipe makes a new entry. Folders are built
aside and renamed into place: an entry is either whole or not there, however many processes build.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from SwinSSLLib import leftovers
from SwinSSLLib.atomic import cannot_write
from SwinSSLLib.data.entries import CARD, IMAGE, LABELS, Entry, Recipe, entry_of, make_card, read_card, write_entry
from SwinSSLLib.data.fingerprints import SourceIndex, content_of, file_digest
from SwinSSLLib.data.geometry import resample_to_ras
from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.volumes import read_volume
from SwinSSLLib.errors import InputError

__all__ = ["Entry", "Recipe", "Store"]

_BUILDING = ".building-"


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
        card = read_card(self.root / key)  # once: with 160,000 CTs this is what starting a run takes its time for
        entry = entry_of(self.root / key, card) if card else None
        if entry is not None and (self.verify(entry) if thorough else self._complete(entry, card)):
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
        card = read_card(entry.folder)
        if card is None or not self._complete(entry, card):
            return False
        try:
            return all(file_digest(entry.folder / file) == sums["sha256"] for file, sums in card["files"].items())
        except (OSError, KeyError, TypeError, ValueError):
            return False

    @property
    def size(self) -> int:
        """Bytes on disk of the whole store."""
        return _size(self.root)

    def _load(self, key: str) -> Entry | None:
        folder = self.root / key
        card = read_card(folder)
        return None if card is None else entry_of(folder, card)

    @staticmethod
    def _complete(entry: Entry, card: dict[str, Any] | None) -> bool:
        try:
            files = (card or {})["files"]
            return IMAGE in files and all((entry.folder / f).stat().st_size == s["bytes"] for f, s in files.items())
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return False

    def _build(self, key: str, source: Path, recipe: Recipe, labels: Path | None, series: str | None) -> Entry:
        volume = read_volume(source, series)
        label_map = read_label_map(labels, volume) if labels is not None else None
        with ThreadPoolExecutor(1) as pool:
            content = pool.submit(content_of, volume)  # beside the resampling
            image = resample_to_ras(volume, recipe.spacing)
        arrays = {IMAGE: image.array}
        if label_map is not None:
            # the label file may round its geometry otherwise; it lies on the CT's grid, that was checked
            on_grid = replace(volume, array=label_map.array)
            arrays[LABELS] = resample_to_ras(on_grid, recipe.spacing, labels=True).array
        card = make_card(key, source, image, content.result(), recipe, label_map is not None)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            leftovers.clear(self.root, f"{_BUILDING}*")
            with tempfile.TemporaryDirectory(
                prefix=leftovers.marked(_BUILDING), dir=self.root, ignore_cleanup_errors=True
            ) as place:
                folder = Path(place) / key
                folder.mkdir()
                write_entry(folder, arrays, card)
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


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _remove(folder: Path) -> None:
    """Take the folder out of sight at once, then delete it: no reader finds half an entry."""
    hidden = Path(tempfile.mkdtemp(prefix=leftovers.marked(_BUILDING), dir=folder.parent))
    try:
        # Where it is gone, another process was faster.
        with contextlib.suppress(FileNotFoundError):
            folder.rename(hidden / folder.name)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)

"""Readers of the store: cards and arrays of its entries, and notes about sources."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from Fuzz import archives, documents, seeds
from Fuzz.inputs import Input, one
from Fuzz.readers import Reader, bytewise
from SwinSSLLib.data.entries import CARD, IMAGE, LABELS
from SwinSSLLib.data.fingerprints import SourceIndex
from SwinSSLLib.data.store import Recipe, Store


def _entry_seeds(folder: Path) -> list[Input]:
    source = folder / "ct.nrrd"
    source.write_bytes(seeds.volumes(folder, ".nrrd")[0].content)
    label = folder / "label.nrrd"
    label.write_bytes(seeds.written(folder / "w", seeds.labels(), ".nrrd").content)
    entry = Store(folder / "store").add(source, Recipe(), labels=label)
    files = {f"store/key/{file.name}": file.read_bytes() for file in sorted(entry.folder.iterdir())}
    return [Input("store", files, target=f"store/key/{name}") for name in (CARD, IMAGE, LABELS)]


def _entry(random: Random, seed: Input, other: Input) -> Input:
    """The card by its tree; the arrays by their headers, with the card's sizes and sums put right."""
    if seed.name.endswith(CARD):
        return bytewise(documents.mutated)(random, seed, seed)
    changed = bytewise(archives.npy)(random, seed, seed)
    if random.random() < 0.2:
        return changed
    name = Path(seed.name).name
    card = json.loads(seed.files[f"store/key/{CARD}"])
    card["files"][name] = {"bytes": len(changed.content), "sha256": hashlib.sha256(changed.content).hexdigest()}
    return changed.with_content(json.dumps(card).encode(), f"store/key/{CARD}")


def _entries(path: Path, out: Path) -> Any:
    store = Store(path)
    found = []
    for entry in store.entries():
        if store.verify(entry):
            arrays = [entry.image()] + ([entry.label_map()] if entry.labels else [])
            found.append((entry, [(array.shape, array.dtype) for array in arrays]))
            np.asarray(arrays[0]).sum()
            entry.ijk_to_ras  # noqa: B018 - it computes
    return found


def _entries_problem(found: Any) -> str:
    for entry, arrays in found:
        kinds = (np.int16, np.uint8)
        for (shape, dtype), kind in zip(arrays, kinds, strict=False):
            if shape != entry.shape or dtype != kind:
                return f"an array of {dtype} {shape} for a card of {entry.shape}"
        if not all(0 < step < np.inf for step in entry.spacing) or len(entry.direction) != 9:
            return f"an entry with spacing {entry.spacing} and direction {entry.direction}"
        if not np.isfinite([*entry.origin, *entry.direction]).all():
            return "an entry that is nowhere"
        if any(not sentence.isprintable() for sentence in (entry.name, *entry.warnings)):
            return "an entry whose name or warning is not one line"
    return ""


def _note_seeds(folder: Path) -> list[Input]:
    source = folder / "ct.nrrd"
    source.write_bytes(b"anything")
    SourceIndex(folder / "notes").digest(source, None)
    note = next((folder / "notes").iterdir())
    return [one("note.json", note.read_bytes())]


def _note(path: Path, out: Path) -> Any:
    """The note lies where the index looks for it, and says what the source is like now."""
    source, notes = out / "ct.nrrd", out / "notes"
    if not source.exists():
        source.write_bytes(b"anything")
    index = SourceIndex(notes)
    true = index.digest(source, None)
    file = next(notes.iterdir())
    signature = json.loads(file.read_bytes())["signature"]
    text = path.read_bytes()
    try:
        given = json.loads(text)
        old = given.get("signature") if isinstance(given, dict) else None
    except (ValueError, RecursionError):
        old = None
    if isinstance(old, str) and len(old) == 64:
        text = text.replace(old.encode(), signature.encode())
    file.write_bytes(text)
    found = index.digest(source, None)
    file.unlink(missing_ok=True)
    return found, true


def _note_problem(found: Any) -> str:
    digest, _ = found
    good = isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    return "" if good else f"a digest that is none: {str(digest)[:80]!r}"


READERS = (
    Reader("store-entry", _entry_seeds, _entry, _entries, _entries_problem, 2),
    Reader("store-note", _note_seeds, bytewise(documents.mutated), _note, _note_problem, 0.5, quiet=True),
)

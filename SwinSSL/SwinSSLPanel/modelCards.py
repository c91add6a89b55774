"""Models of this machine by their cards: read as data, without torch."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SwinSSLLib.places import library_folder

CARD = "model.json"


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be chosen.

    Attributes:
        name: what to call it.
        path: model folder, or run folder with a model.
        card: content of model.json.
        fromRun: whether it is the result of a run of the runs folder.
    """

    name: str
    path: Path
    card: dict[str, Any]
    fromRun: bool = False

    @property
    def kind(self) -> str:
        """``encoder``, ``pretrained`` or ``segmenter``."""
        return str(self.card.get("kind"))


def readCard(folder: Path) -> dict[str, Any] | None:
    """The card of a model folder, or None if it is missing or damaged."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"), parse_constant=_refuse, parse_float=_finite)
        return card if _isSound(card) else None
    except (OSError, ValueError, RecursionError):
        return None


def _isSound(card: Any) -> bool:
    """Whether everything that is shown of a card is of the kind that it must be."""
    if not isinstance(card, dict) or not isinstance(card.get("network"), dict):
        return False
    sections = [card.get(name) for name in ("input", "provenance", "coverage", "metrics")]
    if not all(section is None or isinstance(section, dict) for section in sections):
        return False
    inputs = card.get("input") or {}
    lists = [(inputs.get(name), length) for name, length in (("spacing", 3), ("roi", 3), ("hu_window", 2))]
    labels = card.get("labels") or []
    return all(
        values is None or (isinstance(values, list) and len(values) == length and all(map(_isNumber, values)))
        for values, length in lists
    ) and (isinstance(labels, list) and all(map(_isLabel, labels)))


def _isLabel(label: Any) -> bool:
    return isinstance(label, dict) and isinstance(label.get("name"), str) and _isNumber(label.get("id"))


def _isNumber(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large.")
    return value


def modelsOfLibrary() -> list[ModelEntry]:
    """Models that were imported or downloaded."""
    root = library_folder()
    folders = sorted(path for path in root.iterdir() if not path.name.startswith(".")) if root.is_dir() else []
    found = [(folder, readCard(folder)) for folder in folders]
    return [ModelEntry(folder.name, folder, card) for folder, card in found if card is not None]


def modelsOfRuns(runsFolder: Path) -> list[ModelEntry]:
    """Models that runs have left, newest first."""
    folders = sorted(runsFolder.iterdir(), reverse=True) if runsFolder.is_dir() else []
    found = [(folder, readCard(folder / "model")) for folder in folders if folder.is_dir()]
    return [ModelEntry(folder.name, folder, card, fromRun=True) for folder, card in found if card is not None]


def allModels(runsFolder: Path, *kinds: str) -> list[ModelEntry]:
    """Models of runs and of the library, of these kinds."""
    found = [*modelsOfRuns(runsFolder), *modelsOfLibrary()]
    return [entry for entry in found if not kinds or entry.kind in kinds]


def networkLine(card: dict[str, Any]) -> str:
    """Network and input of a model in one line."""
    network, inputs = card.get("network") or {}, card.get("input") or {}
    spacing = inputs.get("spacing")
    where = " × ".join(f"{value:g}" for value in spacing) + " mm" if spacing else _("the CT's own spacing")
    low, high = (f"{value:g}" for value in inputs.get("hu_window") or (-math.inf, math.inf))
    words = _("Swin UNETR, feature size {size}, {merging} merging, {where}, HU {low} to {high}")
    return words.format(
        size=network.get("feature_size"), merging=network.get("merging"), where=where, low=low, high=high
    )


def coverageLine(card: dict[str, Any]) -> str:
    """How much of a foreign file arrived; empty for models of our own."""
    coverage = card.get("coverage")
    if not isinstance(coverage, dict):
        return ""
    words = _("{loaded} of {wanted} tensors taken over, {renamed} renamed, {unused} of the file not used")
    return words.format(
        loaded=coverage.get("loaded"),
        wanted=coverage.get("wanted"),
        renamed=_count(coverage.get("renamed")),
        unused=_count(coverage.get("unexpected")),
    )


def _count(values: Any) -> int:
    return len(values) if isinstance(values, dict | list) else 0


def assumedLines(card: dict[str, Any]) -> list[str]:
    """What nobody has stated about a model and was assumed."""
    lines = (card.get("provenance") or {}).get("assumed")
    return [str(line) for line in lines] if isinstance(lines, list) else []

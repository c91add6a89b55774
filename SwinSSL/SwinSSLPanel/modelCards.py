"""Models of this machine by their cards: read as data, without torch."""

from __future__ import annotations

import json
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
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return card if isinstance(card, dict) and isinstance(card.get("network"), dict) else None


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
    network, inputs = card.get("network", {}), card.get("input", {})
    spacing = inputs.get("spacing")
    where = " × ".join(f"{value:g}" for value in spacing) + " mm" if spacing else _("the CT's own spacing")
    low, high = inputs.get("hu_window", ("?", "?"))
    words = _("Swin UNETR, feature size {size}, {merging} merging, {where}, HU {low:g} to {high:g}")
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
        renamed=len(coverage.get("renamed", {})),
        unused=len(coverage.get("unexpected", [])),
    )


def assumedLines(card: dict[str, Any]) -> list[str]:
    """What nobody has stated about a model and was assumed."""
    return [str(line) for line in card.get("provenance", {}).get("assumed", [])]

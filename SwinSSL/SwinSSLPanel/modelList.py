"""The models of this machine as the panel lists them: damaged ones too, and what there is to say about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SwinSSLLib.exchange.catalogue import Entry, published
from SwinSSLLib.places import library_folder
from SwinSSLPanel.modelCards import (
    CARD,
    ModelEntry,
    allModels,
    assumedLines,
    coverageLine,
    modelsOfRuns,
    networkLine,
    readCard,
)

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Listed:
    """One line of the list of models.

    Attributes:
        name: of the model.
        path: model or run folder; None if it is only published.
        where: "here", "run" or "published".
        card: content of model.json; empty if it is damaged or not here.
        bytes: on the disk, or to be fetched.
        problem: why it cannot be used; empty if it can.
        entry: what is published under this name, if anything.
    """

    name: str
    path: Path | None
    where: str
    card: Mapping[str, Any]
    bytes: int
    problem: str = ""
    entry: Entry | None = None

    @property
    def kind(self) -> str:
        """``encoder``, ``pretrained`` or ``segmenter``."""
        return str(self.card.get("kind") or (self.entry.kind if self.entry and not self.path else ""))

    @property
    def merging(self) -> str:
        """Patch merging."""
        if self.card:
            return str(self.card["network"].get("merging", ""))
        return self.entry.merging if self.entry and not self.path else ""


def listModels(runsFolder: Path) -> list[Listed]:
    """Models of the library, of runs, and those that are published and not here."""
    here = _installed()
    runs = [
        Listed(one.name, one.path, "run", one.card, sizeOf(one.path / "model"), cardProblem(one.path / "model"))
        for one in modelsOfRuns(runsFolder)
    ]
    names = {one.name for one in here}
    away = [
        Listed(name, None, "published", {}, entry.bytes, "", entry)
        for name, entry in published().items()
        if name not in names
    ]
    return [*here, *runs, *away]


def segmenters(runsFolder: Path) -> list[ModelEntry]:
    """Models that can segment and whose folders are whole."""
    return [
        entry
        for entry in allModels(runsFolder, "segmenter")
        if not cardProblem(entry.path / "model" if entry.fromRun else entry.path)
    ]


def _installed() -> list[Listed]:
    root = library_folder()
    if not root.is_dir():
        return []
    # As the engine has it: what is on its way in or out begins with a dot.
    folders = sorted(path for path in root.iterdir() if not path.name.startswith(".") and (path / CARD).exists())
    return [
        Listed(
            folder.name,
            folder,
            "here",
            {} if cardProblem(folder) else readCard(folder) or {},
            sizeOf(folder),
            cardProblem(folder),
            published().get(folder.name),
        )
        for folder in folders
    ]


def cardProblem(folder: Path) -> str:
    """Why a model folder cannot be used, as far as its card tells; the engine looks closer."""
    card = readCard(folder)
    try:
        if card is None:
            raise ValueError
        int(card["network"]["feature_size"])
        roi, spacing, window = (card["input"][key] for key in ("roi", "spacing", "hu_window"))
        lengths = [len([float(value) for value in values]) for values in (roi, spacing or roi, window)]
        colours = [len(label["colour"]) for label in card["labels"] if int(label["id"]) > 0]
        if lengths != [3, 3, 2] or set(colours) - {3} or (card["kind"] == "segmenter" and not colours):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        return _("Its card {file} is damaged.").format(file=folder / CARD)
    if not (folder / WEIGHTS).is_file():
        return _("Its weights {file} are missing.").format(file=folder / WEIGHTS)
    return ""


def sizeOf(folder: Path) -> int:
    """Bytes of everything in a folder."""
    try:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except OSError:  # something is being deleted just now
        return 0


def sizeText(size: float) -> str:
    """Bytes as people say them."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def diceLine(card: Mapping[str, Any]) -> str:
    """Dice of a model with what it was measured on; without that a figure means nothing."""
    metrics = card.get("metrics") if isinstance(card.get("metrics"), Mapping) else {}
    validation = metrics.get("validation")
    if isinstance(validation, Mapping) and isinstance(validation.get("dice"), int | float):
        cases = [str(name) for name in validation.get("cases") or []]
        names = ", ".join(cases[:3]) + (" …" if len(cases) > 3 else "")
        words = _("Dice {dice:.3f} on {count} validation CTs kept aside ({names})")
        if len(cases) == 1:
            words = _("Dice {dice:.3f} on one validation CT kept aside ({names})")
        return words.format(dice=validation["dice"], count=len(cases), names=names)
    stated = metrics.get("stated")
    return statedLine(stated[0]) if isinstance(stated, list) and stated else ""


def statedLine(figure: Mapping[str, Any]) -> str:
    """A figure of the publisher."""
    words = _("Dice {dice:.4g} as stated by its publisher ({split})")
    return words.format(dice=float(figure.get("value", "nan")), split=figure.get("split", ""))


def cardText(entry: ModelEntry) -> str:
    """What a segmenter is, in two lines."""
    dice = diceLine(entry.card) or _("No validation Dice is known.")
    return f"{networkLine(entry.card)}\n{dice}"


def listedText(model: Listed) -> str:
    """Everything that there is to say about a model of the list."""
    if model.problem:
        return f"⚠ {model.problem} " + _("Delete it, and import or download it again.")
    if model.where == "published":
        return _publishedText(model.entry)
    card, lines = model.card, []
    if model.entry is not None:
        lines.append(model.entry.title)
    lines += [networkLine(dict(card)), diceLine(card)]
    labels = ", ".join(str(label["name"]) for label in card.get("labels", []))
    lines.append(_("Segments: {labels}").format(labels=labels) if labels else _("Segments nothing by itself."))
    lines.append(coverageLine(dict(card)))
    lines += [_("Assumed: {what}").format(what=line) for line in assumedLines(dict(card))]
    licence = card.get("provenance", {}).get("licence")
    if isinstance(licence, Mapping):
        lines.append(_("Licence: {name}").format(name=licence.get("name", "")))
    lines.append(str(model.path))
    return "\n".join(line for line in lines if line)


def _publishedText(entry: Entry) -> str:
    about = "" if entry.bytes_exact else _("about ")
    lines = [entry.title, entry.description]
    lines += [statedLine(figure) for figure in entry.dice[:1]]
    lines.append(_("Licence: {name}").format(name=entry.licence["name"]))
    lines.append(f"{entry.address} ({about}{sizeText(entry.bytes)})")
    return "\n".join(lines)

"""What the user is asked about models; every answer is empty where the dialog was cancelled."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLLib.exchange.catalogue import Entry

#: Files of weights and bundles that others publish.
WEIGHTS_FILES = "*.pt *.pth *.ckpt *.safetensors *.zip"


def exportFormats() -> dict[str, str]:
    """Formats that the engine writes, in words; all but the first and the last are single files."""
    return {
        "folder": _("Model folder (safetensors and card)"),
        "monai": _("Weights for MONAI's SwinUNETR (.pt)"),
        "swinvit": _("Encoder for SwinUNETR.load_from of MONAI (.pt)"),
        "sslhead": _("Encoder and heads for the public pre-training code (.pt)"),
        "bundle": _("Bundle of the model zoo (MONAI Label)"),
    }


def licenceAccepted(entry: Entry) -> bool:
    """Show the licence of a published model and ask."""
    words = _("{title}\n\nLicence: {licence}\n{text}\n{url}\n\nDo you accept this licence?")
    licence = entry.licence
    question = words.format(title=entry.title, licence=licence["name"], text=licence["text"], url=licence["url"])
    return bool(slicer.util.confirmYesNoDisplay(question, _("Licence of {name}").format(name=entry.name)))


def askFile(title: str) -> Path | None:
    """A file of weights or a zipped bundle."""
    patterns = _("Weights and bundles ({patterns})").format(patterns=WEIGHTS_FILES)
    kinds = ";;".join((patterns, _("All files (*)")))
    file = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", kinds)
    return Path(file) if file else None


def askFolder(title: str) -> Path | None:
    """A folder that is there."""
    folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, str(Path.home()))
    return Path(folder) if folder else None


def askName(source: Path, taken: Collection[str]) -> str:
    """A name for a model that comes in."""
    title, label = _("Import a model"), _("Name of the model on this machine:")
    proposal = freeName(source, taken)
    name = qt.QInputDialog.getText(slicer.util.mainWindow(), title, label, qt.QLineEdit.Normal, proposal)
    return name.strip()


def freeName(source: Path, taken: Collection[str]) -> str:
    """A name that a model may have and that no model has."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", source.name.partition(".")[0]).strip("._-")[:60] or "model"
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def askFormat() -> str:
    """One of :func:`exportFormats`."""
    formats = exportFormats()
    words = qt.QInputDialog.getItem(
        slicer.util.mainWindow(), _("Export a model"), _("Format:"), list(formats.values()), 0, False
    )
    return next((name for name, text in formats.items() if text == words), "")


def askOut(name: str, chosen: str) -> str:
    """Where to write a model in a format."""
    stem = f"{name}-{chosen}"
    if chosen in ("folder", "bundle"):
        parent = askFolder(_("Folder to export into"))
        return str(parent / stem) if parent is not None else ""
    start = str(Path.home() / f"{stem}.pt")
    return qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Export to"), start, _("Weights (*.pt)"))

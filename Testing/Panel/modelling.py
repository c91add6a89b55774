"""The section Models in a window, what it is filled with, and what the user answers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import qt
import slicer
from model_files import makeSegmenter
from opening import opened
from SwinSSLPanel.sections.models import ModelsSection
from waiting import waitFor

from SwinSSLLib.places import library_folder

SCREENSHOTS = Path(os.environ["SWINSSL_SCREENSHOTS"]) if "SWINSSL_SCREENSHOTS" in os.environ else None


@pytest.fixture(scope="session")
def a_model_and_its_weights(tmp_path_factory) -> tuple[Path, Path]:
    """A model folder, and its bare weights as others would publish them."""
    folder = tmp_path_factory.mktemp("model")
    return makeSegmenter(folder / "tiny", weights=folder / "weights of others.pt"), folder / "weights of others.pt"


@pytest.fixture
def a_models_section(a_bench, tmp_path):
    """The section in a window of 500 pixels, with an empty library."""
    shutil.rmtree(library_folder(), ignore_errors=True)
    with opened(ModelsSection, tmp_path / "runs") as section:
        yield section
    shutil.rmtree(library_folder(), ignore_errors=True)


@pytest.fixture
def answers(monkeypatch):
    """What the user answers to dialogs; every question that was asked."""
    given: dict[str, object] = {"confirm": True, "name": None, "item": 0, "file": "", "folder": "", "save": ""}
    asked: list[str] = []

    def confirm(text, *arguments, **keywords):
        asked.append(text)
        return given["confirm"]

    def text(_parent, _title, _label, _mode, suggestion):
        asked.append(suggestion)
        return suggestion if given["name"] is None else given["name"]

    def item(_parent, _title, _label, items, _current, _editable):
        return items[given["item"]]

    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", confirm)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    for owner, name, answer in (
        (qt.QInputDialog, "getText", text),
        (qt.QInputDialog, "getItem", item),
        (qt.QFileDialog, "getOpenFileName", lambda *_: str(given["file"])),
        (qt.QFileDialog, "getExistingDirectory", lambda *_: str(given["folder"])),
        (qt.QFileDialog, "getSaveFileName", lambda *_: str(given["save"])),
    ):
        monkeypatch.setattr(owner, name, answer)
    given["asked"] = asked
    return given


def install(model: Path, name: str) -> Path:
    shutil.copytree(model, library_folder() / name)
    return library_folder() / name


def choose(section, name: str) -> None:
    section.fill()
    names = [model.name for model in section.models]
    section.ui.modelTable.setCurrentCell(names.index(name), 0)
    slicer.app.processEvents()


def ended(section, seconds: float = 90.0) -> bool:
    return waitFor(lambda: not section.errand.running, seconds)


def action(section, number: int):
    """An entry of the Import button's menu."""
    return section.ui.importButton.menu().actions()[number]


def shown(section) -> dict[str, tuple[str, ...]]:
    table = section.ui.modelTable
    cells = [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]
    return {first: tuple(rest) for first, *rest in cells}


def grab(widget, name: str) -> None:
    if SCREENSHOTS is not None:
        slicer.app.processEvents()
        widget.grab().save(str(SCREENSHOTS / f"{name}.png"))

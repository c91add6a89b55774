"""The models of this machine through real clicks with real workers: import, export, delete, licence, cache."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import engine_files
import pytest
import qt
import slicer
from model_files import PUBLISHED, makeSegmenter
from opening import opened
from SwinSSLPanel.jobs import Outcome
from SwinSSLPanel.modelList import cardProblem, diceLine, listedText, listModels, segmenters, sizeText
from SwinSSLPanel.sections.models import ModelsSection
from waiting import waitFor

from SwinSSLLib.exchange.catalogue import published
from SwinSSLLib.places import cache_folder, library_folder

RESOURCES = Path(__file__).resolve().parents[2] / "SwinSSL" / "Resources"
SCREENSHOTS = Path(os.environ["SWINSSL_SCREENSHOTS"]) if "SWINSSL_SCREENSHOTS" in os.environ else None


@pytest.fixture(scope="module")
def a_segmenter(tmp_path_factory) -> tuple[Path, Path]:
    """A model folder, and its bare weights as others would publish them."""
    folder = tmp_path_factory.mktemp("model")
    return makeSegmenter(folder / "tiny", weights=folder / "weights of others.pt"), folder / "weights of others.pt"


@pytest.fixture
def a_section(a_bench, tmp_path):
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


# --- the list


def test_the_list_holds_what_is_here_what_runs_left_and_what_is_published(a_section, a_segmenter):
    install(a_segmenter[0], "mine")
    damaged = install(a_segmenter[0], "broken")
    (damaged / "weights.safetensors").unlink()
    shutil.copytree(a_segmenter[0], a_section.context.runsFolder / "finetune-7" / "model")
    choose(a_section, "mine")
    rows = shown(a_section)
    assert rows["mine"] == (
        "segmenter",
        "fixed",
        sizeText(sum(f.stat().st_size for f in a_segmenter[0].iterdir())),
        "here",
    )
    assert rows["broken"][3] == "⚠ damaged"
    assert rows["finetune-7"][3] == "run"
    for name, entry in published().items():
        assert rows[name] == (entry.kind, entry.merging, sizeText(entry.bytes), "published")
    ui = a_section.ui
    assert "feature size 12" in ui.cardLabel.text
    assert "Dice 0.500 on 2 validation CTs kept aside (a, b)" in ui.cardLabel.text
    assert "spleen, right kidney" in ui.cardLabel.text
    assert "Installed models: 2" in ui.diskLabel.text
    assert str(library_folder()) in ui.diskLabel.text
    grab(a_section.root, "models")


@pytest.mark.parametrize(
    ("name", "enabled"),
    [
        ("mine", {"export", "remove"}),
        ("finetune-7", {"export"}),
        ("broken", {"remove"}),
        ("btcv-tiny", {"download", "file"}),
    ],
)
def test_what_can_be_done_depends_on_the_model(a_section, a_segmenter, name, enabled):
    install(a_segmenter[0], "mine")
    (install(a_segmenter[0], "broken") / "model.json").write_text("{")
    shutil.copytree(a_segmenter[0], a_section.context.runsFolder / "finetune-7" / "model")
    choose(a_section, name)
    buttons = ("download", "file", "export", "remove", "stop")
    assert {word for word in buttons if getattr(a_section.ui, f"{word}Button").enabled} == enabled


def test_a_published_model_shows_what_its_publisher_states_and_where_it_is(a_section):
    choose(a_section, "btcv-base")
    text = a_section.ui.cardLabel.text
    assert "as stated by its publisher (BTCV, the 6 validation cases" in text
    assert published()["btcv-base"].address in text
    assert "Licence: Apache-2.0" in text
    grab(a_section.root, "models-published")


@pytest.mark.parametrize(
    "card",
    [
        "",
        "[]",
        "{}",
        '{"kind": "segmenter", "network": {}}',
        '{"kind": "segmenter", "network": {"feature_size": 12}, "input": {"roi": [1, 2]}, "labels": []}',
        '{"kind": "segmenter", "network": {"feature_size": "x"}, "input": 3, "labels": 7}',
        "\x00" * 50,
    ],
)
def test_damaged_cards_of_any_kind_are_one_sentence(a_section, a_segmenter, card):
    folder = install(a_segmenter[0], "broken")
    (folder / "model.json").write_text(card)
    assert "damaged" in cardProblem(folder)
    model = next(one for one in listModels(a_section.context.runsFolder) if one.name == "broken")
    assert listedText(model).startswith("⚠")
    assert segmenters(a_section.context.runsFolder) == []
    choose(a_section, "broken")


def test_a_figure_is_never_shown_without_what_it_was_measured_on():
    assert diceLine({}) == diceLine({"metrics": None}) == diceLine({"metrics": {"validation": {"dice": None}}}) == ""
    stated = {"metrics": {"stated": [{"value": 0.8, "split": "BTCV fold 1"}]}}
    assert diceLine(stated) == "Dice 0.8 as stated by its publisher (BTCV fold 1)"


# --- in


def test_weights_of_others_are_imported_under_a_name_that_is_free(a_section, a_segmenter, answers):
    install(a_segmenter[0], "weights-of-others")
    a_section.fill()
    answers["file"] = a_segmenter[1]
    action(a_section, 0).trigger()
    assert answers["asked"] == ["weights-of-others-2"]
    assert a_section.ui.progressBar.visible
    assert not a_section.ui.importButton.enabled
    assert ended(a_section)
    card = json.loads((library_folder() / "weights-of-others-2" / "model.json").read_text())
    assert (card["kind"], card["network"]["feature_size"]) == ("segmenter", 12)
    assert "weights-of-others-2 is here" in a_section.ui.messageLabel.text
    assert a_section.chosen.name == "weights-of-others-2"
    assert "Assumed: " in a_section.ui.cardLabel.text
    assert a_section.words == ["models"]


def test_a_bundle_folder_and_its_zip_are_imported(a_section, a_segmenter, answers, tmp_path):
    engine_files.engineRun("models", "export", a_segmenter[0], "-f", "bundle", "-o", tmp_path / "bundle")
    answers["folder"] = tmp_path / "bundle"
    action(a_section, 1).trigger()
    assert ended(a_section)
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for file in (tmp_path / "bundle").rglob("*"):
            archive.write(file, Path("bundle") / file.relative_to(tmp_path / "bundle"))
    answers["file"] = tmp_path / "zipped.zip"
    action(a_section, 0).trigger()
    assert ended(a_section)
    assert a_section.ui.messageLabel.text == "The model zipped is here."
    here = {model.name for model in a_section.models if model.where == "here"}
    assert here == {"bundle", "zipped"}


@pytest.mark.parametrize("content", [b"rubbish", b""])
def test_a_file_that_is_no_model_is_told_in_the_workers_sentence(a_section, answers, tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    answers["file"] = tmp_path / "x.pt"
    action(a_section, 0).trigger()
    assert ended(a_section)
    assert a_section.ui.messageLabel.text.startswith("⚠ ")
    assert "x.pt" in a_section.ui.messageLabel.text
    assert not any(model.where == "here" for model in a_section.models)
    assert a_section.ui.importButton.enabled


def test_a_name_that_cannot_be_one_is_told(a_section, a_segmenter, answers):
    answers.update(file=a_segmenter[1], name="../escape")
    action(a_section, 0).trigger()
    assert ended(a_section)
    assert "cannot be the name of a model" in a_section.ui.messageLabel.text


def test_nothing_happens_when_dialogs_are_cancelled(a_section, a_segmenter, answers):
    install(a_segmenter[0], "mine")
    answers["confirm"] = False
    action(a_section, 0).trigger()
    action(a_section, 1).trigger()
    answers.update(file=a_segmenter[1], name="")
    action(a_section, 0).trigger()
    choose(a_section, "mine")
    a_section.ui.removeButton.click()
    a_section.ui.exportButton.click()
    assert not a_section.errand.running
    assert (library_folder() / "mine").is_dir()


# --- licence and download


def test_without_consent_nothing_is_fetched(a_section, answers, a_segmenter):
    answers.update(confirm=False, file=a_segmenter[1])
    choose(a_section, "btcv-tiny")
    a_section.ui.downloadButton.click()
    assert not a_section.errand.running
    assert "not accepted" in a_section.ui.messageLabel.text
    licence = published()["btcv-tiny"].licence
    assert licence["text"] in answers["asked"][0]
    assert licence["url"] in answers["asked"][0]
    a_section.ui.fileButton.click()
    assert not a_section.errand.running
    assert not library_folder().exists()


def test_a_local_file_that_is_another_is_refused(a_section, answers, a_segmenter):
    answers["file"] = a_segmenter[1]
    choose(a_section, "btcv-base")
    a_section.ui.fileButton.click()
    assert a_section.ui.stopButton.enabled
    assert ended(a_section)
    assert "is not the file that was expected" in a_section.ui.messageLabel.text
    assert shown(a_section)["btcv-base"][3] == "published"


def test_a_local_file_of_a_published_model_is_installed_under_its_name(a_section, answers, tmp_path):
    # Random weights of the published network: right in everything that the catalogue knows of it.
    makeSegmenter(tmp_path / "folder", weights=tmp_path / "fetched elsewhere.pt", network=PUBLISHED)
    answers["file"] = tmp_path / "fetched elsewhere.pt"
    choose(a_section, "btcv-tiny")
    a_section.ui.fileButton.click()
    assert ended(a_section)
    assert a_section.ui.messageLabel.text == "The model btcv-tiny is here."
    assert shown(a_section)["btcv-tiny"][3] == "here, published"
    assert a_section.chosen.where == "here"
    card = json.loads((library_folder() / "btcv-tiny" / "model.json").read_text())
    assert card["input"]["spacing"] == [1.5, 1.5, 2.0]
    assert "as stated by its publisher" in a_section.ui.cardLabel.text
    assert [entry.name for entry in segmenters(a_section.context.runsFolder)] == ["btcv-tiny"]


def test_progress_of_a_download_in_words(a_section):
    event = {"event": "progress", "step": 104_000_000, "total": 411_000_000, "rate": 5.2e6, "seconds_left": 59.0}
    a_section._showProgress(event)
    assert a_section.ui.statusLabel.text == "104.0 MB of 411.0 MB · 5.2 MB a second · 59 s left"
    assert (a_section.ui.progressBar.value, a_section.ui.progressBar.maximum) == (253, 1000)
    a_section._showProgress({"event": "progress", "step": 1000, "total": None, "rate": None, "seconds_left": None})
    assert a_section.ui.statusLabel.text == "0.0 MB"
    assert a_section.ui.progressBar.maximum == 0


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_download_that_is_stopped_says_so_and_leaves_no_model(a_section, answers, monkeypatch):
    """Against a server that gives nothing: the worker hangs in the network until it is stopped."""
    import socket

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    proxy = f"http://127.0.0.1:{listening.getsockname()[1]}"
    for variable in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, proxy)
    choose(a_section, "btcv-tiny")
    a_section.ui.downloadButton.click()
    listening.settimeout(0)

    def connected() -> bool:
        try:
            listening.accept()
        except BlockingIOError:
            return False
        return True

    assert waitFor(connected)
    a_section.ui.stopButton.click()
    assert ended(a_section)
    listening.close()
    assert "⚠" not in a_section.ui.messageLabel.text
    assert a_section.ui.messageLabel.text
    assert shown(a_section)["btcv-tiny"][3] == "published"


# --- out, and away


@pytest.mark.parametrize(("number", "name"), [(0, "mine-folder"), (1, "weights.pt"), (4, "mine-bundle")])
def test_a_model_is_exported(a_section, a_segmenter, answers, tmp_path, number, name):
    install(a_segmenter[0], "mine")
    (tmp_path / "out").mkdir()
    answers.update(item=number, folder=tmp_path / "out", save=tmp_path / "out" / "weights.pt")
    choose(a_section, "mine")
    a_section.ui.exportButton.click()
    assert ended(a_section)
    assert (tmp_path / "out" / name).exists()
    assert a_section.ui.messageLabel.text.startswith("Written: ")
    assert a_section.words == []


def test_an_export_onto_something_is_refused(a_section, a_segmenter, answers, tmp_path):
    install(a_segmenter[0], "mine")
    (tmp_path / "weights.pt").write_text("precious")
    answers.update(item=1, save=tmp_path / "weights.pt")
    choose(a_section, "mine")
    a_section.ui.exportButton.click()
    assert ended(a_section)
    assert "exists already" in a_section.ui.messageLabel.text
    assert (tmp_path / "weights.pt").read_text() == "precious"


def test_a_model_is_deleted_after_asking(a_section, a_segmenter, answers):
    install(a_segmenter[0], "mine")
    choose(a_section, "mine")
    a_section.ui.removeButton.click()
    assert "Delete the model mine" in answers["asked"][0]
    assert ended(a_section)
    assert not (library_folder() / "mine").exists()
    assert "mine is deleted" in a_section.ui.messageLabel.text
    assert a_section.words == ["models"]
    assert a_section.chosen is None


def test_a_model_that_is_gone_already_is_told(a_section, a_segmenter, answers):
    install(a_segmenter[0], "mine")
    choose(a_section, "mine")
    shutil.rmtree(library_folder() / "mine")
    a_section.ui.removeButton.click()
    assert ended(a_section)
    assert "There is no model 'mine'" in a_section.ui.messageLabel.text
    assert "mine" not in shown(a_section)


# --- prepared CTs


def test_prepared_cts_are_shown_by_size_and_deleted_after_asking(a_section, answers, tmp_path):
    shutil.rmtree(cache_folder(), ignore_errors=True)
    a_section.fill()
    assert not a_section.ui.cacheButton.enabled
    assert "0.0 MB" in a_section.ui.cacheLabel.text
    _prepare(tmp_path)
    a_section.enter()
    assert a_section.ui.cacheButton.enabled
    answers["confirm"] = False
    a_section.ui.cacheButton.click()
    assert ended(a_section)
    assert "Delete all prepared CTs (1: ct)" in answers["asked"][0]
    assert list(cache_folder().glob("*/image*"))
    answers["confirm"] = True
    a_section.ui.cacheButton.click()
    assert waitFor(lambda: "are deleted" in a_section.ui.messageLabel.text)
    assert ended(a_section)
    assert not list(cache_folder().glob("*/image*"))


def _prepare(folder: Path) -> None:
    """One CT in the cache, put there by the engine."""
    import subprocess
    import sys

    code = """
import sys
from pathlib import Path
from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.data.volumes import write_volume
from SwinSSLLib.places import cache_folder
ct = Path(sys.argv[1]) / "ct.nii.gz"
write_volume(make_phantom(1, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36)).image, ct)
Store(cache_folder()).add(ct, Recipe(spacing=(8.0, 8.0, 8.0)))
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=engine_files.ROOT, check=True)


# --- faults


def test_closing_the_panel_while_a_worker_is_at_work_leaves_none(a_section, a_segmenter, answers):
    answers["file"] = a_segmenter[1]
    action(a_section, 0).trigger()
    assert a_section.errand.running
    a_section.close()
    assert not a_section.errand.running


def test_a_worker_that_dies_is_told(a_section):
    a_section._onEnded(Outcome(False, "The worker died without a word.", "", -1), False)
    assert "died without a word" in a_section.ui.messageLabel.text

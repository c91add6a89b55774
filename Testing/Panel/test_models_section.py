"""The models of this machine through real clicks with real workers: the list, import, export, delete."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import engine_files
import pytest
from modelling import action, choose, ended, grab, install, shown
from SwinSSLPanel.jobs import Outcome
from SwinSSLPanel.modelList import cardProblem, diceLine, listedText, listModels, segmenters, sizeText

from SwinSSLLib.exchange.catalogue import published
from SwinSSLLib.places import library_folder


def test_the_list_holds_what_is_here_what_runs_left_and_what_is_published(a_models_section, a_model_and_its_weights):
    install(a_model_and_its_weights[0], "mine")
    damaged = install(a_model_and_its_weights[0], "broken")
    (damaged / "weights.safetensors").unlink()
    shutil.copytree(a_model_and_its_weights[0], a_models_section.context.runsFolder / "finetune-7" / "model")
    choose(a_models_section, "mine")
    rows = shown(a_models_section)
    assert rows["mine"] == (
        "segmenter",
        "fixed",
        sizeText(sum(f.stat().st_size for f in a_model_and_its_weights[0].iterdir())),
        "here",
    )
    assert rows["broken"][3] == "⚠ damaged"
    assert rows["finetune-7"][3] == "run"
    for name, entry in published().items():
        assert rows[name] == (entry.kind, entry.merging, sizeText(entry.bytes), "published")
    ui = a_models_section.ui
    assert "feature size 12" in ui.cardLabel.text
    assert "Dice 0.500 on 2 validation CTs kept aside (a, b)" in ui.cardLabel.text
    metrics = {"metrics": {"validation": {"dice": 0.5, "cases": ["a"]}}}
    assert diceLine(metrics) == "Dice 0.500 on one validation CT kept aside (a)"
    assert "spleen, right kidney" in ui.cardLabel.text
    assert "Installed models: 2" in ui.diskLabel.text
    assert str(library_folder()) in ui.diskLabel.text
    grab(a_models_section.root, "models")


@pytest.mark.parametrize(
    ("name", "enabled"),
    [
        ("mine", {"export", "remove"}),
        ("finetune-7", {"export"}),
        ("broken", {"remove"}),
        ("btcv-tiny", {"download", "file"}),
    ],
)
def test_what_can_be_done_depends_on_the_model(a_models_section, a_model_and_its_weights, name, enabled):
    install(a_model_and_its_weights[0], "mine")
    (install(a_model_and_its_weights[0], "broken") / "model.json").write_text("{")
    shutil.copytree(a_model_and_its_weights[0], a_models_section.context.runsFolder / "finetune-7" / "model")
    choose(a_models_section, name)
    buttons = ("download", "file", "export", "remove", "stop")
    assert {word for word in buttons if getattr(a_models_section.ui, f"{word}Button").enabled} == enabled


def test_a_published_model_shows_what_its_publisher_states_and_where_it_is(a_models_section):
    choose(a_models_section, "btcv-base")
    text = a_models_section.ui.cardLabel.text
    assert "as stated by its publisher (BTCV, the 6 validation cases" in text
    assert published()["btcv-base"].address in text
    assert "Licence: Apache-2.0" in text
    grab(a_models_section.root, "models-published")


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
def test_damaged_cards_of_any_kind_are_one_sentence(a_models_section, a_model_and_its_weights, card):
    folder = install(a_model_and_its_weights[0], "broken")
    (folder / "model.json").write_text(card)
    assert "damaged" in cardProblem(folder)
    model = next(one for one in listModels(a_models_section.context.runsFolder) if one.name == "broken")
    assert listedText(model).startswith("⚠")
    assert segmenters(a_models_section.context.runsFolder) == []
    choose(a_models_section, "broken")


def test_a_figure_is_never_shown_without_what_it_was_measured_on():
    assert diceLine({}) == diceLine({"metrics": None}) == diceLine({"metrics": {"validation": {"dice": None}}}) == ""
    stated = {"metrics": {"stated": [{"value": 0.8, "split": "BTCV fold 1"}]}}
    assert diceLine(stated) == "Dice 0.8 as stated by its publisher (BTCV fold 1)"


def test_weights_of_others_are_imported_under_a_name_that_is_free(a_models_section, a_model_and_its_weights, answers):
    install(a_model_and_its_weights[0], "weights-of-others")
    a_models_section.fill()
    answers["file"] = a_model_and_its_weights[1]
    action(a_models_section, 0).trigger()
    assert answers["asked"] == ["weights-of-others-2"]
    assert a_models_section.ui.progressBar.visible
    assert not a_models_section.ui.importButton.enabled
    assert ended(a_models_section)
    card = json.loads((library_folder() / "weights-of-others-2" / "model.json").read_text())
    assert (card["kind"], card["network"]["feature_size"]) == ("segmenter", 12)
    assert "weights-of-others-2 is here" in a_models_section.ui.messageLabel.text
    assert a_models_section.chosen.name == "weights-of-others-2"
    assert "Assumed: " in a_models_section.ui.cardLabel.text
    assert a_models_section.words == ["models"]


def test_a_bundle_folder_and_its_zip_are_imported(a_models_section, a_model_and_its_weights, answers, tmp_path):
    engine_files.engineRun("models", "export", a_model_and_its_weights[0], "-f", "bundle", "-o", tmp_path / "bundle")
    answers["folder"] = tmp_path / "bundle"
    action(a_models_section, 1).trigger()
    assert ended(a_models_section)
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for file in (tmp_path / "bundle").rglob("*"):
            archive.write(file, Path("bundle") / file.relative_to(tmp_path / "bundle"))
    answers["file"] = tmp_path / "zipped.zip"
    action(a_models_section, 0).trigger()
    assert ended(a_models_section)
    assert a_models_section.ui.messageLabel.text == "The model zipped is here."
    here = {model.name for model in a_models_section.models if model.where == "here"}
    assert here == {"bundle", "zipped"}


@pytest.mark.parametrize("content", [b"rubbish", b""])
def test_a_file_that_is_no_model_is_told_in_the_workers_sentence(a_models_section, answers, tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    answers["file"] = tmp_path / "x.pt"
    action(a_models_section, 0).trigger()
    assert ended(a_models_section)
    assert a_models_section.ui.messageLabel.text.startswith("⚠ ")
    assert "x.pt" in a_models_section.ui.messageLabel.text
    assert not any(model.where == "here" for model in a_models_section.models)
    assert a_models_section.ui.importButton.enabled


def test_a_name_that_cannot_be_one_is_told(a_models_section, a_model_and_its_weights, answers):
    answers.update(file=a_model_and_its_weights[1], name="../escape")
    action(a_models_section, 0).trigger()
    assert ended(a_models_section)
    assert "cannot be the name of a model" in a_models_section.ui.messageLabel.text


def test_nothing_happens_when_dialogs_are_cancelled(a_models_section, a_model_and_its_weights, answers):
    install(a_model_and_its_weights[0], "mine")
    answers["confirm"] = False
    action(a_models_section, 0).trigger()
    action(a_models_section, 1).trigger()
    answers.update(file=a_model_and_its_weights[1], name="")
    action(a_models_section, 0).trigger()
    choose(a_models_section, "mine")
    a_models_section.ui.removeButton.click()
    a_models_section.ui.exportButton.click()
    assert not a_models_section.errand.running
    assert (library_folder() / "mine").is_dir()


@pytest.mark.parametrize(("number", "name"), [(0, "mine-folder"), (1, "weights.pt"), (4, "mine-bundle")])
def test_a_model_is_exported(a_models_section, a_model_and_its_weights, answers, tmp_path, number, name):
    install(a_model_and_its_weights[0], "mine")
    (tmp_path / "out").mkdir()
    answers.update(item=number, folder=tmp_path / "out", save=tmp_path / "out" / "weights.pt")
    choose(a_models_section, "mine")
    a_models_section.ui.exportButton.click()
    assert ended(a_models_section)
    assert (tmp_path / "out" / name).exists()
    assert a_models_section.ui.messageLabel.text.startswith("Written: ")
    assert a_models_section.words == []


def test_an_export_onto_something_is_refused(a_models_section, a_model_and_its_weights, answers, tmp_path):
    install(a_model_and_its_weights[0], "mine")
    (tmp_path / "weights.pt").write_text("precious")
    answers.update(item=1, save=tmp_path / "weights.pt")
    choose(a_models_section, "mine")
    a_models_section.ui.exportButton.click()
    assert ended(a_models_section)
    assert "exists already" in a_models_section.ui.messageLabel.text
    assert (tmp_path / "weights.pt").read_text() == "precious"


def test_a_model_is_deleted_after_asking(a_models_section, a_model_and_its_weights, answers):
    install(a_model_and_its_weights[0], "mine")
    choose(a_models_section, "mine")
    a_models_section.ui.removeButton.click()
    assert "Delete the model mine" in answers["asked"][0]
    assert ended(a_models_section)
    assert not (library_folder() / "mine").exists()
    assert "mine is deleted" in a_models_section.ui.messageLabel.text
    assert a_models_section.words == ["models"]
    assert a_models_section.chosen is None


def test_a_model_that_is_gone_already_is_told(a_models_section, a_model_and_its_weights, answers):
    install(a_model_and_its_weights[0], "mine")
    choose(a_models_section, "mine")
    shutil.rmtree(library_folder() / "mine")
    a_models_section.ui.removeButton.click()
    assert ended(a_models_section)
    assert "There is no model 'mine'" in a_models_section.ui.messageLabel.text
    assert "mine" not in shown(a_models_section)


def test_closing_the_panel_while_a_worker_is_at_work_leaves_none(a_models_section, a_model_and_its_weights, answers):
    answers["file"] = a_model_and_its_weights[1]
    action(a_models_section, 0).trigger()
    assert a_models_section.errand.running
    a_models_section.close()
    assert not a_models_section.errand.running


def test_a_worker_that_dies_is_told(a_models_section):
    a_models_section._onEnded(Outcome(False, "The worker died without a word.", "", -1), False)
    assert "died without a word" in a_models_section.ui.messageLabel.text

"""The whole module, opened as Slicer opens it: its life, its looks, and what outlives it."""

from __future__ import annotations

import sys

import pytest
import qt
import slicer
from Bench import application
from ears import exists
from panels import section, startFinetuning, startPretraining, startSegmenting
from SwinSSLPanel.layout import LAYOUT_ID
from test_pretrain_section import grab
from waiting import waitFor

from SwinSSLLib.runs import RunFolder

NAMES = ("setup", "pretrain", "finetune", "segment", "models")


def open_(panel, *names: str) -> None:
    for name in NAMES:
        getattr(panel.ui, f"{name}Button").collapsed = name not in names


# --- life


def test_opening_starts_nothing_and_imports_nothing_heavy(a_bench, panel_module, monkeypatch):
    heavy = {"torch", "monai", "lightning_fabric"}
    for name in [name for name in sys.modules if name.partition(".")[0] in heavy]:
        monkeypatch.delitem(sys.modules, name)  # other tests make models with them; here they count as not imported
    a_panel = application.open_panel(application.load_module(panel_module).name)
    assert [one.name for one in a_panel.sections] == list(NAMES)
    assert not a_panel.context.busy
    assert not a_panel.context.segmenter.alive
    assert not heavy & set(sys.modules)
    assert slicer.packaging.recorded == []
    assert not a_panel.ui.oldSlicerLabel.visible


def test_slicers_own_test_of_the_module_passes(a_panel):
    slicer.selfTests["SwinSSL"]()


@pytest.mark.parametrize("palette", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_each_section_fits_into_500_pixels(a_panel, name, palette):
    """No horizontal bar, and nothing cut off: what the section needs is no more than what there is."""
    before = qt.QApplication.palette()
    if palette == "dark":
        dark = qt.QPalette()
        for role, colour in (
            (qt.QPalette.Window, "#2b2b2b"), (qt.QPalette.Base, "#1e1e1e"), (qt.QPalette.Button, "#3a3a3a"),
            (qt.QPalette.WindowText, "#e8e8e8"), (qt.QPalette.Text, "#e8e8e8"), (qt.QPalette.ButtonText, "#e8e8e8"),
            (qt.QPalette.Mid, "#555555"), (qt.QPalette.Dark, "#888888"),
        ):  # fmt: skip
            dark.setColor(role, qt.QColor(colour))
        qt.QApplication.setPalette(dark)
    try:
        open_(a_panel, name)
        a_panel.root.resize(500, 900)
        a_panel.root.show()
        slicer.app.processEvents()
        assert a_panel.root.minimumSizeHint.width() <= 500
        grab(a_panel.root, f"section-{name}-{palette}")
    finally:
        qt.QApplication.setPalette(before)


def test_parameters_are_saved_and_restored_with_the_scene(a_panel, tmp_path):
    pretrain = section(a_panel, "pretrain")
    pretrain.ui.presetSelector.currentText = "paper"
    pretrain.ui.stepsBox.value = 1234
    pretrain.ui.dataPath.currentPath = str(tmp_path)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.app.processEvents()
    assert pretrain.ui.presetSelector.currentText == "recommended"
    assert pretrain.ui.stepsBox.value == 0
    assert pretrain.ui.dataPath.currentPath == ""
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert waitFor(lambda: pretrain.ui.stepsBox.value == 1234, 5)
    assert pretrain.ui.presetSelector.currentText == "paper"
    assert pretrain.ui.dataPath.currentPath == str(tmp_path)


def test_another_module_and_back_while_a_run_goes_on(a_panel, tmp_path):
    pretrain = startPretraining(a_panel, tmp_path)
    a_panel.exit()
    step = pretrain.watch.status["step"]
    assert waitFor(lambda: pretrain.watch.status["step"] > step, 60)
    a_panel.enter()
    assert pretrain.ui.stopButton.enabled
    pretrain.ui.stopButton.click()
    assert waitFor(lambda: not a_panel.context.runner.running, 60)


def test_closing_the_scene_while_a_run_goes_on(a_panel, tmp_path):
    pretrain = startPretraining(a_panel, tmp_path)
    assert waitFor(lambda: pretrain.live.preview is not None, 60)
    pretrain.ui.showButton.click()
    slicer.mrmlScene.Clear(0)
    slicer.app.processEvents()
    step = pretrain.watch.status["step"]
    assert waitFor(lambda: pretrain.watch.status["step"] > step, 60)
    assert waitFor(lambda: pretrain.charts.chartNode("inpaint") is not None, 60)
    assert slicer.app.layoutManager().layout != LAYOUT_ID
    pretrain.ui.stopButton.click()
    assert waitFor(lambda: not a_panel.context.runner.running, 60)


@pytest.mark.parametrize(
    ("kind", "how"),
    [("pretrain", "closed"), ("pretrain", "reloaded"), ("finetune", "closed"), ("segment", "closed")],
)
def test_no_worker_outlives_its_panel(a_bench, panel_module, tmp_path, installed, kind, how):
    panel = application.open_panel(application.load_module(panel_module).name, window=True)
    panel.context.runsFolder = tmp_path / "runs"
    if kind == "segment":
        installed("slow")
        number = startSegmenting(panel)
    else:
        started = {"pretrain": startPretraining, "finetune": startFinetuning}[kind](panel, tmp_path)
        number, folder = started.watch.status["pid"], started.watch.folder
    assert exists(number)
    if how == "closed":
        application.close_panel("SwinSSL")
    else:
        application.unload_module("SwinSSL")
        panel = application.open_panel(application.load_module(panel_module).name)
    assert waitFor(lambda: not exists(number), 30)
    if how == "reloaded":
        again = section(panel, kind)
        panel.context.runsFolder = tmp_path / "runs"
        assert again.attach(folder)
        assert waitFor(lambda: again.ui.resumeButton.enabled, 10)


def test_training_ends_the_segmenter_that_waits(a_panel, tmp_path, installed):
    """Its memory is wanted; it is not at work, so nobody is asked."""
    installed("lively")
    segmenter = a_panel.context.segmenter
    a_panel.context.announce("models")
    segmenter.warm(tmp_path)
    number = segmenter._process.processId()
    startPretraining(a_panel, tmp_path)
    assert not segmenter.alive
    assert not exists(number)


def test_a_detached_run_outlives_the_panel_and_is_found_again(a_bench, panel_module, tmp_path):
    panel = application.open_panel(application.load_module(panel_module).name)
    panel.context.runsFolder = tmp_path / "runs"
    section(panel, "pretrain").ui.detachedBox.checked = True
    pretrain = startPretraining(panel, tmp_path)
    folder, number = pretrain.watch.folder, pretrain.watch.status["pid"]
    assert not panel.context.runner.running
    application.unload_module("SwinSSL")
    step = RunFolder(folder).status()["step"]
    assert waitFor(lambda: RunFolder(folder).status()["step"] > step, 60)
    panel = application.open_panel(application.load_module(panel_module).name)
    panel.context.runsFolder = tmp_path / "runs"
    again = section(panel, "pretrain")
    again.enter()
    assert again.ui.runSelector.count == 1
    assert again.attach(folder)
    assert waitFor(lambda: again.ui.stopButton.enabled, 10)
    again.ui.stopButton.click()
    assert waitFor(lambda: RunFolder(folder).status()["state"] == "stopped", 60)
    assert waitFor(lambda: not exists(number), 30)

"""The whole module, opened as Slicer opens it: its life, its looks, and the way from a CT to organs on a real CT."""

from __future__ import annotations

import sys
from pathlib import Path

import engine_files
import numpy as np
import pytest
import qt
import slicer
from Bench import application
from SwinSSLPanel.layout import LAYOUT_ID
from SwinSSLPanel.previews import MARK
from SwinSSLPanel.segmentations import matches, segmentationFromLabels
from test_pretrain_section import grab
from waiting import waitFor

from SwinSSLLib.organs import ORGANS
from SwinSSLLib.runs import RunFolder

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "Testing" / "Data"
NAMES = ("setup", "pretrain", "finetune", "segment", "models")


@pytest.fixture
def panel_module() -> Path:
    return ROOT / "SwinSSL" / "SwinSSL.py"


@pytest.fixture
def a_panel(an_open_panel, tmp_path):
    """The open panel, with a runs folder of its own."""
    an_open_panel.context.runsFolder = tmp_path / "runs"
    yield an_open_panel
    if an_open_panel.context is not None:
        an_open_panel.context.runner.abandon()


def section(panel, name: str):
    return next(one for one in panel.sections if one.name == name)


def ctOfThePatient():
    """The embedded CT, and the labels that come with it (K, J, I)."""
    ct, labels = (slicer.util.loadVolume(str(DATA / f"lidc-idri-0001-{part}.nii.gz")) for part in ("ct", "labels"))
    organs = slicer.util.arrayFromVolume(labels).copy()
    slicer.mrmlScene.RemoveNode(labels)
    return ct, organs


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
    assert not a_panel.context.runner.running
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


def start(panel, tmp_path, steps: int = 1000):
    """A pre-training run on two phantoms that does not end by itself; returns its section."""
    for seed in (2, 3):
        engine_files.phantomVolume(seed, f"Phantom {seed}")[0].SetSelected(True)
    pretrain = section(panel, "pretrain")
    pretrain.ui.presetSelector.currentText = "quick"
    settings = engine_files.settingsFile(tmp_path, engine_files.PRETRAIN, steps=steps)
    pretrain.ui.settingsPath.currentPath = str(settings)
    assert waitFor(lambda: pretrain.ui.startButton.enabled, 10)
    pretrain.ui.startButton.click()
    assert waitFor(lambda: pretrain.watch.status.get("step", 0) >= 2, 120), pretrain.ui.messageLabel.text
    return pretrain


def alive(number: int) -> bool:
    from SwinSSLPanel.watching import processExists

    return processExists(number)


def test_another_module_and_back_while_a_run_goes_on(a_panel, tmp_path):
    pretrain = start(a_panel, tmp_path)
    a_panel.exit()
    step = pretrain.watch.status["step"]
    assert waitFor(lambda: pretrain.watch.status["step"] > step, 60)
    a_panel.enter()
    assert pretrain.ui.stopButton.enabled
    pretrain.ui.stopButton.click()
    assert waitFor(lambda: not a_panel.context.runner.running, 60)


def test_closing_the_scene_while_a_run_goes_on(a_panel, tmp_path):
    pretrain = start(a_panel, tmp_path)
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


@pytest.mark.parametrize("how", ["panel closed", "module reloaded"])
def test_no_worker_outlives_its_panel(a_bench, panel_module, tmp_path, how):
    panel = application.open_panel(application.load_module(panel_module).name)
    panel.context.runsFolder = tmp_path / "runs"
    pretrain = start(panel, tmp_path)
    number, folder = pretrain.watch.status["pid"], pretrain.watch.folder
    if how == "panel closed":
        application.close_panel("SwinSSL")
    else:
        application.unload_module("SwinSSL")
        panel = application.open_panel(application.load_module(panel_module).name)
    assert waitFor(lambda: not alive(number), 30)
    if how == "module reloaded":
        again = section(panel, "pretrain")
        panel.context.runsFolder = tmp_path / "runs"
        assert again.attach(folder)
        assert waitFor(lambda: again.ui.resumeButton.enabled, 10)


def test_a_detached_run_outlives_the_panel_and_is_found_again(a_bench, panel_module, tmp_path):
    panel = application.open_panel(application.load_module(panel_module).name)
    panel.context.runsFolder = tmp_path / "runs"
    section(panel, "pretrain").ui.detachedBox.checked = True
    pretrain = start(panel, tmp_path)
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
    assert waitFor(lambda: not alive(number), 30)


# --- the whole way, on the embedded CT


def test_from_the_embedded_ct_to_organs_through_real_clicks(a_panel, tmp_path):
    application.start().main_window().resize(1300, 900)
    ct, organs = ctOfThePatient()
    ct.SetSelected(True)
    pretrain, finetune, segment = (section(a_panel, name) for name in ("pretrain", "finetune", "segment"))

    # Pre-train: previews appear in the views while it runs; stop; resume; finished.
    spacing = {"spacing": [5.0, 5.0, 5.0]}  # 8 mm, as for the phantoms, would leave less than a sub-volume of this CT
    small = {**engine_files.PRETRAIN, "input": {**engine_files.PRETRAIN["input"], **spacing}}
    settings = engine_files.settingsFile(tmp_path, small, steps=40, preview_every=2)
    pretrain.ui.presetSelector.currentText = "quick"
    pretrain.ui.settingsPath.currentPath = str(settings)
    pretrain.ui.showButton.checked = True
    assert waitFor(lambda: pretrain.ui.startButton.enabled, 10)
    pretrain.ui.startButton.click()
    seen: set[int] = set()

    def watching() -> bool:
        if pretrain.live.preview is not None and pretrain.live.layout.shown:
            node = pretrain.live.nodes.node("reconstructed")
            if node is not None and f"step {pretrain.live.preview.step:,} " in node.GetName():
                seen.add(pretrain.live.preview.step)
        return len(seen) >= 2 or not a_panel.context.runner.running

    assert waitFor(watching, 180)
    assert len(seen) >= 2, pretrain.ui.messageLabel.text
    assert pretrain.watch.status["state"] == "running"
    pretrain.ui.stopButton.click()
    assert waitFor(lambda: pretrain.watch.status["state"] == "stopped", 60)
    assert waitFor(lambda: pretrain.ui.resumeButton.enabled, 10)
    pretrain.ui.resumeButton.click()
    assert waitFor(lambda: pretrain.watch.status["state"] == "finished", 240), pretrain.ui.messageLabel.text
    assert waitFor(lambda: not a_panel.context.runner.running and not pretrain.live.busy)
    grab(application.start().main_window(), "embedded-ct-preview")
    pretrain.ui.showButton.checked = False
    assert [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetAttribute(MARK)] == []

    # Fine-tune from that run, on the organs of the same CT.
    case = segmentationFromLabels(organs, ct, ORGANS, "Organs of the CT")
    a_panel.context.announce(f"learn:{ct.GetID()}:{case.GetID()}")
    finetune.enter()
    selector = finetune.ui.initSelector
    texts = [selector.itemText(number) for number in range(selector.count)]
    selector.currentIndex = next(n for n, text in enumerate(texts) if text.startswith(pretrain.watch.folder.name))
    finetune.ui.presetSelector.currentText = "quick"
    finetune.ui.settingsPath.currentPath = str(
        engine_files.settingsFile(
            tmp_path,
            {**engine_files.FINETUNE, "input": {**engine_files.FINETUNE["input"], **spacing}},
            steps=60,
            lr=0.01,
            validate_every=30,
        )
    )
    finetune.ui.startButton.click()
    assert waitFor(
        lambda: (finetune.watch.status if finetune.watch else {}).get("state") in ("finished", "failed"), 400
    )
    assert finetune.watch.status["state"] == "finished", finetune.ui.messageLabel.text
    assert waitFor(lambda: not a_panel.context.runner.running)
    events = (finetune.watch.folder / "events.jsonl").read_text()
    assert "126 of 126 encoder tensors taken over" in events

    # Segment with the new model.
    segment.enter()
    models = [segment.ui.modelSelector.itemText(n) for n in range(segment.ui.modelSelector.count)]
    segment.ui.modelSelector.currentIndex = next(
        n for n, text in enumerate(models) if finetune.watch.folder.name in text
    )
    assert waitFor(lambda: segment.ui.segmentButton.enabled, 10), segment.ui.verdictLabel.text
    segment.ui.segmentButton.click()

    def results() -> list:
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return [node for node in nodes if node.GetID() != case.GetID()]

    assert waitFor(lambda: bool(results()) or segment.ui.messageLabel.visible, 240)
    assert waitFor(lambda: segment.ui.segmentButton.enabled, 30)
    found = results()
    assert len(found) == 1, segment.ui.messageLabel.text
    array, spacing = slicer.util.arrayFromVolume(ct), np.prod(ct.GetSpacing())
    table = slicer.util.getNodesByClass("vtkMRMLTableNode")
    rows = organRows(next(node for node in table if node.GetTable().GetColumnByName("Volume [mL]") is not None))
    for match in matches(found[0]):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(found[0], match.segmentID, ct) > 0
        volume, density = rows[match.organ.name]
        assert volume == pytest.approx(mask.sum() * spacing / 1000, abs=0.1)
        assert density == pytest.approx(array[mask].mean(), abs=0.1)
    assert found[0].GetNodeReference(found[0].GetReferenceImageGeometryReferenceRole()).GetID() == ct.GetID()
    grab(a_panel.root, "panel-after-all")


def organRows(node) -> dict[str, tuple[float, float]]:
    """Millilitres and mean HU of the organs in a table node."""
    table = node.GetTable()
    names = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    organ, volume, density = (
        next(n for n, name in enumerate(names) if name.startswith(words)) for words in ("Organ", "Volume", "Mean")
    )
    rows = {}
    for row in range(table.GetNumberOfRows()):
        value = table.GetValue(row, volume).ToDouble()
        if value > 0:
            rows[table.GetValue(row, organ).ToString()] = (value, table.GetValue(row, density).ToDouble())
    return rows

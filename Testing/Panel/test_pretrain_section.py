"""Pre-training through real clicks with real workers: start, live preview, stop, resume, attach, kill."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import engine_files
import numpy as np
import pytest
import qt
import slicer
from Bench import application
from opening import opened, parameters
from SwinSSLPanel.layout import LAYOUT_ID, sliceTag
from SwinSSLPanel.previews import KINDS, MARK
from SwinSSLPanel.sections.pretrain import PretrainSection
from waiting import waitFor

from SwinSSLLib.runs import RunFolder

SCREENSHOTS = Path(os.environ["SWINSSL_SCREENSHOTS"]) if "SWINSSL_SCREENSHOTS" in os.environ else None


def grab(widget, name: str) -> None:
    """Keep a picture of a widget where the environment says so."""
    if SCREENSHOTS is not None:
        slicer.app.processEvents()
        widget.grab().save(str(SCREENSHOTS / f"{name}.png"))


@pytest.fixture(scope="module")
def a_finished_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    data = engine_files.cohort(folder / "cohort")
    settings = engine_files.settingsFile(folder, engine_files.PRETRAIN, steps=6)
    engine_files.engineRun("pretrain", "-d", data, "-o", folder / "run", "-p", "quick", "--settings", settings)
    return folder / "run"


@pytest.fixture
def a_section(a_bench, tmp_path):
    """The section in a window of 500 pixels, as wide as Slicer's panel may be."""
    with opened(PretrainSection, tmp_path / "runs") as section:
        yield section


@pytest.fixture
def a_ready_section(a_section, tmp_path):
    """Two phantoms in the scene, ticked, and the smallest settings."""
    for seed in (2, 3):
        node, _labels = engine_files.phantomVolume(seed, f"Phantom {seed}")
        node.SetSelected(True)
    settings = engine_files.settingsFile(tmp_path, engine_files.PRETRAIN)
    a_section.context.parameters.pretrainPreset = "quick"
    a_section.ui.settingsPath.currentPath = str(settings)
    slicer.app.processEvents()
    assert waitFor(lambda: a_section.ui.startButton.enabled)
    return a_section


def state(section: PretrainSection) -> str:
    return section.watch.status.get("state", "") if section.watch else ""


def test_it_opens_with_nothing_to_start(a_section):
    ui = a_section.ui
    assert not ui.startButton.enabled
    assert "Tick a volume" in ui.startButton.toolTip
    assert not ui.stopButton.enabled
    assert not ui.previewBox.enabled
    assert [ui.presetSelector.itemText(n) for n in range(ui.presetSelector.count)] == [
        "recommended", "paper", "official", "quick",
    ]  # fmt: skip
    grab(a_section.root, "pretrain-empty")


def test_a_run_from_start_to_end_with_its_curves(a_ready_section):
    section = a_ready_section
    section.ui.startButton.click()
    assert section.context.runner.running
    assert section.ui.runSelector.currentText == section.watch.folder.name, "a run is listed from its start"
    assert not section.ui.startButton.enabled
    assert waitFor(lambda: state(section) == "finished", 180), section.ui.messageLabel.text
    assert waitFor(lambda: not section.context.runner.running)
    assert section.ui.progressBar.value == section.ui.progressBar.maximum == 4
    assert "finished" in section.ui.statusLabel.text
    assert section.ui.startButton.enabled
    assert not section.ui.resumeButton.enabled
    chart = section.charts.chartNode("inpaint")
    assert chart.GetNumberOfPlotSeriesNodes() == 3
    assert waitFor(lambda: section.live.preview is not None and section.live.preview.step == 4)
    assert section.ui.stepSlider.maximum == len(section.live.files) - 1 > 0
    run = RunFolder(section.watch.folder)
    assert (run.model / "model.json").is_file()
    job = run.job()
    assert job["settings"]["preset"] == "quick"
    assert len(job["inputs"]) == 2
    assert section.ui.runSelector.currentText == section.watch.folder.name
    section.charts.remove()


def test_as_many_sub_volumes_as_fit_into_the_memory(a_ready_section):
    """The engine chooses the batch, and the run says what it needs."""
    ui = a_ready_section.ui
    ui.advancedBox.collapsed = False
    ui.batchBox.value = 3
    assert a_ready_section.settingArguments()[2:4] == ["--batch", "3"]
    ui.largestBatchBox.click()
    assert not ui.batchBox.enabled
    assert a_ready_section.settingArguments()[2:4] == ["--batch", "auto"]
    grab(a_ready_section.root, "pretrain-settings")
    ui.largestBatchBox.click()
    assert ui.batchBox.enabled
    ui.startButton.click()
    assert waitFor(lambda: "GiB of memory" in ui.statusLabel.text, 60), ui.statusLabel.text
    ui.stopButton.click()
    assert waitFor(lambda: state(a_ready_section) in ("stopped", "finished"), 120)


def test_stop_and_resume(a_ready_section, tmp_path):
    section = a_ready_section
    section.context.parameters.pretrainSteps = 400
    section.ui.startButton.click()
    assert waitFor(lambda: section.watch.status.get("step", 0) >= 2, 120), section.ui.messageLabel.text
    section.ui.stopButton.click()
    assert "Asked to stop" in section.ui.statusLabel.text
    assert waitFor(lambda: state(section) == "stopped", 60)
    assert waitFor(lambda: section.ui.resumeButton.enabled)
    stopped = section.watch.status["step"]
    assert (section.watch.run.checkpoints / "last.ckpt").is_file()
    section.ui.resumeButton.click()
    assert waitFor(lambda: state(section) == "running" and section.watch.status.get("step", 0) > stopped, 120)
    section.ui.stopButton.click()
    assert waitFor(lambda: state(section) == "stopped", 60)
    assert waitFor(lambda: not section.context.runner.running)
    section.charts.remove()


def test_a_worker_that_is_killed_leaves_a_run_that_can_be_resumed(a_ready_section):
    section = a_ready_section
    section.context.parameters.pretrainSteps = 400
    section.ui.startButton.click()
    assert waitFor(lambda: section.watch.status.get("step", 0) >= 2, 120)
    os.kill(section.watch.status["pid"], signal.SIGKILL)
    assert waitFor(lambda: not section.context.runner.running)
    assert "died without a word" in section.ui.messageLabel.text
    assert section.ui.messageLabel.visible
    assert waitFor(lambda: section.ui.resumeButton.enabled)
    assert section.ui.startButton.enabled
    section.charts.remove()


def test_bad_input_is_one_sentence_with_the_log(a_section, tmp_path):
    (tmp_path / "ct.nii.gz").write_bytes(b"no volume")
    a_section.ui.dataPath.currentPath = str(tmp_path / "ct.nii.gz")
    assert waitFor(lambda: a_section.ui.startButton.enabled)
    a_section.ui.startButton.click()
    assert waitFor(lambda: not a_section.context.runner.running, 60)
    assert "ct.nii.gz" in a_section.ui.messageLabel.text
    assert "Traceback" not in a_section.ui.messageLabel.text
    assert a_section.ui.startButton.enabled


def test_a_finished_run_is_replayed(a_section, a_finished_run):
    section, ui = a_section, a_section.ui
    before = slicer.app.layoutManager().layout
    application.start().main_window().resize(1300, 900)
    assert section.attach(a_finished_run)
    assert waitFor(lambda: section.live.preview is not None and section.charts.chartNode("inpaint") is not None)
    assert waitFor(lambda: not section.live.busy)
    assert ui.previewBox.enabled
    ui.showButton.click()
    assert slicer.app.layoutManager().layout == LAYOUT_ID
    for kind in KINDS:
        widget = slicer.app.layoutManager().sliceWidget(sliceTag(kind, "Axial"))
        node = section.live.nodes.node(kind)
        assert widget.mrmlSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()
    grab(application.start().main_window(), "preview-last")
    grab(section.root, "pretrain-finished")
    last = slicer.util.arrayFromVolume(section.live.nodes.node("reconstructed")).copy()
    ui.stepSlider.value = 0
    assert waitFor(lambda: not section.live.busy)
    assert section.live.preview.step == 0
    assert not ui.followBox.checked
    first = slicer.util.arrayFromVolume(section.live.nodes.node("reconstructed"))
    assert not np.array_equal(first, last)
    grab(application.start().main_window(), "preview-first")
    ui.subVolumeSelector.currentIndex = 2
    assert section.live.preview.source[2] in section.live.nodes.node("masked").GetName()
    ui.showButton.click()
    assert slicer.app.layoutManager().layout == before
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert [node for node in nodes if node.GetAttribute(MARK)] == []
    section.charts.remove()


def test_a_run_of_another_place_is_stopped_through_its_folder(a_section, a_finished_run, tmp_path):
    settings = engine_files.settingsFile(tmp_path, engine_files.PRETRAIN, steps=1000)
    process = qt.QProcess()
    from SwinSSLPanel import engine

    data = a_finished_run.parent / "cohort"
    arguments = ["pretrain", "-d", str(data), "-o", str(tmp_path / "far"), "-p", "quick", "--settings", str(settings)]
    process.setWorkingDirectory(str(engine.engineRoot()))
    process.start(engine.pythonProgram(), engine.workerArguments(arguments))
    assert waitFor(lambda: RunFolder(tmp_path / "far").status().get("step", 0) >= 2, 120)
    assert a_section.attach(tmp_path / "far")
    assert waitFor(lambda: a_section.ui.stopButton.enabled)
    a_section.ui.stopButton.click()
    assert waitFor(lambda: state(a_section) == "stopped", 60)
    assert process.waitForFinished(30000)
    assert process.exitCode() == 0
    a_section.charts.remove()


def test_what_is_no_run_is_told(a_section, a_finished_run, tmp_path):
    assert not a_section.attach(tmp_path)
    assert "holds no run" in a_section.ui.messageLabel.text
    assert a_section.watch is None


def test_what_a_run_warned_of_is_still_there_when_it_has_finished(a_section, a_finished_run, tmp_path):
    shutil.copytree(a_finished_run, tmp_path / "copy")
    events = (tmp_path / "copy" / "events.jsonl").read_text().splitlines()
    place = next(number for number, line in enumerate(events) if '"finished"' in line)
    events.insert(place, '{"event": "warning", "message": "The encoder has collapsed."}')
    (tmp_path / "copy" / "events.jsonl").write_text("\n".join(events) + "\n")
    assert a_section.attach(tmp_path / "copy")
    assert waitFor(lambda: state(a_section) == "finished", 10)
    assert waitFor(lambda: a_section.ui.messageLabel.text == "The encoder has collapsed.", 5)
    assert a_section.attach(a_finished_run)
    assert waitFor(lambda: not a_section.ui.messageLabel.visible, 5)
    a_section.charts.remove()


def test_a_run_folder_that_is_deleted_is_told(a_section, a_finished_run, tmp_path):
    shutil.copytree(a_finished_run, tmp_path / "copy")
    assert a_section.attach(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    assert waitFor(lambda: "is gone" in a_section.ui.messageLabel.text, 5)
    assert a_section.attach(a_finished_run)
    assert waitFor(lambda: not a_section.ui.messageLabel.visible, 5)
    a_section.charts.remove()


def test_closing_the_scene_while_a_run_is_shown(a_section, a_finished_run):
    assert a_section.attach(a_finished_run)
    assert waitFor(lambda: a_section.live.preview is not None)
    a_section.ui.showButton.click()
    a_section.onSceneClosing()
    slicer.mrmlScene.Clear(0)
    a_section.context.parameters = parameters()
    a_section.onSceneReady()
    assert waitFor(lambda: a_section.charts.chartNode("inpaint") is not None)
    assert not a_section.ui.showButton.checked
    a_section.charts.remove()

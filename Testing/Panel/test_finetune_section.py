"""Fine-tuning through real clicks with real workers: cases of the scene, what to start from, live Dice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import engine_files
import numpy as np
import pytest
import slicer
from opening import opened, parameters
from SwinSSLPanel.cases import Case, problem, proposed, writeDatalist
from SwinSSLPanel.outside import outsideArguments, outsideFiles
from SwinSSLPanel.sections.finetune import FinetuneSection
from SwinSSLPanel.segmentations import terminologyEntry
from test_pretrain_section import grab
from waiting import waitFor

from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.volumes import read_volume
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.runs import RunFolder


def aCase(seed: int, known: bool = True):
    """A phantom with its organs as segments, by terminology or under names of somebody's own."""
    volume, labels = engine_files.phantomVolume(seed, f"Patient {seed}")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"Organs {seed}")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for organ in ORGANS:
        if not (labels == organ.id).any():
            continue
        identity = node.GetSegmentation().AddEmptySegment("", organ.name if known else f"structure {organ.id}")
        if known:
            tag = slicer.vtkSegment.GetTerminologyEntryTagName()
            node.GetSegmentation().GetSegment(identity).SetTag(tag, terminologyEntry(organ))
        mask = (labels == organ.id).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, identity, volume)
    return volume, node, labels


@pytest.fixture
def a_section(a_bench, tmp_path):
    with opened(FinetuneSection, tmp_path / "runs") as section:
        yield section


def state(section) -> str:
    return section.watch.status.get("state", "") if section.watch else ""


def choose(section, volume, segmentation) -> None:
    section.ui.volumeSelector.setCurrentNode(volume)
    section.ui.segmentationSelector.setCurrentNode(segmentation)


def test_cases_are_written_as_the_engine_reads_them(a_bench, tmp_path):
    volume, segmentation, labels = aCase(2)
    path = writeDatalist([proposed(volume, segmentation)], tmp_path / "cases")
    entry = json.loads(path.read_text())["training"][0]
    image = read_volume(Path(entry["image"]))
    found = read_label_map(Path(entry["label"]), image)
    assert np.array_equal(found.array, labels.transpose(2, 1, 0))
    assert np.array_equal(image.array, slicer.util.arrayFromVolume(volume).transpose(2, 1, 0))


def test_a_case_that_cannot_be_learned_from_says_why(a_bench):
    volume, segmentation, _labels = aCase(2, known=False)
    assert "None of the segments of Organs 2" in problem(proposed(volume, segmentation))
    first, second = (segmentation.GetSegmentation().GetNthSegmentID(n) for n in (0, 1))
    twice = Case(volume.GetID(), segmentation.GetID(), {first: 6, second: 6})
    assert "same organ" in problem(twice)
    case = Case(volume.GetID(), segmentation.GetID(), {first: 6})
    assert problem(case) == ""
    slicer.mrmlScene.RemoveNode(segmentation)
    assert "no longer in the scene" in problem(case)


def test_segments_are_matched_and_can_be_corrected(a_section):
    volume, segmentation, _labels = aCase(2)
    choose(a_section, volume, segmentation)
    table = a_section.ui.matchTable
    assert table.visible
    names = {table.item(row, 0).text(): table.cellWidget(row, 1).currentText for row in range(table.rowCount)}
    assert names == {organ.name: organ.name for organ in ORGANS if organ.name in names}
    assert len(names) >= 10
    row = next(row for row in range(table.rowCount) if table.item(row, 0).text() == "liver")
    table.cellWidget(row, 1).currentIndex = 0
    grab(a_section.root, "finetune-matching")
    a_section.ui.addButton.click()
    assert len(a_section.cases) == 1
    assert 6 not in a_section.cases[0].organs.values()
    assert a_section.ui.casesTable.item(0, 0).text() == "Patient 2"
    a_section.ui.addButton.click()  # the same segmentation again takes its own place
    assert len(a_section.cases) == 1
    a_section.ui.casesTable.setCurrentCell(0, 0)
    a_section.ui.removeButton.click()
    assert a_section.cases == []
    assert not a_section.ui.startButton.enabled


def test_unknown_segments_are_refused_with_a_sentence_until_matched(a_section):
    volume, segmentation, _labels = aCase(2, known=False)
    choose(a_section, volume, segmentation)
    a_section.ui.addButton.click()
    assert "None of the segments" in a_section.ui.messageLabel.text
    a_section.ui.matchTable.cellWidget(0, 1).currentIndex = 6
    a_section.ui.addButton.click()
    assert not a_section.ui.messageLabel.visible
    assert list(a_section.cases[0].organs.values()) == [6]


def test_from_corrected_segmentations_to_a_model(a_section, tmp_path):
    settings = engine_files.settingsFile(tmp_path, engine_files.FINETUNE)
    for seed in (2, 3, 4):
        volume, segmentation, _labels = aCase(seed)
        a_section.context.announce(f"learn:{volume.GetID()}:{segmentation.GetID()}")
    assert len(a_section.cases) == 3
    a_section.ui.settingsPath.currentPath = str(settings)
    a_section.context.parameters.finetunePreset = "quick"
    assert a_section.ui.startButton.enabled
    a_section.ui.startButton.click()
    assert waitFor(lambda: state(a_section) in ("finished", "failed"), 240)
    assert state(a_section) == "finished", a_section.ui.messageLabel.text
    assert waitFor(lambda: not a_section.context.runner.running)
    run = RunFolder(a_section.watch.folder)
    card = json.loads((run.model / "model.json").read_text())
    assert card["kind"] == "segmenter"
    assert len(run.job()["inputs"]) == 3
    table = a_section.ui.diceTable
    assert table.visible
    shown = {table.item(row, 0).text(): float(table.item(row, 1).text()) for row in range(table.rowCount)}
    assert set(shown) <= {organ.name for organ in ORGANS}
    assert len(shown) > 5
    assert a_section.charts.chartNode("loss").GetNumberOfPlotSeriesNodes() == 1
    grab(a_section.root, "finetune-finished")
    a_section.enter()
    texts = [a_section.ui.initSelector.itemText(n) for n in range(a_section.ui.initSelector.count)]
    assert f"{run.path.name} (segmenter)" in texts
    a_section.ui.initSelector.currentIndex = texts.index(f"{run.path.name} (segmenter)")
    assert "feature size 12" in a_section.ui.coverageLabel.text
    a_section.charts.remove()


def test_overlapping_organs_are_told_before_anything_starts(a_section):
    volume, segmentation, _labels = aCase(2)
    found = proposed(volume, segmentation)
    liver = next(key for key, label in found.organs.items() if label == 6)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, liver, volume)
    extra = segmentation.GetSegmentation().AddEmptySegment("", "second")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, extra, volume)
    spare = next(organ.id for organ in ORGANS if organ.id not in found.organs.values() or organ.id == 5)
    organs = {key: label for key, label in found.organs.items() if label != spare}
    a_section.add(Case(volume.GetID(), segmentation.GetID(), {**organs, extra: spare}))
    a_section.ui.startButton.click()
    assert "overlaps" in a_section.ui.messageLabel.text
    assert not a_section.context.runner.running


def test_closing_the_scene_empties_the_list(a_section):
    volume, segmentation, _labels = aCase(2)
    a_section.add(proposed(volume, segmentation))
    a_section.onSceneClosing()
    slicer.mrmlScene.Clear(0)
    a_section.context.parameters = parameters()
    a_section.onSceneReady()
    assert a_section.cases == []
    assert a_section.ui.casesTable.rowCount == 0


def listOutside(tmp_path) -> Path:
    """A datalist whose files lie in another folder."""
    cases = [proposed(*aCase(seed)[:2]) for seed in (2, 3)]
    made = writeDatalist(cases, tmp_path / "elsewhere")
    (tmp_path / "lists").mkdir()
    return made.rename(tmp_path / "lists" / "mine.json")


def test_a_run_goes_on_after_slicer_was_closed_also_one_of_a_list_that_leaves_its_folder(
    a_bench, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, *_: asked.append(text) or True)
    seldom = {"steps": 400, "validate_every": 1000, "preview_every": 1000}
    runs, settings = tmp_path / "runs", engine_files.settingsFile(tmp_path, engine_files.FINETUNE, **seldom)
    with opened(FinetuneSection, runs) as section:
        section.context.parameters.finetunePreset = "quick"
        section.ui.settingsPath.currentPath = str(settings)
        section.ui.dataPath.currentPath = str(listOutside(tmp_path))
        section.ui.startButton.click()
        assert waitFor(lambda: section.watch.status.get("step", 0) >= 2, 120), section.ui.messageLabel.text
        assert "mine.json names files outside of its own folder (4, such as " in asked[0]
    (run,) = runs.iterdir()
    before = RunFolder(run).status()
    assert before["state"] == "running", "closing the panel ended it without a word"
    with opened(FinetuneSection, runs) as section:
        selector = section.ui.runSelector
        assert [selector.itemText(number) for number in range(selector.count)] == [run.name]
        assert not section.ui.resumeButton.enabled, "nothing is chosen yet"
        selector.currentIndex = 0
        selector.activated(0)
        assert waitFor(lambda: section.ui.resumeButton.enabled, 10)
        assert "its last checkpoint is kept" in section.ui.messageLabel.text
        section.ui.resumeButton.click()
        assert waitFor(lambda: section.watch.status.get("step", 0) > before["step"], 120), section.ui.messageLabel.text
        assert state(section) == "running"
        assert len(asked) == 2
        section.charts.remove()


def test_a_list_that_leaves_its_folder_is_not_read_without_a_yes(a_section, tmp_path, monkeypatch):
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda *_: False)
    a_section.ui.dataPath.currentPath = str(listOutside(tmp_path))
    a_section.ui.startButton.click()
    assert not a_section.context.runner.running
    assert "Nothing was started" in a_section.ui.messageLabel.text
    assert not a_section.context.runsFolder.exists() or list(a_section.context.runsFolder.iterdir()) == []


def test_which_files_a_list_names_outside_of_its_folder(tmp_path):
    def names(content: object) -> list[str]:
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        return outsideFiles(tmp_path / "dataset.json")

    assert names({"training": [{"image": "a.nii.gz", "label": "sub/../b.nii.gz"}], "validation": []}) == []
    assert names({"training": [{"image": ["../a.nii.gz"], "label": "/b.nii.gz"}]}) == ["../a.nii.gz", "/b.nii.gz"]
    assert names({"unlabelled": ["x.nii.gz", "../y.nii.gz", 3, None, {}]}) == ["../y.nii.gz"]
    assert names([1, 2]) == []
    assert outsideFiles(tmp_path) == []
    (tmp_path / "dataset.json").write_text("no list")
    assert outsideFiles(tmp_path / "dataset.json") == []


def test_nobody_is_asked_about_the_list_of_the_panel_itself(a_bench, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, *_: asked.append(text) or False)
    volume, segmentation, _labels = aCase(2)
    slicer.util.saveNode(volume, str(tmp_path / "CT.nrrd"))
    path = writeDatalist([proposed(volume, segmentation)], tmp_path / "runs" / "finetune-1-cases")
    assert outsideFiles(path) == [str(tmp_path / "CT.nrrd")], "a file that is there already is not copied"
    assert outsideArguments([str(path)], tmp_path / "runs" / "finetune-1") == ["--allow-outside"]
    assert asked == []
    shutil.copytree(path.parent, tmp_path / "downloaded")
    assert outsideArguments([str(tmp_path / "downloaded" / "dataset.json")], tmp_path / "runs" / "finetune-2") is None
    assert len(asked) == 1

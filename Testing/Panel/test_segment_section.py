"""Segmenting through real clicks with real workers: every node's content, one volume and many."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import slicer
import vtk
from ears import exists
from segmenting import byTheEngine, choose, grab, mask, phantom, press, segmentations, tables, worker
from SwinSSLPanel.segmentations import matches, terminologyEntry
from waiting import waitFor

from SwinSSLLib.organs import ORGANS
from SwinSSLLib.places import library_folder

# --- the good case


def test_one_click_makes_a_segmentation_whose_every_part_is_right(a_section, installed, segmenter_files, tmp_path):
    installed("lively")
    volume = phantom()
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    choose(a_section, "lively")
    press(a_section)
    (node,) = segmentations()
    expected = byTheEngine(volume, segmenter_files["lively"], tmp_path)
    found = matches(node)
    assert {match.organ.id for match in found} == set(np.unique(expected)) - {0}
    assert len(found) >= 5
    for match in found:
        segment = node.GetSegmentation().GetSegment(match.segmentID)
        assert np.array_equal(mask(node, match.segmentID, volume), expected == match.organ.id), match.organ.name
        assert segment.GetName() == match.organ.name
        np.testing.assert_allclose(np.array(segment.GetColor()) * 255, match.organ.colour, atol=0.5)
        assert match.by == "terminology"
        tag = slicer.vtkSegment.GetTerminologyEntryTagName()
        value = vtk.reference("")
        assert segment.GetTag(tag, value)
        assert str(value).split("~")[1:4] == terminologyEntry(match.organ).split("~")[1:4]
    role = node.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role).GetID() == volume.GetID()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    sha256 = json.loads((segmenter_files["lively"] / "model.json").read_text())["sha256"]
    assert f"model lively (sha256 {sha256})" in node.GetDescription()
    assert "SwinSSL 0.1.0" in node.GetDescription()
    _checkTable(volume, expected, hierarchy, study)
    ui = a_section.ui
    assert "organs found in CT 1" in ui.messageLabel.text
    assert ui.organTable.visible
    assert ui.organTable.rowCount == 13
    assert ui.show3DButton.enabled
    assert ui.show3DButton.segmentationNode() is node
    assert not ui.progressBar.visible
    assert not list(a_section.context.temporaryFolder.iterdir())
    grab(a_section.root, "segment-done")


def _checkTable(volume, expected: np.ndarray, hierarchy, study) -> None:
    """Table values against numpy."""
    (table,) = tables()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table)) == study
    hounsfield = slicer.util.arrayFromVolume(volume)
    millilitres = np.prod(volume.GetSpacing()) / 1000
    columns = [table.GetTable().GetColumn(number) for number in range(4)]
    assert [column.GetName() for column in columns] == ["Organ", "Volume [mL]", "Mean HU", "Voxels"]
    for row, organ in enumerate(ORGANS):
        where = expected == organ.id
        assert columns[0].GetValue(row) == organ.name
        assert columns[3].GetValue(row) == where.sum()
        assert columns[1].GetValue(row) == pytest.approx(where.sum() * millilitres, abs=1e-3)
        if where.any():
            assert columns[2].GetValue(row) == pytest.approx(hounsfield[where].mean(), abs=0.051)
        else:
            assert np.isnan(columns[2].GetValue(row))
    assert (table.GetColumnUnitLabel("Volume [mL]"), table.GetColumnUnitLabel("Mean HU")) == ("mL", "HU")


def test_a_volume_under_a_transform_gets_its_segments_where_it_is_seen(a_section, installed):
    installed("lively")
    volume = phantom()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = (30, -20, 10)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    choose(a_section, "lively")
    press(a_section)
    (node,) = segmentations()
    bounds, of_volume = [0.0] * 6, [0.0] * 6
    node.GetRASBounds(bounds)
    volume.GetRASBounds(of_volume)
    for low, high, least, most in zip(bounds[::2], bounds[1::2], of_volume[::2], of_volume[1::2], strict=True):
        assert least - 8 <= low < high <= most + 8
    assert max(most - high for high, most in zip(bounds[1::2], of_volume[1::2], strict=True)) < 40


def test_a_corrected_result_is_handed_to_fine_tuning(a_section, installed):
    installed("lively")
    volume = phantom()
    choose(a_section, "lively")
    assert not a_section.ui.learnButton.enabled
    press(a_section)
    a_section.ui.learnButton.click()
    assert a_section.words[-1] == f"learn:{volume.GetID()}:{segmentations()[0].GetID()}"
    assert "handed to Fine-tune" in a_section.ui.messageLabel.text


def test_the_time_of_the_next_volume_is_told_from_the_last_one(a_section, installed):
    installed("lively")
    phantom()
    choose(a_section, "lively")
    assert "on this processor" in a_section.ui.verdictLabel.text
    press(a_section)
    assert "as measured here" in a_section.ui.verdictLabel.text


def test_the_worker_is_started_by_the_choice_and_answers_every_click(a_section, installed):
    installed("lively")
    segmenter = a_section.context.segmenter
    choose(a_section, "lively")
    assert not segmenter.alive  # there is nothing to segment yet
    a_section.root.visible = False
    volume = phantom()
    slicer.app.processEvents()
    assert not segmenter.alive  # nobody is looking
    a_section.root.visible = True
    a_section.onExpanded()
    assert (segmenter.alive, segmenter.running) == (True, False)
    process = worker(a_section)
    press(a_section)
    press(a_section)
    assert worker(a_section) is process
    first, second = segmentations()
    for match in matches(first):
        assert np.array_equal(mask(first, match.segmentID, volume), mask(second, match.segmentID, volume))
    a_section.context.close()
    assert not exists(process.processId())


# --- into a segmentation that is there


def test_writing_into_a_segmentation_and_undo(a_section, installed):
    installed("lively")
    volume = phantom()
    target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    target.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    target.SetDescription("by hand")
    own = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    own[3:6, 3:6, 3:6] = 1
    segmentation = target.GetSegmentation()
    lesion = segmentation.AddEmptySegment("lesion", "my lesion", (1, 0, 0))
    liver = segmentation.AddEmptySegment("leber", "liver", (0, 1, 0))
    for segmentID in (lesion, liver):
        slicer.util.updateSegmentBinaryLabelmapFromArray(own, target, segmentID, volume)
    a_section.ui.targetSelector.setCurrentNode(target)
    choose(a_section, "lively")
    press(a_section)
    assert segmentations() == [target]
    found = {match.organ.id: match.segmentID for match in matches(target) if match.organ}
    assert found[6] == liver
    assert not np.array_equal(mask(target, liver, volume), own > 0)
    assert np.array_equal(mask(target, lesion, volume), own > 0)
    assert target.GetDescription().startswith("by hand\nSwinSSL ")
    assert len(tables()) == 1
    assert a_section.ui.undoButton.enabled
    a_section.ui.undoButton.click()
    assert [match.segmentID for match in matches(target)] == [lesion, liver]
    assert np.array_equal(mask(target, liver, volume), own > 0)
    assert (target.GetDescription(), tables()) == ("by hand", [])
    assert not a_section.ui.undoButton.enabled
    assert not a_section.ui.show3DButton.enabled


def test_several_volumes_do_not_go_into_one_segmentation(a_section, installed):
    installed("lively")
    phantom(2, "CT 1")
    phantom(3, "CT 2")
    target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    choose(a_section, "lively")
    assert a_section.ui.segmentButton.enabled
    a_section.ui.targetSelector.setCurrentNode(target)
    assert not a_section.ui.segmentButton.enabled
    assert "Only one volume" in a_section.ui.verdictLabel.text


# --- many


def test_of_three_volumes_the_bad_one_fails_with_its_sentence_and_the_others_go_on(a_section, installed, tmp_path):
    installed("lively")
    phantom(2, "CT 1")
    slicer.util.saveNode(phantom(3, "CT 2"), str(tmp_path / "second.nrrd"))
    phantom(4, "CT 3")
    # What the scene read from disk is read from there again; here somebody has cut the file off meanwhile.
    content = (tmp_path / "second.nrrd").read_bytes()
    (tmp_path / "second.nrrd").write_bytes(content[: len(content) // 2])
    choose(a_section, "lively")
    press(a_section)
    rows = a_section.batch.rows
    assert [(row.name, row.state) for row in rows] == [("CT 1", "done"), ("CT 2", "failed"), ("CT 3", "done")]
    assert "second.nrrd" in rows[1].sentence
    assert [node.GetName() for node in segmentations()] == ["CT 1 organs", "CT 3 organs"]
    assert len(tables()) == 2
    ui = a_section.ui
    assert ui.batchTable.visible
    assert [ui.batchTable.item(row, 1).text() for row in range(3)] == ["done", "failed", "done"]
    assert "2 of 3 volumes are segmented" in ui.messageLabel.text
    assert "second.nrrd" in ui.messageLabel.text
    ui.batchTable.setCurrentCell(0, 0)
    assert ui.show3DButton.segmentationNode() is segmentations()[0]
    ui.batchTable.setCurrentCell(1, 0)
    assert not ui.show3DButton.enabled
    assert "second.nrrd" in ui.messageLabel.text
    grab(a_section.root, "segment-batch")


def test_results_of_a_batch_arrive_one_by_one_while_it_runs(a_section, installed):
    installed("slow")
    for seed in (2, 3):
        phantom(seed, f"CT {seed}")
    choose(a_section, "slow")
    a_section.ui.segmentButton.click()
    states = []

    def looked() -> bool:
        now = tuple(row.state for row in a_section.batch.rows)
        if not states or states[-1] != now:
            states.append(now)
        return bool(segmentations()) and a_section._busy

    assert waitFor(looked, 240)
    assert a_section.batch.rows[0].state == "done"
    assert a_section.batch.rows[1].state in ("queued", "running")
    assert ("running", "queued") in states
    assert waitFor(lambda: "volume 2 of 2" in a_section.ui.statusLabel.text or not a_section._busy, 60)
    grab(a_section.root, "segment-running")
    assert waitFor(lambda: not a_section._busy, 240)
    assert [row.state for row in a_section.batch.rows] == ["done", "done"]


def test_two_volumes_of_one_file_are_computed_once(a_section, installed, tmp_path):
    installed("lively")
    first = phantom(2, "CT 1")
    slicer.util.saveNode(first, str(tmp_path / "ct.nrrd"))
    second = slicer.util.loadVolume(str(tmp_path / "ct.nrrd"))
    second.SetSelected(True)
    choose(a_section, "lively")
    press(a_section)
    assert len(a_section.batch.sources) == 1
    assert [row.state for row in a_section.batch.rows] == ["done", "done"]
    assert len(segmentations()) == 2


def test_runs_and_library_are_listed_and_damaged_models_are_not(a_section, installed, segmenter_files):
    installed("lively", "blind")
    (library_folder() / "blind" / "model.json").write_text('{"kind": "segmenter", "network": {}}')
    shutil.copytree(segmenter_files["slow"], a_section.context.runsFolder / "finetune-1" / "model")
    (a_section.context.runsFolder / "finetune-2").mkdir()
    a_section.enter()
    selector = a_section.ui.modelSelector
    shown = [selector.itemText(number) for number in range(selector.count)]
    assert shown == ["finetune-1 (fine-tuned here)", "lively"]
    assert "feature size 12" in a_section.ui.modelLabel.text
    assert "Dice 0.500 on 2 validation CTs" in a_section.ui.modelLabel.text
    phantom()
    choose(a_section, "finetune-1")
    a_section.fillModels()
    assert a_section.model.name == "finetune-1"

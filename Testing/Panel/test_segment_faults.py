"""Everything that may go wrong while volumes are segmented, with real workers."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import slicer
from segmenting import choose, phantom, press, segmentations, worker
from SwinSSLPanel.jobs import Listener
from waiting import waitFor

from SwinSSLLib.places import library_folder


def test_an_empty_result_is_explained_and_leaves_nothing(a_section, installed):
    installed("blind")
    phantom()
    choose(a_section, "blind")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    press(a_section)
    assert a_section.batch.rows[0].state == "done"
    assert "No organ was found in CT 1" in a_section.ui.messageLabel.text
    assert "abdomen" in a_section.ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert not a_section.ui.show3DButton.enabled
    assert not a_section.ui.organTable.visible


def test_a_volume_that_is_no_ct_is_stopped_before_anything_starts(a_section, installed):
    installed("lively")
    volume = phantom(2, "T1")
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(volume), attribute, "MR")
    choose(a_section, "lively")
    assert "✗ Its modality is MR and not CT" in a_section.ui.verdictLabel.text
    assert not a_section.ui.segmentButton.enabled
    assert "see above" in a_section.ui.segmentButton.toolTip
    phantom(3, "CT")
    slicer.app.processEvents()
    press(a_section)
    assert [(row.name, row.state) for row in a_section.batch.rows] == [("T1", "failed"), ("CT", "done")]
    assert "MR" in a_section.batch.rows[0].sentence


def test_stop_in_the_middle_keeps_what_is_finished(a_section, installed):
    installed("slow")
    for seed in (2, 3):
        phantom(seed, f"CT {seed}")
    choose(a_section, "slow")
    a_section.ui.segmentButton.click()
    assert waitFor(lambda: bool(segmentations()), 240)
    a_section.ui.stopButton.click()
    assert "Asked to stop" in a_section.ui.statusLabel.text
    assert waitFor(lambda: not a_section._busy)
    assert [row.state for row in a_section.batch.rows] == ["done", "stopped"]
    assert "1 of 2 volumes are done" in a_section.ui.messageLabel.text
    assert len(segmentations()) == 1
    assert not list(a_section.context.temporaryFolder.iterdir())
    assert a_section.ui.segmentButton.enabled


def test_stop_before_the_worker_starts(a_section, installed):
    installed("lively")
    phantom()
    choose(a_section, "lively")
    a_section.ui.segmentButton.click()
    a_section.ui.stopButton.click()
    assert waitFor(lambda: not a_section._busy)
    assert [row.state for row in a_section.batch.rows] == ["stopped"]
    assert segmentations() == []


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_worker_is_told_in_one_sentence_and_the_next_click_works(a_section, installed):
    installed("lively", "slow")
    phantom()
    choose(a_section, "slow")
    a_section.ui.segmentButton.click()
    assert waitFor(lambda: "window" in a_section.ui.statusLabel.text)
    os.kill(worker(a_section).processId(), signal.SIGKILL)
    assert waitFor(lambda: not a_section._busy)
    assert a_section.batch.rows[0].state == "failed"
    assert "died without a word" in a_section.ui.messageLabel.text
    assert "checkpoint" not in a_section.ui.messageLabel.text
    assert segmentations() == []
    choose(a_section, "lively")
    press(a_section)
    assert len(segmentations()) == 1


def test_closing_the_scene_ends_the_job(a_section, installed):
    installed("slow")
    phantom()
    choose(a_section, "slow")
    a_section.ui.segmentButton.click()
    assert waitFor(lambda: "window" in a_section.ui.statusLabel.text)
    a_section.onSceneClosing()
    slicer.mrmlScene.Clear(0)
    a_section.onSceneReady()
    slicer.app.processEvents()
    assert not a_section.context.segmenter.running
    assert "scene was closed" in a_section.ui.messageLabel.text
    assert not list(a_section.context.temporaryFolder.iterdir())
    assert segmentations() == []


def test_closing_the_scene_while_files_are_written(a_section, installed):
    installed("lively")
    phantom()
    choose(a_section, "lively")
    a_section.ui.segmentButton.click()
    a_section.onSceneClosing()
    slicer.mrmlScene.Clear(0)
    a_section.onSceneReady()
    for _number in range(5):
        slicer.app.processEvents()
    assert not a_section.context.segmenter.running
    assert a_section.batch is None


def test_a_volume_that_is_deleted_meanwhile(a_section, installed):
    installed("lively")
    volume = phantom()
    choose(a_section, "lively")
    a_section.ui.segmentButton.click()
    assert waitFor(lambda: a_section.context.segmenter.running)
    slicer.mrmlScene.RemoveNode(volume)
    assert waitFor(lambda: not a_section._busy)
    assert "CT 1 is no longer in the scene" in a_section.ui.messageLabel.text
    assert segmentations() == []


def test_a_model_that_is_deleted_meanwhile(a_section, installed):
    installed("lively")
    phantom()
    choose(a_section, "lively")
    shutil.rmtree(library_folder() / "lively")
    a_section.ui.segmentButton.click()
    assert waitFor(lambda: not a_section._busy)
    assert "lively" in a_section.ui.messageLabel.text
    assert a_section.ui.messageLabel.text.startswith("⚠")
    assert segmentations() == []
    a_section.onAnnounced("models")
    assert "no model yet" in a_section.ui.modelLabel.text
    assert not a_section.ui.segmentButton.enabled


def test_a_segmentation_to_write_into_that_is_deleted_meanwhile(a_section, installed):
    installed("lively")
    phantom()
    target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    a_section.ui.targetSelector.setCurrentNode(target)
    choose(a_section, "lively")
    a_section.ui.segmentButton.click()
    assert waitFor(lambda: a_section.context.segmenter.running)
    slicer.mrmlScene.RemoveNode(target)
    assert waitFor(lambda: not a_section._busy)
    assert [node.GetName() for node in segmentations()] == ["CT 1 organs"]
    assert not a_section.ui.undoButton.enabled


def test_another_job_at_work_is_a_reason_to_wait(a_section, installed):
    installed("lively")
    phantom()
    choose(a_section, "lively")
    a_section.context.runner.start(["doctor", "--json"], Listener())
    a_section.context.announce("job")
    assert not a_section.ui.segmentButton.enabled
    assert "Another job" in a_section.ui.segmentButton.toolTip
    a_section.context.runner.abandon()
    a_section.context.announce("job")
    assert a_section.ui.segmentButton.enabled


def test_another_job_that_begins_while_files_are_written(a_section, installed):
    installed("lively")
    phantom()
    choose(a_section, "lively")
    a_section.ui.segmentButton.click()
    a_section.context.runner.start(["doctor", "--json"], Listener())
    assert waitFor(lambda: not a_section._busy)
    assert "Another job has begun" in a_section.ui.messageLabel.text
    assert a_section.context.runner.running
    assert not a_section.ui.stopButton.enabled
    a_section.close()
    assert a_section.context.runner.running
    a_section.context.runner.abandon()

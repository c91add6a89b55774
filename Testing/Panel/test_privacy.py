"""Copies of CTs are private and go when they have served or their maker is dead; names come back on the screen only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
from opening import opened
from SwinSSLPanel.sections.pretrain import PretrainSection
from SwinSSLPanel.volumes import makePrivate, removeCopies, volumeFile

from SwinSSLLib import leftovers


def aVolume(name: str = "Doe Jane"):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.zeros((4, 5, 6), np.int16))
    return node


def aRun(folder: Path, *events: dict, inputs=()) -> Path:
    folder.mkdir(parents=True)
    settings = {"views": {"rotation": "axial"}}
    (folder / "job.json").write_text(json.dumps({"kind": "pretrain", "settings": settings, "inputs": list(inputs)}))
    (folder / "status.json").write_text(json.dumps({"state": "finished", "step": 1, "total": 1}))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
def test_a_copy_can_be_read_by_its_user_only(tmp_path):
    copy = volumeFile(aVolume(), tmp_path / "runs" / "run-volumes")
    assert copy.copied
    assert copy.path.stat().st_mode & 0o777 == 0o600
    assert copy.path.parent.stat().st_mode & 0o777 == 0o700


def test_copies_go_when_the_run_has_finished(tmp_path):
    run = aRun(tmp_path / "run", {"event": "finished", "model": "model"})
    volumeFile(aVolume(), tmp_path / "run-volumes")
    (tmp_path / "run-cases").mkdir()
    (tmp_path / "run-cases" / "mine.nrrd").write_text("of somebody else")
    with opened(PretrainSection, tmp_path) as section:
        section.attach(run)
    assert not (tmp_path / "run-volumes").exists()
    assert (tmp_path / "run-cases" / "mine.nrrd").exists()


def test_copies_stay_while_the_run_may_be_resumed(tmp_path):
    run = aRun(tmp_path / "run", {"event": "stopped"})
    volumeFile(aVolume(), tmp_path / "run-volumes")
    with opened(PretrainSection, tmp_path) as section:
        section.attach(run)
    assert list((tmp_path / "run-volumes").glob("*.nrrd"))


def test_a_folder_that_was_there_is_never_removed(tmp_path):
    (tmp_path / "scans").mkdir()
    makePrivate(tmp_path / "scans")
    removeCopies(tmp_path / "scans")
    assert (tmp_path / "scans").is_dir()


@pytest.mark.skipif(os.name == "nt", reason="there the age decides")
def test_what_a_crashed_slicer_left_goes_at_the_next_start(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    place = Path(slicer.app.temporaryPath)
    place.mkdir(parents=True, exist_ok=True)
    name = leftovers.marked("SwinSSL-").replace(f"-{os.getpid()}-", f"-{dead.pid}-") + "ab12cd_3"
    (place / name / "segment-1").mkdir(parents=True)
    with opened(PretrainSection, tmp_path) as section:
        own = section.context.temporaryFolder
        assert own.stat().st_mode & 0o777 == 0o700
        assert not (place / name).exists()
    assert not own.exists()


def test_the_panel_gives_names_back(tmp_path):
    inputs = [{"name": "CT 001", "path": "/data/Doe Jane.nii.gz"}]
    error = {"event": "error", "message": "CT 001 is damaged.", "hint": "Leave CT 001 out.", "exit_code": 2}
    run = aRun(tmp_path / "run", error, inputs=inputs)
    with opened(PretrainSection, tmp_path) as section:
        section.attach(run)
        assert "Doe Jane.nii.gz is damaged. Leave Doe Jane.nii.gz out." in section.ui.messageLabel.text

"""Pictures of Docs/tutorial-published-weights.md; nothing is fetched, and one shows how that is told."""

from __future__ import annotations

import os
import subprocess
import sys

import qt
import slicer
from camera import settle
from stage import Stage, answer, fileDialogs, wait
from SwinSSLPanel import modelDialogs

#: Nobody listens there: as behind the firewall of a hospital.
NO_PROXY = "http://127.0.0.1:9"
FILE = "their_weights.pth"
_STRIP = """
import sys, torch
from safetensors.torch import load_file
torch.save({"state_dict": load_file(sys.argv[1])}, sys.argv[2])
"""


def shoot(stage: Stage) -> None:
    """All pictures of the tutorial."""
    run = stage.finishedRun("finetune")
    stage.newScene()
    section = stage.only("models")
    ui = section.ui
    _choose(section, "btcv-base")
    marks = (ui.modelTable, ui.cardLabel, ui.downloadButton)
    stage.camera.shoot("models-published", stage.box("models"), marks, upto=ui.importButton)
    stage.camera.inDialog("models-licence", ui.downloadButton.click)
    _offline(stage, section)
    _import(stage, section, run)


def _choose(section, name: str) -> None:
    section.fill()
    names = [model.name for model in section.models]
    section.ui.modelTable.setCurrentCell(names.index(name), 0)
    settle()


def _offline(stage: Stage, section) -> None:
    """A machine from which the address cannot be reached."""
    before = dict(os.environ)
    os.environ.update(HTTPS_PROXY=NO_PROXY, https_proxy=NO_PROXY)
    plain, modelDialogs.licenceAccepted = modelDialogs.licenceAccepted, lambda entry: True
    try:
        section.ui.downloadButton.click()
        wait(lambda: not section.errand.running, 120)
    finally:
        modelDialogs.licenceAccepted = plain
        os.environ.clear()
        os.environ.update(before)
    marks = (section.ui.fileButton,)
    stage.camera.shoot(
        "models-offline", stage.box("models"), marks, since=section.ui.downloadButton, upto=section.ui.messageLabel
    )


def _import(stage: Stage, section, run) -> None:
    """A file as others publish it, tensors and nothing else: made of our own run, so that nothing is fetched."""
    file = stage.work / FILE
    subprocess.run([sys.executable, "-c", _STRIP, str(run / "model" / "weights.safetensors"), str(file)], check=True)
    back = [
        answer(fileDialogs(), "getOpenFileName", str(file)),
        answer(qt.QInputDialog, "getText", "theirs"),
    ]
    section.ui.importButton.menu().actions()[0].trigger()
    wait(lambda: not section.errand.running, 120, lambda: section.ui.messageLabel.text)
    for undo in back:
        undo()
    names = [model.name for model in section.models]
    section.ui.modelTable.setCurrentCell(names.index("theirs"), 0)
    slicer.app.processEvents()
    marks = (section.ui.importButton, section.ui.cardLabel, section.ui.removeButton)
    stage.camera.shoot("models-imported", stage.box("models"), marks)

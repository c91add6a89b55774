"""Pictures of Docs/tutorial-finetuning.md: from segmentations of the scene to a segmenter, and a result sent back."""

from __future__ import annotations

import slicer
from camera import settle
from stage import Stage, choose, organs, tick, wait

from SwinSSLLib.organs import ORGANS

#: How somebody else names three of the organs: nothing that SwinSSL can guess.
OWN_NAMES = {"right kidney": "Kidney R", "left kidney": "Kidney L", "inferior vena cava": "VCI"}


def shoot(stage: Stage, steps: int = 0) -> None:
    """All pictures of the tutorial.

    Args:
        stage: the panel.
        steps: of the run; 0 for those of the preset.
    """
    run = stage.finishedRun("pretrain")
    stage.newScene()
    volumes = stage.phantoms(8)
    stage.look(volumes[0])
    section = stage.only("finetune")
    ui = section.ui
    for volume in volumes[:-1]:
        _choosePair(section, volume, organs(volume))
        ui.addButton.click()
    drawn = organs(volumes[-1])
    _byHand(drawn)
    _choosePair(section, volumes[-1], drawn)
    marks = (ui.volumeSelector, ui.segmentationSelector, ui.matchTable, ui.addButton)
    stage.camera.shoot("finetune-matching", stage.box("finetune"), marks, since=ui.volumeSelector, upto=ui.addButton)
    _correct(ui.matchTable)
    ui.addButton.click()
    choose(ui.initSelector, run.name)
    ui.presetSelector.currentText = "quick"
    ui.stepsBox.value = steps
    ui.volumeSelector.setCurrentNode(None)
    ui.segmentationSelector.setCurrentNode(None)
    settle()
    marks = (ui.casesTable, ui.initSelector, ui.presetSelector, ui.startButton)
    stage.camera.shoot("finetune-start", stage.box("finetune"), marks, upto=ui.runSelector)
    ui.startButton.click()
    wait(lambda: section.watch.status.get("state") == "finished", 1800, lambda: ui.messageLabel.text)
    wait(lambda: not stage.panel.context.runner.running, 60)
    stage.camera.shoot("finetune-finished", stage.box("finetune"), since=ui.runSelector, upto=ui.diceTable)
    ui.stepsBox.value = 0
    _sendBack(stage, section)


def _choosePair(section, volume, segmentation) -> None:
    section.ui.volumeSelector.setCurrentNode(volume)
    section.ui.segmentationSelector.setCurrentNode(segmentation)
    slicer.app.processEvents()


def _byHand(segmentation) -> None:
    """As somebody draws: no terminology, names of his own."""
    segmentation.SetName("Drawn by hand")
    tag = slicer.vtkSegment.GetTerminologyEntryTagName()
    for number in range(segmentation.GetSegmentation().GetNumberOfSegments()):
        segment = segmentation.GetSegmentation().GetNthSegment(number)
        segment.RemoveTag(tag)
        segment.SetName(OWN_NAMES.get(segment.GetName(), segment.GetName()))


def _correct(table) -> None:
    """Say which organs the unknown names are."""
    ours = {own: name for name, own in OWN_NAMES.items()}
    numbers = {organ.name: organ.id for organ in ORGANS}
    for row in range(table.rowCount):
        name = table.item(row, 0).text()
        if name in ours:
            table.cellWidget(row, 1).currentIndex = numbers[ours[name]]


def _sendBack(stage: Stage, section) -> None:
    """A new patient is segmented, and the result, corrected, becomes a case."""
    patient = stage.phantoms(1)[0]
    slicer.mrmlScene.RemoveNode(organs(patient))
    tick(patient)
    segment = stage.only("segment")
    choose(segment.ui.modelSelector, section.watch.folder.name)
    wait(lambda: segment.ui.segmentButton.enabled, 30, lambda: segment.ui.verdictLabel.text)
    segment.ui.segmentButton.click()
    wait(lambda: segment.ui.learnButton.enabled, 240, lambda: segment.ui.messageLabel.text)
    marks = (segment.ui.learnButton,)
    stage.camera.shoot("finetune-use", stage.box("segment"), marks, since=segment.ui.messageLabel)
    segment.ui.learnButton.click()
    ui = stage.only("finetune").ui
    ui.casesTable.scrollToBottom()
    choose(ui.initSelector, section.watch.folder.name)
    marks = (ui.casesTable, ui.initSelector)
    stage.camera.shoot("finetune-again", stage.box("finetune"), marks, upto=ui.coverageLabel)

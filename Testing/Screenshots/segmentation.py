"""Pictures of Docs/tutorial-segmentation.md: one click, a table, 3D, many volumes, and Undo."""

from __future__ import annotations

import numpy as np
import slicer
from camera import settle
from stage import Stage, choose, tick, wait


def shoot(stage: Stage) -> None:
    """All pictures of the tutorial."""
    run = stage.finishedRun("finetune")
    stage.newScene()
    volume = stage.patient(1)
    stage.look(volume)
    section = stage.only("segment")
    tick(volume)
    choose(section.ui.modelSelector, run.name)
    wait(lambda: section.ui.segmentButton.enabled, 30, lambda: section.ui.verdictLabel.text)
    ui = section.ui
    marks = (ui.volumesSelector, ui.modelSelector, ui.segmentButton)
    stage.camera.shoot("segment-ready", stage.box("segment"), marks, upto=ui.segmentButton)
    segmentation = _segment(section)
    ui.show3DButton.click()
    _look3D(stage, volume, segmentation)
    stage.camera.shoot("segment-result", stage.window)
    _into(stage, section, volume)
    _many(stage, section)
    _unsuitable(stage, section)


def _segment(section):
    """Press the button; the newest segmentation."""
    section.ui.segmentButton.click()
    wait(lambda: not section._busy, 400, lambda: section.ui.messageLabel.text)
    settle()
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[-1]


def _look3D(stage: Stage, volume, segmentation) -> None:
    """Views that show something: a cut through liver and kidneys, and the surfaces from the front."""
    bounds = [0.0] * 6
    segmentation.GetRASBounds(bounds)
    center = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
    stage.look(volume, (center[0] + 60, center[1], center[2]))
    widget = slicer.app.layoutManager().threeDWidget(0)
    widget.threeDView().resetFocalPoint()
    widget.threeDView().resetCamera()
    view = widget.mrmlViewNode()
    view.SetBoxVisible(False)
    slicer.modules.cameras.logic().GetViewActiveCameraNode(view).GetCamera().Zoom(1.7)
    settle()


def _into(stage: Stage, section, volume) -> None:
    """Into a segmentation that has a segment of its own: that one stays, and all can be undone."""
    target = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[-1]
    target.SetName("My organs")
    ball = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    ball[40:50, 60:70, 30:40] = 1
    added = target.GetSegmentation().AddEmptySegment("lesion", "lesion", (0.9, 0.9, 0.1))
    slicer.util.updateSegmentBinaryLabelmapFromArray(ball, target, added, volume)
    section.ui.targetSelector.setCurrentNode(target)
    settle()
    _segment(section)
    marks = (section.ui.targetSelector, section.ui.undoButton)
    stage.camera.shoot("segment-undo", stage.box("segment"), marks, upto=section.ui.messageLabel)
    section.ui.targetSelector.setCurrentNode(None)


def _many(stage: Stage, section) -> None:
    """Three phantoms in a row, and the real CT."""
    volumes = [stage.patient(2), stage.patient(3), stage.sample("SwinSSLAbdomenCT")]
    tick(*volumes)
    _segment(section)
    marks = (section.ui.segmentButton, section.ui.batchTable)
    stage.camera.shoot("segment-many", stage.box("segment"), marks, upto=section.ui.batchTable)


def _unsuitable(stage: Stage, section) -> None:
    """What is no CT is refused, what may be none is doubted."""
    values = np.random.default_rng(1).integers(0, 255, (40, 64, 64)).astype(np.int16)
    grey = slicer.util.addVolumeFromArray(values, name="JPEG stack")
    grey.SetSpacing(5.0, 5.0, 5.0)
    scout = slicer.util.addVolumeFromArray(np.arange(64.0 * 64).reshape(1, 64, 64), name="Scout")
    tick(grey, scout)
    section.tell("")
    stage.camera.shoot("segment-verdict", stage.box("segment"), upto=section.ui.segmentButton)
    tick()

"""Pictures of Docs/tutorial-pretraining.md: a first run on the sample CT and on phantoms."""

from __future__ import annotations

import shutil

import slicer
from camera import Camera, place, settle, toImage
from panels import ROOT
from PIL import Image
from stage import SIZE, Stage, tick, wait
from SwinSSLPanel.layout import CHARTS, plotTag

#: Three of so many CTs are kept aside for validation; of fewer, the contrast says nothing.
PHANTOMS = 15
#: Makes every run collapse: the opposite of what its warning advises.
TOO_FAST = "[training]\nlr = 0.01\nwarmup = 1\nvalidate_every = 10\n"


def shoot(stage: Stage, steps: int = 0, collapsing: int = 40) -> None:
    """All pictures of the tutorial.

    Args:
        stage: the panel.
        steps: of the run; 0 for those of the preset.
        collapsing: steps of the run that goes wrong.
    """
    stage.newScene()
    _setup(stage)
    ct = stage.sample("SwinSSLAbdomenCT")
    volumes = [ct, *stage.phantoms(PHANTOMS)]
    stage.look(ct, (20.0, 10.0, ct.GetOrigin()[2] + 110.0))
    section = stage.only("pretrain")
    section.ui.presetSelector.currentText = "recommended"
    stage.camera.shoot("sample-data", stage.window)
    tick(*volumes)
    section.ui.presetSelector.currentText = "quick"
    section.ui.stepsBox.value = steps
    ui = section.ui
    marks = (ui.volumesSelector, ui.presetSelector, ui.startButton)
    stage.camera.shoot("pretrain-start", stage.box("pretrain"), marks, upto=ui.runSelector)
    tick(*volumes[:4])
    stage.camera.shoot("pretrain-tick", _list(ui.volumesSelector))
    ui.volumesSelector.findChild("ctkCheckableComboBox").hidePopup()
    tick(*volumes)
    _run(stage, section)
    _collapsed(stage, section, collapsing)


def _list(selector):
    """The list of volumes, opened."""
    box = selector.findChild("ctkCheckableComboBox")
    box.showPopup()
    settle()
    return box.view().window()


def _setup(stage: Stage) -> None:
    """What the machine can do."""
    section = stage.only("setup")
    section.ui.checkButton.click()
    wait(lambda: section.finding is not None, 120, lambda: section.ui.messageLabel.text)
    stage.camera.shoot("setup-checked", stage.box("setup"))


def _run(stage: Stage, section) -> None:
    """Start, watch, stop, resume, look back."""
    ui = section.ui
    ui.startButton.click()
    ui.showButton.checked = True
    wait(lambda: _previews(section) >= 2, 900, lambda: ui.messageLabel.text)
    wait(lambda: not section.live.busy, 20)
    stage.camera.shoot("pretrain-running", stage.window)
    ui.stopButton.click()
    wait(lambda: section.watch.status["state"] == "stopped", 120)
    wait(lambda: ui.resumeButton.enabled, 20)
    marks = (ui.resumeButton, ui.runSelector)
    stage.camera.shoot("pretrain-stopped", stage.box("pretrain"), marks, upto=ui.statusLabel)
    ui.resumeButton.click()
    wait(lambda: section.watch.status["state"] == "finished", 1800, lambda: ui.messageLabel.text)
    wait(lambda: not stage.panel.context.runner.running and not section.live.busy, 60)
    _lookBack(stage, section)


def _lookBack(stage: Stage, section) -> None:
    """The finished run: its last preview, its first, its boards and its curves."""
    ui = section.ui
    stage.scroll(0)
    stage.camera.shoot("pretrain-finished", stage.window)
    if stage.camera.folder == ROOT / "Docs" / "images":
        Camera(ROOT / "Screenshots").shoot("live-preview", stage.window)  # the first picture of the README
    stage.camera.shoot("pretrain-board", stage.box("pretrain"), since=ui.previewBox, upto=ui.similarityLabel)
    _curves(stage, "curves-good")
    ui.stepSlider.value = 0
    settle()
    wait(lambda: not section.live.busy, 20)
    marks = (ui.stepSlider, ui.subVolumeSelector)
    stage.camera.shoot("pretrain-first-step", stage.window, marks)
    ui.stepSlider.value = ui.stepSlider.maximum
    ui.followBox.checked = True
    settle()


def _collapsed(stage: Stage, section, steps: int) -> None:
    """A run with a learning rate that is twenty times too large."""
    ui = section.ui
    ui.settingsPath.currentPath = stage.settings("too-fast.toml", TOO_FAST)
    ui.stepsBox.value = steps
    settle()
    ui.startButton.click()
    wait(lambda: section.watch.status.get("state") == "finished", 1200, lambda: ui.messageLabel.text)
    wait(lambda: not stage.panel.context.runner.running and not section.live.busy, 60)
    stage.scroll(0)
    stage.camera.shoot("pretrain-collapsed", stage.box("pretrain"), since=ui.runSelector, upto=ui.messageLabel)
    _curves(stage, "curves-collapsed")
    ui.showButton.checked = False
    ui.settingsPath.currentPath = ""
    ui.stepsBox.value = 0
    folder = section.watch.folder
    section.open(stage.finishedRun("pretrain"))
    shutil.rmtree(folder)


def _curves(stage: Stage, name: str) -> None:
    """The three charts, one below the other."""
    stage.window.resize(2000, 900)
    settle(1.0)
    plots = [slicer.app.layoutManager().viewWidget(_plotNode(chart)) for chart in CHARTS]
    whole = toImage(stage.window)
    pictures = [whole.crop(place(plot, stage.window)) for plot in plots]
    stage.window.resize(*SIZE)
    column = Image.new("RGB", (max(one.width for one in pictures), sum(one.height for one in pictures)), "white")
    top = 0
    for picture in pictures:
        column.paste(picture, (0, top))
        top += picture.height
    stage.camera.save(name, column)
    settle()


def _plotNode(chart: str):
    return slicer.mrmlScene.GetSingletonNode(plotTag(chart), "vtkMRMLPlotViewNode")


def _previews(section) -> int:
    """How many previews the run has written, if the last one is shown."""
    shown = section.live.preview is not None and section.live.layout.shown
    return len(section.live.files) if shown else 0

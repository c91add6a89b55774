"""The stage: the open panel of the module in a window, with places of its own, and clicks as a user makes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine_files
import qt
import SampleData
import slicer
from Bench import application
from camera import Camera, settle
from panels import ROOT, section
from SwinSSLPanel import sampleData
from waiting import waitFor

#: The HU window of the pictures.
WINDOW = (-175, 250)
#: Seeds from here on are of patients that are not learned from.
UNSEEN = 100
#: Of the whole window, in pixels.
SIZE = (1400, 900)


class Stage:
    """The panel, the camera, and the folders that pictures show.

    Args:
        work: runs, models and prepared CTs are kept in here.
        images: where pictures go.
    """

    def __init__(self, work: Path, images: Path) -> None:
        self.work = work
        self.camera = Camera(images)
        for variable, name in (("SWINSSL_CACHE", "cache"), ("SWINSSL_MODELS", "models")):
            os.environ[variable] = str(work / name)
        self.runs = work / "runs"
        self.runs.mkdir(parents=True, exist_ok=True)
        module = application.load_module(ROOT / "SwinSSL" / "SwinSSL.py")
        self.panel = application.open_panel(module.name, window=True)
        self.window = slicer.app.main_window()
        self.window.resize(*SIZE)
        self.window.show()
        self.panel.context.runsFolder = self.runs
        self.section("pretrain").ui.runsButton.directory = str(self.runs)
        settle()

    # --- the panel

    def section(self, name: str) -> Any:
        """A section by name."""
        return section(self.panel, name)

    def box(self, name: str) -> Any:
        """The collapsible part of the panel with its title: what a picture of a section shows."""
        return getattr(self.panel.ui, f"{name}Button")

    def only(self, name: str) -> Any:
        """Open one section and close the others; returns it."""
        for one in self.panel.sections:
            self.box(one.name).collapsed = one.name != name
        self.panel.enter()
        self.scroll(0)
        settle()
        return self.section(name)

    def scroll(self, pixels: int) -> None:
        """Where the panel is scrolled to."""
        self.window.panel.verticalScrollBar().setValue(pixels)

    def newScene(self) -> None:
        """An empty scene in the layout that Slicer begins with."""
        slicer.mrmlScene.Clear(0)
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        settle()

    # --- data

    def sample(self, name: str) -> Any:
        """Load a registered sample, as the module Sample Data does; its volume."""
        volume = SampleData.SampleDataLogic().downloadSample(name)
        display = volume.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*WINDOW)
        return volume

    def phantoms(self, count: int) -> list[Any]:
        """Press the sample ``SwinSSLPhantom`` so many times."""
        volumes = [self.sample("SwinSSLPhantom") for _ in range(count)]
        for volume in volumes:
            organs(volume).GetDisplayNode().SetVisibility(False)
        return volumes

    def patient(self, number: int) -> Any:
        """A phantom that no run of these tutorials learns from, without its organs."""
        volume = sampleData.makePhantom(UNSEEN + number)
        slicer.mrmlScene.RemoveNode(organs(volume))
        volume.SetName(f"New patient {number}")
        return volume

    def look(self, volume: Any, place: tuple[float, float, float] | None = None) -> None:
        """Show a volume in the slice views, cut at a place in mm RAS."""
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        if place is not None:
            for name, at in zip(("Yellow", "Green", "Red"), place, strict=True):
                slicer.app.layoutManager().sliceWidget(name).sliceLogic().SetSliceOffset(at)
        settle()

    def settings(self, name: str, text: str) -> str:
        """A settings file of the user's."""
        path = self.work / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    # --- runs

    def finishedRun(self, kind: str) -> Path:
        """The newest finished run of a kind, made by the engine if an earlier tutorial has not left one."""
        found = sorted(path for path in self.runs.glob(f"{kind}-*") if (path / "report.html").is_file())
        found = [path for path in found if not path.name.endswith("collapsed")]
        return found[-1] if found else self._made(kind)

    def _made(self, kind: str) -> Path:
        cohort, out = self.work / "cohort", self.runs / f"{kind}-2026-11-23-0900"
        if not cohort.exists():
            engine_files.engineRun("phantoms", "--count", 10, "--seed", 1, "--out", cohort)
        data = cohort if kind == "pretrain" else cohort / "dataset.json"
        start = () if kind == "pretrain" else ("--init", self.finishedRun("pretrain"))
        engine_files.engineRun(kind, "--data", data, "--out", out, "--preset", "quick", "--device", "cpu", *start)
        return out


def organs(volume: Any) -> Any:
    """The segmentation that comes with a phantom."""
    return slicer.util.getNode(f"{volume.GetName()} organs")


def tick(*volumes: Any) -> None:
    """Tick these volumes and no others, in all lists of volumes."""
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        node.SetSelected(node in volumes)
    settle()


def wait(what: Callable[[], bool], seconds: float, words: Callable[[], str] = str) -> None:
    """Wait for something; a picture of what never came would be wrong.

    Raises:
        RuntimeError: it did not come.
    """
    if not waitFor(what, seconds):
        raise RuntimeError(f"This did not come in {seconds:.0f} s. The panel says: {words()!r}")


def choose(selector: Any, text: str) -> None:
    """Choose the entry of a list that begins with a text."""
    found = [number for number in range(selector.count) if selector.itemText(number).startswith(text)]
    selector.setCurrentIndex(found[0])
    slicer.app.processEvents()


def answer(owner: Any, name: str, value: Any) -> Callable[[], None]:
    """Let a dialog of Qt's answer at once; returns what takes that back."""
    plain = getattr(owner, name)
    setattr(owner, name, lambda *_: value)
    return lambda: setattr(owner, name, plain)


def fileDialogs() -> Any:
    """The class whose dialogs ask for files."""
    return qt.QFileDialog

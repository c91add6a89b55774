"""What the tests of segmentation share: tiny models, the section by itself, and the clicks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import engine_files
import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from model_files import makeSegmenter
from opening import opened
from SwinSSLPanel.sections.segment import SegmentSection
from waiting import waitFor

from SwinSSLLib.places import library_folder

SCREENSHOTS = Path(os.environ["SWINSSL_SCREENSHOTS"]) if "SWINSSL_SCREENSHOTS" in os.environ else None


@pytest.fixture(scope="session")
def segmenter_files(tmp_path_factory) -> dict[str, Path]:
    """Model folders: one that finds much, one that finds nothing, and one with many windows."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "lively": makeSegmenter(folder / "lively"),
        "blind": makeSegmenter(folder / "blind", background=1e4),
        "slow": makeSegmenter(folder / "slow", spacing=3.5),
    }


@pytest.fixture
def installed(segmenter_files):
    """Put models into the library; it is empty before and after."""

    def install(*names: str) -> None:
        for name in names:
            shutil.copytree(segmenter_files[name], library_folder() / name)

    yield install
    shutil.rmtree(library_folder(), ignore_errors=True)


@pytest.fixture
def a_section(a_bench, tmp_path):
    """The section in a window of 500 pixels, as wide as Slicer's panel may be."""
    with opened(SegmentSection, tmp_path / "runs") as section:
        yield section


def phantom(seed: int = 2, name: str = "CT 1"):
    """A ticked CT."""
    node, _labels = engine_files.phantomVolume(seed, name)
    node.SetSelected(True)
    return node


def choose(section, name: str) -> None:
    """Choose a model."""
    section.fillModels()
    names = [entry.name for entry in section.models]
    section.ui.modelSelector.setCurrentIndex(names.index(name))
    slicer.app.processEvents()


def press(section, seconds: float = 120.0) -> None:
    """Press the button and wait until nothing is at work."""
    assert section.ui.segmentButton.enabled, section.ui.segmentButton.toolTip
    section.ui.segmentButton.click()
    assert waitFor(lambda: not section._busy, seconds)


def worker(section):
    """The process of the worker that stays."""
    return section.context.segmenter._process


def grab(widget, name: str) -> None:
    """A picture, where pictures are wanted."""
    if SCREENSHOTS is not None:
        slicer.app.processEvents()
        widget.grab().save(str(SCREENSHOTS / f"{name}.png"))


def byTheEngine(volume, model: Path, folder: Path) -> np.ndarray:
    """What the engine itself writes for a volume: label ids (K, J, I)."""
    slicer.util.saveNode(volume, str(folder / "ct.nrrd"))
    engine_files.engineRun("segment", folder / "ct.nrrd", "-m", model, "-o", folder / "ct.nii.gz")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "ct.nii.gz")))


def segmentations() -> list:
    """Those of the scene."""
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def tables() -> list:
    """Those of the scene."""
    return slicer.util.getNodesByClass("vtkMRMLTableNode")


def mask(node, segmentID: str, volume) -> np.ndarray:
    """Where a segment is (K, J, I)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentID, volume) > 0

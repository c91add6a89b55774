"""The open panel of the module, and jobs in it that do not end by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import engine_files
import pytest
import slicer
from segmenting import choose, phantom
from SwinSSLPanel.segmentations import segmentationFromLabels
from waiting import waitFor

from SwinSSLLib.organs import ORGANS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def panel_module() -> Path:
    """The module that ``an_open_panel`` opens."""
    return ROOT / "SwinSSL" / "SwinSSL.py"


@pytest.fixture
def a_panel(an_open_panel, tmp_path):
    """The open panel, with a runs folder of its own."""
    an_open_panel.context.runsFolder = tmp_path / "runs"
    yield an_open_panel
    if an_open_panel.context is not None:
        an_open_panel.context.runner.abandon()


def section(panel, name: str) -> Any:
    """A section of the panel by name."""
    return next(one for one in panel.sections if one.name == name)


def startPretraining(panel, tmp_path, steps: int = 1000) -> Any:
    """Pre-training on two phantoms; returns its section."""
    for seed in (2, 3):
        engine_files.phantomVolume(seed, f"Phantom {seed}")[0].SetSelected(True)
    return _started(section(panel, "pretrain"), engine_files.settingsFile(tmp_path, engine_files.PRETRAIN, steps=steps))


def startFinetuning(panel, tmp_path, steps: int = 1000) -> Any:
    """Fine-tuning from scratch on two phantoms; returns its section."""
    for seed in (2, 3):
        volume, labels = engine_files.phantomVolume(seed, f"Phantom {seed}")
        organs = segmentationFromLabels(labels, volume, ORGANS, f"Organs {seed}")
        panel.context.announce(f"learn:{volume.GetID()}:{organs.GetID()}")
    return _started(section(panel, "finetune"), engine_files.settingsFile(tmp_path, engine_files.FINETUNE, steps=steps))


def _started(one: Any, settings: Path) -> Any:
    one.ui.presetSelector.currentText = "quick"
    one.ui.settingsPath.currentPath = str(settings)
    assert waitFor(lambda: one.ui.startButton.enabled, 10)
    one.ui.startButton.click()
    assert waitFor(lambda: one.watch.status.get("step", 0) >= 2, 120), one.ui.messageLabel.text
    return one


def startSegmenting(panel) -> int:
    """Segment with the installed model "slow"; returns the number of the worker's process."""
    segment = section(panel, "segment")
    phantom()
    choose(segment, "slow")
    segment.ui.segmentButton.click()
    assert waitFor(lambda: "window" in segment.ui.statusLabel.text, 120), segment.ui.messageLabel.text
    slicer.app.processEvents()
    return panel.context.segmenter._process.processId()

"""From the embedded CT of a patient to organs, through real clicks with real workers."""

from __future__ import annotations

from pathlib import Path

import engine_files
import numpy as np
import pytest
import slicer
from Bench import application
from panels import ROOT, section
from SwinSSLPanel.previews import MARK
from SwinSSLPanel.segmentations import matches, segmentationFromLabels
from test_pretrain_section import grab
from waiting import waitFor

from SwinSSLLib.organs import ORGANS

DATA = ROOT / "Testing" / "Data"
#: 8 mm, as for the phantoms, would leave less than a sub-volume of this CT.
SPACING = {"spacing": [5.0, 5.0, 5.0]}


def test_from_the_embedded_ct_to_organs_through_real_clicks(a_panel, tmp_path):
    application.start().main_window().resize(1300, 900)
    ct, organs = ctOfThePatient()
    ct.SetSelected(True)
    run = pretrained(a_panel, tmp_path)
    case = segmentationFromLabels(organs, ct, ORGANS, "Organs of the CT")
    tuned = finetuned(a_panel, ct, case, run, tmp_path)
    segmentation = segmented(a_panel, tuned, case)
    checkResult(segmentation, ct)
    grab(a_panel.root, "panel-after-all")


def ctOfThePatient():
    """The embedded CT, and the labels that come with it (K, J, I)."""
    ct, labels = (slicer.util.loadVolume(str(DATA / f"lidc-idri-0001-{part}.nii.gz")) for part in ("ct", "labels"))
    organs = slicer.util.arrayFromVolume(labels).copy()
    slicer.mrmlScene.RemoveNode(labels)
    return ct, organs


def smallSettings(folder: Path, settings: dict, **training: object) -> str:
    """A settings file with the spacing of this CT."""
    small = {**settings, "input": {**settings["input"], **SPACING}}
    return str(engine_files.settingsFile(folder, small, **training))


def pretrained(panel, tmp_path) -> Path:
    """Pre-train: previews appear in the views while it runs; stop; resume; finished. The run's folder."""
    pretrain = section(panel, "pretrain")
    pretrain.ui.presetSelector.currentText = "quick"
    pretrain.ui.settingsPath.currentPath = smallSettings(tmp_path, engine_files.PRETRAIN, steps=40, preview_every=2)
    pretrain.ui.showButton.checked = True
    assert waitFor(lambda: pretrain.ui.startButton.enabled, 10)
    pretrain.ui.startButton.click()
    waitForPreviews(panel, pretrain)
    assert pretrain.watch.status["state"] == "running"
    pretrain.ui.stopButton.click()
    assert waitFor(lambda: pretrain.watch.status["state"] == "stopped", 60)
    assert waitFor(lambda: pretrain.ui.resumeButton.enabled, 10)
    pretrain.ui.resumeButton.click()
    assert waitFor(lambda: pretrain.watch.status["state"] == "finished", 240), pretrain.ui.messageLabel.text
    assert waitFor(lambda: not panel.context.runner.running and not pretrain.live.busy)
    grab(application.start().main_window(), "embedded-ct-preview")
    pretrain.ui.showButton.checked = False
    assert [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetAttribute(MARK)] == []
    return pretrain.watch.folder


def waitForPreviews(panel, pretrain) -> None:
    """Two previews of different steps are seen in the views."""
    seen: set[int] = set()

    def watching() -> bool:
        if pretrain.live.preview is not None and pretrain.live.layout.shown:
            node = pretrain.live.nodes.node("reconstructed")
            if node is not None and f"step {pretrain.live.preview.step:,} " in node.GetName():
                seen.add(pretrain.live.preview.step)
        return len(seen) >= 2 or not panel.context.runner.running

    assert waitFor(watching, 180)
    assert len(seen) >= 2, pretrain.ui.messageLabel.text


def finetuned(panel, ct, case, run: Path, tmp_path) -> Path:
    """Fine-tune from that run, on the organs of the same CT. The folder of the new run."""
    finetune = section(panel, "finetune")
    panel.context.announce(f"learn:{ct.GetID()}:{case.GetID()}")
    finetune.enter()
    selector = finetune.ui.initSelector
    texts = [selector.itemText(number) for number in range(selector.count)]
    selector.currentIndex = next(number for number, text in enumerate(texts) if text.startswith(run.name))
    finetune.ui.presetSelector.currentText = "quick"
    training = {"steps": 60, "lr": 0.01, "validate_every": 30}
    finetune.ui.settingsPath.currentPath = smallSettings(tmp_path, engine_files.FINETUNE, **training)
    finetune.ui.startButton.click()

    def state() -> str:
        return finetune.watch.status.get("state", "") if finetune.watch else ""

    assert waitFor(lambda: state() in ("finished", "failed"), 400)
    assert state() == "finished", finetune.ui.messageLabel.text
    assert waitFor(lambda: not panel.context.runner.running)
    events = (finetune.watch.folder / "events.jsonl").read_text()
    assert "126 of 126 encoder tensors taken over" in events
    return finetune.watch.folder


def segmented(panel, tuned: Path, case):
    """Segment with the new model: the new segmentation."""
    segment = section(panel, "segment")
    segment.enter()
    models = [segment.ui.modelSelector.itemText(n) for n in range(segment.ui.modelSelector.count)]
    segment.ui.modelSelector.currentIndex = next(n for n, text in enumerate(models) if tuned.name in text)
    assert waitFor(lambda: segment.ui.segmentButton.enabled, 10), segment.ui.verdictLabel.text
    segment.ui.segmentButton.click()

    def results() -> list:
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return [node for node in nodes if node.GetID() != case.GetID()]

    assert waitFor(lambda: bool(results()) or segment.ui.messageLabel.visible, 240)
    assert waitFor(lambda: segment.ui.segmentButton.enabled, 30)
    assert len(results()) == 1, segment.ui.messageLabel.text
    return results()[0]


def checkResult(segmentation, ct) -> None:
    """What the table says is what the segments hold."""
    array, voxel = slicer.util.arrayFromVolume(ct), np.prod(ct.GetSpacing())
    tables = slicer.util.getNodesByClass("vtkMRMLTableNode")
    rows = organRows(next(node for node in tables if node.GetTable().GetColumnByName("Volume [mL]") is not None))
    for match in matches(segmentation):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, match.segmentID, ct) > 0
        volume, density = rows[match.organ.name]
        assert volume == pytest.approx(mask.sum() * voxel / 1000, abs=0.1)
        assert density == pytest.approx(array[mask].mean(), abs=0.1)
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role).GetID() == ct.GetID()


def organRows(node) -> dict[str, tuple[float, float]]:
    """Millilitres and mean HU of the organs in a table node."""
    table = node.GetTable()
    names = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    organ, volume, density = (
        next(n for n, name in enumerate(names) if name.startswith(words)) for words in ("Organ", "Volume", "Mean")
    )
    rows = {}
    for row in range(table.GetNumberOfRows()):
        value = table.GetValue(row, volume).ToDouble()
        if value > 0:
            rows[table.GetValue(row, organ).ToString()] = (value, table.GetValue(row, density).ToDouble())
    return rows

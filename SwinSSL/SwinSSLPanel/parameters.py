"""What the panel remembers in the scene: bound to the widgets, saved and restored with it."""

from __future__ import annotations

from typing import Annotated

import slicer
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

PRESETS = ("recommended", "paper", "official", "quick")


@parameterNodeWrapper
class SwinSSLParameters:
    """Settings of all sections; those of the engine are much more, and reached by a settings file.

    Attributes:
        pretrainPreset, finetunePreset: settings to begin with.
        pretrainSteps, finetuneSteps: 0 for as many as the preset says.
        pretrainBatch: 0 for as many as the preset says.
        pretrainLargestBatch: as many as fit into the memory instead.
        pretrainData: folder or datalist besides the ticked volumes.
        detached: let the run go on when Slicer is closed.
        finetuneData: datalist in place of the cases of the scene.
        pretrainSettings, finetuneSettings: settings file for everything that the panel does not show.
        segmentTarget: segmentation to write into; None for a new one.
    """

    pretrainPreset: Annotated[str, Choice(list(PRESETS))] = "recommended"
    pretrainSteps: Annotated[int, WithinRange(0, 10_000_000)] = 0
    pretrainBatch: Annotated[int, WithinRange(0, 1024)] = 0
    pretrainLargestBatch: bool = False
    pretrainData: str = ""
    detached: bool = False
    finetunePreset: Annotated[str, Choice(list(PRESETS))] = "recommended"
    finetuneSteps: Annotated[int, WithinRange(0, 10_000_000)] = 0
    finetuneData: str = ""
    pretrainSettings: str = ""
    finetuneSettings: str = ""
    segmentTarget: slicer.vtkMRMLSegmentationNode

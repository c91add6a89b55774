"""Labelled cases of the scene: a volume, a segmentation, and which segment is which organ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SwinSSLPanel.segmentations import matches, writeLabels
from SwinSSLPanel.volumes import makePrivate, volumeFile


@dataclass
class Case:
    """One case to learn from.

    Attributes:
        volumeID, segmentationID: nodes.
        organs: segment id to label id, for the segments that stand for an organ.
    """

    volumeID: str
    segmentationID: str
    organs: dict[str, int] = field(default_factory=dict)

    @property
    def volume(self) -> Any:
        """The volume node, or None if it is gone."""
        return slicer.mrmlScene.GetNodeByID(self.volumeID)

    @property
    def segmentation(self) -> Any:
        """The segmentation node, or None if it is gone."""
        return slicer.mrmlScene.GetNodeByID(self.segmentationID)

    @property
    def alive(self) -> bool:
        """Whether both nodes are in the scene."""
        return self.volume is not None and self.segmentation is not None


def proposed(volumeNode: Any, segmentationNode: Any) -> Case:
    """A case with the organs that terminology and names tell; of two segments of one organ the first counts."""
    organs: dict[str, int] = {}
    for match in matches(segmentationNode):
        if match.organ is not None and match.organ.id not in organs.values():
            organs[match.segmentID] = match.organ.id
    return Case(volumeNode.GetID(), segmentationNode.GetID(), organs)


def problem(case: Case) -> str:
    """Why a case cannot be learned from; empty if it can."""
    if not case.alive:
        return _("Its volume or its segmentation is no longer in the scene.")
    if not case.organs:
        return _("None of the segments of {name} is one of the 13 organs.").format(name=case.segmentation.GetName())
    labels = list(case.organs.values())
    if len(set(labels)) < len(labels):
        return _("Two segments of {name} stand for the same organ.").format(name=case.segmentation.GetName())
    return ""


def writeDatalist(cases: Sequence[Case], folder: Path) -> Path:
    """Write the cases as files and a datalist; returns ``dataset.json``.

    Volumes that are unchanged files are named where they are; the datalist is ours, so it may point outside.

    Raises:
        ValueError: a case cannot be used; names it.
    """
    entries = []
    for case in cases:
        if reason := problem(case):
            raise ValueError(reason)
        image = volumeFile(case.volume, folder).path
        label = writeLabels(case.segmentation, case.volume, case.organs, folder)
        entries.append({"image": str(image), "label": str(label)})
    makePrivate(folder)
    path = folder / "dataset.json"
    path.write_text(json.dumps({"training": entries}, indent=1), encoding="utf-8")
    return path

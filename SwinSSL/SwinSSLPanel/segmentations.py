"""Label files of the engine as segmentations of the scene, and segmentations of the scene as label files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from SwinSSLLib.organs import ORGANS, Organ
from SwinSSLPanel.volumes import safeName

#: Context of the terminology entries that the engine writes (Slicer's names of its own lists).
CONTEXT = "Segmentation category and type - DICOM master list"


@dataclass(frozen=True)
class Match:
    """A segment and the organ that it stands for.

    Attributes:
        segmentID: of the segment.
        segmentName: of the segment.
        organ: None if it is none of the 13.
        by: "terminology", "name" or "".
    """

    segmentID: str
    segmentName: str
    organ: Organ | None
    by: str = ""


def loadResult(path: Path, volumeNode: Any, name: str) -> Any:
    """A new segmentation from a ``.seg.nrrd`` of the engine, placed where the volume is.

    Names, colours and terminology come with the file. The volume becomes the reference geometry, and the
    segmentation goes into the volume's study.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        segmentationNode = slicer.util.loadSegmentation(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be read as a segmentation: {error}") from error
    segmentationNode.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    # The file lies in a temporary folder: a saved scene must not point there.
    storageNode = segmentationNode.GetStorageNode()
    if storageNode is not None:
        segmentationNode.SetAndObserveStorageNodeID(None)
        slicer.mrmlScene.RemoveNode(storageNode)
    segmentationNode.CreateDefaultDisplayNodes()
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    placeBeside(segmentationNode, volumeNode)
    return segmentationNode


def placeBeside(node: Any, volumeNode: Any) -> None:
    """Put a node into the volume's study of the subject hierarchy."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    if hierarchy is None:
        return
    volumeItem = hierarchy.GetItemByDataNode(volumeNode)
    item = hierarchy.GetItemByDataNode(node)
    if volumeItem and item:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(volumeItem))


@dataclass
class Undo:
    """What a segmentation was before something was written into it."""

    segmentationNode: Any
    before: Any

    def restore(self) -> None:
        """Give the segmentation back as it was."""
        segmentation = self.segmentationNode.GetSegmentation()
        segmentation.DeepCopy(self.before)
        self.segmentationNode.Modified()


def writeInto(segmentationNode: Any, path: Path, volumeNode: Any) -> Undo:
    """Put the organs of a label file into a segmentation that is there already.

    A segment that stands for one of these organs is replaced and keeps its id, name and colour; all others stay.

    Raises:
        ValueError: the file cannot be read.
    """
    before = slicer.vtkSegmentation()
    before.DeepCopy(segmentationNode.GetSegmentation())
    fresh = loadResult(path, volumeNode, "arriving")
    try:
        standing = {match.organ.id: match.segmentID for match in matches(segmentationNode) if match.organ}
        for match in matches(fresh):
            array = slicer.util.arrayFromSegmentBinaryLabelmap(fresh, match.segmentID, volumeNode)
            target = standing.get(match.organ.id) if match.organ else None
            if target is None:
                source = fresh.GetSegmentation()
                segmentationNode.GetSegmentation().CopySegmentFromSegmentation(source, match.segmentID)
            else:
                slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentationNode, target, volumeNode)
    finally:
        slicer.mrmlScene.RemoveNode(fresh)
    return Undo(segmentationNode, before)


def matches(segmentationNode: Any) -> list[Match]:
    """Which organ each segment stands for: by terminology code and side, then by name."""
    segmentation = segmentationNode.GetSegmentation()
    found = []
    for number in range(segmentation.GetNumberOfSegments()):
        segmentID = segmentation.GetNthSegmentID(number)
        segment = segmentation.GetSegment(segmentID)
        organ, by = organOf(segment)
        found.append(Match(segmentID, segment.GetName(), organ, by))
    return found


def organOf(segment: Any) -> tuple[Organ | None, str]:
    """The organ of a segment, and what told it."""
    tag = vtk.reference("")
    if segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag):
        for organ in ORGANS:
            if codesOf(str(tag)) == (organ.code[:2], organ.modifier[:2] if organ.modifier else ("", "")):
                return organ, "terminology"
    name = segment.GetName().strip().casefold()
    for organ in ORGANS:
        if organ.name.casefold() == name:
            return organ, "name"
    return None, ""


def codesOf(entry: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Scheme and value of type and modifier in a serialised terminology entry (context~category~type~modifier~...)."""
    parts = entry.split("~")
    codes = [[*part.split("^"), "", ""] for part in (*parts[2:4], "", "")]
    (scheme, value, *_), (modifierScheme, modifier, *_) = codes[:2]
    return (scheme, value), (modifierScheme, modifier)


def terminologyEntry(organ: Organ) -> str:
    """A terminology entry for an organ, in Slicer's serialised form."""
    modifier = "^".join(organ.modifier) if organ.modifier else "^^"
    category = "SCT^123037004^Anatomical Structure"
    return f"{CONTEXT}~{category}~{'^'.join(organ.code)}~{modifier}~Anatomic codes - DICOM master list~^^~^^"


def segmentationFromLabels(labels: np.ndarray, volumeNode: Any, organs: Sequence[Organ], name: str) -> Any:
    """A segmentation of label ids (K, J, I) on a volume's grid, with names, colours and terminology."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    for organ in organs:
        mask = (labels == organ.id).astype(np.uint8)
        if not mask.any():
            continue
        colour = [channel / 255 for channel in organ.colour]
        segmentID = node.GetSegmentation().AddEmptySegment(f"Segment_{organ.id}", organ.name, colour)
        tag = slicer.vtkSegment.GetTerminologyEntryTagName()
        node.GetSegmentation().GetSegment(segmentID).SetTag(tag, terminologyEntry(organ))
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentID, volumeNode)
    placeBeside(node, volumeNode)
    return node


def labelArray(segmentationNode: Any, volumeNode: Any, chosen: Mapping[str, int]) -> np.ndarray:
    """Label ids (K, J, I) on the volume's grid.

    Args:
        segmentationNode: the segmentation.
        volumeNode: the grid.
        chosen: segment id to label id.

    Raises:
        ValueError: two of the segments overlap.
    """
    labels = np.zeros(slicer.util.arrayFromVolume(volumeNode).shape[:3], np.uint8)
    names = {match.segmentID: match.segmentName for match in matches(segmentationNode)}
    for segmentID, label in chosen.items():
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentID, volumeNode) > 0
        if (labels[mask] != 0).any():
            raise ValueError(
                f"{names.get(segmentID, segmentID)} overlaps another organ in {segmentationNode.GetName()}; "
                "remove the overlap in Segment Editor (masking: overwrite all segments)."
            )
        labels[mask] = label
    return labels


def writeLabels(segmentationNode: Any, volumeNode: Any, chosen: Mapping[str, int], folder: Path) -> Path:
    """Write the chosen segments as a label map on the volume's grid, parent transforms applied; returns the file.

    Raises:
        ValueError: overlapping segments, or the file cannot be written.
    """
    from SwinSSLPanel.volumes import makePrivate, writeCopy

    array = labelArray(segmentationNode, volumeNode, chosen)
    node = slicer.vtkMRMLScalarVolumeNode()
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    node.SetAndObserveImageData(image)
    node.CopyOrientation(volumeNode)
    node.SetName(segmentationNode.GetName())
    slicer.util.arrayFromVolume(node)[:] = array
    makePrivate(folder)
    identity = segmentationNode.GetID().rpartition("Node")[2]
    path = folder / f"{safeName(segmentationNode.GetName())}-{identity}-labels.nrrd"
    if volumeNode.GetParentTransformNode() is not None:
        slicer.mrmlScene.AddNode(node)
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    try:
        writeCopy(node, path)
    finally:
        if node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(node)
    path.chmod(0o600)
    return path

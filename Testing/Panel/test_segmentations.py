"""Segmentations: what the engine writes arrives in the scene in place, with names, colours, codes; and goes back."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from SwinSSLPanel.segmentations import (
    codesOf,
    labelArray,
    loadResult,
    matches,
    organOf,
    terminologyEntry,
    writeInto,
    writeLabels,
)
from SwinSSLPanel.volumes import volumeFile
from test_volumes import DIRECTIONS, aTransform, ijkToWorld

from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.volumes import Volume, read_volume
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.segment.results import write_labels

SHAPE = (12, 16, 20)  # K, J, I


def aCT(directions: np.ndarray | None = None):
    array = np.random.default_rng(0).integers(-100, 200, SHAPE).astype(np.int16)
    node = slicer.util.addVolumeFromArray(array, name="CT 7")
    node.SetSpacing(2.0, 2.5, 3.0)
    node.SetOrigin(10, 20, 30)
    if directions is not None:
        node.SetIJKToRASDirections(*directions.ravel())
    return node


def organBoxes() -> np.ndarray:
    """Label ids (K, J, I): each of the 13 organs a block of its own size and place."""
    labels = np.zeros(SHAPE, np.uint8)
    for organ in ORGANS:
        k, j = divmod(organ.id - 1, 4)
        labels[3 * k : 3 * k + 2, 4 * j : 4 * j + 3, 1 : 5 + organ.id] = organ.id
    return labels


def engineResult(volumeNode, folder, labels=None):
    """What `swinssl segment` would have written for this volume."""
    file = volumeFile(volumeNode, folder)
    ct = read_volume(file.path)
    array = np.ascontiguousarray((organBoxes() if labels is None else labels).transpose(2, 1, 0))
    result = Volume(array, ct.spacing, ct.origin, ct.direction, name=ct.name, source=ct.source)
    write_labels(result, ORGANS, folder / "result.seg.nrrd")
    return folder / "result.seg.nrrd"


@pytest.mark.parametrize("number", [0, 9, 21, 38, 47, 49, 51, 53])
def test_a_result_arrives_in_place_with_names_colours_and_codes(a_bench, tmp_path, number):
    volume = aCT(DIRECTIONS[number])
    node = loadResult(engineResult(volume, tmp_path), volume, "Organs of CT 7")
    found = matches(node)
    assert [match.organ for match in found] == list(ORGANS)
    assert {match.by for match in found} == {"terminology"}
    for match in found:
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, match.segmentID, volume)
        assert np.array_equal(mask > 0, organBoxes() == match.organ.id), match.organ.name
        segment = node.GetSegmentation().GetSegment(match.segmentID)
        assert segment.GetName() == match.organ.name
        np.testing.assert_allclose(np.array(segment.GetColor()) * 255, match.organ.colour, atol=0.5)


def test_a_result_of_a_transformed_volume_lies_where_the_volume_is_seen(a_bench, tmp_path):
    volume = aCT()
    matrix = np.eye(4)
    matrix[:3, 3] = (11, -7, 23)
    matrix[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]
    volume.SetAndObserveTransformNodeID(aTransform(matrix).GetID())
    node = loadResult(engineResult(volume, tmp_path), volume, "Organs")
    liver = next(match for match in matches(node) if match.organ.name == "liver")
    centre = np.array(node.GetSegmentCenterRAS(liver.segmentID))
    k, j, i = (axis.mean() for axis in np.nonzero(organBoxes() == liver.organ.id))
    world = vtk.vtkMatrix4x4()
    node_to_world = np.eye(4)
    if node.GetParentTransformNode():
        node.GetParentTransformNode().GetMatrixTransformToWorld(world)
        node_to_world = slicer.util.arrayFromVTKMatrix(world)
    np.testing.assert_allclose((node_to_world @ [*centre, 1])[:3], (ijkToWorld(volume) @ [i, j, k, 1])[:3], atol=2.0)


def test_a_result_has_the_ct_as_reference_and_goes_into_its_study(a_bench, tmp_path):
    volume = aCT()
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    node = loadResult(engineResult(volume, tmp_path), volume, "Organs")
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()).GetID() == volume.GetID()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    assert node.GetStorageNode() is None
    assert loadResult(tmp_path / "result.seg.nrrd", volume, "Organs").GetName() != node.GetName()


def test_a_file_that_is_none_is_told(a_bench, tmp_path):
    (tmp_path / "x.seg.nrrd").write_text("rubbish")
    with pytest.raises(ValueError, match=r"x\.seg\.nrrd cannot be read"):
        loadResult(tmp_path / "x.seg.nrrd", aCT(), "Organs")
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_writing_into_a_segmentation_replaces_the_same_organs_and_can_be_undone(a_bench, tmp_path):
    volume = aCT()
    node = loadResult(engineResult(volume, tmp_path), volume, "Mine")
    segmentation = node.GetSegmentation()
    for match in matches(node):
        if match.organ.id > 6:
            segmentation.RemoveSegment(match.segmentID)
    own = segmentation.AddEmptySegment("lesion", "my lesion", (1, 0, 0))
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[9, 14, 18] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(lesion, node, own, volume)
    liver = next(match.segmentID for match in matches(node) if match.organ and match.organ.name == "liver")
    segmentation.GetSegment(liver).SetName("Leber")
    moved = np.roll(organBoxes(), 1, axis=2)
    undo = writeInto(node, engineResult(volume, tmp_path, moved), volume)
    after = {match.organ.id: match.segmentID for match in matches(node) if match.organ}
    assert sorted(after) == [organ.id for organ in ORGANS]
    assert after[6] == liver
    assert segmentation.GetSegment(liver).GetName() == "Leber"
    for label, segmentID in after.items():
        assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentID, volume) > 0, moved == label)
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, own, volume), lesion)
    undo.restore()
    assert segmentation.GetNumberOfSegments() == 7
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, liver, volume)
    assert np.array_equal(mask > 0, organBoxes() == 6)


def test_segments_are_matched_by_code_and_side_then_by_name(a_bench):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    tag = slicer.vtkSegment.GetTerminologyEntryTagName()
    for organ in ORGANS:
        identity = node.GetSegmentation().AddEmptySegment("", f"any name {organ.id}")
        node.GetSegmentation().GetSegment(identity).SetTag(tag, terminologyEntry(organ))
    node.GetSegmentation().AddEmptySegment("", " Pancreas ")
    node.GetSegmentation().AddEmptySegment("", "Kidney")
    found = matches(node)
    assert [match.organ for match in found[:13]] == list(ORGANS)
    assert [match.by for match in found[:13]] == ["terminology"] * 13
    assert (found[13].organ.name, found[13].by) == ("pancreas", "name")
    assert (found[14].organ, found[14].by) == (None, "")


def test_a_kidney_without_a_side_is_no_side_in_particular(a_bench):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    identity = node.GetSegmentation().AddEmptySegment("", "x")
    segment = node.GetSegmentation().GetSegment(identity)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminologyEntry(ORGANS[1]).replace("24028007", ""))
    assert organOf(segment)[0] is None


@pytest.mark.parametrize("entry", ["", "a", "a~b~c", "~~~~", "a~b~SCT^1"])
def test_entries_of_any_shape_are_read_without_fault(entry):
    first, second = codesOf(entry)
    assert len(first) == len(second) == 2


@pytest.mark.parametrize("transformed", [False, True])
@pytest.mark.parametrize("number", [0, 13, 30, 52])
def test_a_corrected_segmentation_goes_back_to_the_engine(a_bench, tmp_path, number, transformed):
    volume = aCT(DIRECTIONS[number])
    if transformed:
        matrix = np.eye(4)
        matrix[:3, 3] = (1, 2, 3)
        volume.SetAndObserveTransformNodeID(aTransform(matrix).GetID())
    node = loadResult(engineResult(volume, tmp_path), volume, "Organs")
    chosen = {match.segmentID: match.organ.id for match in matches(node)}
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    path = writeLabels(node, volume, chosen, tmp_path / "case")
    image = read_volume(volumeFile(volume, tmp_path / "case").path)
    labels = read_label_map(path, image)
    assert np.array_equal(labels.array, organBoxes().transpose(2, 1, 0))
    np.testing.assert_allclose(labels.ijk_to_ras, ijkToWorld(volume), atol=1e-6)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


def test_overlapping_organs_are_refused_by_name(a_bench, tmp_path):
    volume = aCT()
    node = loadResult(engineResult(volume, tmp_path), volume, "Organs")
    liver = next(match.segmentID for match in matches(node) if match.organ.name == "liver")
    extra = node.GetSegmentation().AddEmptySegment("extra", "second liver")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, liver, volume)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, extra, volume)
    assert labelArray(node, volume, {extra: 6}).any()
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, liver, volume), mask)
    with pytest.raises(ValueError, match="second liver overlaps another organ in Organs"):
        labelArray(node, volume, {liver: 6, extra: 7})


def test_a_result_carries_the_grid_of_its_ct_by_itself(a_bench, tmp_path):
    """Loaded by whatever program, without the CT: the grid is that of the CT and not the box around the organs."""
    volume = aCT(DIRECTIONS[9])
    node = slicer.util.loadSegmentation(str(engineResult(volume, tmp_path)))
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = node.GetSegmentation().GetConversionParameter(name)
    numbers = [float(number) for number in text.rstrip(";").split(";")]
    np.testing.assert_allclose(np.reshape(numbers[:16], (4, 4)), ijkToWorld(volume), atol=1e-6)
    assert numbers[16:] == [0, SHAPE[2] - 1, 0, SHAPE[1] - 1, 0, SHAPE[0] - 1]

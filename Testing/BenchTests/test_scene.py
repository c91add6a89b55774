"""The scene as Slicer hands it to a module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from Bench import scene as bench_scene
from Bench.fixtures import liver


def test_the_nodes_that_modules_rely_on_are_there(a_bench: Any) -> None:
    logic = slicer.app.applicationLogic()
    assert logic.GetSelectionNode() and logic.GetInteractionNode()
    for classname in ("vtkMRMLCrosshairNode", "vtkMRMLLayoutNode", "vtkMRMLSubjectHierarchyNode", "vtkMRMLUnitNode"):
        assert slicer.mrmlScene.GetFirstNodeByClass(classname), classname
    for identity in ("vtkMRMLColorTableNodeGrey", "vtkMRMLColorTableNodeRainbow"):
        assert slicer.mrmlScene.GetNodeByID(identity), identity
    assert slicer.mrmlScene.GetNodeByID("vtkMRMLColorTableNodeFileGenericAnatomyColors.txt")


def test_the_scene_is_empty_at_the_start_of_every_test(a_scene_with_a_segmentation: Any) -> None:
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_and_again(a_bench: Any) -> None:
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_nodes_have_items_in_the_subject_hierarchy(a_scene_with_a_ct: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(a_scene_with_a_ct)
    assert hierarchy.GetItemName(item) == "CT"
    hidden = slicer.mrmlScene.CreateNodeByClass("vtkMRMLModelNode")
    hidden.UnRegister(None)
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(hidden)
    assert not hierarchy.GetItemByDataNode(hidden)
    slicer.mrmlScene.RemoveNode(a_scene_with_a_ct)
    assert hierarchy.GetNumberOfItems() == 0
    for _ in range(3):
        slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)))
        slicer.mrmlScene.Clear(0)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetNumberOfItems() == 0


def test_arrays_go_in_and_out(a_scene_with_a_ct: Any) -> None:
    array = slicer.util.arrayFromVolume(a_scene_with_a_ct)
    array[0, 0, 0] = 7
    slicer.util.arrayFromVolumeModified(a_scene_with_a_ct)
    assert a_scene_with_a_ct.GetImageData().GetScalarComponentAsDouble(0, 0, 0, 0) == 7
    matrix = vtk.vtkMatrix4x4()
    a_scene_with_a_ct.GetIJKToRASMatrix(matrix)
    assert matrix.MultiplyPoint((0, 0, 0, 1)) == (160.0, 160.0, -120.0, 1.0)


def test_segmentation_logic_is_real(a_scene_with_a_segmentation: Any, a_scene_with_a_ct: Any) -> None:
    found = slicer.util.arrayFromSegmentBinaryLabelmap(a_scene_with_a_segmentation, "liver", a_scene_with_a_ct)
    np.testing.assert_array_equal(found.astype(bool), liver())
    assert a_scene_with_a_segmentation.CreateClosedSurfaceRepresentation()
    surface = vtk.vtkPolyData()
    a_scene_with_a_segmentation.GetClosedSurfaceRepresentation("liver", surface)
    mass = vtk.vtkMassProperties()
    mass.SetInputData(surface)
    assert mass.GetVolume() == pytest.approx(liver().sum() * 5 * 5 * 6, rel=0.05)
    label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    logic = slicer.modules.segmentations.logic()
    assert logic.ExportVisibleSegmentsToLabelmapNode(a_scene_with_a_segmentation, label, a_scene_with_a_ct)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(label).astype(bool), liver())


def test_observers_of_the_scene_can_be_counted(a_bench: Any) -> None:
    before = bench_scene.observers(slicer.mrmlScene)
    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, lambda *_: None)
    assert {**before, tag: "NodeAddedEvent"} == bench_scene.observers(slicer.mrmlScene)
    slicer.mrmlScene.RemoveObserver(tag)
    assert bench_scene.observers(slicer.mrmlScene) == before


def test_a_scene_of_ones_own_needs_no_application(a_bench: Any) -> None:
    scene = bench_scene.new_scene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert scene is not slicer.mrmlScene
    assert node.GetScene() is scene
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0

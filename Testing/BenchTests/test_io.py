"""What is saved and loaded again is equal in voxels, geometry, labels and terminology."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from Bench import anatomy
from Bench.fixtures import ct_array, liver

REFERENCE = "Reference image geometry"


def _geometry(node: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _oblique(node: Any) -> None:
    """Turn a volume a little, so that no axis is where another might be taken for it."""
    turn = vtk.vtkTransform()
    turn.RotateWXYZ(20, 0.3, 0.5, 0.8)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    vtk.vtkMatrix4x4.Multiply4x4(turn.GetMatrix(), matrix, matrix)
    node.SetIJKToRASMatrix(matrix)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_volumes_come_back_equal(ending: str, a_scene_with_a_ct: Any, tmp_path: Path) -> None:
    _oblique(a_scene_with_a_ct)
    path = tmp_path / f"ct{ending}"
    assert slicer.util.saveNode(a_scene_with_a_ct, str(path))
    loaded = slicer.util.loadVolume(str(path))
    assert loaded is not a_scene_with_a_ct
    assert loaded.GetName() == "ct"
    assert slicer.util.arrayFromVolume(loaded).dtype == np.int16
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), ct_array())
    np.testing.assert_allclose(_geometry(loaded), _geometry(a_scene_with_a_ct), atol=1e-4)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_label_volumes_come_back_equal(ending: str, a_bench: Any, tmp_path: Path) -> None:
    labels = liver().astype(np.uint8) * 3
    node = slicer.util.addVolumeFromArray(labels, name="labels", nodeClassName="vtkMRMLLabelMapVolumeNode")
    path = tmp_path / f"labels{ending}"
    assert slicer.util.saveNode(node, str(path))
    loaded = slicer.util.loadLabelVolume(str(path))
    assert loaded.IsA("vtkMRMLLabelMapVolumeNode")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), labels)
    if ending == ".mha":  # Slicer reads no segmentation from it
        with pytest.raises(RuntimeError, match="Unsupported file type"):
            slicer.util.loadSegmentation(str(path))
        return
    segmentation = slicer.util.loadSegmentation(str(path))
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_other_tools_read_the_same_geometry(a_scene_with_a_ct: Any, tmp_path: Path) -> None:
    image = pytest.importorskip("SimpleITK")
    _oblique(a_scene_with_a_ct)
    assert slicer.util.saveNode(a_scene_with_a_ct, str(tmp_path / "ct.nii.gz"))
    read = image.ReadImage(str(tmp_path / "ct.nii.gz"))
    np.testing.assert_array_equal(image.GetArrayFromImage(read), ct_array())
    point = (7, 20, 31)
    ras = _geometry(a_scene_with_a_ct) @ [*point, 1]
    lps = read.TransformIndexToPhysicalPoint(point)
    np.testing.assert_allclose(lps, ras[:3] * [-1, -1, 1], atol=1e-3)


def test_segmentations_come_back_with_labels_and_terminology(
    a_scene_with_a_segmentation: Any, a_scene_with_a_ct: Any, tmp_path: Path
) -> None:
    segmentation = a_scene_with_a_segmentation.GetSegmentation()
    segmentation.GetSegment("liver").SetTag("Mine", "a word: with 'signs' and ~ more")
    identity = segmentation.AddEmptySegment("kidney", "Left kidney", (0.7, 0.4, 0.3))
    segmentation.GetSegment(identity).SetTag("TerminologyEntry", anatomy.tag("Kidney", side="Left"))
    overlapping = np.roll(liver(), 5, axis=2).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        overlapping, a_scene_with_a_segmentation, identity, a_scene_with_a_ct
    )
    path = tmp_path / "organs.seg.nrrd"
    assert slicer.util.saveNode(a_scene_with_a_segmentation, str(path))
    loaded = slicer.util.loadSegmentation(str(path))
    assert loaded.GetName() == "organs"
    again = loaded.GetSegmentation()
    assert [again.GetNthSegmentID(i) for i in range(again.GetNumberOfSegments())] == ["liver", "kidney"]
    for name, expected in (("liver", liver()), ("kidney", overlapping)):
        before, after = segmentation.GetSegment(name), again.GetSegment(name)
        assert after.GetName() == before.GetName()
        np.testing.assert_allclose(after.GetColor(), before.GetColor(), atol=1e-3)
        for tag in ("TerminologyEntry", "Mine"):
            texts = [vtk.reference(""), vtk.reference("")]
            assert before.GetTag(tag, texts[0]) == after.GetTag(tag, texts[1])
            assert str(texts[0]) == str(texts[1])
        found = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, name, a_scene_with_a_ct)
        np.testing.assert_array_equal(found.astype(bool), expected.astype(bool))
    reference = [
        each.GetSegmentation().GetConversionParameter(REFERENCE) for each in (a_scene_with_a_segmentation, loaded)
    ]
    assert reference[0] == reference[1] != ""


def test_the_vocabulary_knows_the_tags_that_it_gives(a_scene_with_a_segmentation: Any) -> None:
    logic = slicer.modules.terminologies.logic()
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.DeserializeTerminologyEntry(anatomy.tag("Kidney", side="Left"), entry)
    assert anatomy.GENERAL in logic.GetInfoStringFromTerminologyEntry(entry)
    assert (entry.GetTypeObject().GetCodeMeaning(), entry.GetTypeModifierObject().GetCodeMeaning()) == (
        "Kidney",
        "Left",
    )


def test_the_last_conversion_parameter_of_slicerio_is_lost_in_slicer(
    a_scene_with_a_segmentation: Any, tmp_path: Path
) -> None:
    """Slicer takes a parameter when it meets the & after it; slicerio puts & between parameters only."""
    slicerio = pytest.importorskip("slicerio")
    path = str(tmp_path / "one.seg.nrrd")
    assert slicer.util.saveNode(a_scene_with_a_segmentation, path)
    content = slicerio.read_segmentation(path)
    reference = next(each for each in content["conversionParameters"] if each["name"] == REFERENCE)
    other = {"name": "Oversampling factor", "value": "1", "description": ""}
    for parameters, found in (([reference], False), ([other, reference], False), ([reference, other], True)):
        content["conversionParameters"] = parameters
        slicerio.write_segmentation(path, content)
        read = slicer.util.loadSegmentation(path).GetSegmentation().GetConversionParameter(REFERENCE)
        assert (read == reference["value"]) is found, parameters


@pytest.mark.parametrize("ending", [".vtp", ".stl", ".ply"])
def test_models_come_back_equal(ending: str, a_bench: Any, tmp_path: Path) -> None:
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(10, 20, 30)
    sphere.Update()
    node = slicer.modules.models.logic().AddModel(sphere.GetOutput())
    path = tmp_path / f"sphere{ending}"
    assert slicer.util.saveNode(node, str(path))
    loaded = slicer.util.loadModel(str(path))
    np.testing.assert_allclose(loaded.GetPolyData().GetBounds(), node.GetPolyData().GetBounds(), atol=1e-4)
    assert loaded.GetPolyData().GetNumberOfCells() == node.GetPolyData().GetNumberOfCells()


def test_transforms_tables_texts_and_markups_come_back_equal(a_bench: Any, tmp_path: Path) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    slicer.util.updateTransformMatrixFromArray(
        transform, np.array([[1, 0, 0, 5], [0, 0, -1, 6], [0, 1, 0, 7], [0, 0, 0, 1]])
    )
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(table, np.array([[1.5, 2.5], [3.5, 4.5]]), ["a", "b"])
    text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    text.SetText("words")
    text.SetForceCreateStorageNode(True)
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.AddControlPoint(1.0, 2.0, 3.0)
    for node, name in ((transform, "t.h5"), (table, "t.csv"), (text, "t.txt"), (points, "p.mrk.json")):
        assert slicer.util.saveNode(node, str(tmp_path / name)), name
    again = slicer.util.loadTransform(str(tmp_path / "t.h5"))
    np.testing.assert_allclose(
        slicer.util.arrayFromTransformMatrix(again), slicer.util.arrayFromTransformMatrix(transform), atol=1e-6
    )
    assert slicer.util.loadTable(str(tmp_path / "t.csv")).GetTable().GetValue(1, 0).ToDouble() == 3.5
    assert slicer.util.loadText(str(tmp_path / "t.txt")).GetText() == "words"
    again = slicer.util.loadMarkups(str(tmp_path / "p.mrk.json"))
    np.testing.assert_allclose(slicer.util.arrayFromMarkupsControlPoints(again), [[1, 2, 3]])


@pytest.mark.parametrize("ending", [".mrb", ".mrml", ""])
def test_scenes_come_back_equal(ending: str, a_scene_with_a_segmentation: Any, tmp_path: Path) -> None:
    ct = slicer.util.getNode("CT")
    geometry, tag = _geometry(ct), vtk.reference("")
    reference = a_scene_with_a_segmentation.GetSegmentation().GetConversionParameter(REFERENCE)
    path = tmp_path / f"scene{ending}"
    if ending == ".mrml":  # a scene file alone: its data are saved beside it
        assert slicer.util.saveNode(ct, str(tmp_path / "CT.nrrd"))
        assert slicer.util.saveNode(a_scene_with_a_segmentation, str(tmp_path / "Segmentation.seg.nrrd"))
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.GetFirstNodeByName("CT") is None
    written = path if path.is_file() else next(path.glob("*.mrml"))
    slicer.util.loadScene(str(written))
    ct, segmentation = slicer.util.getNode("CT"), slicer.util.getNode("Segmentation")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(ct), ct_array())
    np.testing.assert_allclose(_geometry(ct), geometry, atol=1e-4)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "liver", ct)
    np.testing.assert_array_equal(found.astype(bool), liver())
    assert segmentation.GetSegmentation().GetSegment("liver").GetTag("TerminologyEntry", tag)
    assert str(tag) == anatomy.tag("Liver")
    assert segmentation.GetSegmentation().GetConversionParameter(REFERENCE) == reference != ""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemName(hierarchy.GetItemByDataNode(segmentation)) == "Segmentation"


def test_a_dicom_folder_is_loaded_series_by_series(a_bench: Any, tmp_path: Path) -> None:
    image = pytest.importorskip("SimpleITK")
    volumes = [ct_array((8, 32, 32)), ct_array((5, 24, 20))]
    for series, voxels in enumerate(volumes):
        _write_series(image, voxels, tmp_path / f"series{series}", series)
    (tmp_path / "README.txt").write_text("no image")
    loaded = slicer.util.loadNodesFromFile(str(tmp_path), None, {})
    nodes = sorted(loaded, key=lambda node: -node.GetImageData().GetDimensions()[0])
    assert len(nodes) == 2
    for node, voxels in zip(nodes, volumes, strict=True):
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), voxels)
        np.testing.assert_allclose(node.GetSpacing(), (1.5, 1.25, 2.5), atol=1e-4)
        np.testing.assert_allclose(node.GetOrigin(), (30.0, 20.0, -100.0), atol=1e-3)


def _write_series(image: Any, voxels: np.ndarray, folder: Path, series: int) -> None:
    """Slices of a CT series; written backwards, and named so that the order of names is not that of slices."""
    folder.mkdir()
    whole = image.GetImageFromArray(voxels)
    whole.SetSpacing((1.5, 1.25, 2.5))
    whole.SetOrigin((-30.0, -20.0, -100.0))
    writer = image.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in reversed(range(voxels.shape[0])):
        one = whole[:, :, k]
        at = whole.TransformIndexToPhysicalPoint((0, 0, k))
        tags = {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.{series}.{k + 1}",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.9.{series}",
            "0020|0011": str(series),
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(str(each) for each in at),
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0018|0050": "2.5",
            "0028|1052": "0",
            "0028|1053": "1",
        }
        for tag, value in tags.items():
            one.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{(k * 7) % 11:02d}.dcm"))
        writer.Execute(one)


def test_what_cannot_be_read_is_told(a_bench: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="does not exist"):
        slicer.util.loadVolume(str(tmp_path / "nothing.nrrd"))
    (tmp_path / "bad.nrrd").write_text("NRRD0005\nnonsense")
    with pytest.raises(RuntimeError, match=r"bad\.nrrd"):
        slicer.util.loadVolume(str(tmp_path / "bad.nrrd"))


def test_exporting_leaves_the_storage_node_alone(a_scene_with_a_ct: Any, tmp_path: Path) -> None:
    assert slicer.util.saveNode(a_scene_with_a_ct, str(tmp_path / "kept.nrrd"))
    move = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = 10, 20, 30
    slicer.util.updateTransformMatrixFromArray(move, matrix)
    a_scene_with_a_ct.SetAndObserveTransformNodeID(move.GetID())
    assert slicer.util.exportNode(a_scene_with_a_ct, str(tmp_path / "moved.nii.gz"), {}, world=True)
    assert a_scene_with_a_ct.GetStorageNode().GetFileName().endswith("kept.nrrd")
    moved = slicer.util.loadVolume(str(tmp_path / "moved.nii.gz"))
    np.testing.assert_allclose(_geometry(moved), matrix @ _geometry(a_scene_with_a_ct), atol=1e-4)
    with pytest.raises(ValueError, match="no known file format"):
        slicer.util.exportNode(a_scene_with_a_ct, str(tmp_path / "x.nosuch"), {})

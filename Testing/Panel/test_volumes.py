"""Volumes of the scene as files for the engine: geometry, transforms, files that are taken as they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from SwinSSLPanel.volumes import safeName, unchangedFile, volumeFile

from SwinSSLLib.data.volumes import read_volume

DIRECTIONS = [
    np.diag(signs)[:, list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]

#: Oblique ones: a tilted gantry, a tilted patient, and both with flipped axes.
DIRECTIONS += [
    np.reshape(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix(), (3, 3)) @ np.diag(signs)
    for angles in ((0.3, 0.0, 0.0), (0.2, -0.4, 0.7))
    for signs in ((1.0, 1.0, 1.0), (-1.0, -1.0, 1.0), (1.0, -1.0, 1.0))
]


def aVolume(directions: np.ndarray | None = None, name: str = "CT") -> vtk.vtkObject:
    array = np.random.default_rng(1).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    node = slicer.util.addVolumeFromArray(array, name=name)
    node.SetSpacing(1.5, 2.0, 3.0)
    node.SetOrigin(10.0, -20.0, 30.0)
    if directions is not None:
        node.SetIJKToRASDirections(*directions.ravel())
    return node


def ijkToWorld(node) -> np.ndarray:
    """The node's index to world matrix, parent transforms included."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    if node.GetParentTransformNode():
        world = vtk.vtkMatrix4x4()
        node.GetParentTransformNode().GetMatrixTransformToWorld(world)
        vtk.vtkMatrix4x4.Multiply4x4(world, matrix, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def aTransform(matrix: np.ndarray):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


@pytest.mark.parametrize("number", range(54))
def test_every_orientation_reaches_the_engine_as_it_is(a_bench, tmp_path, number):
    node = aVolume(DIRECTIONS[number])
    file = volumeFile(node, tmp_path)
    read = read_volume(file.path)
    assert file.copied
    np.testing.assert_allclose(read.ijk_to_ras, ijkToWorld(node), atol=1e-9)
    assert np.array_equal(read.array, np.transpose(slicer.util.arrayFromVolume(node)))


def test_parent_transforms_are_applied_to_the_copy_only(a_bench, tmp_path):
    rotation = sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.5)
    outer, inner = np.eye(4), np.eye(4)
    outer[:3, :3] = np.reshape(rotation.GetMatrix(), (3, 3))
    outer[:3, 3] = (5, 6, 7)
    inner[:3, 3] = (-30, 0, 12)
    node, parent, child = aVolume(), aTransform(outer), aTransform(inner)
    child.SetAndObserveTransformNodeID(parent.GetID())
    node.SetAndObserveTransformNodeID(child.GetID())
    own = slicer.util.arrayFromVTKMatrix(slicer.util.vtkMatrixFromArray(np.eye(4)))
    before, nodes = ijkToWorld(node), slicer.mrmlScene.GetNumberOfNodes()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    read = read_volume(volumeFile(node, tmp_path).path)
    np.testing.assert_allclose(read.ijk_to_ras, before, atol=1e-9)
    after = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(after)
    assert np.array_equal(slicer.util.arrayFromVTKMatrix(after), slicer.util.arrayFromVTKMatrix(matrix))
    assert node.GetTransformNodeID() == child.GetID()
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert np.array_equal(own, np.eye(4))


def test_a_file_that_is_unchanged_is_taken_as_it_is(a_bench, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), tmp_path / "ct.nii.gz")
    node = slicer.util.loadVolume(str(tmp_path / "ct.nii.gz"))
    file = volumeFile(node, tmp_path / "copies")
    assert (file.path, file.copied) == (tmp_path / "ct.nii.gz", False)
    assert not (tmp_path / "copies").exists()


@pytest.mark.parametrize("change", ["voxels", "transform", "file gone", "geometry"])
def test_what_was_changed_since_it_was_read_is_copied(a_bench, tmp_path, change):
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), tmp_path / "ct.nrrd")
    node = slicer.util.loadVolume(str(tmp_path / "ct.nrrd"))
    if change == "voxels":
        slicer.util.arrayFromVolume(node)[0] = 7
        slicer.util.arrayFromVolumeModified(node)
    elif change == "transform":
        node.SetAndObserveTransformNodeID(aTransform(np.diag([1.0, 1.0, 1.0, 1.0])).GetID())
    elif change == "geometry":
        node.SetSpacing(2, 2, 2)
    else:
        (tmp_path / "ct.nrrd").unlink()
    assert unchangedFile(node) is None
    file = volumeFile(node, tmp_path / "copies")
    assert file.copied
    read = read_volume(file.path)
    assert np.array_equal(read.array, np.transpose(slicer.util.arrayFromVolume(node)))
    np.testing.assert_allclose(read.ijk_to_ras, ijkToWorld(node), atol=1e-6)


def test_an_empty_volume_is_refused(a_bench, tmp_path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(ValueError, match="nothing has no voxels"):
        volumeFile(node, tmp_path)


def test_a_copy_that_cannot_be_written_is_told(a_bench, tmp_path):
    (tmp_path / "file").write_text("")
    node = aVolume()
    with pytest.raises((ValueError, OSError), match=r"could not be written|exists|Not a directory"):
        volumeFile(node, tmp_path / "file")


def test_equal_names_get_files_of_their_own(a_bench, tmp_path):
    first, second = (volumeFile(aVolume(name="Ärm/Bein: 1"), tmp_path) for _ in range(2))
    assert first.path != second.path
    assert first.path.is_file()
    assert second.path.is_file()


@pytest.mark.parametrize(("name", "safe"), [("CT 1", "CT_1"), ("../x", "x"), ("", "volume"), ("a/b\\c:d", "a_b_c_d")])
def test_names_are_safe_in_every_file_system(name, safe):
    assert safeName(name) == safe

"""Previews in the scene: turned back, in place, in Hounsfield units; damaged files are told."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import torch
from SwinSSLPanel.previews import KINDS, MARK, PreviewNodes, inPatientSpace, jumpTo, readPreview

from SwinSSLLib.pretrain.views import centre_crop, rotate, source_size

WINDOW = (-175.0, 250.0)


def aPreviewFile(path, roi=(8, 8, 6), plane="axial", step=30, count=4):
    """A preview as the engine's own functions turn and cut it, with the blocks that it came from."""
    generator = torch.Generator().manual_seed(step)
    size = source_size(roi, plane)
    blocks = torch.rand((count, 1, *size), generator=generator)
    turns = torch.arange(count) % 4
    seen = centre_crop(rotate(blocks, turns, plane), roi)[:, 0].numpy().astype(np.float16)
    matrices = np.tile(np.diag([1.5, 1.5, 2.0, 1.0]), (count, 1, 1))
    matrices[:, :3, 3] = np.arange(3 * count).reshape(count, 3) * 10.0
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        original=seen,
        masked=seen * 0.5,
        reconstructed=1 - seen,
        rotation_true=turns.numpy(),
        rotation_probability=np.tile([0.7, 0.1, 0.1, 0.1], (count, 1)),
        similarity=np.eye(2 * count),
        confusion=np.diag([4, 3, 2, 1]),
        ijk_to_ras=matrices,
        source=np.array([f"CT {number}" for number in range(count)]),
        hu_window=np.array(WINDOW),
        step=np.int64(step),
    )
    return blocks[:, 0].numpy(), matrices


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
@pytest.mark.parametrize("roi", [(8, 8, 8), (8, 6, 10), (6, 8, 4)])
def test_what_the_network_saw_is_turned_back_into_its_place(tmp_path, roi, plane):
    """Every voxel that is left shows what the block holds at the same place in the patient."""
    blocks, matrices = aPreviewFile(tmp_path / "step-000030.npz", roi, plane)
    preview = readPreview(tmp_path / "step-000030.npz")
    for number in range(4):
        array, matrix = inPatientSpace(preview, number, "original", plane)
        to_block = np.linalg.inv(matrices[number]) @ matrix
        np.testing.assert_allclose(to_block[:3, :3], np.eye(3), atol=1e-9)
        first = np.rint(to_block[:3, 3]).astype(int)
        place = tuple(slice(start, start + size) for start, size in zip(first, array.shape, strict=True))
        np.testing.assert_allclose(array, blocks[number][place], atol=1e-3)


def test_three_volumes_show_it_in_hounsfield_units(a_bench, tmp_path):
    blocks, matrices = aPreviewFile(tmp_path / "a.npz")
    nodes = PreviewNodes()
    nodes.show(readPreview(tmp_path / "a.npz"), 2, "axial")
    for kind in KINDS:
        node = nodes.node(kind)
        assert node.GetAttribute(MARK) == kind
        assert node.GetHideFromEditors()
        assert not node.GetSaveWithScene()
        display = node.GetDisplayNode()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == WINDOW
    voxels = slicer.util.arrayFromVolume(nodes.node("original")).transpose(2, 1, 0)
    np.testing.assert_allclose(voxels, -175 + blocks[2] * 425, atol=0.3)
    half = slicer.util.arrayFromVolume(nodes.node("masked")).transpose(2, 1, 0)
    np.testing.assert_allclose(half, -175 + 0.5 * blocks[2] * 425, atol=0.3)
    assert tuple(nodes.node("original").GetOrigin()) == tuple(matrices[2][:3, 3])
    nodes.remove()


def test_steps_and_sub_volumes_use_the_same_nodes_and_leave_none(a_bench, tmp_path):
    before = slicer.mrmlScene.GetNumberOfNodes()
    nodes = PreviewNodes()
    ids = set()
    for step in (30, 60, 90):
        aPreviewFile(tmp_path / f"{step}.npz", step=step)
        for number in range(4):
            nodes.show(readPreview(tmp_path / f"{step}.npz"), number, "axial")
            ids.add(nodes.node("masked").GetID())
            assert f"step {step}" in nodes.node("masked").GetName()
    assert len(ids) == 1
    jumpTo(nodes.node("original"))
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    box = [0.0] * 6
    nodes.node("original").GetRASBounds(box)
    assert red.GetSliceOffset() == pytest.approx((box[4] + box[5]) / 2, abs=0.5)
    nodes.remove()
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert nodes.node("masked") is None


def test_a_closed_scene_takes_the_volumes_and_new_ones_are_made(a_bench, tmp_path):
    aPreviewFile(tmp_path / "a.npz")
    nodes = PreviewNodes()
    nodes.show(readPreview(tmp_path / "a.npz"), 0, "axial")
    slicer.mrmlScene.Clear(0)
    assert nodes.node("original") is None
    nodes.show(readPreview(tmp_path / "a.npz"), 0, "axial")
    assert nodes.node("original") is not None
    nodes.remove()


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "missing part", "wrong shape", "pickle"])
def test_a_damaged_file_is_told(tmp_path, damage):
    path = tmp_path / "step-000001.npz"
    aPreviewFile(path)
    content = dict(np.load(path))
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("no preview")
    else:
        changes = {
            "missing part": {"similarity": None},
            "wrong shape": {"masked": np.zeros((2, 2))},
            "pickle": {"source": np.array([object()] * 4)},
        }[damage]
        parts = {name: value for name, value in {**content, **changes}.items() if value is not None}
        np.savez(path, **parts)
    with pytest.raises(ValueError, match=r"step-000001\.npz cannot be read as a preview"):
        readPreview(path)

"""Reading CT: what is right comes in unchanged, on its own grid and on the patient's axes."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from ct_files import nifti_bytes, sentence_of

from SwinSSLLib.data.volumes import (
    Volume,
    is_volume_file,
    read_labels,
    read_volume,
    resample_to_ras,
    write_volume,
)
from SwinSSLLib.errors import InputError

# -- what is right -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_written_volume_reads_back_equal(a_ct, tmp_path, suffix):
    path = tmp_path / f"ct{suffix}"
    write_volume(a_ct, path)
    read = read_volume(path)
    assert read.array.dtype == np.int16 and np.array_equal(read.array, a_ct.array)
    assert (read.name, read.source, read.warnings) == ("ct", path, ())
    if suffix in (".nrrd", ".mha"):
        assert read.origin == a_ct.origin and read.spacing == pytest.approx(a_ct.spacing, rel=1e-15)
        assert read.direction == pytest.approx(a_ct.direction, abs=1e-15)
    else:  # NIfTI keeps single precision
        assert np.allclose(read.ijk_to_ras, a_ct.ijk_to_ras, rtol=1e-6, atol=1e-4)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_geometry_is_exactly_what_itk_says(a_ct, tmp_path):
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = tmp_path / f"x{suffix}"
        sitk.WriteImage(a_ct.to_sitk(), path)
        image, volume = sitk.ReadImage(path), read_volume(path)
        assert volume.spacing == image.GetSpacing()
        assert volume.origin == image.GetOrigin()
        assert volume.direction == image.GetDirection()


def test_array_and_affine_agree_with_nibabel(a_ct, tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_volume(a_ct, path)
    other = nibabel.load(path)
    assert np.array_equal(np.asarray(other.dataobj), a_ct.array)
    assert np.allclose(other.affine, read_volume(path).ijk_to_ras, atol=1e-3)


def test_big_endian_nifti_is_read_and_nifti_2_is_refused_by_name(tmp_path):
    array = np.random.default_rng(0).integers(-900, 900, (9, 8, 7)).astype(np.int16)
    nibabel.save(nibabel.Nifti2Image(array, np.diag([-2.0, -2.0, 3.0, 1.0])), tmp_path / "two.nii.gz")
    assert "NIfTI-2" in sentence_of(tmp_path / "two.nii.gz")
    big = nibabel.Nifti1Image(array, np.diag([-2.0, -2.0, 3.0, 1.0]), nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "big.nii")
    assert np.array_equal(read_volume(tmp_path / "big.nii").array, array)


def test_values_are_rounded_and_clipped_to_16_bit(tmp_path):
    array = np.full((6, 6, 6), -1000.0, np.float32)
    array[0, 0, :5] = (-3024.0, 54.6, 54.4, 40000.0, -0.5)
    array[3:] = 40
    path = tmp_path / "f.nrrd"
    sitk.WriteImage(Volume(array, (1, 1, 1), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1)).to_sitk(), path)
    assert read_volume(path).array[0, 0, :5].tolist() == [-1024, 55, 54, 32767, 0]


def test_values_unlike_ct_are_read_with_a_warning(tmp_path):
    for low, high, expected in ((0, 1800, 1), (0, 255, 1), (-1000, 1500, 0)):
        array = np.random.default_rng(0).integers(low, high, (10, 10, 10)).astype(np.int16)
        write_volume(Volume(array, (1, 1, 1), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1)), tmp_path / "v.mha")
        warnings = read_volume(tmp_path / "v.mha").warnings
        assert len(warnings) == expected
        assert all("does not look like CT" in warning for warning in warnings)


def test_a_nifti_without_orientation_is_read_with_a_warning(a_ct, tmp_path):
    raw = bytearray(nifti_bytes(a_ct, tmp_path))
    struct.pack_into("<hh", raw, 252, 0, 0)
    (tmp_path / "n.nii").write_bytes(raw)
    assert "left and right" in read_volume(tmp_path / "n.nii").warnings[0]


def test_names_that_are_volume_files(tmp_path):
    for name in ("a.NII.GZ", "b.nrrd", "c.mhd", "d.mha", "e.nii"):
        (tmp_path / name).touch()
        assert is_volume_file(tmp_path / name)
    for name in (".a.nii.gz", "b.dcm", "c.nii.gz.part", "d"):
        (tmp_path / name).touch()
        assert not is_volume_file(tmp_path / name)
    assert not is_volume_file(tmp_path / "missing.nii.gz")


# -- label maps --------------------------------------------------------------------------------------


def test_labels_fit_their_ct(a_ct, tmp_path):
    labels = replace(a_ct, array=(np.arange(a_ct.array.size).reshape(a_ct.shape) % 14).astype(np.uint16))
    for suffix in (".nii.gz", ".nrrd"):
        write_volume(a_ct, tmp_path / f"ct{suffix}")
        write_volume(labels, tmp_path / f"l{suffix}")
    for ct, label in product((".nii.gz", ".nrrd"), repeat=2):
        read = read_labels(tmp_path / f"l{label}", read_volume(tmp_path / f"ct{ct}"))
        assert read.array.dtype == np.uint8 and np.array_equal(read.array, labels.array)


def test_labels_of_another_grid_are_refused(a_ct, tmp_path):
    labels = replace(a_ct, array=np.ones(a_ct.shape, np.uint8))
    others = (
        replace(labels, array=labels.array[:, :, 1:]),
        replace(labels, origin=(-181.3, 12.25, -906.0)),
        replace(labels, spacing=(0.7421875, 0.77, 2.5)),
        replace(labels, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
    )
    for number, other in enumerate(others):
        path = tmp_path / f"l{number}.nii.gz"
        write_volume(other, path)
        assert "grid" in sentence_of(path, lambda p: read_labels(p, a_ct))


def test_unknown_label_ids_are_refused(a_ct, tmp_path):
    path = tmp_path / "l.nrrd"
    for value, expected in ((14, "14"), (117, "117"), (-1, "-1")):
        array = np.zeros(a_ct.shape, np.int16)
        array[0, 0, 0] = value
        write_volume(replace(a_ct, array=array), path)
        assert expected in sentence_of(path, read_labels)
    write_volume(replace(a_ct, array=np.full(a_ct.shape, 0.5, np.float32)), path)
    assert "whole numbers" in sentence_of(path, read_labels)


# -- to the patient's axes ----------------------------------------------------------------------------


def test_all_48_axis_orders_become_the_same_ras_array():
    array = np.random.default_rng(5).integers(-1000, 1000, (7, 8, 9)).astype(np.int16)
    upright = Volume(array, (1.0, 1.25, 2.0), (30.0, 40.0, -50.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1))
    image = upright.to_sitk()
    for order, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        turned = sitk.Flip(sitk.PermuteAxes(image, order), flips)
        result = resample_to_ras(Volume.from_sitk(turned), None)
        assert np.array_equal(result.array, array)
        assert result.array.flags.c_contiguous
        assert result.spacing == upright.spacing and np.allclose(result.ijk_to_ras, upright.ijk_to_ras, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_resampling_keeps_places_also_for_oblique_input(seed):
    """A linear ramp in RAS must still be that ramp after resampling, wherever the grid lies."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    spacing, origin = rng.uniform(0.8, 2.0, 3), rng.uniform(-200, 200, 3)
    volume = Volume(np.zeros((30, 28, 26), np.int16), tuple(spacing), tuple(origin), tuple(axes.ravel()))
    index = np.indices(volume.shape).reshape(3, -1)
    ras = (volume.ijk_to_ras @ np.vstack([index, np.ones(index.shape[1])]))[:3]
    ramp = np.array([3.0, -5.0, 7.0]) @ (ras - ras.mean(axis=1, keepdims=True))
    volume = replace(volume, array=np.rint(ramp).reshape(volume.shape).astype(np.int16))
    result = resample_to_ras(volume, (1.5, 1.5, 2.0))
    assert result.direction == (-1, 0, 0, 0, -1, 0, 0, 0, 1) and result.array.dtype == np.int16
    at = np.indices(result.shape).reshape(3, -1)
    there = (result.ijk_to_ras @ np.vstack([at, np.ones(at.shape[1])]))[:3]
    expected = np.array([3.0, -5.0, 7.0]) @ (there - ras.mean(axis=1, keepdims=True))
    back = np.linalg.inv(volume.ijk_to_ras) @ np.vstack([there, np.ones(there.shape[1])])
    inner = ((back[:3] >= 0) & (np.array(volume.shape) - 1 >= back[:3].T).T).all(axis=0)
    assert inner.sum() > 1000
    assert np.abs(result.array.ravel()[inner] - expected[inner]).max() <= 1.001  # rounded to int16 twice
    outer = ((back[:3] < -0.51) | (np.array(volume.shape) - 0.49 < back[:3].T).T).any(axis=0)
    assert (result.array.ravel()[outer] == -1024).all()
    # the grid covers every voxel
    low, high = there.min(axis=1) - 1, there.max(axis=1) + 1
    assert (ras.min(axis=1) >= low).all() and (ras.max(axis=1) <= high).all()


def test_labels_are_resampled_without_new_values(a_ct):
    labels = replace(a_ct, array=np.random.default_rng(0).choice([0, 6, 13], a_ct.shape).astype(np.uint8))
    result = resample_to_ras(labels, (0.5, 0.5, 0.5), labels=True)
    assert result.array.dtype == np.uint8 and set(np.unique(result.array)) == {0, 6, 13}


def test_a_grid_of_absurd_size_is_refused(a_ct):
    with pytest.raises(InputError, match="voxels"):
        resample_to_ras(a_ct, (1e-4, 1e-4, 1e-4))

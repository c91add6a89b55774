"""Reading CT: what is right comes in unchanged, what is damaged or strange gets one clear sentence."""

from __future__ import annotations

import gzip
import re
import struct
import subprocess
import sys
from dataclasses import replace
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import write_series

from SwinSSLLib.data import formats, headers
from SwinSSLLib.data.volumes import (
    Volume,
    is_volume_file,
    list_series,
    read_labels,
    read_volume,
    resample_to_ras,
    write_volume,
)
from SwinSSLLib.errors import InputError, MemoryShortage

ANGLE = 0.3
OBLIQUE = (np.cos(ANGLE), -np.sin(ANGLE), 0.0, np.sin(ANGLE), np.cos(ANGLE), 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def a_ct() -> Volume:
    array = np.random.default_rng(3).integers(-1000, 1200, (28, 24, 20)).astype(np.int16)
    return Volume(array, (0.7421875, 0.765, 2.5), (-181.3, 12.25, -907.123), OBLIQUE, "a")


def sentence_of(path, reader=read_volume, kind=InputError) -> str:
    """The refusal, which must be one line that names the file and carries no words of ITK."""
    with pytest.raises(kind) as caught:
        reader(path)
    message = caught.value.message
    assert str(path) in message
    assert caught.value.hint
    assert "\n" not in message and not re.search(r"itk|exception|0x[0-9a-f]{6}|\.cxx", message, re.IGNORECASE), message
    return message


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


# -- what is damaged ---------------------------------------------------------------------------------


def nifti_bytes(volume: Volume, folder) -> bytes:
    path = folder / "whole.nii"
    write_volume(volume, path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.001, 0.03, 0.5, 0.97, 0.9999])
def test_a_file_that_is_cut_off_is_refused(a_ct, tmp_path, suffix, share):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    write_volume(a_ct, whole)
    content = whole.read_bytes()
    path.write_bytes(content[: min(int(len(content) * share), len(content) - 1)])
    if (suffix, share) == (".nrrd", 0.9999):  # only the end mark of the compression is lost, no voxel
        assert np.array_equal(read_volume(path).array, a_ct.array)
    else:
        sentence_of(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_one_wrong_bit_in_a_compressed_file_is_refused(a_ct, tmp_path, suffix):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"flip{suffix}"
    write_volume(a_ct, whole)
    for place in (0.4, 0.7, 0.95):
        content = bytearray(whole.read_bytes())
        content[int(len(content) * place)] ^= 0x10
        path.write_bytes(content)
        sentence_of(path)


def test_a_whole_gzip_with_a_short_body_is_refused(a_ct, tmp_path):
    path = tmp_path / "short.nii.gz"
    content = nifti_bytes(a_ct, tmp_path)
    path.write_bytes(gzip.compress(content[: len(content) * 2 // 3]))
    assert "incomplete" in sentence_of(path)
    image = sitk.ReadImage(path)  # ITK alone reads it and makes up the rest
    assert image.GetSize() == a_ct.shape


@pytest.mark.parametrize(
    ("more", "whole"),
    [(b"", True), (b"\0" * 512, True), (b"rubbish" * 100, False), (gzip.compress(b"\0" * 512)[:-1], False)],
    ids=["nothing", "zeros", "rubbish", "half a member"],
)
def test_a_gzip_of_several_members_is_read_to_its_end(a_ct, tmp_path, more, whole):
    """As bgzip and parallel compressors write it; zeros may fill the last block (RFC 1952)."""
    path = tmp_path / "ct.nii.gz"
    write_volume(a_ct, path)
    content = gzip.decompress(path.read_bytes())
    parts = (content[:100], content[100:5000], content[5000:])
    path.write_bytes(b"".join(map(gzip.compress, parts)) + more)
    if whole:
        assert np.array_equal(read_volume(path).array, a_ct.array)
    else:
        assert "damaged" in sentence_of(path)


def test_a_length_that_the_last_bytes_do_not_promise_is_counted_before_memory_is_taken(a_ct, tmp_path, monkeypatch):
    """The last four bytes of a gzip file tell its length; where they tell less, nothing is read by ITK before."""
    path = tmp_path / "ct.nii.gz"
    write_volume(a_ct, path)
    header = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<8h", header, 40, 3, 512, 512, 200, 1, 1, 1, 1)
    path.write_bytes(gzip.compress(bytes(header) + b"\0" * 600_000, 1))
    monkeypatch.setattr(formats, "_voxels", lambda *_: pytest.fail("memory was asked for"))
    monkeypatch.setattr(headers, "_LARGEST_COMPRESSION", 10**9)
    assert "incomplete" in sentence_of(path)


def test_other_things_under_a_volume_name_are_refused(tmp_path):
    for name, content in (
        ("text.nii.gz", b"hello\n" * 200),
        ("zipped-text.nii.gz", gzip.compress(b"hello\n" * 200)),
        ("text.nii", b"hello\n" * 200),
        ("text.nrrd", b"hello\n" * 200),
        ("text.mha", b"hello\n" * 200),
        ("text.mhd", b"ElementDataFile = nowhere.raw\n"),
        ("header-only.mhd", b"NDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementDataFile = gone.raw\n"),
        ("empty.nii.gz", b""),
        ("notes.txt", b"hello\n" * 200),
        ("short.dcm", b"abc"),
    ):
        (tmp_path / name).write_bytes(content)
        sentence_of(tmp_path / name)


def test_what_is_not_there_is_said(tmp_path):
    assert "does not exist" in sentence_of(tmp_path / "missing.nii.gz")
    assert "does not exist" in sentence_of(tmp_path / "missing-folder")
    (tmp_path / "empty").mkdir()
    assert "no DICOM" in sentence_of(tmp_path / "empty")


def test_a_header_that_lies_about_its_size_is_refused_before_memory_is_taken(a_ct, tmp_path):
    raw = bytearray(nifti_bytes(a_ct, tmp_path))
    struct.pack_into("<4h", raw, 40, 3, 20000, 20000, 20000)
    (tmp_path / "huge.nii").write_bytes(raw)
    (tmp_path / "huge.nii.gz").write_bytes(gzip.compress(raw))
    write_volume(a_ct, tmp_path / "good.nrrd")
    head, body = (tmp_path / "good.nrrd").read_bytes().split(b"\n\n", 1)
    (tmp_path / "huge.nrrd").write_bytes(re.sub(rb"sizes:.*", b"sizes: 20000 20000 20000", head) + b"\n\n" + body)
    write_volume(a_ct, tmp_path / "good.mha")
    meta = (tmp_path / "good.mha").read_bytes()
    (tmp_path / "huge.mha").write_bytes(re.sub(rb"DimSize = .*", b"DimSize = 20000 20000 20000", meta, count=1))
    for name in ("huge.nii", "huge.nii.gz", "huge.nrrd", "huge.mha"):
        assert re.search("more than can be in it|incomplete", sentence_of(tmp_path / name))


def test_a_volume_beyond_the_free_memory_is_refused(a_ct, tmp_path, monkeypatch):
    write_volume(a_ct, tmp_path / "ct.nrrd")
    free = type("Free", (), {"available": 1000})
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    assert "memory" in sentence_of(tmp_path / "ct.nrrd", kind=MemoryShortage)


# -- what is no CT volume ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("two.nii.gz", sitk.Image([8, 8], sitk.sitkInt16), "two-dimensional"),
        ("two.nrrd", sitk.Image([8, 8], sitk.sitkInt16), "two-dimensional"),
        ("one.nii.gz", sitk.Image([8, 8, 1], sitk.sitkInt16), "single slice"),
        ("four.nii.gz", sitk.Image([8, 8, 8, 3], sitk.sitkInt16), "3 volumes"),
        ("four.nrrd", sitk.Image([8, 8, 8, 3], sitk.sitkInt16), "3 volumes"),
        ("rgb.nii.gz", sitk.Image([8, 8, 8], sitk.sitkVectorUInt8, 3), "3 values"),
        ("vector.nrrd", sitk.Image([8, 8, 8], sitk.sitkVectorFloat32, 2), "2 values"),
        ("complex.nii.gz", sitk.Image([8, 8, 8], sitk.sitkComplexFloat32), "2 values"),
        ("constant.mha", sitk.Image([8, 8, 8], sitk.sitkInt16), "every voxel"),
    ],
)
def test_images_that_are_no_volume_are_refused(tmp_path, name, image, expected):
    sitk.WriteImage(image, tmp_path / name)
    assert expected in sentence_of(tmp_path / name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["nan.nii.gz", "nan.nii", "nan.nrrd", "nan.mha"])
def test_voxels_that_are_no_numbers_are_refused_and_counted(a_ct, tmp_path, name, value):
    array = a_ct.array.astype(np.float32)
    array[1, 2, 3:5] = value
    sitk.WriteImage(replace(a_ct, array=array).to_sitk(), tmp_path / name)
    assert "2 voxels" in sentence_of(tmp_path / name)


@pytest.mark.parametrize("value", [0.0, -2.5, float("nan"), 1e30])
def test_impossible_spacing_is_refused_in_nifti(a_ct, tmp_path, value):
    raw = bytearray(nifti_bytes(a_ct, tmp_path))
    struct.pack_into("<f", raw, 84, value)
    (tmp_path / "s.nii").write_bytes(raw)
    assert "spacing" in sentence_of(tmp_path / "s.nii")


def edited(volume, path, pattern, new):
    """A text header with one line replaced."""
    write_volume(volume, path)
    path.write_bytes(re.sub(pattern, new, path.read_bytes(), count=1))
    return path


def test_impossible_geometry_is_refused_in_text_headers(a_ct, tmp_path):
    spacing = rb"ElementSpacing = .*"
    for number, new in enumerate((b"1 0 1", b"1 -2 1")):
        path = edited(a_ct, tmp_path / f"{number}.mha", spacing, b"ElementSpacing = " + new)
        assert "spacing" in sentence_of(path)
    path = edited(a_ct, tmp_path / "z.nrrd", rb"space directions:.*", b"space directions: (1,0,0) (0,0,0) (0,0,1)")
    assert "spacing" in sentence_of(path)
    path = edited(a_ct, tmp_path / "k.nrrd", rb"space directions:.*", b"space directions: (1,0,0) (.3,1,0) (0,0,1)")
    assert "right angles" in sentence_of(path)
    path = edited(a_ct, tmp_path / "k.mha", rb"TransformMatrix = .*", b"TransformMatrix = 1 0 0 .3 1 0 0 0 1")
    assert "right angles" in sentence_of(path)


def test_a_sheared_nifti_is_refused(a_ct, tmp_path):
    raw = bytearray(nifti_bytes(a_ct, tmp_path))
    struct.pack_into("<hh", raw, 252, 0, 1)
    struct.pack_into("<4f", raw, 280, -1, 0.3, 0, 0)
    (tmp_path / "k.nii").write_bytes(raw)
    assert "right angles" in sentence_of(tmp_path / "k.nii")


def test_reading_damaged_files_prints_nothing(a_ct, tmp_path):
    """ITK's libraries print on their own; a worker's output is read by the panel, line by line."""
    for suffix in (".nii.gz", ".mha", ".nrrd"):
        write_volume(a_ct, tmp_path / f"w{suffix}")
        content = (tmp_path / f"w{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(content[: len(content) // 2])
    code = (
        "import sys; from pathlib import Path\n"
        "from SwinSSLLib.data.volumes import read_volume\n"
        "from SwinSSLLib.errors import InputError\n"
        "for name in sys.argv[1:]:\n"
        "    try: read_volume(Path(name))\n"
        "    except InputError: continue\n"
        "    sys.exit(1)\n"
    )
    cut = [str(path) for path in tmp_path.glob("cut*")]
    done = subprocess.run([sys.executable, "-c", code, *cut], capture_output=True, text=True, check=True)
    assert done.stdout == "" and done.stderr == ""


def test_a_folder_that_cannot_be_written_is_said(a_ct, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        write_volume(a_ct, tmp_path / "file" / "ct.nii.gz")
    with pytest.raises(InputError, match="ending"):
        write_volume(a_ct, tmp_path / "ct.png")


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


# -- DICOM -------------------------------------------------------------------------------------------


@pytest.fixture
def slices() -> np.ndarray:
    return np.random.default_rng(1).integers(-1000, 1000, (20, 16, 9)).astype(np.int16)


def test_a_dicom_series_is_sorted_by_position(slices, tmp_path):
    write_series(tmp_path / "d", slices)
    volume = read_volume(tmp_path / "d")
    assert np.array_equal(volume.array, slices)
    assert volume.spacing == pytest.approx((0.8, 0.9, 2.5))
    assert volume.origin == (-100.0, -120.0, 30.5) and volume.name == "d" and volume.warnings == ()
    one = read_volume(next((tmp_path / "d").iterdir()))
    assert np.array_equal(one.array, slices)


def test_a_coronal_dicom_series_keeps_its_place(slices, tmp_path):
    write_series(tmp_path / "d", slices, orientation=(1, 0, 0, 0, 0, -1))
    volume = read_volume(tmp_path / "d")
    assert np.array_equal(volume.array, slices)
    corner = volume.ijk_to_ras @ [1, 2, 3, 1]  # LPS: +0.8 x, -2*0.9 z, and the normal (0, 1, 0) * 7.5
    assert np.allclose(corner[:3], [100 - 0.8, 120 - 7.5, 30.5 - 1.8])


def test_a_series_is_picked_by_uid_or_description_and_the_choice_is_told(slices, tmp_path):
    first = write_series(tmp_path / "d", slices, description="Lung 1.0", prefix="a")
    write_series(tmp_path / "d" / "deep", slices[:, :, :5] + 1, description="Abdomen 5.0", prefix="b")
    write_series(tmp_path / "d", slices[:, :, :1], description="Scout", prefix="c")
    assert [s.slices for s in list_series(tmp_path / "d")] == [9, 5, 1]
    volume = read_volume(tmp_path / "d")
    assert volume.shape == (20, 16, 9)
    for part in ("read: Lung 1.0", "Abdomen 5.0", "Scout", first):
        assert part in volume.warnings[0]
    assert read_volume(tmp_path / "d", series="abdomen").shape == (20, 16, 5)
    assert read_volume(tmp_path / "d", series=first).shape == (20, 16, 9)
    with pytest.raises(InputError, match="no series that fits") as caught:
        read_volume(tmp_path / "d", series="pelvis")
    assert "Abdomen 5.0" in caught.value.hint
    with pytest.raises(InputError, match="several series"):
        read_volume(tmp_path / "d", series=".0")
    with pytest.raises(InputError, match="single slice"):
        read_volume(tmp_path / "d", series="Scout")


def test_missing_doubled_and_tilted_slices_are_refused(slices, tmp_path):
    places = [(-100.0, -120.0, 2.5 * k) for k in range(9)]
    hole = places[:4] + [(x, y, z + 2.5) for x, y, z in places[4:]]
    twice = places[:5] + places[1:5]
    tilted = [(x, y - 0.2 * z, z) for x, y, z in places]
    for name, positions, expected in (
        ("hole", hole, "after slice 4 comes a gap of 5.00 mm"),
        ("twice", twice, "one place"),
        ("tilted", tilted, "tilt"),
    ):
        write_series(tmp_path / name, slices, positions=positions)
        assert expected in sentence_of(tmp_path / name)
    uneven = [(x, y, z + (0.2 if n == 4 else 0)) for n, (x, y, z) in enumerate(places)]
    write_series(tmp_path / "uneven", slices, positions=uneven)
    volume = read_volume(tmp_path / "uneven")
    assert "uneven" in volume.warnings[0] and volume.spacing[2] == pytest.approx(2.5)


def test_a_scout_inside_the_series_and_copies_of_files_are_left_out(slices, tmp_path):
    write_series(tmp_path / "d", slices)
    for path in list((tmp_path / "d").iterdir())[:3]:
        (tmp_path / "d" / f"copy of {path.name}").write_bytes(path.read_bytes())
    (tmp_path / "d" / "readme.txt").write_text("no image")
    assert np.array_equal(read_volume(tmp_path / "d").array, slices)


def test_dicom_that_is_cut_off_is_refused(slices, tmp_path):
    write_series(tmp_path / "d", slices)
    victim = sorted((tmp_path / "d").iterdir())[4]
    victim.write_bytes(victim.read_bytes()[:-300])
    sentence_of(tmp_path / "d")


def test_dicom_of_another_modality_is_read_with_a_warning(slices, tmp_path):
    write_series(tmp_path / "d", slices, modality="MR")
    assert "is MR, not CT" in read_volume(tmp_path / "d").warnings[0]


def test_the_patient_id_is_not_kept_in_clear(slices, tmp_path):
    write_series(tmp_path / "d", slices, patient="Miller")
    patient = list_series(tmp_path / "d")[0].patient
    assert patient and "Miller" not in patient


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

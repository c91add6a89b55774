"""Reading CT: what is damaged, lies or is no CT gets one clear sentence."""

from __future__ import annotations

import gzip
import re
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from ct_files import nifti_bytes, sentence_of

from SwinSSLLib.data import formats, headers
from SwinSSLLib.data.volumes import (
    read_volume,
    write_volume,
)
from SwinSSLLib.errors import InputError, MemoryShortage


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

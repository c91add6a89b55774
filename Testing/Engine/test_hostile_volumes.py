"""CTs and label maps at which the fuzzing once found a crash, an endless wait or a memory that filled."""

from __future__ import annotations

import gzip
import json
import re
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from Fuzz import seeds
from hostile import a_file, refusal

from SwinSSLLib.data.dicom import list_series
from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.data.volumes import read_volume


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (rb"ElementDataFile = .*", b"ElementDataFile = %s%s%n 1 9 1"),  # MetaIO gave it to printf
        (rb"Offset", b"Name = " + b"y" * 300 + b"\nOffset"),  # and copied this into 255 bytes
        (rb"Offset", b"CompressedData = True\nCompressedDataSize = 99999999999\nOffset"),
        (rb"NDims = 3", b"NDims = 100000"),
        (rb"DimSize = .*", b"DimSize = 8 9 10\nDimSize : 2000 2000 2000"),
        (rb"ElementDataFile = .*", b"ElementDataFile = /dev/zero"),
        (rb"TransformMatrix = .*", b"TransformMatrix = 1 0 0"),
    ],
)
def test_metaimage_headers_at_which_itk_crashes_or_takes_memory(tmp_path, pattern, line):
    seed = seeds.written(tmp_path / "w", seeds.ct(), ".mha")
    content = re.sub(rb"CompressedData = False\n", b"", seed.content) if b"CompressedData" in line else seed.content
    path = a_file(tmp_path, seed.with_content(re.sub(pattern, lambda _: line, content, count=1)))
    assert path.name in refusal(read_volume, path)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (rb"data file: .*", b"data file: /dev/stdin"),  # waited for ever
        (rb"data file: .*", b"data file: %s%s%n 1 9 1"),
        (rb"encoding", b"space " + b"9" * 5000 + b"\nencoding"),  # teem crashed
        (rb"encoding", b"content: " + b"9" * 5000 + b"\nencoding"),
        (rb"sizes: .*", b"sizes: 2000 2000 2000"),
        (rb"sizes: .*", b"sizes: 4294967297 4294967297 4294967297"),
        (rb"byte skip: .*|encoding", b"byte skip: 999999999\nencoding"),
    ],
)
def test_nrrd_headers_that_wait_for_ever_or_take_memory(tmp_path, pattern, line):
    seed = seeds.written(tmp_path / "w", seeds.ct(), ".nhdr")
    path = a_file(tmp_path, seed.with_content(re.sub(pattern, lambda _: line, seed.content, count=1)))
    assert path.name in refusal(read_volume, path)
    seg = seeds.segmentation()
    if line.startswith(b"sizes"):
        path = a_file(tmp_path, seg.with_content(re.sub(pattern, lambda _: line, seg.content, count=1)))
        assert path.name in refusal(read_label_map, path)


def test_other_spellings_of_text_headers_are_still_read(tmp_path):
    seed = seeds.written(tmp_path / "w", seeds.ct(np.uint16), ".nhdr")
    good = read_volume(a_file(tmp_path, seed)).array
    for kind in (b"unsigned short", b"ushort", b"unsigned short int", b"uint16_t", b"uint16"):
        text = re.sub(rb"type: .*", b"type: " + kind, seed.content).replace(b"data file:", b"datafile:")
        assert np.array_equal(read_volume(a_file(tmp_path, seed.with_content(text))).array, good)
    for k, piece in enumerate(np.split(np.frombuffer(seed.files["other.raw"], np.uint8), 10)):
        seed = seed.with_content(piece.tobytes(), f"x{k:03d}.raw")
    for names in (b"x%03d.raw 0 9 1", b"LIST\n" + b"\n".join(b"x%03d.raw" % k for k in range(10))):
        head = re.sub(rb"data file: .*\n", b"", seed.content).rstrip(b"\n")
        listed = seed.with_content(head + b"\ndata file: " + names + b"\n")
        assert np.array_equal(read_volume(a_file(tmp_path, listed)).array, good)


def test_a_gzip_that_goes_on_and_on_behind_its_voxels_is_refused(tmp_path):
    seed = seeds.written(tmp_path / "w", seeds.ct(), ".nii.gz", compress=True)
    inside = gzip.decompress(seed.content)
    path = a_file(tmp_path, seed.with_content(gzip.compress(inside + bytes(80 << 20), 1)))
    assert "far more" in refusal(read_volume, path)


def test_a_ct_that_is_all_one_value_once_it_is_in_hounsfield_units_is_refused(tmp_path):
    image = sitk.Cast(seeds.ct(), sitk.sitkFloat32)
    for name, change in (("small.nrrd", image * 1e-6), ("large.nrrd", sitk.Abs(image) + 1e6)):
        sitk.WriteImage(change, str(tmp_path / name))
        assert name in refusal(read_volume, tmp_path / name)


def test_dicom_that_lies_about_lengths_and_sizes(tmp_path):
    series = seeds.series()
    at = series.content.find(b"\x08\0\x3e\x10LO")  # the description
    long = series.content[:at] + b"\x08\0\x3e\x10UT\0\0" + struct.pack("<I", 0x7FFFFFF0) + series.content[at + 8 :]
    folder = a_file(tmp_path, series.with_content(long))
    assert "missing or uneven" in refusal(read_volume, folder)  # GDCM would have asked for 2 GiB
    files = {name: data.replace(b"US\x02\0\x09\0", b"US\x02\0\xff\xff") for name, data in series.files.items()}
    files = {name: data.replace(b"US\x02\0\x08\0", b"US\x02\0\xff\xff", 1) for name, data in files.items()}
    assert "more than can be in it" in refusal(read_volume, a_file(tmp_path, type(series)(".", files)))


def test_a_dicom_description_in_any_signs_is_one_line(tmp_path):
    series = seeds.series()
    files = {name: data.replace(b"Abdomen 2.5 ", b"Abd\xf6m\n\x1b[3xyz") for name, data in series.files.items()}
    (found,) = list_series(a_file(tmp_path, type(series)(".", files)))
    assert found.description == "Abdöm [3xyz"
    json.dumps(str(found), ensure_ascii=False).encode()


def test_a_spacing_that_would_fill_the_memory_with_air_is_refused(tmp_path):
    image = seeds.ct()
    image.SetSpacing((300.0, 300.0, 300.0))
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    assert "ct.nrrd" in refusal(Store(tmp_path / "store").add, tmp_path / "ct.nrrd", Recipe())


@pytest.mark.parametrize("name", ["Segment0_Layer:=7", "Segment0_LabelValue:=x", "Segment0_Layer:=-9"])
def test_a_segment_that_is_nowhere_is_refused(tmp_path, name):
    seed = seeds.segmentation()
    key = name.partition(":=")[0].encode()
    text = re.sub(key + rb":=.*", name.encode(), seed.content, count=1)
    assert "ct.seg.nrrd" in refusal(read_label_map, a_file(tmp_path, seed.with_content(text)))

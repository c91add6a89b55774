"""Pre-flight: what stops, what warns, and what it will cost."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from SwinSSLPanel import verdicts
from SwinSSLPanel.verdicts import Verdict, extentOf, gridOf, judge, knownSpeed, modality, verdictText, windowCount

CARD = {
    "network": {"feature_size": 48, "out_channels": 14},
    "input": {"spacing": [1.5, 1.5, 2.0], "roi": [96, 96, 96], "hu_window": [-175.0, 250.0]},
}


def aCT(shape=(100, 120, 140), spacing=(2.5, 2.5, 3.0), low=-1000, high=1200, name="CT", kind=np.int16):
    """Voxels (K, J, I): air around a body."""
    array = np.full(shape, low, kind)
    k, j, i = (size // 4 for size in shape)
    array[k:-k, j:-j, i:-i] = np.random.default_rng(0).integers(-100, 200, array[k:-k, j:-j, i:-i].shape)
    array[shape[0] // 2, shape[1] // 2, shape[2] // 2] = high
    array[::7, ::7, ::7] = np.where(array[::7, ::7, ::7] < 0, array[::7, ::7, ::7], high)
    node = slicer.util.addVolumeFromArray(array, name=name)
    node.SetSpacing(*spacing)
    return node


def test_a_good_ct_has_nothing_against_it(a_bench):
    verdict = judge(aCT(), CARD)
    assert (verdict.stops, verdict.warnings) == ((), ())
    assert verdict.good
    assert verdict.seconds > 10
    assert 2e9 < verdict.bytes < 5e9


def tagged(node, value: str):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), attribute, value)
    return node


@pytest.mark.parametrize(("value", "good"), [("CT", True), ("MR", False), ("PT", False), ("", True)])
def test_the_modality_stops_what_is_no_ct(a_bench, value, good):
    verdict = judge(tagged(aCT(), value), CARD)
    assert verdict.good == good
    if not good:
        assert f"modality is {value}" in verdict.stops[0]


def test_the_modality_is_asked_of_the_dicom_database_first(a_bench, monkeypatch):
    class Database:
        def instanceValue(self, instance: str, tag: str) -> str:
            return "MR" if (instance, tag) == ("1.2.3", "0008,0060") else ""

    node = tagged(aCT(), "CT")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    assert modality(node) == "MR"
    node.SetAttribute("DICOM.instanceUIDs", "9.9")
    assert modality(node) == "CT"


def test_hounsfield_units_by_quantity_make_a_ct(a_bench):
    node = aCT()
    assert modality(node) == ""
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    node.SetVoxelValueUnits(units)
    assert modality(node) == "CT"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 255, "from 0 to 255, without air near -1000"),
        (0, 4095, "from 0 to 4095, without air near -1000"),
        (-1000, 30000, "up to 30000"),
    ],
)
def test_values_that_are_hardly_hounsfield_units_warn(a_bench, low, high, words):
    node = aCT(low=low, high=high)
    array = slicer.util.arrayFromVolume(node)
    array[array < low] = low
    slicer.util.arrayFromVolumeModified(node)
    verdict = judge(node, CARD)
    assert verdict.good
    assert any(words in sentence for sentence in verdict.warnings), verdict


def test_a_volume_of_one_value_and_one_of_no_numbers_are_stopped(a_bench):
    flat = slicer.util.addVolumeFromArray(np.full((20, 20, 20), 40, np.int16))
    assert "All its voxels are the same" in judge(flat, CARD).stops[0]
    array = np.full((20, 20, 20), np.nan, np.float32)
    assert not judge(slicer.util.addVolumeFromArray(array), CARD).good
    node = aCT(kind=np.float32)
    slicer.util.arrayFromVolume(node)[::2] = np.nan
    assert any("no number" in sentence for sentence in judge(node, CARD).warnings)


def test_only_air_is_outside_the_models_window(a_bench):
    array = np.random.default_rng(0).integers(-1050, -950, (40, 40, 40)).astype(np.int16)
    node = slicer.util.addVolumeFromArray(array)
    node.SetSpacing(5, 5, 5)
    assert any("between -175 and 250 HU" in sentence for sentence in judge(node, CARD).warnings)


def test_label_maps_colours_slices_and_nothing_are_stopped(a_bench):
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(labels, np.zeros((4, 4, 4), np.uint8))
    assert "label map" in judge(labels, CARD).stops[0]
    colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    slicer.util.updateVolumeFromArray(colours, np.zeros((4, 4, 4, 3), np.uint8))
    assert "several values" in judge(colours, CARD).stops[0]
    assert "single slice" in judge(slicer.util.addVolumeFromArray(np.zeros((1, 9, 9), np.int16)), CARD).stops[0]
    assert "no voxels" in judge(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"), CARD).stops[0]


def test_thick_slices_and_a_small_field_of_view_warn(a_bench):
    assert any("up to 10.0 mm large" in one for one in judge(aCT(spacing=(2.5, 2.5, 10.0)), CARD).warnings)
    (warning,) = judge(aCT(shape=(25, 120, 140)), CARD).warnings
    assert warning == "It covers 75 mm in height; the model looks at 192 mm at a time."


def test_extents_follow_the_patient_and_not_the_axes_of_the_file(a_bench):
    node = aCT(shape=(100, 120, 140), spacing=(1, 2, 3))
    node.SetIJKToRASDirections(0, 0, 1, 1, 0, 0, 0, 1, 0)  # i to anterior, j to superior, k to the right
    np.testing.assert_allclose(extentOf(node), [300, 140, 240])
    size, spacing = gridOf(node, None)
    np.testing.assert_allclose(np.prod(size) * np.prod(spacing), 300 * 140 * 240, rtol=0.02)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 0, 2.0)
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    np.testing.assert_allclose(extentOf(node), [600, 140, 240])


def test_too_little_memory_warns_and_unknown_memory_does_not(a_bench, monkeypatch):
    monkeypatch.setattr(verdicts, "freeMemory", lambda: 2**30)
    assert any("1.0 GiB are free" in sentence for sentence in judge(aCT(), CARD).warnings)
    monkeypatch.setattr(verdicts, "freeMemory", lambda: None)
    assert judge(aCT(), CARD).warnings == ()


def test_free_memory_is_that_of_the_system():
    free = verdicts.freeMemory()
    assert free is None or 2**26 < free < 2**46


# As `SwinSSLLib.segment.windows.window_starts`, which needs torch: checked there against MONAI.
@pytest.mark.parametrize(
    ("size", "roi", "expected"),
    [((96, 96, 96), (96, 96, 96), 1), ((280, 220, 160), (96, 96, 96), 60), ((42, 36, 36), (64, 64, 32), 2)],
)
def test_windows_are_counted_as_the_engine_cuts_them(size, roi, expected):
    assert windowCount(size, roi) == expected


def test_a_measured_speed_replaces_the_guess(a_bench):
    node = aCT()
    assert knownSpeed(CARD) is None
    assert not judge(node, CARD).measured
    verdicts.rememberSpeed(CARD, 0.25)
    verdict = judge(node, CARD)
    assert verdict.measured
    size, _spacing = gridOf(node, CARD["input"]["spacing"])
    assert verdict.seconds == pytest.approx(0.25 * windowCount(size, [96] * 3))
    other = {**CARD, "network": {**CARD["network"], "feature_size": 24}}
    assert knownSpeed(other) is None


def test_words_name_the_volumes_that_share_a_remark_and_stay_short():
    good, bad = Verdict("A", seconds=60, bytes=2**31), Verdict("B", stops=("It is a label map.",))
    warned = [Verdict(f"W{n}", warnings=("Thick slices.",), seconds=3) for n in range(5)]
    lines = verdictText([good, *warned, bad]).split("\n")
    assert lines[0] == "✗ B: It is a label map."
    assert lines[1] == "⚠ W0, W1, W2 and 2 more: Thick slices."
    assert lines[2].startswith("✓ Roughly 82 s")
    assert "2.0 GiB" in lines[2]
    assert verdictText([warned[0]]).startswith("⚠ Thick slices.")
    assert verdictText([bad]) == "✗ It is a label map."
    assert verdictText([]) == ""
    many = [Verdict(str(n), stops=(f"Reason {n}.",)) for n in range(20)]
    assert verdictText(many).endswith("and 14 more remarks")
    assert verdictText(many[:7]).endswith("and one more remark")

"""``swinssl evaluate``: two files, or two folders whose label files have one name but for the ending."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from SwinSSLLib.data.volumes import Volume, write_volume
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.segment.results import write_labels


def cube(first: int) -> Volume:
    array = np.zeros((40, 30, 20), np.uint8)
    array[first : first + 10, 10:20, 5:15] = 1
    return Volume(array, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))


def dice(first: Volume, second: Volume) -> float:
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(first.to_sitk(), second.to_sitk())
    return overlap.GetDiceCoefficient()


@pytest.fixture
def two_folders(tmp_path):
    """Predictions as ``segment`` writes them, with tables beside them, and references of another format."""
    shifts = {"a": 12, "b": 15, "only-here": 10}
    for name, first in shifts.items():
        write_labels(cube(first), ORGANS, tmp_path / "found" / f"{name}.seg.nrrd")
        (tmp_path / "found" / f"{name}.organs.json").write_text("{}")
    for name in ("a", "b", "only-there"):
        write_volume(cube(10), tmp_path / "truth" / f"{name}.nii.gz")
    return tmp_path / "found", tmp_path / "truth", {name: dice(cube(shifts[name]), cube(10)) for name in "ab"}


def test_two_folders_are_compared_by_name(swinssl, tmp_path, two_folders):
    found, truth, expected = two_folders
    command = ("evaluate", "-p", found, "-r", truth)
    code, out, _ = swinssl(*command, "--out", tmp_path / "scores.csv")
    mean = np.mean(list(expected.values()))
    assert (code, f"{mean:.3f}" in out and "mean over 2 cases" in out) == (0, True), out
    assert "only-here is in one" in out and "only-there is in one" in out
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(ORGANS)
    assert {row["case"]: float(row["dice"]) for row in rows if row["dice"]} == pytest.approx(expected)
    told = json.loads(swinssl(*command, "--json")[1])
    assert {case["case"]: case["mean"]["dice"] for case in told["cases"]} == pytest.approx(expected)
    assert told["mean"]["dice"] == told["organs"]["spleen"]["dice"] == pytest.approx(mean)
    assert told["without_partner"] == ["only-here", "only-there"]


def test_a_pair_that_cannot_be_compared_does_not_hide_the_others(swinssl, tmp_path, two_folders):
    found, truth, expected = two_folders
    (truth / "b.nii.gz").write_text("nothing")
    code, out, said = swinssl("evaluate", "-p", found, "-r", truth)
    assert (code, "1 of 2 pairs" in said and "b.nii.gz" in said) == (2, True)
    assert f"{expected['a']:.3f}" in out


def test_what_cannot_be_paired_is_one_sentence(swinssl, tmp_path, two_folders):
    found, truth, _ = two_folders
    (tmp_path / "empty").mkdir()
    for prediction, reference, words in (
        (found, truth / "a.nii.gz", "two files or two folders"),
        (found / "a.seg.nrrd", truth, "two files or two folders"),
        (found, tmp_path / "nowhere", "not there"),
        (found, tmp_path / "empty", "No label file"),
    ):
        code, _, said = swinssl("evaluate", "-p", prediction, "-r", reference)
        assert (code, words in said, len(said.splitlines())) == (2, True, 2), said
    shutil.copy(truth / "a.nii.gz", found)
    assert "have one name" in swinssl("evaluate", "-p", found, "-r", truth)[2]


def test_one_file_can_be_written_as_a_table_too(swinssl, tmp_path, two_folders):
    found, truth, expected = two_folders
    one = ("evaluate", "-p", found / "a.seg.nrrd", "-r", truth / "a.nii.gz", "--out", tmp_path / "a.csv")
    assert swinssl(*one)[0] == 0
    row = next(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert (row["case"], float(row["dice"])) == ("a", pytest.approx(expected["a"]))

"""Datalists: what is read, how patients are split, and that a scan under two names is found."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series
from documented import ROOT, blocks_of

from SwinSSLLib.data.datalists import Case, Datalist, audit, patient_of, read_datalist, split_by_patient
from SwinSSLLib.data.geometry import Volume, resample_to_ras
from SwinSSLLib.data.volumes import write_volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.organs import ORGANS

LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def a_volume(seed: int) -> Volume:
    array = np.random.default_rng(seed).integers(-1000, 1000, (8, 7, 6)).astype(np.int16)
    return Volume(array, (0.765, 0.765, 2.5), (1.1, 2.2, 3.3), LPS)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_list(folder: Path, content: object, name: str = "dataset.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def names(cases) -> list[str]:
    return [case.name for case in cases]


# -- reading -----------------------------------------------------------------------------------------


def test_a_decathlon_list_gives_its_three_parts(tmp_path):
    touch(tmp_path, *(f"imagesTr/c{n}.nii.gz" for n in range(6)), *(f"labelsTr/c{n}.nii.gz" for n in range(4)))
    entries = [{"image": f"./imagesTr/c{n}.nii.gz", "label": f"labelsTr/c{n}.nii.gz"} for n in range(4)]
    content = {
        "training": entries[:3],
        "validation": [{**entries[3], "patient": "Z"}],
        "unlabeled": [{"image": "imagesTr/c4.nii.gz"}],
        "test": ["imagesTr/c5.nii.gz", {"image": "imagesTr/c2.nii.gz", "label": "labelsTr/c2.nii.gz"}],
    }
    path = write_list(tmp_path, content)
    datalist = read_datalist(path)
    assert datalist.training[0] == Case(
        tmp_path / "imagesTr/c0.nii.gz", tmp_path / "labelsTr/c0.nii.gz", patient="c0", name="c0"
    )
    assert names(datalist.training) == ["c0", "c1", "c2"]
    assert [(case.name, case.patient) for case in datalist.validation] == [("c3", "Z")]
    assert names(datalist.unlabelled) == ["c4", "c5"] and datalist.unlabelled[0].labels is None
    assert "test cases with labels are left out" in datalist.warnings[0]
    assert read_datalist(tmp_path) == datalist  # a folder with dataset.json is that list


def test_a_list_without_validation_is_split_by_seed(tmp_path):
    touch(tmp_path, *(f"c{n}.nrrd" for n in range(20)))
    path = write_list(tmp_path, {"training": [{"image": f"c{n}.nrrd"} for n in range(20)]})
    datalist = read_datalist(path, seed=1, validation_share=0.25)
    assert (len(datalist.training), len(datalist.validation)) == (15, 5)
    assert read_datalist(path, seed=1, validation_share=0.25) == datalist
    assert names(read_datalist(path, seed=2, validation_share=0.25).validation) != names(datalist.validation)
    assert read_datalist(path, validation_share=0.0).validation == ()


def test_a_folder_gives_its_volumes_and_not_its_label_maps(tmp_path):
    touch(tmp_path, "a.nii.gz", "deep/b.mha", "labels/a.nii.gz", "c_seg.nrrd", "notes.txt", ".hidden/d.nrrd", ".e.nrrd")
    datalist = read_datalist(tmp_path, validation_share=0.0)
    assert names(datalist.training) == ["a", "b"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    touch(tmp_path, "anna/ct.nii.gz", "bert/ct.nii.gz", "carl_t1/ct.nii.gz", "carl_t2/ct.nii.gz")
    datalist = read_datalist(tmp_path, validation_share=0.0)
    assert names(datalist.training) == ["anna", "bert", "carl_t1", "carl_t2"]
    assert [case.patient for case in datalist.training] == ["anna", "bert", "carl", "carl"]


def test_a_folder_of_dicom_series_gives_one_case_a_series_by_patient(tmp_path):
    for name, patient in (("one/x", "A"), ("one/y", "A"), ("two", "B")):
        write_series(tmp_path / name, a_volume(0).array, patient=patient)
    write_series(tmp_path / "scout", a_volume(0).array[:, :, :1])
    touch(tmp_path, "papers/readme.txt")
    cases = read_datalist(tmp_path, validation_share=0.0).training
    assert names(cases) == ["x", "y", "two"]
    assert cases[0].patient == cases[1].patient != cases[2].patient
    assert all(case.patient.startswith("dicom-") for case in cases)
    assert names(read_datalist(tmp_path / "two").training) == ["two"]


def test_a_list_of_files_and_folders_counts_each_file_once(tmp_path):
    touch(tmp_path, "a.nrrd", "f/b.nrrd", "f/c.nrrd")
    datalist = read_datalist([tmp_path / "a.nrrd", tmp_path / "f", tmp_path / "f" / "b.nrrd"], validation_share=0.0)
    assert names(datalist.training) == ["a", "b", "c"]


# -- what is refused ---------------------------------------------------------------------------------


def test_cts_that_count_as_one_patient_are_told(tmp_path):
    touch(tmp_path, "anna_t1.nrrd", "anna_t2.nrrd", "bert.nrrd")
    (warning,) = read_datalist(tmp_path).warnings
    assert warning.startswith("3 CTs are of 2 patients")
    assert "anna_t1 and anna_t2, for example, are of one (2 CTs)" in warning
    (tmp_path / "anna_t2.nrrd").unlink()
    assert read_datalist(tmp_path).warnings == ()


def test_all_problems_of_a_list_are_said_at_once(tmp_path):
    touch(tmp_path, "in/a.nrrd", "secret.nrrd")
    content = {
        "training": [
            {"image": "a.nrrd"},
            {"label": "a.nrrd"},
            {"image": "gone.nrrd"},
            {"image": "../secret.nrrd"},
            {"image": str(tmp_path / "secret.nrrd")},
            {"image": "a.nrrd", "label": "gone-too.nrrd"},
            7,
            {"image": ""},
        ],
        "validation": {"image": "a.nrrd"},
    }
    path = write_list(tmp_path / "in", content)
    with pytest.raises(InputError) as caught:
        read_datalist(path)
    message = caught.value.message
    assert str(path) in message and "8 problems" in message and "\n" not in message
    for part in (
        'training 2: "image" is missing',
        "training 3: image gone.nrrd does not exist",
        "training 4: image ../secret.nrrd lies outside",
        "training 5: image /",
        "training 6: label gone-too.nrrd does not exist",
        'training 7: "image" is missing',
        "training 8: image is no path",
        '"validation" is no list',
    ):
        assert part in message


def test_problems_that_all_paths_have_are_told_by_a_few_with_what_to_do(tmp_path):
    """A list that was moved away from its volumes: twenty sentences would hide the one thing to know."""
    listed = [{"image": f"ct{number}.nii.gz"} for number in range(30)]
    (tmp_path / "moved.json").write_text(json.dumps({"training": listed}))
    with pytest.raises(InputError) as error:
        read_datalist(tmp_path / "moved.json")
    assert error.value.message.count("does not exist.") == 3
    assert error.value.message.endswith("And 27 more that do not exist.")
    assert error.value.hint.startswith("Paths are relative to the folder of the list")
    (tmp_path / "there").mkdir()
    listed = [{"image": f"../ct{number}.nii.gz"} for number in range(4)]
    (tmp_path / "there" / "out.json").write_text(json.dumps({"training": listed}))
    with pytest.raises(InputError) as error:
        read_datalist(tmp_path / "there" / "out.json")
    assert error.value.message.endswith("And 1 more that lie outside of the datalist's folder.")
    assert error.value.hint == "If these files are meant, allow it with --allow-outside."


def test_paths_outside_are_taken_only_when_allowed(tmp_path):
    touch(tmp_path, "a.nrrd", "in/b.nrrd")
    path = write_list(tmp_path / "in", {"training": [{"image": "../a.nrrd"}, {"image": "b.nrrd"}], "validation": []})
    with pytest.raises(InputError, match="outside"):
        read_datalist(path)
    cases = read_datalist(path, allow_outside=True).training
    assert [case.image for case in cases] == [tmp_path / "a.nrrd", tmp_path / "in" / "b.nrrd"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{not json", "not valid JSON"),
        ('{"images": []}', "not a datalist"),
        ("[1, 2]", "not a datalist"),
        ('{"training": []}', "lists no volume"),
    ],
)
def test_other_json_is_refused(tmp_path, text, expected):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(InputError, match=expected):
        read_datalist(tmp_path / "d.json")


def test_empty_and_missing_sources_are_refused(tmp_path):
    with pytest.raises(InputError, match="is empty"):
        read_datalist([])
    with pytest.raises(InputError, match="is empty"):
        read_datalist(tmp_path)
    touch(tmp_path, "readme.txt")
    with pytest.raises(InputError, match="no DICOM"):
        read_datalist(tmp_path)
    with pytest.raises(InputError, match=r"x, .*y do not exist"):
        read_datalist([tmp_path / "x", tmp_path / "y"])


# -- patients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("case07.nii.gz", "case07"),
        ("case07_t2.nii.gz", "case07"),
        ("case07-visit-3.nrrd", "case07"),
        ("case07_fu1_0000.nii.gz", "case07"),
        ("p12_20190312.mha", "p12"),
        ("p12_2019-03-12.mha", "p12"),
        ("p12_baseline.mha", "p12"),
        ("phantom-000007.nii.gz", "phantom-000007"),
        ("LIDC-IDRI-0001.nrrd", "LIDC-IDRI-0001"),
        ("img0035.nii.gz", "img0035"),
        ("t2.nii.gz", "t2"),
    ],
)
def test_the_patient_of_a_file_name(name, patient):
    assert patient_of(Path(name)) == patient


def test_numbers_that_look_like_time_points_of_one_patient_are_no_time_points(tmp_path):
    touch(tmp_path, *(f"ct_scan_{n:02d}.nrrd" for n in range(10)))
    datalist = read_datalist(tmp_path, validation_share=0.2)
    assert (len(datalist.training), len(datalist.validation)) == (8, 2)


def test_a_patient_is_never_split():
    cases = [Case(Path(f"{p}_t{t}.nrrd"), None, f"p{p}", f"{p}-{t}") for p in range(10) for t in range(1 + p % 4)]
    for seed in range(20):
        training, validation = split_by_patient(cases, 0.3, seed)
        assert not {c.patient for c in training} & {c.patient for c in validation}
        assert len({c.patient for c in validation}) == 3 and len(training) + len(validation) == len(cases)
    shuffled = [cases[n] for n in np.random.default_rng(0).permutation(len(cases))]
    again = split_by_patient(shuffled, 0.3, 5)
    assert set(again[1]) == set(split_by_patient(cases, 0.3, 5)[1])


def test_both_parts_have_someone_from_two_patients_on():
    two = [Case(Path("a"), None, "a", "a"), Case(Path("b"), None, "b", "b")]
    for share in (0.01, 0.99):
        assert [len(part) for part in split_by_patient(two, share, 0)] == [1, 1]
    assert [len(part) for part in split_by_patient(two[:1], 0.5, 0)] == [1, 0]
    with pytest.raises(InputError, match="share"):
        split_by_patient(two, 1.0, 0)


def test_a_patient_in_training_and_validation_is_told(tmp_path):
    touch(tmp_path, "a_t1.nrrd", "a_t2.nrrd", "b.nrrd")
    content = {"training": [{"image": "b.nrrd"}], "validation": [{"image": "a_t1.nrrd"}], "unlabelled": ["a_t2.nrrd"]}
    assert "1 patients are both" in read_datalist(write_list(tmp_path, content)).warnings[0]


# -- the same scan twice -----------------------------------------------------------------------------


def test_a_scan_under_two_names_is_found_whatever_the_format(tmp_path):
    for seed in range(4):
        write_volume(a_volume(seed), tmp_path / f"scan{seed}.nrrd")
    write_volume(a_volume(0), tmp_path / "copy.nii.gz")
    write_volume(resample_to_ras(a_volume(0), None), tmp_path / "turned.mha")
    write_volume(replace(a_volume(1), origin=(0.0, 0.0, 0.0)), tmp_path / "moved.nrrd")
    near = a_volume(2).array.copy()
    near[3, 3, 3] += 1
    write_volume(replace(a_volume(2), array=near), tmp_path / "almost.nrrd")
    cases = {path.name: Case(path, None, path.name, path.name) for path in tmp_path.iterdir()}
    datalist = Datalist(
        training=(cases["scan1.nrrd"], cases["scan2.nrrd"], cases["scan0.nrrd"]),
        validation=(cases["copy.nii.gz"], cases["almost.nrrd"]),
        unlabelled=(cases["turned.mha"], cases["scan3.nrrd"], cases["moved.nrrd"]),
    )
    leak, double = audit(datalist)
    assert leak.leak and leak.lists == ("training", "validation", "unlabelled")
    assert names(leak.cases) == ["scan0.nrrd", "copy.nii.gz", "turned.mha"]
    assert "not independent" in str(leak) and "copy.nii.gz (validation)" in str(leak)
    assert not double.leak and names(double.cases) == ["scan1.nrrd", "moved.nrrd"]


def test_known_contents_are_not_read_again(tmp_path):
    cases = tuple(Case(tmp_path / f"{n}.nrrd", None, str(n), str(n)) for n in range(3))
    known = {tmp_path / "0.nrrd": "x", tmp_path / "1.nrrd": "y", tmp_path / "2.nrrd": "x"}
    found = audit(Datalist(training=cases[:2], validation=cases[2:]), known)
    assert [names(duplicate.cases) for duplicate in found] == [["0", "2"]]


def test_the_list_of_the_page_is_one(tmp_path):
    """Docs/data.md, as somebody copies it."""
    (block,) = [block for block in blocks_of(ROOT / "Docs" / "data.md") if block.language == "json"]
    (tmp_path / "list.json").write_text(block.text)
    for part in json.loads(block.text).values():
        for entry in part:
            files = [entry] if isinstance(entry, str) else [entry["image"], *filter(None, [entry.get("label")])]
            touch(tmp_path, *files)
    datalist = read_datalist(tmp_path / "list.json")
    assert names(datalist.training) == ["anna", "bert"]
    assert names(datalist.validation) == ["carl"]
    assert names(datalist.unlabelled) == ["dora", "bert-later"]
    assert datalist.training[1].patient == datalist.unlabelled[1].patient == "B"


def test_the_page_numbers_the_organs_as_we_do():
    page = (ROOT / "Docs" / "data.md").read_text(encoding="utf-8")
    assert {int(number): name for number, name in re.findall(r"\| (\d+) ([a-z ]+?) (?=\|)", page)} == {
        organ.id: organ.name for organ in ORGANS
    }

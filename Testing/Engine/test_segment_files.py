"""From files to files: label maps that 3D Slicer reads, tables, names, and what happens when something is wrong."""

import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio
import torch

from SwinSSLLib.data.volumes import Volume, write_volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.models import Model, make_card, save_model
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.organs import ORGANS, by_id
from SwinSSLLib.segment import results
from SwinSSLLib.segment.files import list_inputs, segment_files
from SwinSSLLib.segment.pipeline import Options, load_network, organs_of, segment_volume
from SwinSSLLib.segment.results import measure, write_labels
from SwinSSLLib.segment.windows import Stopped
from SwinSSLLib.settings import InputSettings, NetworkSettings

ON_CPU = Options(overlap=0.25, device="cpu")


def oblique_axes() -> tuple[float, ...]:
    axes, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    return tuple(axes.ravel())


@pytest.fixture
def a_ct() -> Volume:
    rng = np.random.default_rng(0)
    array = rng.integers(-200, 300, (30, 26, 22)).astype(np.int16)
    return Volume(array, (2.5, 2.0, 3.1), (-31.5, 17.25, 101.0), oblique_axes(), name="ct")


@pytest.fixture
def labels_of_three_organs(a_ct) -> Volume:
    array = np.zeros(a_ct.shape, np.uint8)
    array[2:9, 3:12, 4:10] = 1
    array[12:20, 3:12, 4:15] = 2
    array[21:28, 14:25, 1:21] = 13
    return replace(a_ct, array=array)


@pytest.fixture(scope="module")
def a_model(tmp_path_factory) -> Model:
    """The smallest Swin UNETR, untrained, and biased so that some organs come out."""
    torch.manual_seed(0)
    network = NetworkSettings(feature_size=12, window=4)
    inputs = InputSettings(spacing=(4.0, 4.0, 4.0), roi=(64, 64, 64))
    card = make_card("segmenter", network, inputs, {}, sha256="0" * 64)
    return Model(tmp_path_factory.mktemp("model"), card, build_segmenter(network).state_dict())


def test_seg_nrrd_is_what_slicer_reads(labels_of_three_organs, tmp_path):
    file = tmp_path / "ct.seg.nrrd"
    write_labels(labels_of_three_organs, ORGANS, file)

    back = slicerio.read_segmentation(str(file))
    assert [s["name"] for s in back["segments"]] == ["spleen", "right kidney", "left adrenal gland"]
    assert [s["labelValue"] for s in back["segments"]] == [1, 2, 13]
    assert {s["layer"] for s in back["segments"]} == {0}
    spleen, kidney, adrenal = back["segments"]
    assert np.allclose(np.array(spleen["color"]) * 255, by_id(1).colour, atol=0.01)
    assert spleen["extent"] == [2, 8, 3, 11, 4, 9]
    assert spleen["terminology"]["type"] == ["SCT", "78961009", "Spleen"]
    assert kidney["terminology"]["type"][1] == "64033007"
    assert kidney["terminology"]["typeModifier"] == ["SCT", "24028007", "Right"]
    assert adrenal["terminology"]["typeModifier"] == ["SCT", "7771000", "Left"]
    assert np.array_equal(back["voxels"], labels_of_three_organs.array)
    lps = np.diag([-1, -1, 1, 1]) @ labels_of_three_organs.ijk_to_ras
    assert np.abs(back["ijkToLPS"] - lps).max() < 1e-12
    header = file.read_bytes()[:6000].decode("latin-1")
    assert (
        "Segment0_Tags:=TerminologyEntry:Segmentation category and type - DICOM master list~"
        "SCT^123037004^Anatomical Structure~SCT^78961009^Spleen~^^~Anatomic codes - DICOM master list~^^~^^|"
    ) in header
    assert "Segmentation_MasterRepresentation:=Binary labelmap" in header


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nrrd", ".mha", ".nii.gz"])
def test_itk_finds_the_labels_in_their_place_in_every_format(suffix, labels_of_three_organs, tmp_path):
    write_labels(labels_of_three_organs, ORGANS, tmp_path / f"ct{suffix}")
    image = sitk.ReadImage(str(tmp_path / f"ct{suffix}"))
    assert np.array_equal(sitk.GetArrayFromImage(image).T, labels_of_three_organs.array)
    tolerance = 1e-4 if suffix == ".nii.gz" else 1e-12  # NIfTI keeps single precision
    assert np.abs(np.array(image.GetOrigin()) - labels_of_three_organs.origin).max() < tolerance
    assert np.abs(np.array(image.GetSpacing()) - labels_of_three_organs.spacing).max() < tolerance
    assert np.abs(np.array(image.GetDirection()) - labels_of_three_organs.direction).max() < max(tolerance, 1e-6)


def test_measures_are_those_of_simpleitk(a_ct, labels_of_three_organs):
    statistics = sitk.LabelStatisticsImageFilter()
    statistics.Execute(a_ct.to_sitk(), labels_of_three_organs.to_sitk())
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(labels_of_three_organs.to_sitk())
    organs = {organ.id: organ for organ in measure(labels_of_three_organs.array, a_ct, ORGANS)}
    assert len(organs) == 13
    for label in (1, 2, 13):
        assert organs[label].mean_hu == pytest.approx(statistics.GetMean(label))
        assert organs[label].volume_ml == pytest.approx(shape.GetPhysicalSize(label) / 1000)
    assert not organs[6].present
    assert organs[6].volume_ml == 0
    assert organs[6].mean_hu is None


def test_a_file_is_segmented_onto_its_own_grid_with_tables_beside_it(a_ct, a_model, tmp_path):
    source = tmp_path / "in" / "patient.7.nrrd"
    write_volume(a_ct, source)
    steps: list[tuple[int, int, str, int, int]] = []

    (result,) = segment_files(
        [source], a_model, tmp_path / "out" / "organs.seg.nrrd", ON_CPU, progress=lambda *step: steps.append(step)
    )

    assert [file.name for file in result.files] == ["organs.seg.nrrd", "organs.organs.json", "organs.organs.csv"]
    image, ct = sitk.ReadImage(str(result.files[0])), sitk.ReadImage(str(source))
    assert image.GetSize() == ct.GetSize()
    assert np.allclose(image.GetOrigin(), ct.GetOrigin(), rtol=0, atol=1e-12)
    assert np.allclose(image.GetDirection(), ct.GetDirection(), rtol=0, atol=1e-12)
    counts = np.bincount(sitk.GetArrayFromImage(image).ravel(), minlength=14)
    table = json.loads(result.files[1].read_text())
    assert [row["voxels"] for row in table["organs"]] == counts[1:].tolist()
    assert counts[1:].any(), "an untrained network finds something"
    assert table["model"]["sha256"] == "0" * 64
    rows = list(csv.DictReader(result.files[2].read_text().splitlines()))
    assert [row["name"] for row in rows] == [organ.name for organ in ORGANS]
    assert all((row["present"] == "no") == (row["mean_hu"] == "") for row in rows)
    assert steps[-1][:3] == (0, 1, "patient.7.nrrd")
    assert steps[-1][3] == steps[-1][4]


def test_a_folder_is_segmented_file_by_file_and_a_bad_one_does_not_stop_the_others(a_ct, a_model, tmp_path):
    folder = tmp_path / "in"
    write_volume(a_ct, folder / "a.nii.gz")
    (folder / "b.nii.gz").write_text("this is no NIfTI")
    write_volume(a_ct, folder / "c.mha")
    results = segment_files([folder], a_model, tmp_path / "out", ON_CPU, suffix=".nii.gz")
    assert [bool(result.error) for result in results] == [False, True, False]
    assert "b.nii.gz" in results[1].error.message
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "a.nii.gz", "a.organs.csv", "a.organs.json", "c.nii.gz", "c.organs.csv", "c.organs.json",
    ]  # fmt: skip


@pytest.fixture
def many(a_ct, a_model, tmp_path):
    """Five CTs and a file that is none, a model in a folder, and the words of a command that segments them."""
    for name in "abcde":
        write_volume(a_ct, tmp_path / "in" / f"{name}.mha")
    (tmp_path / "in" / "f.nii.gz").write_text("this is no NIfTI")
    save_model(tmp_path / "model", a_model.card, a_model.state)
    words: tuple[object, ...] = (
        "segment",
        tmp_path / "in",
        "--model",
        tmp_path / "model",
        "--out",
        tmp_path / "out",
        "--device",
        "cpu",
    )
    words += ("--exact", "--overlap", "0.1")
    return words, tmp_path / "out"


def cases_in(out) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader((out / "organs.csv").read_text().splitlines()):
        found.setdefault(row.pop("case"), []).append(row)
    return found


def test_a_second_run_does_what_is_missing_and_says_what_became_of_all(many, swinssl):
    words, out = many
    code, told, _ = swinssl(*words)
    assert (code, "5 of 6 done, 1 failed, 0 skipped" in told) == (2, True), told
    assert cases_in(out) == {
        name: list(csv.DictReader((out / f"{name}.organs.csv").read_text().splitlines())) for name in "abcde"
    }
    (out / "b.organs.json").unlink()  # as if the process had been killed before its tables were written
    (out / "c.seg.nrrd").unlink()
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    code, told, _ = swinssl(*words, "--skip-existing", "--json")
    events = [json.loads(line) for line in told.splitlines()]
    assert events[-1] == {
        "event": "done", "done": 2, "failed": 1, "skipped": 3, "cts": 6, "table": str(out / "organs.csv")
    }  # fmt: skip
    assert (code, [event["event"] for event in events].count("skipped")) == (2, 3)
    after = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert {name[0] for name in after if before.get(name) != after[name]} == {"b", "c", "o"}
    assert cases_in(out).keys() == set("abcde")


def test_shares_of_an_array_are_the_whole_and_no_model_is_read_for_nothing(many, swinssl, monkeypatch):
    words, out = many
    for part in ("1/3", "2/3", "3/3"):
        code, told, _ = swinssl(*words, "--shard", part)
        assert code == (2 if part == "3/3" else 0)
        assert ("1 of 2 done, 1 failed" if part == "3/3" else "2 of 2 done, 0 failed") in told
    assert cases_in(out).keys() == set("abcde")
    monkeypatch.setattr("SwinSSLLib.segment.kept.Keeper.get", lambda *_: pytest.fail("the model was read"))
    assert "0 of 2 done, 0 failed, 2 skipped" in swinssl(*words, "--shard", "1/3", "--skip-existing")[1]
    assert "0 of 0 done" in swinssl(*words, "--shard", "9/9", "--skip-existing")[1]


def test_a_table_that_comes_while_the_overview_is_written_is_in_it(many, swinssl, monkeypatch):
    words, out = many
    swinssl(*words, "--shard", "1/3")
    late = (out / "a.organs.json").read_text()
    write, calls = results._write_csv, []

    def meanwhile(*given):
        write(*given)
        calls.append(given)
        if len(calls) == 1:
            (out / "z.organs.json").write_text(late)

    monkeypatch.setattr(results, "_write_csv", meanwhile)
    results.write_overview(out)
    assert "z" in cases_in(out)


def test_equal_names_do_not_overwrite_each_other(a_ct, a_model, tmp_path):
    for patient in ("p1", "p2"):
        write_volume(a_ct, tmp_path / patient / "ct.nrrd")
    inputs = [tmp_path / patient / "ct.nrrd" for patient in ("p1", "p2")]
    results = segment_files(inputs, a_model, tmp_path / "out", ON_CPU)
    assert [result.files[0].name for result in results] == ["p1-ct.seg.nrrd", "p2-ct.seg.nrrd"]


def test_stop_leaves_nothing_behind(a_ct, a_model, tmp_path):
    write_volume(a_ct, tmp_path / "ct.nrrd")
    with pytest.raises(Stopped):
        segment_files([tmp_path / "ct.nrrd"], a_model, tmp_path / "out", ON_CPU, stop=lambda: True)
    assert not list((tmp_path / "out").iterdir())


def test_wrong_inputs_and_outputs_are_named_before_anything_is_computed(a_ct, a_model, tmp_path, monkeypatch):
    ct, other = tmp_path / "ct.nrrd", tmp_path / "other.nrrd"
    write_volume(a_ct, ct)
    write_volume(a_ct, other)
    monkeypatch.setattr("SwinSSLLib.segment.files.load_network", lambda *_: pytest.fail("too late"))
    with pytest.raises(InputError, match=r"missing\.nrrd"):
        segment_files([tmp_path / "missing.nrrd"], a_model, tmp_path / "out", ON_CPU)
    with pytest.raises(InputError, match="one file, but 2 CTs"):
        segment_files([ct, other], a_model, tmp_path / "all.seg.nrrd", ON_CPU)
    with pytest.raises(InputError, match="would be overwritten"):
        segment_files([ct], a_model, ct, ON_CPU)
    with pytest.raises(InputError, match="no label format"):
        segment_files([ct], a_model, tmp_path / "out", ON_CPU, suffix=".png")
    (tmp_path / "occupied").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="occupied"):
        segment_files([ct], a_model, tmp_path / "occupied", ON_CPU)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(a_ct, a_model, tmp_path):
    write_volume(a_ct, tmp_path / "ct.nrrd")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(InputError, match="locked"):
        segment_files([tmp_path / "ct.nrrd"], a_model, locked, ON_CPU)


def test_a_full_disk_leaves_the_old_file(labels_of_three_organs, tmp_path, monkeypatch):
    file = tmp_path / "ct.seg.nrrd"
    file.write_text("old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(slicerio, "write_segmentation", full)
    with pytest.raises(InputError, match="No space left"):
        write_labels(labels_of_three_organs, ORGANS, file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_models_that_cannot_segment_are_refused(a_model):
    with pytest.raises(InputError, match="encoder"):
        organs_of({**a_model.card, "kind": "encoder"})
    with pytest.raises(InputError, match="do not fit"):
        organs_of({**a_model.card, "labels": [*a_model.card["labels"], {**a_model.card["labels"][0], "id": 14}]})
    with pytest.raises(InputError, match="cannot be read"):
        organs_of({**a_model.card, "labels": [{"id": 1}]})
    with pytest.raises(InputError, match="do not fit their card"):
        load_network(replace(a_model, state={}), ON_CPU)
    assert [organ.name for organ in organs_of(json.loads(json.dumps(a_model.card)))] == [o.name for o in ORGANS]


def test_an_empty_result_says_so(a_ct, a_model):
    def only_background(x: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros((len(x), 14, *x.shape[2:]))
        scores[:, 0] = 5.0
        return scores

    result = segment_volume(a_ct, a_model.card, only_background, ON_CPU)
    assert not result.labels.array.any()
    assert any("No organ was found in ct" in sentence for sentence in result.warnings)


def test_folders_of_volume_files_are_opened_and_other_folders_are_kept_as_dicom(a_ct, tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "IM0001").write_bytes(b"")
    write_volume(a_ct, tmp_path / "files" / "b.mha")
    write_volume(a_ct, tmp_path / "files" / "a.nii.gz")
    (tmp_path / "files" / "readme.txt").write_text("")
    found = list_inputs([tmp_path / "series", tmp_path / "files"])
    assert [path.name for path in found] == ["series", "a.nii.gz", "b.mha"]

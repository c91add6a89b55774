"""Nothing in a run folder but job.json tells whose CTs it was made from, or where they lie."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from conftest import TINY, finetune, pretrain
from dicom_files import write_series

from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.data.volumes import write_volume
from SwinSSLLib.discretion import Discretion, alias, revealed
from SwinSSLLib.evaluate.report import write_report
from SwinSSLLib.runs import RunFolder

SECRETS = ("Doe", "DOE", "Jane", "19610203", "PID-4711", "St-Elsewhere")


def texts_of(run: Path) -> dict[str, str]:
    """Everything that can be read in a run folder, job.json excepted; arrays of previews by their texts."""
    found = {}
    for file in sorted(run.rglob("*")):
        if file.is_dir() or file.name in ("job.json", "weights.safetensors") or file.suffix == ".ckpt":
            continue
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                found[file.name] = " ".join(str(arrays[name]) for name in arrays if arrays[name].dtype.kind == "U")
        else:
            text = file.read_text(encoding="utf-8", errors="replace")
            # Pictures inside a page are base64, in which any three letters come up.
            found[file.name] = re.sub(r"data:image/[^\"']*", "", text)
    return found


@pytest.fixture
def telling_cohort(tmp_path) -> Path:
    """Phantoms in a folder and in files that are called after a patient."""
    folder = tmp_path / "St-Elsewhere" / "Doe_Jane"
    listed: dict[str, list[dict[str, str]]] = {"training": [], "validation": []}
    for number in range(4):
        phantom = make_phantom(number, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36))
        image, label = folder / f"DOE^JANE-{number}.nii.gz", folder / f"DOE^JANE-{number}-organs.nii.gz"
        write_volume(phantom.image, image)
        write_volume(phantom.labels, label)
        part = "training" if number < 3 else "validation"
        listed[part].append({"image": image.name, "label": label.name})
    (folder / "dataset.json").write_text(json.dumps(listed))
    return folder / "dataset.json"


def assert_discreet(run: Path, place: Path) -> None:
    write_report(run)
    told = texts_of(run)
    assert {"events.jsonl", "log.txt", "status.json", "model.json", "report.html"} <= told.keys()
    for name, text in told.items():
        assert not [word for word in SECRETS if word in text], name
        assert str(place) not in text, name


def test_training_runs_carry_numbers_only(telling_cohort, tmp_path, monkeypatch):
    # A library that logs paths, as they do.
    from SwinSSLLib.data.store import Store

    added = Store.add

    def add(self, source, *arguments, **options):
        logging.getLogger("somebody").warning("opened %s", source)
        return added(self, source, *arguments, **options)

    monkeypatch.setattr(Store, "add", add)
    heard: list[dict] = []
    pretrain(telling_cohort, tmp_path / "run", sinks=(heard.append,))
    finetune(telling_cohort, tmp_path / "run2", init=tmp_path / "run")
    for name in ("run", "run2"):
        assert_discreet(tmp_path / name, tmp_path)
        assert "opened CT 001" in (tmp_path / name / "log.txt").read_text()
    started = next(event for event in RunFolder(tmp_path / "run").events() if event["event"] == "started")
    assert started["training"] == ["CT 001", "CT 002", "CT 003"]
    assert started["validation"] == ["CT 004"]
    job = RunFolder(tmp_path / "run").job()
    assert revealed("CT 004 is odd", job) == "DOE^JANE-3.nii.gz is odd"
    card = json.loads((tmp_path / "run2" / "model" / "model.json").read_text())
    assert card["provenance"]["init"] == "run"
    start = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert card["provenance"]["init_sha256"] == start["sha256"]
    assert [entry.keys() for entry in card["provenance"]["data"]] == [{"content"}] * 4


def test_names_stay_where_the_user_asks_for_them(telling_cohort, tmp_path):
    pretrain(telling_cohort, tmp_path / "run", names=True)
    started = next(event for event in RunFolder(tmp_path / "run").events() if event["event"] == "started")
    assert "DOE^JANE-0" in started["training"]
    card = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert "DOE^JANE-0" in {entry["name"] for entry in card["provenance"]["data"]}


def test_an_error_names_the_file_to_the_user_and_a_number_to_the_folder(telling_cohort, tmp_path, swinssl):
    bad = telling_cohort.parent / "DOE^JANE-1.nii.gz"
    bad.write_bytes(bad.read_bytes()[:500])
    code, _, said = swinssl("pretrain", "-d", telling_cohort, "-o", tmp_path / "run", "-p", "quick")
    assert code == 2
    assert str(bad) in said
    error = [event for event in RunFolder(tmp_path / "run").events() if event["event"] == "error"]
    assert "CT 002" in error[0]["message"]
    assert "DOE^JANE-1.nii.gz" in revealed(error[0]["message"], RunFolder(tmp_path / "run").job())
    for name, text in texts_of(tmp_path / "run").items():
        assert not [word for word in SECRETS if word in text], name
        assert str(tmp_path) not in text, name


def test_nothing_of_a_dicom_header_arrives(tmp_path):
    for number in range(2):
        folder = tmp_path / "export" / f"Doe-{number}"
        array = make_phantom(number, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36)).image.array
        write_series(folder, array, spacing=(8.0, 8.0, 8.0))
        for file in folder.iterdir():
            slice_ = pydicom.dcmread(file)
            slice_.PatientName, slice_.PatientID, slice_.PatientBirthDate = "Doe^Jane", "PID-4711", "19610203"
            slice_.InstitutionName, slice_.SeriesDescription = "St-Elsewhere", "Doe ABDOMEN"
            slice_.save_as(file)
    uids = {str(pydicom.dcmread(file).SeriesInstanceUID) for file in (tmp_path / "export").rglob("*") if file.is_file()}
    data = [tmp_path / "export" / "Doe-0", tmp_path / "export" / "Doe-1"]

    from SwinSSLLib.jobs import Job, pretrain_job
    from SwinSSLLib.preparing import Preparation
    from SwinSSLLib.presets import pretrain_settings

    pretrain_job(Job(tmp_path / "run", Preparation(tuple(data))), pretrain_settings("quick", TINY))
    assert_discreet(tmp_path / "run", tmp_path)
    for name, text in texts_of(tmp_path / "run").items():
        assert not [uid for uid in uids if uid in text], name


def test_texts_lose_names_and_places(tmp_path):
    discretion = Discretion(tmp_path / "run")
    discretion.learn([(Path("/data/Doe 1.nii.gz"), Path("/data/l/Doe 1-organs.nrrd")), (Path("ab.mha"), None)])
    told = {
        "/data/Doe 1.nii.gz is damaged.": "CT 001 is damaged.",
        "Doe 1 and Doe 12": "CT 001 and Doe 12",
        "/data/l/Doe 1-organs.nrrd": "labels of CT 001",
        "ab.mha: ab is no CT, about Lab": "CT 002: CT 002 is no CT, about Lab",
        f"{tmp_path / 'run' / 'checkpoints' / 'last.ckpt'} is damaged": "checkpoints/last.ckpt is damaged",
        'File "/home/doe/env/lib/site-packages/torch/nn/module.py", line 3': 'File "…/torch/nn/module.py", line 3',
        r"C:\Users\doe\scans could not be read": "[a path] could not be read",
        "3.1 s/step, 1/2 done, and/or": "3.1 s/step, 1/2 done, and/or",
        "[https://docs.pytorch.org/x] is kept": "[https://docs.pytorch.org/x] is kept",
    }
    assert {text: discretion.text(text) for text in told} == told
    assert discretion.of({"a": ["ab.mha", 3, None], "b": {"c": "Doe 1"}}) == {
        "a": ["CT 002", 3, None],
        "b": {"c": "CT 001"},
    }
    assert Discretion(tmp_path, on=False).text("/data/x") == "/data/x"


def test_names_of_few_letters_are_hidden_where_they_are_words_and_nowhere_else(tmp_path):
    discretion = Discretion(tmp_path / "run")
    names = ("JD.nii.gz", "Li.nrrd", "12.nii.gz", "of.nii", "x1", "CT.mha")
    discretion.learn([(Path("/data") / name, None) for name in names])
    told = {
        "JD is padded with air (JD, 'JD': JD/).": "CT 001 is padded with air (CT 001, 'CT 001': JD/).",
        "Li and Liver, AdJD and JD2": "CT 002 and Liver, AdJD and JD2",
        "jd, li": "jd, li",  # of another case: another word
        "step 12 of 20, 12.5 s; 12.nii.gz": "step 12 of 20, 12.5 s; CT 003",
        "12": "CT 003",  # all that is said: the name of an entry
        "of": "CT 004",
        "x1 is no CT": "CT 005 is no CT",
        "CT": "CT 006",
    }
    assert {text: discretion.text(text) for text in told} == told
    assert discretion.of({"training": ["JD", "12"], "step": 12}) == {"training": ["CT 001", "CT 003"], "step": 12}


@pytest.mark.parametrize(
    "job", [{}, {"inputs": None}, {"inputs": [3, {"name": "CT 001"}, {"name": ["x"], "path": "y"}]}]
)
def test_a_damaged_job_reveals_nothing(job):
    assert revealed("CT 001 is damaged", job) == "CT 001 is damaged"


def test_numbers_count_from_one():
    assert [alias(number) for number in (1, 42, 160_000)] == ["CT 001", "CT 042", "CT 160000"]

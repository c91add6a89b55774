"""``swinssl check`` and ``swinssl cache build``: what is said beforehand is what a training finds."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import write_series

from SwinSSLLib.data.cases import make_case
from SwinSSLLib.data.geometry import Volume, resample_to_ras, shape_at
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.data.survey import cache_bytes
from SwinSSLLib.runs import RunFolder


def written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture
def mixed_data(tmp_path, a_cohort):
    """Three phantoms, one of them twice under another format, and a file that is none."""
    folder = tmp_path / "cts"
    folder.mkdir()
    for number, file in enumerate(sorted((a_cohort / "images").iterdir())[:3]):
        shutil.copy(file, folder / f"pat{number}.nii.gz")
    sitk.WriteImage(sitk.ReadImage(folder / "pat0.nii.gz"), folder / "twin.nrrd")
    bright = sitk.ReadImage(folder / "pat2.nii.gz") + 1100  # as of an MR: no air
    sitk.WriteImage(bright, folder / "pat2.nii.gz")
    (folder / "broken.nii.gz").write_text("nothing")
    return folder


def test_a_check_says_what_is_there_and_writes_nothing(swinssl, tmp_path, mixed_data, monkeypatch):
    monkeypatch.setenv("SWINSSL_CACHE", str(tmp_path / "cache"))
    before = written(tmp_path)
    code, out, said = swinssl("check", "--data", mixed_data, "--preset", "quick")
    assert (code, written(tmp_path)) == (2, before)
    assert "1 of 5 CTs cannot be used" in said and "broken.nii.gz" in said
    assert "listed 2 times" in out and "twin.nrrd" in out
    code, out, _ = swinssl("check", "--data", mixed_data, "--preset", "quick", "--json")
    found = json.loads(out)
    rows = {row["name"]: row for row in found["cts"]}
    assert [note for note in found["notes"] if note.count("pat2") == 1 and " does not look like CT" in note]
    assert found["split"]["training"] + found["split"]["validation"] == 4  # of what can be used
    image = sitk.ReadImage(mixed_data / "pat1.nii.gz")
    values = sitk.GetArrayFromImage(image)
    assert (code, found["refused"], rows["broken"]["problem"].count("broken.nii.gz")) == (2, 1, 1)
    assert (tuple(rows["pat1"]["shape"]), tuple(rows["pat1"]["spacing"])) == (image.GetSize(), image.GetSpacing())
    assert (rows["pat1"]["lowest"], rows["pat1"]["highest"]) == (values.min(), values.max())
    assert rows["pat0"]["content"] == rows["twin"]["content"] != rows["pat1"]["content"]
    # 8 mm to 4 mm: twice the voxels; so many boxes of 64 cover them.
    assert rows["pat1"]["prepared"] == [2 * n for n in image.GetSize()]
    assert rows["pat1"]["sub_volumes"] == np.prod([-(-2 * n // 64) for n in image.GetSize()])


def test_labels_are_looked_at(swinssl, tmp_path, a_cohort):
    code, out, _ = swinssl("check", "--data", a_cohort, "--labels", "--preset", "quick", "--json")
    found = json.loads(out)
    assert (code, found["refused"], {len(row["labels"]) for row in found["cts"]}) == (0, 0, {13})
    assert (found["split"]["training"], found["split"]["validation"]) == (2, 1)
    copy = tmp_path / "copy"
    shutil.copytree(a_cohort, copy)
    label = next((copy / "labels").iterdir())
    label.write_bytes(label.read_bytes()[:200])
    code, _, said = swinssl("check", "--data", copy, "--labels")
    assert (code, label.name in said) == (2, True)


@pytest.mark.parametrize("labels", [False, True])
def test_after_a_build_a_run_reads_nothing_anew(swinssl, tmp_path, a_cohort, tiny, labels, monkeypatch):
    cache, settings = tmp_path / "cache", ("--preset", "quick", "--settings", tiny[labels])
    more = ["--labels"] if labels else []
    code, out, _ = swinssl("cache", "build", "-d", a_cohort, "--cache", cache, *settings, *more)
    count = 3 if labels else 6
    told = re.search(r"These (\d) CTs take about ([\d.]+) MB in (.+); .* are free", out)
    assert (code, int(told[1]), told[3]) == (0, count, str(cache))
    rows = json.loads(swinssl("cache", "list", "--cache", cache, "--json")[1])["entries"]
    assert len(rows) == count
    assert float(told[2]) == pytest.approx(sum(row["bytes"] for row in rows) / 1e6, rel=0.05, abs=0.06)
    assert rows[0]["bytes"] == sum(f.stat().st_size for f in (cache / rows[0]["key"]).iterdir())
    assert "0 now, " in swinssl("cache", "build", "-d", a_cohort, "--cache", cache, *settings, *more)[1]
    assert f"{count} of {count} entries are whole." in swinssl("cache", "verify", "--cache", cache)[1]
    monkeypatch.setattr(Store, "_build", lambda *_: pytest.fail("a CT was read anew"))
    job = ("finetune", "--init", "scratch") if labels else ("pretrain",)
    run = (*job, "-d", a_cohort, "-o", tmp_path / "run", "-n", 1, "--cache", cache, "--no-report", *settings)
    assert swinssl(*run)[0] == 0
    split = json.loads(swinssl("check", "-d", a_cohort, *settings, *more, "--json")[1])["split"]
    started = next(event for event in RunFolder(tmp_path / "run").events() if event["event"] == "started")
    assert (split["training"], split["validation"]) == (len(started["training"]), len(started["validation"]))


def test_shares_of_a_build_are_the_whole(swinssl, tmp_path, a_cohort):
    build = ("cache", "build", "-d", a_cohort, "--cache", tmp_path / "cache", "--preset", "quick", "--json")
    numbers = []
    for part in ("1/4", "2/4", "3/4", "4/4"):
        code, out, _ = swinssl(*build, "--shard", part)
        numbers.append(json.loads(out.splitlines()[-1])["new"])
        assert code == 0
    assert numbers == [2, 2, 1, 1]
    for bad in ("0/4", "5/4", "1", "a/b"):
        code, out, _ = swinssl(*build, "--shard", bad)
        assert (code, "I/N" in json.loads(out)["message"]) == (2, True), out


def test_a_build_refuses_or_skips_what_is_unusable(swinssl, tmp_path, mixed_data):
    build = ("cache", "build", "-d", mixed_data, "--cache", tmp_path / "cache", "--set", "input.spacing=8,8,8")
    code, _, said = swinssl(*build)
    assert (code, "broken.nii.gz" in said) == (2, True)
    code, out, _ = swinssl(*build, "--skip-bad")
    assert (code, "Left out" in out and "0 now, 4 before" in out) == (0, True), out  # the others were kept


def test_a_build_that_is_interrupted_ends_well_and_goes_on(swinssl, tmp_path, a_cohort):
    cache = tmp_path / "cache"
    build = ["cache", "build", "-d", a_cohort, "--cache", cache, "--set", "input.spacing=2,2,2", "--json"]
    words = [sys.executable, "-m", "SwinSSLLib", *map(str, build)]
    worker = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert json.loads(worker.stdout.readline())["event"] == "started"
    worker.stdout.readline()  # the first of "reading CTs"
    worker.send_signal(signal.SIGINT)
    worker.communicate(timeout=120)
    assert worker.returncode == 0
    there = len(Store(cache).entries())
    assert there < 6
    last = json.loads(swinssl(*build)[1].splitlines()[-1])
    assert (last["prepared"], last["new"]) == (6, 6 - there)


def test_what_the_cache_takes_is_known_from_dicom_headers_too(tmp_path):
    values = np.random.default_rng(0).integers(-900, 900, (24, 20, 12)).astype(np.int16)
    write_series(tmp_path / "case", values)
    case = make_case(tmp_path / "case")
    for spacing in (None, (2.0, 2.0, 2.0)):
        entry = Store(tmp_path / "cache").add(case.image, Recipe(spacing))
        assert cache_bytes([case], spacing, labels=False) == 2 * np.prod(entry.shape)
    (tmp_path / "none").mkdir()
    assert cache_bytes([make_case(tmp_path / "none")], None, labels=False) == 0  # said when it is read


@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 3.0), (5.0, 4.0, 3.0)])
@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_the_shape_is_known_before_anything_is_resampled(spacing, turn):
    direction = (np.cos(turn), -np.sin(turn), 0.0, np.sin(turn), np.cos(turn), 0.0, 0.0, 0.0, 1.0)
    volume = Volume(np.zeros((9, 14, 6), np.int16), (5.0, 4.0, 3.0), (1.0, 2.0, 3.0), tuple(map(float, direction)))
    assert shape_at(volume, spacing) == resample_to_ras(volume, spacing).shape

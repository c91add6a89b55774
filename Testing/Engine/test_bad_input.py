"""Bad input at the command line: one sentence that names the file, the right exit code, nothing lost."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from SwinSSLLib.runs import RunFolder


def a_ct(path: Path, shape=(20, 20, 20), spacing=(8.0, 8.0, 8.0), fill=None) -> Path:
    random = np.random.default_rng(0)
    array = random.integers(-1000, 400, shape[::-1]).astype(np.int16) if fill is None else np.full(shape[::-1], fill)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[: len(shape)])
    sitk.WriteImage(image, str(path))
    return path


def bad_volumes(folder: Path) -> dict[str, Path]:
    """One file of every kind that must be refused."""
    good = a_ct(folder / "good.nii.gz").read_bytes()
    (folder / "text.nii.gz").write_text("Dear radiologist, this is not a CT.")
    (folder / "truncated.nii.gz").write_bytes(good[: len(good) // 2])
    (folder / "empty").mkdir()
    values = np.random.default_rng(0).normal(0, 300, (8, 8, 8))
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        nibabel.save(nibabel.Nifti1Image(np.where(values > 900, value, values), np.eye(4)), folder / f"{name}.nii.gz")
        assert (values > 900).any()
    a_ct(folder / "flat.nrrd", (16, 16))
    a_ct(folder / "slice.nii.gz", (16, 16, 1))
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8, 3), np.int16), np.eye(4)), folder / "four.nii.gz")
    rgb = sitk.GetImageFromArray(np.zeros((8, 8, 8, 3), np.uint8), isVector=True)
    sitk.WriteImage(rgb, str(folder / "rgb.mha"))
    a_ct(folder / "constant.nii.gz", (8, 8, 8), fill=np.int16(40))
    header = bytearray(gzip.decompress(good))
    header[80:84] = np.float32(0).tobytes()  # pixdim[1] of the NIfTI header
    (folder / "spacing.nii.gz").write_bytes(gzip.compress(bytes(header)))
    names = ("text.nii.gz", "truncated.nii.gz", "empty", "nan.nii.gz", "infinite.nii.gz", "flat.nrrd", "slice.nii.gz")
    more = ("four.nii.gz", "rgb.mha", "constant.nii.gz", "spacing.nii.gz", "missing.nii.gz")
    return {name: folder / name for name in (*names, *more)}


@pytest.mark.parametrize("command", ["segment", "pretrain"])
def test_unusable_volumes(swinssl, tmp_path, a_segmenter, tiny, command):
    for name, file in bad_volumes(tmp_path).items():
        out = tmp_path / "results" / name / "run"
        if command == "segment":
            code, _, told = swinssl("segment", file, "--model", a_segmenter, "--out", out.with_name("x.seg.nrrd"))
            assert not out.with_name("x.seg.nrrd").exists()
        else:
            code, _, told = swinssl(
                "pretrain", "--data", file, "--out", out, "--preset", "quick", "--settings", tiny[0]
            )
        assert code == 2, f"{name}: {told}"
        assert name in told.splitlines()[0], told
        assert "Traceback" not in told
        assert len(told.splitlines()) <= 2, told


def test_one_bad_volume_among_good_ones(swinssl, tmp_path, a_cohort, tiny):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number, file in enumerate(sorted((a_cohort / "images").iterdir())[:3]):
        (folder / f"patient{number}.nii.gz").write_bytes(file.read_bytes())
    (folder / "bad.nii.gz").write_text("nothing")
    command = ("pretrain", "-d", folder, "-p", "quick", "--settings", tiny[0], "-n", 1, "--no-report")
    code, _, told = swinssl(*command, "-o", tmp_path / "refused")
    assert (code, "bad.nii.gz" in told) == (2, True)
    code, out, _ = swinssl(*command, "-o", tmp_path / "skipped", "--skip-bad")
    assert (code, "bad.nii.gz" in out) == (0, True)


def test_mr_like_values_are_a_note_and_no_error(swinssl, tmp_path, a_segmenter):
    values = np.random.default_rng(0).gamma(2.0, 150.0, (16, 16, 16)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([8, 8, 8, 1])), tmp_path / "mr.nii.gz")
    code, out, _ = swinssl("segment", tmp_path / "mr.nii.gz", "--model", a_segmenter, "--out", tmp_path / "x.nii.gz")
    assert code == 0
    assert "Note:" in out
    assert "HU" in out


def a_datalist(folder: Path, **parts: object) -> Path:
    file = folder / "dataset.json"
    file.write_text(json.dumps(parts))
    return file


def test_labels_that_do_not_fit(swinssl, tmp_path, tiny):
    a_ct(tmp_path / "ct.nii.gz")
    labels = np.zeros((20, 20, 20), np.uint8)
    for name, change in (("ids.nii.gz", 77), ("grid.nii.gz", 1)):
        array = labels[:10] if name == "grid.nii.gz" else labels.copy()
        array[5, 5, 5] = change
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((8.0, 8.0, 8.0))
        sitk.WriteImage(image, str(tmp_path / name))
        file = a_datalist(tmp_path, training=[{"image": "ct.nii.gz", "label": name}])
        code, _, told = swinssl(
            "finetune", "-d", file, "-o", tmp_path / "run" / name, "-p", "quick", "--settings", tiny[1]
        )
        assert (code, name in told) == (2, True), told
        if change == 77:
            assert "77" in told


@pytest.mark.parametrize(
    ("parts", "part"),
    [
        ({"training": [{"label": "l.nii.gz"}]}, "image"),
        ({"training": [{"image": "../elsewhere.nii.gz", "label": "l.nii.gz"}]}, "elsewhere.nii.gz"),
        ({"training": [{"image": "gone.nii.gz", "label": "gone2.nii.gz"}]}, "gone.nii.gz"),
        ({"patients": []}, "dataset.json"),
    ],
)
def test_datalists_that_cannot_be_used(swinssl, tmp_path, tiny, parts, part):
    file = a_datalist(tmp_path, **parts)
    code, _, told = swinssl("finetune", "-d", file, "-o", tmp_path / "run", "-p", "quick", "--settings", tiny[1])
    assert (code, part in told, "dataset.json" in told) == (2, True, True), told


def test_settings_that_cannot_be_used_are_all_told(swinssl, tmp_path, a_cohort):
    file = tmp_path / "mine.json"
    file.write_text('{"trainig": {}, "input": {"roi": [50, 64, 64]}, "loss": {"temperature": -1}}')
    code, _, told = swinssl("pretrain", "--data", a_cohort, "--out", tmp_path / "run", "--settings", file)
    assert code == 2
    for part in ("mine.json", "3 problems", "did you mean training?", "input.roi", "loss.temperature"):
        assert part in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("pretrain",), "--out"),
        (("pretrain", "--out", "x"), "--data"),
        (("pretrain", "--out", "x", "--data", "d", "--steps", "many"), "many"),
        (("pretrain", "--out", "x", "--data", "d", "--set", "loss.contrast"), "NAME=VALUE"),
        (("paint",), "paint"),
        (("pretrain", "--out", "x", "--resume"), "no run"),
        (("models", "show", "nowhere"), "nowhere"),
        (("phantoms", "--count", "0", "--out", "x"), "0 phantoms"),
        (("evaluate", "--prediction", "a.nii.gz", "--reference", "b.nii.gz"), ".nii.gz"),
    ],
)
def test_misuse(swinssl, tmp_path, monkeypatch, arguments, part):
    monkeypatch.chdir(tmp_path)
    code, _, told = swinssl(*arguments)
    assert (code, part in told) == (2, True), told
    assert not list(tmp_path.iterdir())


def test_output_folders_that_cannot_be_used(swinssl, tmp_path, a_cohort, a_pretrained_run, tiny):
    command = ("pretrain", "--data", a_cohort, "--preset", "quick", "--settings", tiny[0])
    before = {file: file.stat().st_mtime_ns for file in a_pretrained_run.rglob("*")}
    code, _, told = swinssl(*command, "--out", a_pretrained_run)
    assert (code, "already holds a run" in told, "--resume" in told) == (2, True, True)
    code, _, told = swinssl(*command, "--out", a_pretrained_run, "--resume", "--lr", 0.5)
    assert (code, "training.lr" in told) == (2, True)
    assert before == {file: file.stat().st_mtime_ns for file in a_pretrained_run.rglob("*")}
    blocked = tmp_path / "file"
    blocked.write_text("a file, not a folder")
    code, _, told = swinssl(*command, "--out", blocked / "run")
    assert (code, str(blocked) in told) == (2, True)
    assert blocked.read_text() == "a file, not a folder"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are a matter of POSIX")
def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path, a_cohort, tiny):
    """A limit of file size ends writes as a full disk does: with an OSError in the middle of a file."""
    code = (
        "import resource, sys\nfrom SwinSSLLib.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\nsys.exit(main(sys.argv[1:]))"
    )
    command = (
        sys.executable, "-c", code, "pretrain", "--data", a_cohort, "--out", tmp_path / "run", "--preset", "quick",
        "--settings", tiny[0], "--no-report",
    )  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    run = RunFolder(tmp_path / "run")
    assert run.status()["state"] == "failed"
    assert next(event for event in run.events() if event["event"] == "error")["exit_code"] == 2
    assert not list(run.path.rglob("*.part"))
    assert not (run.checkpoints / "last.ckpt").exists()


def test_an_unforeseen_error_points_to_the_log(swinssl, tmp_path, a_cohort, tiny, monkeypatch):
    from SwinSSLLib.pretrain import trainer

    def broken(*_):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(trainer, "two_views", broken)
    out = tmp_path / "run"
    code, _, told = swinssl("pretrain", "-d", a_cohort, "-o", out, "-p", "quick", "--settings", tiny[0])
    assert code == 1
    assert "Traceback" not in told
    assert str(RunFolder(out).log_file) in told
    assert "ZeroDivisionError: a fault of ours" in RunFolder(out).log_file.read_text()

"""Reports of runs: complete, self-contained, and robust against runs that lack things."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from report_pages import Page, check_self_contained, decoded, event, metric

from SwinSSLLib.errors import InputError
from SwinSSLLib.evaluate.record import Record
from SwinSSLLib.evaluate.report import duration, write_report
from SwinSSLLib.runs import RunFolder


def sub_volumes(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    original = np.random.default_rng(0).random((3, 16, 12, 10)).astype(np.float16)
    probability = np.full((3, 4), 0.05)
    probability[[0, 1, 2], [0, 2, 3]] = 0.85  # told 0, 180, 270; they are 0, 90, 270
    return {
        "original": original,
        "masked": np.where(original > 0.9, 0, original),
        "reconstructed": rng.random(original.shape).astype(np.float16),
        "rotation_true": np.array([0, 1, 3]),
        "rotation_probability": probability,
        "similarity": np.eye(6) * 0.5 + 0.5,
        "confusion": np.array([[5, 0, 0, 0], [1, 2, 3, 0], [0, 0, 6, 0], [0, 0, 0, 7]]),
        "ijk_to_ras": np.stack([np.diag([1.5, 1.5, 2.0, 1.0])] * 3),
        "source": np.array(["ct-a", "<b>ct</b>", "ct-c"]),
        "hu_window": np.array([-175.0, 250.0]),
    }


@pytest.fixture
def a_pretraining_run(tmp_path) -> RunFolder:
    run = RunFolder(tmp_path / "my run & more")
    inputs = [{"name": "CT 001", "path": "/data/a.nii.gz", "content": "0123456789abcdef", "spacing": [1.5, 1.5, 2.0]}]
    settings = {"preset": "quick", "training": {"steps": 40, "lr": 0.001}, "views": {"rotation": "axial"}}
    run.create("pretrain", settings, inputs)
    lines = [event("started", 0, device="CPU (test)", chance={"rotation": 1.386294, "inpaint": 0.2}, validation=["a"])]
    for step in (10, 20, 30, 40):
        lines += [metric("train/rotation", step, 1.4 - step / 50), metric("train/inpaint", step, 0.3 - step / 200)]
        lines += [metric("validation/rotation_loss", step, 1.3 - step / 50)]
        lines += [metric("validation/rotation_accuracy", step, 0.25 + step / 80)]
    lines += [event("warning", 41, message="ct-a is strange."), event("finished", 42, model="model")]
    run.events_file.write_text("".join(lines))
    run.status_file.write_text(json.dumps({"state": "finished", "step": 40, "total": 40, "host": "here", "rate": 2.5}))
    for step in (0, 40):
        np.savez(run.previews / f"step-{step:06d}.npz", **sub_volumes(step), step=step)
    return run


@pytest.fixture
def a_finetuning_run(tmp_path) -> RunFolder:
    run = RunFolder(tmp_path / "fine")
    run.create("finetune", {"training": {"steps": 20}}, [], init="/runs/pre")
    lines = [event("started", 0, device="CPU", init="/runs/pre", coverage="126 of 126 tensors", validation=["case-x"])]
    for step, dice in ((10, 0.4), (20, 0.75)):
        lines += [metric("train/total", step, 2 - dice), metric("validation/dice", step, dice)]
        lines += [metric("validation/dice/liver", step, dice + 0.1), metric("validation/dice/spleen", step, dice - 0.1)]
    run.events_file.write_text("".join(lines))
    truth = np.zeros((1, 20, 18, 16), np.uint8)
    truth[0, 2:12, 3:14, 4:12] = 6
    image = np.random.default_rng(0).random(truth.shape).astype(np.float16)
    np.savez(
        run.previews / "segmentation-000020.npz",
        image=image, truth=truth, prediction=np.roll(truth, 1, axis=1), spacing=np.array([4.0, 4.0, 4.0]), step=20,
    )  # fmt: skip
    return run


def test_a_pretraining_report_has_everything_and_needs_nothing(a_pretraining_run):
    page = Page(write_report(a_pretraining_run.path))
    check_self_contained(page)
    for words in (
        "my run & more", "preset quick", "CPU (test)", "ct-a is strange.", "Rotation, cross-entropy", "ln 4",
        "Original, masked, reconstructed", "reconstructed, step 0", "reconstructed, step 40", "-175 to 250 HU",
        "✓ told 0°", "✗ told 180°, was 90°", "85%", "20 of 24 fixed views right", "partners 0.50",
        "training.lr 0.001", "CT 001", "0123456789ab", "1.5 × 1.5 × 2",
    ):  # fmt: skip
        assert words in page.text, words
    assert "a.nii.gz" not in page.text, "job.json alone knows the files"
    assert "0.500, chance 1.386" in page.text, "last value of the validation and its chance line"
    assert "not learned" not in page.text
    pictures = [address for address in page.addresses if address.startswith("data:")]
    assert len(pictures) == 3 * 3 * 4 + 3, "three planes of original, masked, two reconstructions; the board"


def test_a_task_that_stays_at_chance_is_called_so(a_pretraining_run):
    with a_pretraining_run.events_file.open("a") as file:
        file.write(metric("validation/rotation_loss", 50, 1.40) + metric("validation/inpaint", 50, 0.19))
    page = Page(write_report(a_pretraining_run.path))
    assert "1.400, chance 1.386 : not learned" in page.text
    assert page.text.count("not learned") == 1


def test_names_from_outside_are_shown_and_not_obeyed(a_pretraining_run):
    page = Page(write_report(a_pretraining_run.path))
    assert "<b>ct</b>" in page.text
    assert "&lt;b&gt;ct&lt;/b&gt;" in page.raw


def test_a_finetuning_report_has_dice_by_organ_and_overlays(a_finetuning_run, tmp_path):
    out = tmp_path / "elsewhere" / "r.html"
    assert write_report(a_finetuning_run.path, out) == out
    page = Page(out)
    check_self_contained(page)
    for words in (
        "from pre", "126 of 126 tensors", "one CT (case-x)", "liver", "0.850", "spleen", "0.650", "0.750 at step 20",
        "not in these cases", "truth, axial", "prediction, sagittal",
    ):  # fmt: skip
        assert words in page.text, words
    assert sum(address.startswith("data:") for address in page.addresses) == 9
    assert page.text.count("not in these cases") == 11


def test_pictures_of_the_last_step_differ_where_prediction_and_truth_differ(a_finetuning_run):
    page = Page(write_report(a_finetuning_run.path))
    ct, truth, prediction = (decoded(address) for address in page.addresses[:3])
    red_liver = (truth[..., 0] - truth[..., 2] > 0.1) & (np.ptp(ct, axis=-1) < 0.01)
    red_predicted = prediction[..., 0] - prediction[..., 2] > 0.1
    assert red_liver.any()
    assert 0.85 < 2 * (red_liver & red_predicted).sum() / (red_liver.sum() + red_predicted.sum()) < 1


def test_a_run_that_has_not_begun_is_reported_with_sentences(tmp_path):
    run = RunFolder(tmp_path / "new")
    run.create("pretrain", {}, [])
    page = Page(write_report(run.path))
    assert "not started" in page.text
    assert "The run has no measurements yet." in page.text
    assert page.text.count("no previews") == 3


def test_damaged_parts_are_left_out_and_the_rest_is_shown(a_pretraining_run):
    run = a_pretraining_run
    whole = (run.previews / "step-000040.npz").read_bytes()
    (run.previews / "step-000040.npz").write_bytes(whole[: len(whole) // 2])
    run.status_file.write_text("{")
    with run.events_file.open("a") as file:
        file.write('{"event": "metric", "name": "validation/rotation_loss", "value": NaN, "step": 50}\n{"event": "met')
    page = Page(write_report(run.path))
    assert "reconstructed, step 0" in page.text
    assert "reconstructed, step 40" not in page.text
    assert "a.nii.gz" not in page.text, "job.json alone knows the files"
    assert "0.500, chance 1.386" in page.text


def test_a_preview_cannot_run_code(a_pretraining_run):
    np.savez(a_pretraining_run.previews / "step-000050.npz", original=np.array([{"a": 1}], dtype=object))
    record = Record.read(a_pretraining_run.path)
    assert record.preview(a_pretraining_run.previews / "step-000050.npz") == {}


def test_something_else_than_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"job\.json"):
        write_report(tmp_path)


def test_after_a_resume_the_last_value_of_a_step_counts_and_the_pause_is_no_work(tmp_path):
    run = RunFolder(tmp_path / "resumed")
    run.create("pretrain", {}, [])
    run.events_file.write_text(
        event("started", 0) + metric("train/total", 10, 5.0) + event("started", 40) + metric("train/total", 10, 3.0)
        + event("finished", 45)
    )  # fmt: skip
    record = Record.read(run.path)
    assert record.metrics["train/total"] == {10: 3.0}
    assert record.starts == 2
    assert record.seconds == 10 + 35  # 0 to 10, and 40 back to 10 (clocks) to 45


@pytest.mark.parametrize(("seconds", "words"), [(None, "–"), (59.6, "60 s"), (300, "5 min"), (7500, "2 h 5 min")])
def test_durations_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_a_probe_of_a_run_stands_in_its_report(tmp_path, a_pretrained_run):
    run = tmp_path / "run"
    shutil.copytree(a_pretrained_run, run)
    assert "Linear probe" not in Page(write_report(run)).text
    recall = {"liver": 0.25, "spleen": 0.125}
    found = {"model": {"recall": recall}, "random": {"recall": {"liver": 0.375}}, "sentence": "Told by a layer."}
    (run / "probe.json").write_text(json.dumps(found))
    text = Page(write_report(run)).text
    for words in ("Linear probe", "Told by a layer.", "0.375", "0.250"):
        assert words in text, words
    (run / "probe.json").write_text('{"model": 3}')
    assert "Linear probe" not in Page(write_report(run)).text

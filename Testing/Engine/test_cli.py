"""The command line: the forms that others rely on, machines that listen, runs that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from conftest import same_tensors

from SwinSSLLib.checkpoints import load_checkpoint
from SwinSSLLib.models import load_model
from SwinSSLLib.runs import RunFolder


def test_the_whole_way_by_the_forms_that_others_rely_on(swinssl, tmp_path, tiny):
    cohort, run, tuned = tmp_path / "cohort", tmp_path / "run", tmp_path / "tuned"
    code, *_ = swinssl("phantoms", "--count", 6, "--seed", 1, "--out", cohort, "--spacing", 8, 8, 8)
    assert code == 0
    listed = json.loads((cohort / "dataset.json").read_text())
    assert {"training", "validation", "unlabelled"} <= listed.keys()
    assert all((cohort / case["image"]).is_file() for case in listed["training"] + listed["unlabelled"])
    pretraining = ("pretrain", "--data", cohort, "--out", run, "--preset", "quick", "--settings", tiny[0], "--steps", 2)
    code, out, _ = swinssl(*pretraining, "--seed", 3)
    assert (code, RunFolder(run).status()["state"]) == (0, "finished")
    assert str(run / "report.html") in out
    assert RunFolder(run).job()["settings"]["training"]["seed"] == 3
    assert "<html" in (run / "report.html").read_text()
    assert swinssl("pretrain", "--out", run, "--resume")[0] == 0  # nothing left to do is no error
    code, out, _ = swinssl(
        "finetune", "--data", cohort / "dataset.json", "--init", run, "--out", tuned, "--preset", "quick",
        "--settings", tiny[1], "--steps", 2,
    )  # fmt: skip
    assert code == 0
    assert "126 of 126 encoder tensors taken over" in out
    ct = next((cohort / "images").iterdir())
    for name in ("a.seg.nrrd", "b.nii.gz"):
        code, out, _ = swinssl("segment", ct, "--model", tuned, "--out", tmp_path / name)
        assert code == 0
        assert (tmp_path / name).is_file()
    assert swinssl("segment", cohort / "images", "--model", tuned, "--out", tmp_path / "many")[0] == 0
    assert len(list((tmp_path / "many").glob("*.seg.nrrd"))) == 6
    reference = cohort / "labels" / Path(listed["validation"][0]["label"]).name
    code, out, _ = swinssl("evaluate", "--prediction", reference, "--reference", reference, "--json")
    assert code == 0
    assert json.loads(out)["mean"]["dice"] == 1.0


def test_scratch_is_an_init(swinssl, tmp_path, a_cohort, tiny):
    out = tmp_path / "run"
    code, *_ = swinssl(
        "finetune", "--data", a_cohort, "--init", "scratch", "--out", out, "--preset", "quick", "--settings", tiny[1],
        "--steps", 1, "--no-report",
    )  # fmt: skip
    assert code == 0
    assert load_model(out).card["provenance"]["encoder"] == "from scratch"


def test_machines_read_events_line_by_line(swinssl, tmp_path, a_cohort, tiny):
    code, out, _ = swinssl(
        "pretrain", "-d", a_cohort, "-o", tmp_path / "run", "-p", "quick", "--settings", tiny[0], "-n", 2, "--json"
    )
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert next(event["event"] for event in events if event["event"] != "progress") == "started"
    assert events[-1]["event"] == "finished"
    assert events == list(RunFolder(tmp_path / "run").events())


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "SwinSSLLib", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("swinssl ")


@pytest.mark.parametrize("how", ["end of standard input", "the word stop", "Ctrl+C", "swinssl stop"])
def test_a_worker_that_is_asked_to_stop_saves_and_ends_well(tmp_path, a_cohort, tiny, how, swinssl):
    command = [
        sys.executable, "-m", "SwinSSLLib", "pretrain", "--data", a_cohort, "--out", tmp_path / "run",
        "--preset", "quick", "--settings", tiny[0], "--steps", 100000, "--control", "--json", "--no-report",
    ]  # fmt: skip
    worker = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in worker.stdout:
        if json.loads(line)["event"] == "progress" and "stage" not in json.loads(line):
            break
    if how == "Ctrl+C":
        worker.send_signal(signal.SIGINT)
    elif how == "the word stop":
        worker.stdin.write("stop\n")
        worker.stdin.flush()
    elif how == "swinssl stop":
        assert swinssl("stop", tmp_path / "run")[0] == 0
    else:
        worker.stdin.close()
    events = [json.loads(line)["event"] for line in worker.stdout]
    assert worker.wait() == 0
    assert events[-1] == "stopped"
    assert RunFolder(tmp_path / "run").status()["state"] == "stopped"
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert not RunFolder(tmp_path / "run").wish("stop").exists()
    if how == "swinssl stop":
        code, _, err = swinssl("stop", tmp_path / "run")
        assert (code, "it is stopped" in err) == (2, True)


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_a_killed_run_resumes_to_the_bit(tmp_path, a_cohort, a_pretrained_run, a_segmenter, tiny, kind):
    """2 k steps equal k + SIGKILL + resume + k."""
    out, whole = tmp_path / "run", a_pretrained_run if kind == "pretrain" else a_segmenter
    command = [sys.executable, "-m", "SwinSSLLib", kind, "--out", out, "--json", "--no-report"]
    start = ["--data", a_cohort, "--preset", "quick", "--settings", tiny[kind == "finetune"]]
    if kind == "finetune":
        start += ["--init", a_pretrained_run]
    worker = subprocess.Popen(list(map(str, command + start)), stdout=subprocess.PIPE, text=True)
    for line in worker.stdout:
        event = json.loads(line)
        if event["event"] == "checkpoint" and event["file"].endswith("last.ckpt"):
            worker.kill()
            break
    assert worker.wait() != 0
    assert load_checkpoint(out / "checkpoints" / "last.ckpt")["step"] == 2
    assert RunFolder(out).status()["state"] == "running"  # nobody was there to say otherwise
    done = subprocess.run(list(map(str, [*command, "--resume"])), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    first, second = (load_checkpoint(run / "checkpoints" / "last.ckpt") for run in (whole, out))
    assert second["step"] == 4
    assert same_tensors(first["model"], second["model"])
    for number, state in first["optimizer"]["state"].items():
        assert same_tensors(state, second["optimizer"]["state"][number])


def test_machines_hear_of_an_error_once(swinssl, tmp_path, a_cohort, tiny):
    out = tmp_path / "run"
    changes = ("--settings", tiny[0], "--set", "input.roi=[96,96,96]", "--json")
    code, told, _ = swinssl("pretrain", "-d", a_cohort, "-o", out, "-p", "quick", *changes)
    errors = [json.loads(line) for line in told.splitlines() if json.loads(line)["event"] == "error"]
    assert (code, len(errors), errors[0]["exit_code"]) == (2, 1, 2)
    assert "smaller than a sub-volume" in errors[0]["message"]
    assert errors[0]["hint"]


def test_doctor_runs_the_network_on_every_device(swinssl):
    code, out, _ = swinssl("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["works"]
    assert found["devices"][0]["device"] == "cpu"


def test_the_cache_is_listed_checked_and_emptied(swinssl, tmp_path, a_cohort, tiny):
    cache = tmp_path / "cache"
    swinssl("pretrain", "-d", a_cohort, "-o", tmp_path / "run", "-p", "quick", "--settings", tiny[0], "-n", 1,
            "--cache", cache, "--no-report")  # fmt: skip
    code, told, _ = swinssl("cache", "verify", "--cache", cache, "--json")
    entries = json.loads(told)["entries"]
    assert (code, [entry["good"] for entry in entries]) == (0, [True] * 6)
    assert [entry["spacing"] for entry in entries] == [[8.0, 8.0, 8.0]] * 6
    assert all(entry["bytes"] > 2 * 42 * 36 * 36 for entry in entries)
    image = next(cache.glob(f"{entries[0]['key']}/*.npy"))
    content = bytearray(image.read_bytes())
    content[-1] ^= 1
    image.chmod(0o644)
    image.write_bytes(content)
    code, told, _ = swinssl("cache", "verify", "--cache", cache, "--json")
    assert (code, [entry["good"] for entry in json.loads(told)["entries"]].count(False)) == (2, 1)
    code, _, said = swinssl("cache", "verify", "--cache", cache)
    assert code == 2 and "1 of 6 entries" in said
    assert f"swinssl cache delete {entries[0]['key']}`" in said
    assert swinssl("cache", "verify", entries[1]["key"], "--cache", cache)[0] == 0
    assert swinssl("cache", "delete", entries[0]["key"], "--cache", cache)[0] == 0
    assert len(json.loads(swinssl("cache", "list", "--cache", cache, "--json")[1])["entries"]) == 5
    assert swinssl("cache", "delete", "nonsense", "--cache", cache)[0] == 2
    swinssl("cache", "delete", "--cache", cache)
    assert json.loads(swinssl("cache", "list", "--cache", cache, "--json")[1])["entries"] == []


@pytest.fixture
def bare_python(tmp_path):
    """Run the engine with a Python that has none of its packages."""
    venv.create(tmp_path / "bare", with_pip=False)
    program = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    root = str(Path(__file__).resolve().parents[2])

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [program, "-m", "SwinSSLLib", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root})

    return run


def test_with_nothing_installed_the_check_says_what_is_missing(bare_python):
    done = bare_python("doctor", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["works"], found["devices"]) == (4, False, [])
    assert found["packages"]["torch"] is None
    assert found["packages"]["monai"] is None


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_with_nothing_installed_every_other_command_is_one_sentence(bare_python, option):
    done = bare_python("models", "list", *option)
    assert done.returncode == 4
    assert "is missing" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_torch_is_a_finding(tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libcudart.so: file too short')")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])}
    command = [sys.executable, "-m", "SwinSSLLib", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    found = json.loads(done.stdout)
    assert (done.returncode, found["works"]) == (4, False)
    assert "file too short" in found["torch_problem"]

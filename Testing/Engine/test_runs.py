"""The run folder: readers that come late, writers that die, folders that hold something else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from SwinSSLLib import atomic, runs
from SwinSSLLib.control import Control
from SwinSSLLib.errors import InputError
from SwinSSLLib.ranks import process_rank
from SwinSSLLib.reporting import Reporter
from SwinSSLLib.runs import RunFolder, read_events


@pytest.fixture
def a_run(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.create("pretrain", {"training": {"steps": 3}, "seed": 0}, [])
    return run


def test_a_reader_follows_a_growing_file(tmp_path):
    file = tmp_path / "events.jsonl"
    assert read_events(file) == ([], 0)
    file.write_bytes(b'{"event": "started"}\n{"event": "prog')
    first, offset = read_events(file)
    assert [event["event"] for event in first] == ["started"]
    with file.open("ab") as opened:
        opened.write('ress", "name": "größer"}\n'.encode())
    second, end = read_events(file, offset)
    assert second == [{"event": "progress", "name": "größer"}]
    assert end == file.stat().st_size
    assert read_events(file, end) == ([], end)


def test_every_cut_of_the_file_gives_only_whole_events(tmp_path):
    file = tmp_path / "events.jsonl"
    whole = b"".join(json.dumps({"event": "metric", "value": n, "name": "é"}).encode() + b"\n" for n in range(3))
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        events, offset = read_events(file)
        assert [event["value"] for event in events] == list(range(whole[:length].count(b"\n")))
        file.write_bytes(whole)
        rest, _ = read_events(file, offset)
        assert [event["value"] for event in (*events, *rest)] == [0, 1, 2]


def test_rubbish_in_the_middle_is_passed_over(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"event": "a"}\n{"event": "b\n\x00\xff\n[1]\n{"event": "c"}\n')
    assert [event["event"] for event in read_events(file)[0]] == ["a", "c"]


def test_a_writer_that_died_in_mid_line_does_not_spoil_the_next_one(a_run):
    a_run.events_file.write_bytes(b'{"event": "progress", "ste')
    with Reporter(a_run) as reporter:
        reporter.emit("started")
    assert [event["event"] for event in a_run.events()] == ["started"]


def test_events_and_status_agree(a_run):
    seen = []
    with Reporter(a_run, (seen.append,)) as reporter:
        reporter.state("running", total=3)
        for step in range(4):
            reporter.progress(step, 3, every=0.0)
        reporter.metrics(3, {"validation/dice/liver": 0.5})
        reporter.state("finished")
    assert seen == list(a_run.events())
    assert seen[-1] | {"time": ""} == {
        "event": "metric", "time": "", "name": "validation/dice/liver", "value": 0.5, "step": 3,
    }  # fmt: skip
    status = a_run.status()
    assert (status["state"], status["step"], status["total"], status["pid"]) == ("finished", 3, 3, os.getpid())


def test_a_folder_that_holds_something_is_left_alone(tmp_path, a_run):
    with pytest.raises(InputError, match="already holds a run"):
        a_run.create("finetune", {}, [])
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        RunFolder(other).create("pretrain", {}, [])
    assert [file.name for file in other.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_run_that_never_began_gives_way(tmp_path, state):
    """A CT could not be read: the corrected command is to start, and not to be told of a run that there never was."""
    run = RunFolder(tmp_path / "run")
    run.create("pretrain", {"first": True}, [])
    run.status_file.write_text(json.dumps({"state": state}))
    run.events_file.write_text('{"event": "error"}\n')
    run.log_file.write_text("what happened\n")
    with run.writing(new=True):
        run.create("pretrain", {"second": True}, [])
    assert run.job()["settings"] == {"second": True}
    assert list(run.events()) == []
    assert run.log_file.read_text() == "what happened\n"


@pytest.mark.parametrize("left", ["checkpoints/last.ckpt", "previews/step-000000.npz", "model/model.json", "running"])
def test_what_a_run_has_made_is_never_lost_to_another(tmp_path, left):
    run = RunFolder(tmp_path / "run")
    run.create("pretrain", {}, [])
    run.status_file.write_text(json.dumps({"state": "running" if left == "running" else "failed"}))
    if left != "running":
        (run.path / left).parent.mkdir(exist_ok=True)
        (run.path / left).write_bytes(b"x")
    with pytest.raises(InputError, match="already holds a run"):
        run.create("pretrain", {}, [])


def test_a_different_run_is_not_continued(a_run):
    a_run.check_same("pretrain", {"training": {"steps": 3}, "seed": 0})
    with pytest.raises(InputError, match=r"training.steps: 3 there, 5 now"):
        a_run.check_same("pretrain", {"training": {"steps": 5}, "seed": 0})
    with pytest.raises(InputError, match="not a finetune run"):
        a_run.check_same("finetune", {"training": {"steps": 3}, "seed": 0})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_job_file_is_named(a_run, content):
    a_run.job_file.write_bytes(content)
    with pytest.raises(InputError, match=r"job\.json"):
        a_run.job()


def test_a_file_is_whole_or_not_there(tmp_path):
    file = tmp_path / "x.json"
    atomic.write_json(file, {"a": 1})
    with pytest.raises(RuntimeError), atomic.replacing(file) as opened:
        opened.write(b"half")
        raise RuntimeError
    assert json.loads(file.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_wishes_of_an_earlier_run_are_forgotten_and_new_ones_are_heard(a_run):
    a_run.ask("stop")
    with Control(run=a_run) as control:
        assert not control.stop
        a_run.ask("preview")
        control._looked = 0.0  # as if a second had passed
        assert control.take_preview()
        assert not control.take_preview()
        a_run.ask("stop")
        control._looked = 0.0
        assert control.stop
    assert not any(a_run.wish(word).exists() for word in ("stop", "preview"))


# --- one writer at a time

HOLD = """
import sys, time
from pathlib import Path
from SwinSSLLib.runs import RunFolder
with RunFolder(Path(sys.argv[1])).writing(new=False):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_run_has_one_writer_and_a_dead_one_leaves_no_lock(tmp_path):
    """The lock is the operating system's: killing its holder gives it back."""
    run = RunFolder(tmp_path)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match=f"being written by another process.*{holder.pid}") as caught,
            run.writing(new=False),
        ):
            pass
        assert "swinssl stop" in caught.value.hint
    finally:
        holder.kill()
        holder.wait()
    with run.writing(new=False):
        assert str(os.getpid()) in run.lock.read_text()
    with run.writing(new=False):
        pass


def test_no_lock_is_left_in_a_folder_that_is_none_of_ours(tmp_path):
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(InputError, match="not an empty folder"), RunFolder(tmp_path).writing(new=True):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({}, 0),
        ({"RANK": "3", "LOCAL_RANK": "1"}, 3),
        ({"SLURM_PROCID": "2", "LOCAL_RANK": "0"}, 2),
        ({"LOCAL_RANK": "1"}, 1),
        ({"RANK": ""}, 0),
    ],
)
def test_the_rank_is_known_from_every_launcher(variables, rank, monkeypatch):
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert process_rank() == rank


def test_the_commit_of_a_clone_is_recorded():
    clone = Path(runs.__file__).resolve().parents[1]
    commit = runs.versions().get("commit")
    if not (clone / ".git").exists():
        assert commit is None
        return
    head = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert head.stdout.startswith(commit.removesuffix("-dirty"))
    assert len(commit.removesuffix("-dirty")) >= 12


def test_an_installed_package_takes_nobody_elses_commit(tmp_path, monkeypatch):
    """A virtual environment inside of a clone of something else."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "lib" / "site-packages" / "SwinSSLLib" / "runs.py"))
    assert "commit" not in runs.versions()

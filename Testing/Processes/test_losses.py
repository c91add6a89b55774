"""Every way to lose a process, and shares that come out uneven."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from launched import command, crew, metrics, processes, run, start, step_of, wait_until

from SwinSSLLib.locking import only_writer
from SwinSSLLib.runs import RunFolder


def words_of(kind: str, cohort: Path, tiny: tuple[Path, Path], out: Path, *more: object) -> tuple[object, ...]:
    settings = tiny[kind == "finetune"]
    return (
        kind, "--data", cohort, "--out", out, "--preset", "quick", "--settings", settings, "--no-report",
        "--device", "cpu", *more,
    )  # fmt: skip


@pytest.mark.parametrize("waiting", [False, True], ids=["at work", "awaited in a collective"])
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("launcher", ["torchrun", "devices"])
def test_a_killed_process_ends_all_within_a_minute_and_leaves_a_run_to_resume(
    tmp_path, a_cohort, tiny, launcher, rank, waiting
):
    out, many = tmp_path / "run", 100_000
    words = words_of("pretrain", a_cohort, tiny, out, "--steps", many)
    by = {"torchrun": 2, "options": ("--redirects", 3, "--log-dir", tmp_path / "said")}
    launched = start(command(*words, **by) if launcher == "torchrun" else command(*words, "--devices", 2))
    wait_until(lambda: step_of(out) >= 2 and (out / "checkpoints" / "last.ckpt").is_file())
    members = processes(launched.pid, out)
    assert sorted(members) == [0, 1]
    if waiting:
        members[rank].send_signal(signal.SIGSTOP)
        time.sleep(2)
    killed = time.monotonic()
    members[rank].kill()
    told, complaints = launched.communicate(timeout=60)
    wait_until(lambda: not any(member.is_running() for member in members.values()), 60)
    assert time.monotonic() - killed < 60
    assert launched.returncode != 0
    own = told + complaints
    if launcher == "torchrun":  # its own report has a traceback; ours are kept apart
        own = "".join(file.read_text() for file in (tmp_path / "said").rglob("std*.log"))
    assert own.count(f"Process {rank} of 2 ended without a word") == 1
    assert "Traceback" not in own
    logs = "".join(file.read_text() for file in out.glob("log*.txt"))
    assert f"Process {rank} of 2 ended without a word" in logs
    if rank == 1:
        assert RunFolder(out).status()["state"] == "failed"
        errors = [event for event in RunFolder(out).events() if event["event"] == "error"]
        assert [event["exit_code"] for event in errors] == [1]
    with only_writer(RunFolder(out).lock, "the run", ""):
        pass
    if waiting:
        return
    resume = command("pretrain", "--out", out, "--resume", "--no-report", "--devices", 2)
    going_on = start(resume)
    before = json.loads((out / "status.json").read_text())["step"]
    wait_until(lambda: step_of(out) > before)
    going_on.send_signal(signal.SIGTERM)
    _, complaints = going_on.communicate(timeout=120)
    assert (going_on.returncode, RunFolder(out).status()["state"]) == (0, "stopped"), complaints[-2000:]


def test_an_error_of_one_process_is_told_once_by_the_first():
    code, told = crew("error")
    assert (code, told.splitlines()) == (2, ["0 says: Process 1: The file x.nii.gz is a cake."])


def test_when_the_first_is_killed_the_second_speaks():
    code, told = crew("first killed")
    assert code == -signal.SIGKILL
    assert len(told.splitlines()) == 1, told
    assert told.startswith("1 ")
    assert "Process 0 of 3 ended without a word" in told


def test_a_wish_to_stop_reaches_all():
    code, told = crew("stop")
    assert code == 0
    assert sorted(told.splitlines())[::2] == [f"{rank} is done" for rank in range(3)]
    assert sorted(told.splitlines())[1::2] == [f"{rank} wish True, told True" for rank in range(3)]


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_uneven_shares_change_nothing(tmp_path, a_cohort, tiny, kind):
    """One, two and three processes with six sub-volumes a step.

    Pre-training: five CTs to learn from, one to validate with, four sub-volumes of it. Fine-tuning: two CTs to learn
    from and one to validate with, fewer than processes. The squared Dice term is that of each process's own patches.
    """
    found = {}
    for count in (1, 2, 3):
        out = tmp_path / str(count)
        more = ("--steps", 3, "--batch", 6 // count) + (
            ("--init", "scratch", "--set", "dice=plain") if kind == "finetune" else ()
        )
        run(command(*words_of(kind, a_cohort, tiny, out, *more), torchrun=count))
        found[count] = metrics(out)
    for count in (2, 3):
        assert found[count].keys() == found[1].keys()
        for key, value in found[1].items():
            assert found[count][key] == pytest.approx(value, rel=1e-2 if "dice" in key[0] else 1e-4, abs=1e-6), key

"""The examples of Docs/cluster.md, run as they stand there: smaller, on CPUs, with stand-ins for Slurm's commands."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from launched import environment, step_of, wait_until

from SwinSSLLib.runs import RunFolder

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "cluster.md"
ROOT = PAGE.parents[1]

#: Starts the tasks of a step on this machine, with the variables that Slurm gives them.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
status=0; tasks=()
for ((rank = 0; rank < SLURM_NTASKS; rank++)); do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_NODEID=0 "$@" & tasks+=($!)
done
for task in "${tasks[@]}"; do wait $task || status=$?; done
exit $status
"""
#: Remembers what it was asked for; one node there is, and it is this machine.
SCONTROL = """#!/bin/bash
if [[ $1 == show ]]; then echo localhost; else echo "$@" >> "$REQUEUED"; fi
"""


def examples(language: str) -> list[str]:
    """The code of the page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def desk(tmp_path, a_cohort, tiny):
    """Where the examples run: commands on the path, data, settings, and how to run one."""
    tools, settings = tmp_path / "bin", tiny[0].read_text()
    tools.mkdir()
    python = sys.executable
    scripts = {
        "srun": SRUN,
        "scontrol": SCONTROL,
        "swinssl": f'#!/bin/bash\nexec {python} -m SwinSSLLib "$@"\n',
        "torchrun": f'#!/bin/bash\nexec {python} -m torch.distributed.run "$@"\n',
    }
    for name, content in scripts.items():
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)
    (tmp_path / "settings.json").write_text(settings.replace('"steps": 4', '"steps": 4, "device": "cpu"', 1))
    return Desk(tmp_path, a_cohort)


class Desk:
    def __init__(self, folder: Path, cohort: Path) -> None:
        self.folder, self.cohort = folder, cohort
        self.run = RunFolder(folder / "runs" / "big")

    def smaller(self, text: str, **changes: str) -> str:
        """The example with this machine's paths, two processes, and the settings of a small network."""
        known = {
            "/shared/cts": str(self.cohort),
            "/shared/runs/big": str(self.run.path),
            "/shared/swinssl-cache": str(self.folder / "cache"),
            "OMP_NUM_THREADS=8": "OMP_NUM_THREADS=1",
            "settings.toml": f"{self.folder / 'settings.json'} --preset quick --no-report",
            "--devices 8": "--devices 2",
            "--nproc-per-node 8": "--nproc-per-node 2",
            **changes,
        }
        for old, new in known.items():
            text = text.replace(old, new)
        return text

    def start(self, script: str, **variables: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        surroundings = environment(PATH=path, PYTHONPATH=paths, REQUEUED=str(self.folder / "requeued"), **variables)
        return subprocess.Popen(
            ["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=surroundings,
            cwd=self.folder,
        )  # fmt: skip

    def finish(self, launched: subprocess.Popen[str]) -> str:
        told, _ = launched.communicate(timeout=300)
        assert launched.returncode == 0, told[-3000:]
        assert self.run.status()["state"] == "finished"
        return told


def free_port() -> int:
    """One that no other run meets at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def directives(script: str) -> dict[str, str]:
    """What a script asks sbatch for."""
    return dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE))


def slurm(script: str, tasks: int) -> dict[str, str]:
    """Variables of a job of this script with so many tasks on one node."""
    asked = directives(script)
    return {
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": asked["job-name"], "SLURM_NNODES": "1", "SLURM_NTASKS": str(tasks),
        "SLURM_NTASKS_PER_NODE": str(tasks), "SLURM_CPUS_PER_TASK": "1", "SLURM_NODELIST": "localhost",
        "SLURM_JOB_NODELIST": "localhost",
    }  # fmt: skip


def test_the_page_has_the_examples_that_are_run_here():
    assert len(examples("bash")) == 6
    assert len(examples("sbatch")) == 3
    every = {word for script in examples("sbatch") for word in directives(script)}
    assert {"signal", "requeue", "time", "ntasks-per-node", "open-mode", "array"} <= every
    for script in examples("sbatch"):
        assert "requeue" not in directives(script) or directives(script)["signal"].startswith("TERM@")
        assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0


def test_what_is_done_once_prepares_a_run(desk):
    """Settings are printed, taken back, and fill the cache; here for the data and the spacing of the other examples."""
    mine = {"settings.toml": str(desk.folder / "mine.toml"), "settings pretrain": "settings pretrain --preset quick"}
    prepared = desk.start("set -e\n" + desk.smaller(examples("bash")[0], **mine))
    told, _ = prepared.communicate(timeout=300)
    assert prepared.returncode == 0, told[-3000:]
    assert "All 6 CTs can be used." in told
    assert "6 now, 0 before" in told
    assert len(list((desk.folder / "cache").glob("*/image.npy"))) == 6


@pytest.mark.parametrize("number", [1, 2], ids=["devices", "torchrun"])
def test_one_machine(desk, number):
    desk.finish(desk.start(desk.smaller(examples("bash")[number])))
    if number == 1:
        longer = {"/shared/runs/longer": str(desk.run.path.with_name("longer")), "--steps 50000": "--steps 2"}
        more = desk.start(desk.smaller(examples("bash")[4], **longer))
        told, _ = more.communicate(timeout=300)
        assert more.returncode == 0, told[-3000:]
        assert RunFolder(desk.run.path.with_name("longer")).job()["init"] == str(desk.run.path)


def test_an_array_segments_its_shares(desk, a_segmenter):
    (desk.folder / "cts").mkdir()
    for file in sorted((desk.cohort / "images").iterdir())[:3]:
        (desk.folder / "cts" / file.name).write_bytes(file.read_bytes())
    places = {"/shared/cts": str(desk.folder / "cts"), "/shared/runs/tuned": str(a_segmenter)}
    script = desk.smaller(examples("sbatch")[2], **places, **{"/shared/segmentations": str(desk.folder / "out")})
    script = script.replace("ARRAY_TASK_ID/8", "ARRAY_TASK_ID/2")
    for job, words in (("1", "2 of 2 done"), ("2", "1 of 1 done"), ("1", "0 of 2 done, 0 failed, 2 skipped")):
        started = desk.start(script, SLURM_ARRAY_TASK_ID=job, SLURM_CPUS_PER_TASK="1")
        told, _ = started.communicate(timeout=300)
        assert (started.returncode, words in told) == (0, True), told[-3000:]
    assert len(list((desk.folder / "out").glob("*.seg.nrrd"))) == 3


def test_several_nodes_are_one_where_there_is_one(desk):
    """On real nodes: test_two_nodes.py."""
    changes = {"--nnodes 2": "--nnodes 1", "node1:29500": f"localhost:{free_port()}", "=eth0": "=lo"}
    desk.finish(desk.start(desk.smaller(examples("bash")[3], **changes)))


@pytest.mark.parametrize("number", [0, 1], ids=["srun", "torchrun"])
def test_a_job_is_told_that_its_time_is_over_and_goes_on_after_it_was_requeued(desk, number):
    script = examples("sbatch")[number]
    text = desk.smaller(script, **{"$first:29500": f"$first:{free_port()}"})
    job = slurm(script, tasks=2 if number == 0 else 1)
    long = text.replace("--preset quick", "--preset quick --steps 16")
    first = desk.start(long, **job)
    wait_until(lambda: step_of(desk.run.path) >= 2)
    for process in psutil.Process(first.pid).children(recursive=True):  # as Slurm: the tasks, and not the shell
        if "SwinSSLLib" in " ".join(process.cmdline()) and not process.cmdline()[0].endswith("bash"):
            process.send_signal(signal.SIGTERM)
    told, _ = first.communicate(timeout=300)
    state = desk.run.status()
    assert state["state"] == "stopped", told[-3000:]
    assert 2 <= state["step"] < 16
    assert (desk.run.checkpoints / "last.ckpt").is_file()
    assert (desk.folder / "requeued").read_text() == "requeue 4711\n"
    told = desk.finish(desk.start(long, **job, SLURM_RESTART_COUNT="1"))
    assert (desk.folder / "requeued").read_text() == "requeue 4711\n"  # not again
    assert [event["event"] for event in desk.run.events()].count("started") == 2
    assert desk.run.status()["step"] == 16


def test_a_run_is_stopped_from_another_machine(desk):
    launched = desk.start(desk.smaller(examples("bash")[1], **{"--preset quick": "--preset quick --steps 100000"}))
    wait_until(lambda: step_of(desk.run.path) >= 1)
    stop = desk.start(desk.smaller(examples("bash")[5]))
    assert stop.wait(60) == 0
    told, _ = launched.communicate(timeout=120)
    assert (launched.returncode, desk.run.status()["state"]) == (0, "stopped"), told[-2000:]

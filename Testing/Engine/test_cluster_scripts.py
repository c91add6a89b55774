"""The job scripts of Docs/cluster.md decide rightly whether to go back into the queue; nothing of ours runs here."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "cluster.md"
SCRIPTS = [
    script for script in re.findall(r"```sbatch\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if "scontrol requeue" in script
]  # fmt: skip
STOPPED = '{"state": "stopped", "step": 5, "heartbeat": "2026-01-01T00:00:00"}'


@pytest.fixture
def job(tmp_path):
    """Runs a script with stand-ins; gives whether it was requeued."""

    def run(script: str, does: str) -> bool:
        tools = tmp_path / "bin"
        tools.mkdir(exist_ok=True)
        stand_ins = {
            "srun": 'shift; "$@"',
            "swinssl": does,
            "torchrun": f"({does}) || exit 1",  # whatever the code was
            "scontrol": f'[ $1 = show ] && echo localhost || echo "$@" >> {tmp_path}/requeued',
        }
        for name, body in stand_ins.items():
            (tools / name).write_text(f"#!/bin/bash\n{body}\n")
            (tools / name).chmod(0o755)
        script = script.replace("/shared/runs/big", str(tmp_path / "big"))
        path = os.pathsep.join([str(tools), os.environ["PATH"]])
        variables = {
            **os.environ,
            "PATH": path,
            "SLURM_JOB_ID": "4711",
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_NNODES": "1",
        }
        subprocess.run(["bash", "-c", script], env=variables, capture_output=True, check=False, timeout=60)
        asked = tmp_path / "requeued"
        was = asked.exists() and asked.read_text() == "requeue 4711\n"
        asked.unlink(missing_ok=True)
        return was

    (tmp_path / "big").mkdir()
    return run


def test_both_scripts_are_looked_at():
    assert len(SCRIPTS) == 2


@pytest.mark.parametrize("script", SCRIPTS, ids=["srun", "torchrun"])
def test_only_what_this_launch_has_stopped_is_requeued(job, tmp_path, script):
    status = tmp_path / "big" / "status.json"

    def writes(state: str, second: int, code: int = 0) -> str:
        text = STOPPED.replace("stopped", state).replace(':00"', f':{second:02}"')
        return f"echo '{text}' > {status}; exit {code}"

    assert job(script, writes("stopped", 1))  # the first attempt, which finds no run
    assert job(script, writes("stopped", 2))
    assert not job(script, "exit 2")  # refused: the state is that of before
    assert not job(script, writes("failed", 3, 1))
    assert not job(script, writes("finished", 4))

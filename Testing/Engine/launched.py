"""Runs of several processes, started as users start them, watched by their run folder, and killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from SwinSSLLib.runs import RunFolder

#: Words before ``-m SwinSSLLib`` for each way to start several processes, and after its options.
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def command(*words: object, torchrun: int = 0, options: Sequence[object] = ()) -> list[str]:
    """``swinssl WORDS`` in this Python, by torchrun with so many processes if there are any."""
    launcher = (*TORCHRUN, torchrun, *options) if torchrun else ()
    return [str(word) for word in (sys.executable, *launcher, "-m", "SwinSSLLib", *words)]


def environment(**more: str) -> dict[str, str]:
    """One thread for each process, and no variables of another launcher."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def run(words: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run to the end and insist that it went well."""
    done = subprocess.run(words, capture_output=True, text=True, env=environment(**variables), timeout=300, check=False)
    assert done.returncode == 0, f"{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return done


def start(words: Sequence[str], **variables: str) -> subprocess.Popen[str]:
    """Start; what is said on both ways out comes from ``communicate``."""
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**variables)
    )


def wait_until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it has not come to that"
        time.sleep(0.05)


def step_of(out: Path) -> int:
    """Steps that a run has done so far."""
    try:
        return int(json.loads((out / "status.json").read_text()).get("step", 0))
    except (OSError, ValueError):
        return 0


def processes(parent: int, out: Path) -> dict[int, psutil.Process]:
    """The processes of the run in ``out``, by rank."""
    found = {}
    for process in [psutil.Process(parent), *psutil.Process(parent).children(recursive=True)]:
        try:
            words, variables = process.cmdline(), process.environ()
        except psutil.Error:  # it has just ended
            continue
        if str(out) in words and "torch.distributed.run" not in words:
            found[int(variables.get("RANK", "0"))] = process
    if parent in {process.pid for process in found.values()} or 0 not in found:
        found[0] = psutil.Process(parent)  # its own variables were set after it began
    return found


def metrics(out: Path) -> dict[tuple[str, int], float]:
    """The last value of every metric at every step."""
    events = (event for event in RunFolder(out).events() if event["event"] == "metric")
    return {(event["name"], event["step"]): event["value"] for event in events}


def crew(what: str) -> tuple[int, str]:
    """Exit code of process 0 of crew.py, and what all three processes said."""
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    launched = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("crew.py")), what],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(PYTHONPATH=paths),
    )
    told, _ = launched.communicate(timeout=200)  # until the last process has closed it
    return launched.returncode, told

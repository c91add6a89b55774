"""With how many processes a run was at work, launch by launch: without it nobody knows how large its batch was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lightning_fabric import Fabric

from SwinSSLLib import atomic
from SwinSSLLib.devices import describe
from SwinSSLLib.ranks import started_processes
from SwinSSLLib.reporting import Reporter
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import TrainingSettings

Launch = dict[str, Any]


def batch_of_all(training: TrainingSettings, processes: int) -> int:
    """Sub-volumes that one optimiser step sees, in all processes together."""
    return training.batch * training.accumulate * processes


def remember_launch(fabric: Fabric, training: TrainingSettings, run: RunFolder, reporter: Reporter, step: int) -> None:
    """Write down who is at work from this step on; warn where a step is another batch than before.

    Args:
        fabric: knows the processes.
        training: the batch of one process.
        run: its job.json keeps the list.
        reporter: hears the warning.
        step: steps that are done already.
    """
    if not fabric.is_global_zero:
        return
    earlier = [launch for launch in launches_of(run) if launch["step"] < step]
    launch: Launch = {
        "step": step,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "processes": fabric.world_size,
        "nodes": started_processes()[0],
        "batch": batch_of_all(training, fabric.world_size),
        "device": describe(fabric.device),
    }
    atomic.write_json(run.job_file, {**run.job(), "launches": [*earlier, launch]})
    before = earlier[-1] if earlier else launch
    if before["batch"] != launch["batch"]:
        reporter.emit(
            "warning",
            message=f"Up to step {step:,} this run had {_processes(before)}, now it has {_processes(launch)}: a step "
            f"sees {launch['batch']} sub-volumes instead of {before['batch']}, and the learning rate stays. "
            f"To go on as before, stop it and start {before['processes']}.",
        )


def launches_of(run: RunFolder) -> list[Launch]:
    """What :func:`remember_launch` has written, the first launch first; empty for a run from before it did."""
    return list(run.job().get("launches") or [])


def _processes(launch: Launch) -> str:
    return "1 process" if launch["processes"] == 1 else f"{launch['processes']} processes"

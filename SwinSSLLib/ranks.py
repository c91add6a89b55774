"""Which process of a run this is, and who started it; known before torch is imported."""

from __future__ import annotations

import os
import platform


def process_rank() -> int:
    """0 for the process that writes the run: by torchrun, by srun, or by ourselves (``--devices``)."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def started_processes() -> tuple[int, int]:
    """Nodes, and processes on each, that a launcher has started; (1, 0) if this process was started alone.

    torchrun tells them in its variables, srun in Slurm's. A shell inside of a Slurm job has some of these too, but is a
    single task.
    """
    local, world = (int(os.environ.get(name, "0")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    if local:
        return max(1, world // local), local
    tasks, nodes = (int(os.environ.get(name, "1")) for name in ("SLURM_NTASKS", "SLURM_NNODES"))
    if tasks > 1 and "SLURM_PROCID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        return nodes, tasks // nodes
    return 1, 0


def expected_by() -> str:
    """Who says that there are other processes, and what to do if it is wrong; empty where we started them."""
    if "SLURM_NTASKS" in os.environ and not os.environ.get("LOCAL_WORLD_SIZE"):
        return (
            f", for SLURM_NTASKS is {os.environ['SLURM_NTASKS']}: start them with srun, or `unset SLURM_NTASKS` for a "
            "single one"
        )
    return ", by torchrun" if "TORCHELASTIC_RUN_ID" in os.environ else ""


def speaks_without_first() -> bool:
    """Whether this process tells the user what happened when process 0 is gone: one on each machine does."""
    local = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or "0"
    return process_rank() == 1 or local == "0"


def launch() -> str | None:
    """What stays the same when a launcher starts a command again by itself; None without one that does.

    torchrun does it with ``--max-restarts``, Slurm with ``--requeue``.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        name = os.environ["TORCHELASTIC_RUN_ID"]
        # torchrun without a name for the rendezvous calls it "none": there its process tells one call from another.
        return f"torchrun {_parent() if name in ('', 'none') else name}"
    if "SLURM_JOB_ID" in os.environ:
        return f"slurm {os.environ['SLURM_JOB_ID']}"
    return None


def started_again() -> bool:
    """Whether the launcher says that this is not its first attempt."""
    return any(int(os.environ.get(name) or "0") for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))


def _parent() -> str:
    import psutil

    parent = psutil.Process(os.getppid())
    return f"{platform.node()}:{parent.pid}:{parent.create_time():.0f}"

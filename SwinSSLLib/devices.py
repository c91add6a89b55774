"""Devices, precision and processes, by Lightning Fabric."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from SwinSSLLib.errors import EnvironmentProblem
from SwinSSLLib.settings import TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(training: TrainingSettings) -> Fabric:
    """The Fabric of a training run; under torchrun or SLURM it joins the processes that were started.

    Raises:
        EnvironmentProblem: the device asked for is not there, or does not know the precision.
    """
    from lightning_fabric import Fabric  # only training needs it, and it takes more than a second

    device = available_device(training.device)
    if training.precision == "16-mixed" and device == "cpu":
        raise EnvironmentProblem("Precision 16-mixed needs a GPU.", "Use 32-true on a CPU.")
    if training.precision == "bf16-mixed" and device == "cpu":
        # torch 2.13: the weight gradient of a 3x3x3 convolution on a grid of 2x2x2 (the decoders begin there) reads
        # memory that nobody has written; now and then it is not a number. Segmenting, without gradients, is well.
        raise EnvironmentProblem(
            "Precision bf16-mixed cannot be trained with on a CPU: PyTorch's gradients are not reliable there.",
            "Use 32-true on a CPU.",
        )
    if device == "cuda" and training.precision == "bf16-mixed" and not torch.cuda.is_bf16_supported():
        raise EnvironmentProblem("This GPU does not compute in bf16.", "Use precision 16-mixed or 32-true.")
    options: dict[str, Any] = {"devices": training.devices}
    nodes, each = _started_processes()
    if each:
        options = {"devices": each, "num_nodes": nodes}
    if nodes * (each or training.devices) > 1:
        options["strategy"] = "ddp"
    fabric = Fabric(accelerator=device, precision=training.precision, **options)
    fabric.launch()
    return fabric


def _started_processes() -> tuple[int, int]:
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


def available_device(wanted: str) -> str:
    """``cuda``, ``mps`` or ``cpu``; ``auto`` takes the first that is there.

    Raises:
        EnvironmentProblem: a device was named that torch does not see.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, available in there.items() if available)
    if not there[wanted]:
        raise EnvironmentProblem(
            f"The device {wanted!r} was asked for, but torch {torch.__version__} sees none.",
            "Leave the device at 'auto', or install the torch build for your GPU; see `swinssl doctor`.",
        )
    return wanted


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type

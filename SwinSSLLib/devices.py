"""Devices, precision and processes, by Lightning Fabric."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from SwinSSLLib import rounds
from SwinSSLLib.errors import EnvironmentProblem
from SwinSSLLib.launching import start_others, started_here
from SwinSSLLib.peers import Peers
from SwinSSLLib.ranks import started_processes
from SwinSSLLib.settings import TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: How long an operation of all processes may wait for the slowest. One that died is noticed by :mod:`SwinSSLLib.peers`;
#: this is for what no connection tells, and longer than anything that a single process does by itself.
TIMEOUT = timedelta(hours=2)


def make_fabric(training: TrainingSettings, peers: Peers) -> Fabric:
    """The Fabric of a training run, launched and with its processes connected.

    Under torchrun or Slurm it joins the processes that were started; for several devices of one machine it starts them.

    Args:
        training: device, precision and number of devices.
        peers: who watches the processes.

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
    nodes, each = started_processes()
    if not each and training.devices > 1:
        if device == "cuda" and training.devices > torch.cuda.device_count():
            raise EnvironmentProblem(
                f"{training.devices} devices were asked for, and torch sees {torch.cuda.device_count()} GPUs.",
                "Choose fewer with --devices.",
            )
        start_others(training.devices)
        each = training.devices
    # Lightning greets with lines of dashes; who takes part is told by the run itself.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    options: dict[str, Any] = {"devices": each or 1, "num_nodes": nodes}
    if nodes * each > 1:
        from lightning_fabric.plugins.environments import LightningEnvironment
        from lightning_fabric.strategies import DDPStrategy

        options["strategy"] = DDPStrategy(timeout=TIMEOUT)
        if started_here():
            # Inside of a Slurm job Lightning would take Slurm's tasks for the processes of this run.
            options["plugins"] = [LightningEnvironment()]
    fabric = Fabric(accelerator=device, precision=training.precision, **options)
    with peers.gathering(nodes * (each or 1)):
        if nodes * each > 1 and rounds.agent_store():
            rounds.join("nccl" if device == "cuda" else "gloo", TIMEOUT)
        fabric.launch()
        peers.join(fabric)
    return fabric


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
    if device.type != "cpu":
        return device.type
    count = torch.get_num_threads()
    return f"{device.type}, {count} thread{'s' * (count > 1)}"

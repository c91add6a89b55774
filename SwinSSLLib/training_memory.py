"""How much memory a training run needs, before it starts; and what to do when there is less.

The step is taken once on tensors that have a shape and no content (torch's ``meta`` device), and what is alive is added
up. So the answer follows every setting and every change of the network, and costs a second instead of the memory.
Testing/Benchmarks/training_memory.py compares it with measured peaks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from SwinSSLLib import atomic
from SwinSSLLib.devices import available_device, describe
from SwinSSLLib.errors import MemoryShortage
from SwinSSLLib.launches import batch_of_all
from SwinSSLLib.reporting import Reporter
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import TrainingSettings

#: Bytes of a process that has imported everything and has no network yet.
BASE = 650 * 2**20
#: Moments of AdamW; weights and gradients are seen in the step.
MOMENTS = 2
#: Share of a batch's memory that mixed precision leaves (it keeps weights, norms and losses in fp32).
MIXED = 0.6


@dataclass(frozen=True)
class Rehearsal:
    """A kind of training, to be tried without content.

    Attributes:
        build: for a batch: a network on the device ``meta``, and what takes a step of training with it.
        slack: what a process holds as a multiple of what is alive: fragments of the heap, copies of convolutions in
            the order of their own. By measurement, on a CPU (Testing/Benchmarks/training_memory.py).
    """

    build: Callable[[int], tuple[nn.Module, Callable[[], None]]]
    slack: float


@dataclass(frozen=True)
class Thrift:
    """Ways of needing less memory for one and the same batch.

    Attributes:
        checkpointing: compute the encoder's blocks again for the gradient. Changes no result.
        pieces: parts into which a batch is cut, one after the other. Their gradients are added up; sub-volumes of
            different pieces are no negatives of each other in the contrastive loss.
    """

    checkpointing: bool = False
    pieces: int = 1

    def next(self, batch: int, *, contrast: bool) -> Thrift | None:
        """The next smaller way; None where nothing is left (the contrastive loss needs two sub-volumes a piece)."""
        if not self.checkpointing:
            return Thrift(checkpointing=True)
        pieces = self.pieces * 2
        return Thrift(True, pieces) if batch // pieces >= (2 if contrast else 1) else None

    def words(self, batch: int) -> str:
        """What is done, for a warning."""
        if self.pieces == 1:
            return "The encoder's blocks are computed twice to save memory; results stay the same, steps take longer."
        return (
            f"Batches of {batch} are taken in {self.pieces} pieces, and the encoder's blocks are computed twice, to "
            "save memory; the losses of a batch are means over its pieces."
        )


class Saving:
    """What both kinds of training share: a way of taking batches that gets smaller where memory is short.

    The way is kept in job.json, so that a run goes on with it after a resume.

    Args:
        network: whose blocks can be computed again.
        run: whose job.json remembers.
        training: batch and precision.
        rehearse: the kind of training.
        contrast: whether sub-volumes of a batch are compared with each other.
    """

    def __init__(
        self, network: nn.Module, run: RunFolder, training: TrainingSettings, rehearse: Rehearsal, *, contrast: bool
    ) -> None:
        self.network, self.run, self.training, self.rehearse, self.contrast = network, run, training, rehearse, contrast
        self.thrift = Thrift()
        self._free = 0

    def take_up(self, thrift: Thrift) -> None:
        """Work in this way from now on."""
        self.thrift = thrift
        set_checkpointing(self.network, thrift.checkpointing)

    def save_memory(self) -> str | None:
        """Take the next smaller way and say so in a sentence; None where nothing is left to save."""
        smaller = self.thrift.next(self.training.batch, contrast=self.contrast)
        if smaller is None:
            return None
        self.take_up(smaller)
        atomic.write_json(self.run.job_file, {**self.run.job(), "thrift": asdict(smaller)})
        return smaller.words(self.training.batch)

    def need(self) -> int:
        """Bytes beyond what this process has before its first step."""
        return training_memory(self.rehearse, self.training, self.thrift) - BASE

    def fit_into(self, free: int, *, alone: bool = True) -> tuple[dict[str, int], str]:
        """Compare the need with what is free before the first step, and save memory where it is more.

        Args:
            free: bytes.
            alone: this process is the whole run; several would have to agree on what to save.

        Returns:
            Bytes ``needed`` and ``free``, for the event ``started``; and a warning, or nothing.
        """
        if "thrift" in self.run.job():
            self.take_up(Thrift(**self.run.job()["thrift"]))
        self._free = free
        first = need = self.need()
        saved = None
        while alone and need > free:
            sentence = self.save_memory()
            if sentence is None:
                break
            saved, need = sentence, self.need()
        warning, sizes = "", f"about {first / 2**30:.1f} GiB of memory needed, {free / 2**30:.1f} free"
        if need > free:
            warning = f"This run may end for lack of memory: {sizes}. Choose a smaller batch."
        elif saved:
            warning = f"{sizes[0].upper()}{sizes[1:]}. {saved}"
        return {"needed": need, "free": free}, warning

    def advice(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """What the user should know about the metrics of a validation; here nothing."""
        return None

    def announce(self, fabric: Fabric, reporter: Reporter, words: Mapping[str, Any]) -> None:
        """Tell that the run begins, on what and with how much memory; and a warning where that is short."""
        memory, warning = self.fit_into(free_memory(fabric.device), alone=fabric.world_size == 1)
        training, processes = self.training, fabric.world_size
        told = {"batch": training.batch, "processes": processes, "batch_of_all": batch_of_all(training, processes)}
        reporter.emit("started", device=describe(fabric.device), **told, memory=memory, **words)
        if warning:
            reporter.emit("warning", message=warning)

    def shortage(self) -> MemoryShortage:
        """What to say when nothing is left to save."""
        need = self.need()
        return MemoryShortage(
            f"The memory is too small for this job: about {need / 2**30:.1f} GiB are needed for batches of "
            f"{self.training.batch}, and {self._free / 2**30:.1f} GiB were free.",
            "Use a smaller batch (--batch), a smaller input.roi, or a smaller network.feature_size; "
            "or free memory and resume.",
        )


def training_memory(rehearse: Rehearsal, training: TrainingSettings, thrift: Thrift | None = None) -> int:
    """Bytes that the process of a training run is going to need at its peak, in a step.

    Validation of fine-tuning holds the scores of a whole CT besides, which depends on the CT.

    Args:
        rehearse: the kind of training.
        training: its batch is that of one process.
        thrift: how the batch is taken.
    """
    thrift = thrift or Thrift()
    network, step = rehearse.build(-(-training.batch // thrift.pieces))
    set_checkpointing(network, thrift.checkpointing)
    weights = sum(value.numel() * value.element_size() for value in network.parameters())
    with _Alive() as alive:
        step()
    moving = alive.peak if training.precision == "32-true" else round(weights + (alive.peak - weights) * MIXED)
    return BASE + round(rehearse.slack * (MOMENTS * weights + moving))


def without_content(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor for rehearsals: on the device ``meta``."""
    return torch.empty(shape, dtype=dtype, device="meta")


class _Alive(TorchDispatchMode):
    """Adds up the memory of tensors without content that are alive.

    Attributes:
        peak: bytes, at most at any time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in _tensors(result):
            if value.device.type == "meta":
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, key, size).atexit = False

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, list | tuple):
        for value in result:
            yield from _tensors(value)


def set_checkpointing(network: nn.Module, on: bool) -> None:
    """Switch gradient checkpointing of all Swin blocks of a network."""
    for module in network.modules():
        if hasattr(module, "use_checkpoint"):
            setattr(module, "use_checkpoint", on)  # noqa: B010 - nn.Module types it as a tensor


def free_memory(device: torch.device) -> int:
    """Bytes that a process can still have on a device: of its limits and of what the machine has, the smallest."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(min(psutil.virtual_memory().available, *_limits(psutil.Process())))


def _limits(process: Any) -> Iterator[int]:
    """What limits of the process (ulimit -v) and of its group (containers, SLURM) leave."""
    yield 2**62
    try:
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            yield max(0, soft - process.memory_info().vms)
    except ImportError:  # Windows
        return
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        for folder in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")):
            try:
                most = int((folder / limit).read_text())
                yield max(0, most - int((folder / used).read_text()))
            except (OSError, ValueError):  # not there, or "max"
                continue


def largest_batch(rehearse: Rehearsal, training: TrainingSettings, *, most: int = 64) -> int:
    """The largest batch that fits into nine tenths of the free memory, 1 to ``most``.

    Args:
        rehearse: the kind of training.
        training: its batch does not count.
        most: beyond it the learning rate would have to follow.
    """
    device = torch.device(available_device(training.device))
    # Several processes share the memory of one machine, but each has a GPU of its own.
    free = free_memory(device) // (1 if device.type == "cuda" else training.devices)
    # What a process has from the beginning is not free any more.
    one, two = (training_memory(rehearse, replace(training, batch=batch)) - BASE for batch in (1, 2))
    return max(1, min(most, 1 + int((0.9 * free - one) // (two - one))))

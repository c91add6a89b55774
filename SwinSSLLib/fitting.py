"""The training loop, the same for pre-training and fine-tuning: steps, checkpoints, resume, stop.

What differs stands in a :class:`Method`. A step is a pure function of the weights, the optimiser and its
number, so a checkpoint needs to remember nothing else, and a resumed run ends bit-equal on a CPU.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from SwinSSLLib import atomic
from SwinSSLLib.checkpoints import load_checkpoint, save_checkpoint
from SwinSSLLib.control import Control
from SwinSSLLib.errors import InputError, MemoryShortage, SwinSSLError, is_shortage
from SwinSSLLib.launches import remember_launch
from SwinSSLLib.optimizing import schedule
from SwinSSLLib.reporting import Reporter
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import TrainingSettings
from SwinSSLLib.thinning import TELL_EVERY, tell_every, thin_previews
from SwinSSLLib.training_memory import Thrift

log = logging.getLogger(__name__)


class Method(Protocol):
    """What the loop needs to know about a job."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    #: Whether a larger value of the chosen validation metric is better.
    larger_is_better: bool

    def training_step(self, step: int, part: int, piece: int = 0) -> dict[str, Tensor]:
        """Losses of one batch; ``total`` carries the gradient.

        ``part`` counts accumulated batches, ``piece`` the pieces of a batch, of which ``thrift.pieces`` are taken.
        """

    thrift: Thrift

    def save_memory(self) -> str | None:
        """Take the next smaller way of ``thrift`` and say so in a sentence; None where nothing is left to save."""

    def shortage(self) -> MemoryShortage:
        """What to say then."""

    def validate(self, step: int) -> dict[str, float]:
        """Metrics on the fixed validation set, by name."""

    def advice(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """What the user should know about these metrics; None for nothing (new)."""

    def preview(self, step: int) -> Path | None:
        """Write a preview file and return it, or None where there is nothing to show."""


@dataclass
class Progress:
    """Where a run stands; all that a checkpoint holds beside weights and optimiser.

    Attributes:
        step: optimiser steps done.
        best: best value of the chosen metric, None before the first validation.
        best_step: where it was reached.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0


def fit(
    fabric: Fabric,
    method: Method,
    training: TrainingSettings,
    run: RunFolder,
    reporter: Reporter,
    control: Control,
    *,
    resume: bool = False,
) -> Progress:
    """Train until the last step or until asked to stop; afterwards a checkpoint of that moment is on disk.

    Returns:
        How far it came: ``step < training.steps`` means that it was stopped.

    Raises:
        SwinSSLError: the loss is no longer a number; the last good checkpoint stays.
        InputError: nothing usable to resume from, or the disk is full.
    """
    loop = _Loop(fabric, method, training, run, reporter, control)
    # A run that ended before its first checkpoint begins at its beginning.
    # The first process decides: others may see a shared folder late.
    progress = loop.restore() if fabric.broadcast(resume and run.has_checkpoint()) else Progress()
    remember_launch(fabric, training, run, reporter, progress.step)
    reporter.state("running", total=training.steps)
    reporter.progress(progress.step, training.steps)
    if progress.step == 0:
        loop.look(progress, checkpoint=False)
    while progress.step < training.steps:
        loop.step(progress)
        stopping = loop.asked_to_stop(progress.step)
        if stopping:
            reporter.state("stopping")
        loop.look(progress, checkpoint=stopping or progress.step == training.steps)
        if stopping:
            break
    return progress


@dataclass
class _Loop:
    fabric: Fabric
    method: Method
    training: TrainingSettings
    run: RunFolder
    reporter: Reporter
    control: Control

    def __post_init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def step(self, progress: Progress) -> None:
        """One optimiser step."""
        method, training = self.method, self.training
        for group in method.optimizer.param_groups:
            group["lr"] = group.get("share", 1.0) * training.lr * schedule(progress.step, training)
        self._with_less_memory(lambda: self._gradient(progress.step))
        if training.clip > 0:
            self.fabric.clip_gradients(
                method.module, method.optimizer, max_norm=training.clip, error_if_nonfinite=False
            )
        method.optimizer.step()
        method.optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        if progress.step % tell_every(progress.step) == 0 or progress.step == training.steps:
            self._tell_losses(progress.step)
        self.reporter.progress(progress.step, training.steps)

    def _gradient(self, step: int) -> None:
        """Losses and gradients of all batches of a step."""
        method, accumulate = self.method, self.training.accumulate
        turns = [(part, piece) for part in range(accumulate) for piece in range(method.thrift.pieces)]
        found = []
        for part, piece in turns:
            with self.fabric.no_backward_sync(method.module, enabled=(part, piece) != turns[-1]):
                losses = method.training_step(step, part, piece)
                self.fabric.backward(losses["total"] / len(turns))
            found.append({name: value.detach() for name, value in losses.items()})
        for losses in found:  # not before all is well: a step that is taken again counts once
            self._remember(losses)

    def _with_less_memory(self, work: Callable[[], None]) -> None:
        """Do it; where the memory does not suffice, again in a smaller way, as long as there is one.

        Raises:
            MemoryShortage: nothing is left to save.
        """
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                # The processes of a run would have to agree; there the run ends and is resumed.
                if not is_shortage(error):
                    raise
                sentence = self.method.save_memory() if self.fabric.world_size == 1 else None
                if sentence is None:
                    raise self.method.shortage() from error
            # Out here the exception is gone, and with it the tensors that its frames held.
            self.method.optimizer.zero_grad(set_to_none=True)
            if self.fabric.device.type == "cuda":
                torch.cuda.empty_cache()
            self.reporter.emit("warning", message=f"The memory did not suffice. {sentence}")

    def look(self, progress: Progress, *, checkpoint: bool) -> None:
        """Validate, show and save, each when it is its turn.

        Raises:
            MemoryShortage: the memory does not suffice even without gradients.
        """
        try:
            self._look(progress, checkpoint=checkpoint)
        except (MemoryError, RuntimeError) as error:
            if not is_shortage(error):
                raise
            raise self.method.shortage() from error

    def _look(self, progress: Progress, *, checkpoint: bool) -> None:
        step, training = progress.step, self.training
        last = step == training.steps
        if step % training.validate_every == 0 or last:
            metrics = self.method.validate(step)
            self.reporter.metrics(step, {f"validation/{name}": value for name, value in metrics.items()})
            self._keep_best(progress, metrics)
            if advice := self.method.advice(step, metrics):
                self.reporter.emit("warning", message=advice)
        if step % training.preview_every == 0 or last or self.control.take_preview():
            self._show(step)
        if checkpoint or (step and step % training.checkpoint_every == 0):
            self._tell_losses(step)
            self._save(progress)

    def asked_to_stop(self, step: int) -> bool:
        """Whether to stop now; all processes of a run agree."""
        if self.fabric.world_size == 1:
            return self.control.stop
        if step % TELL_EVERY and self.fabric.device.type != "cpu":
            return False
        wish = torch.tensor(float(self.control.stop), device=self.fabric.device)
        return bool(self.fabric.all_reduce(wish, reduce_op="sum") > 0)

    def restore(self) -> Progress:
        """Continue from the last good checkpoint."""
        checkpoint = self._load()
        self.method.module.load_state_dict(checkpoint["model"])
        self.method.optimizer.load_state_dict(checkpoint["optimizer"])
        precision = getattr(self.fabric.strategy, "precision", None)
        if precision is not None and checkpoint["precision"]:
            precision.load_state_dict(checkpoint["precision"])
        return Progress(checkpoint["step"], checkpoint["best"], checkpoint["best_step"])

    def _remember(self, losses: Mapping[str, Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def _tell_losses(self, step: int) -> None:
        if not self._count:
            return
        # Of all processes: then they are those of a single process with the whole batch.
        values = self.fabric.all_reduce(torch.stack(list(self._sums.values())) / self._count, reduce_op="mean")
        means = dict(zip(self._sums, values.tolist(), strict=True))
        self._sums, self._count = {}, 0
        if not all(math.isfinite(value) for value in means.values()):
            raise _diverged(step)
        lr = self.method.optimizer.param_groups[0]["lr"]
        self.reporter.metrics(step, {**{f"train/{name}": value for name, value in means.items()}, "train/lr": lr})

    def _keep_best(self, progress: Progress, metrics: Mapping[str, float]) -> None:
        value = metrics.get(self.training.best)
        if value is None or not math.isfinite(value):
            return
        sign = 1 if self.method.larger_is_better else -1
        if progress.best is None or sign * value > sign * progress.best:
            progress.best, progress.best_step = value, progress.step
            if progress.step:
                self._write("best", progress)

    def _show(self, step: int) -> None:
        if self.fabric.is_global_zero:
            file = self.method.preview(step)
            if file:
                thin_previews(self.run.previews)
                self.reporter.emit("preview", file=file.relative_to(self.run.path).as_posix(), step=step)

    def _save(self, progress: Progress) -> None:
        # The losses of these weights are only known a step later; a broken set must not push out a good one.
        if not all(bool(torch.isfinite(value).all()) for value in self.method.module.parameters()):
            raise _diverged(progress.step)
        if self.fabric.is_global_zero:
            last, previous = self._file("last"), self._file("previous")
            if last.exists():
                last.replace(previous)
        self._write("last", progress)
        self.fabric.barrier()

    def _write(self, name: str, progress: Progress) -> None:
        if not self.fabric.is_global_zero:
            return
        precision = getattr(self.fabric.strategy, "precision", None)
        content: dict[str, Any] = {
            "format": 1,
            "step": progress.step,
            "best": progress.best,
            "best_step": progress.best_step,
            "model": self.method.module.state_dict(),
            "optimizer": self.method.optimizer.state_dict(),
            "precision": precision.state_dict() if precision is not None else {},
        }
        with atomic.replacing(self._file(name)) as file:
            save_checkpoint(content, file)
        self.reporter.emit("checkpoint", file=f"checkpoints/{name}.ckpt", step=progress.step)

    def _load(self) -> dict[str, Any]:
        for name in ("last", "previous"):
            file = self._file(name)
            if not file.exists():
                continue
            try:
                return load_checkpoint(file, self.fabric.device)
            except InputError as error:
                log.warning("%s", error.message)
                self.reporter.emit("warning", message=f"{error.message} The one before it is tried.")
        raise InputError(f"No checkpoint of {self.run.path} can be read.", "Start the job anew in another folder.")

    def _file(self, name: str) -> Path:
        return self.run.checkpoints / f"{name}.ckpt"


def _diverged(step: int) -> SwinSSLError:
    return SwinSSLError(
        f"The training diverged: the loss or the weights are no longer numbers at step {step}.",
        "Start again with a lower learning rate (--lr); the last checkpoint is from before that.",
    )

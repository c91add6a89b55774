"""Fine-tuning: from labelled CTs, and perhaps a pre-trained encoder, to an organ segmenter.

Read :func:`finetune` from top to bottom: that is the whole job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from SwinSSLLib.checkpoints import load_checkpoint
from SwinSSLLib.control import Control
from SwinSSLLib.data.sampling import BatchReader
from SwinSSLLib.data.store import Entry
from SwinSSLLib.devices import describe
from SwinSSLLib.errors import InputError
from SwinSSLLib.finetune.patches import PatchSampler
from SwinSSLLib.finetune.validation import Validation, make_loss
from SwinSSLLib.fitting import Progress, fit
from SwinSSLLib.launches import launches_of
from SwinSSLLib.models import make_card, save_model
from SwinSSLLib.nets.fast import accelerate
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.nets.weights import ENCODER, Coverage, Init, load_encoder
from SwinSSLLib.optimizing import make_optimizer
from SwinSSLLib.reporting import Reporter
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import FinetuneSettings
from SwinSSLLib.shares import Share
from SwinSSLLib.training_memory import Rehearsal, Saving, without_content
from SwinSSLLib.validation import to_dict


@dataclass(frozen=True)
class LabelledSources:
    """Labelled CTs of a run, in the store.

    Attributes:
        training: what is learned from.
        validation: what the best model is chosen by.
    """

    training: Sequence[Entry]
    validation: Sequence[Entry]


def finetune(
    fabric: Fabric,
    sources: LabelledSources,
    settings: FinetuneSettings,
    run: RunFolder,
    reporter: Reporter,
    control: Control,
    *,
    init: Init | None = None,
    resume: bool = False,
    provenance: dict[str, Any] | None = None,
) -> Progress:
    """Train Swin UNETR on labelled CTs and leave the best model of the run in its model folder.

    Args:
        fabric: launched; devices, precision and processes.
        sources: labelled CTs in the store, at the spacing of ``settings``.
        settings: everything that can be chosen.
        run: where to write; already created.
        reporter: whom to tell.
        control: who may stop it.
        init: pre-trained encoder; None starts from scratch.
        resume: continue from the last checkpoint of the run.
        provenance: goes into the model card.

    Raises:
        InputError: no labelled CT, or the encoder does not arrive whole (unless forced).
        SwinSSLError: see :func:`SwinSSLLib.fitting.fit`.
    """
    if not sources.training or not all(entry.labels for entry in (*sources.training, *sources.validation)):
        raise InputError("Fine-tuning needs labelled CTs for training.", "Give pairs of image and label in a datalist.")
    reporter.state("starting", device=describe(fabric.device))
    torch.manual_seed(settings.training.seed)
    # The decoder's convolutions take a quarter less time this way on a CPU and run on tensor cores on a GPU.
    network = accelerate(build_segmenter(settings.network)).to(memory_format=torch.channels_last_3d)
    coverage = load_encoder(network, init.state, source=init.name, force=init.force) if init else None
    method = Finetuning(fabric, network, sources, settings, run, pretrained=init is not None)
    method.announce(fabric, reporter, _first_words(sources, init, coverage))
    progress = fit(fabric, method, settings.training, run, reporter, control, resume=resume)
    step = _take_best(fabric, run, method, progress)
    metrics = method.validate(step)
    if fabric.is_global_zero:
        about = {**(provenance or {}), "steps": progress.step, "best_step": step, "launches": launches_of(run)}
        _leave_model(run, method, settings, about, metrics, coverage)
    fabric.barrier()
    return progress


class Finetuning(Saving):
    """Supervised segmentation as a :class:`SwinSSLLib.fitting.Method`."""

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        sources: LabelledSources,
        settings: FinetuneSettings,
        run: RunFolder,
        *,
        pretrained: bool,
    ) -> None:
        super().__init__(network, run, settings.training, rehearsal(settings), contrast=False)
        self.settings, self.fabric = settings, fabric
        self.larger_is_better = settings.training.best == "dice"
        encoder = [value for name, value in network.named_parameters() if name.startswith(ENCODER)]
        rest = [value for name, value in network.named_parameters() if not name.startswith(ENCODER)]
        share = settings.encoder_lr if pretrained else 1.0
        groups = [{"params": rest, "share": 1.0}, {"params": encoder, "share": share}]
        self.module, self.optimizer = fabric.setup(network, make_optimizer(groups, settings.training))
        self.loss = make_loss(settings)
        sampler = PatchSampler(sources.training, settings)
        self.batches = BatchReader(sampler.draw, settings.training, fabric.world_size, fabric.global_rank)
        self.validation = Validation(sources.validation, settings, fabric.device, Share.of(fabric))

    def training_step(self, step: int, part: int, piece: int = 0) -> dict[str, Tensor]:
        """Dice and cross entropy of one batch of patches."""
        whole = self.batches.batch(step, part)
        batch = whole[piece :: self.thrift.pieces]
        images = torch.stack([patch.image for patch in batch]).to(self.fabric.device)
        labels = torch.stack([patch.labels for patch in batch]).to(self.fabric.device)
        # Pieces may differ in size, and the loop takes them as equal.
        return {"total": self.loss(self.module(images), labels) * (len(batch) * self.thrift.pieces / len(whole))}

    def validate(self, step: int) -> dict[str, float]:
        """Dice of each organ on the whole validation CTs."""
        # The network itself and not its data-parallel wrapper, whose forward would wait for the other processes.
        with self.fabric.autocast():
            return self.validation.measure(self.network)

    def preview(self, step: int) -> Path | None:
        """The first validation CT with truth and prediction."""
        with self.fabric.autocast():
            return self.validation.show(self.network, self.run.previews, step)


def rehearsal(settings: FinetuneSettings) -> Rehearsal:
    """A step of this training without content, to count its memory; see :mod:`SwinSSLLib.training_memory`."""
    return Rehearsal(partial(_rehearse, settings), slack=1.95)


def _rehearse(settings: FinetuneSettings, batch: int) -> tuple[nn.Module, Callable[[], None]]:
    network = accelerate(build_segmenter(settings.network)).to("meta", memory_format=torch.channels_last_3d)
    loss = make_loss(settings)

    def step() -> None:
        labels = without_content(batch, 1, *settings.input.roi, dtype=torch.long)
        loss(network(without_content(batch, settings.network.in_channels, *settings.input.roi)), labels).backward()

    return network, step


def _first_words(sources: LabelledSources, init: Init | None, coverage: Coverage | None) -> dict[str, Any]:
    words: dict[str, Any] = {
        "training": [entry.name for entry in sources.training],
        "validation": [entry.name for entry in sources.validation],
        "init": Path(init.name).name if init else "scratch",
    }
    return words | ({"coverage": coverage.sentence()} if coverage else {})


def _take_best(fabric: Fabric, run: RunFolder, method: Finetuning, progress: Progress) -> int:
    """Bring the weights that did best in validation into the network of all processes; returns their step."""
    best = run.checkpoints / "best.ckpt"
    step = progress.step
    if fabric.is_global_zero and best.exists():
        checkpoint = load_checkpoint(best)
        method.network.load_state_dict(checkpoint["model"])
        step = checkpoint["step"]
    if fabric.world_size > 1:
        for value in method.network.state_dict().values():
            torch.distributed.broadcast(value, 0)
    return fabric.broadcast(step)


def _leave_model(
    run: RunFolder,
    method: Finetuning,
    settings: FinetuneSettings,
    about: dict[str, Any],
    metrics: dict[str, float],
    coverage: Coverage | None,
) -> None:
    """Write the model folder with the weights that the network has."""
    card = make_card(
        "segmenter",
        settings.network,
        settings.input,
        {
            **about,
            "encoder": coverage.sentence() if coverage else "from scratch",
            "settings": to_dict(settings),
        },
        metrics={"validation": {**metrics, "cases": method.validation.names}},
    )
    save_model(run.model, card, method.network.state_dict())

"""Pre-training from a list of unlabelled CTs to a model folder.

Read :func:`pretrain` from top to bottom: that is the whole job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from SwinSSLLib.control import Control
from SwinSSLLib.data.sampling import BatchReader, SubVolumeSampler
from SwinSSLLib.data.store import Entry
from SwinSSLLib.devices import describe
from SwinSSLLib.errors import InputError
from SwinSSLLib.fitting import Progress, fit
from SwinSSLLib.launches import launches_of
from SwinSSLLib.models import make_card, save_model
from SwinSSLLib.nets.fast import accelerate
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.nets.weights import Coverage, Init, load_encoder
from SwinSSLLib.optimizing import make_optimizer
from SwinSSLLib.pretrain.batches import some_of, to_input, two_views
from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.objectives import CHANCE_ROTATION, Gather, chance_contrast, ssl_objectives
from SwinSSLLib.pretrain.previews import write_preview
from SwinSSLLib.pretrain.validation import Validation
from SwinSSLLib.pretrain.views import source_size
from SwinSSLLib.reporting import Reporter
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import PretrainSettings
from SwinSSLLib.shares import Share
from SwinSSLLib.training_memory import Rehearsal, Saving, without_content
from SwinSSLLib.validation import to_dict


@dataclass(frozen=True)
class Sources:
    """The CTs of a run, in the store.

    Attributes:
        training: what is learned from.
        validation: what is kept aside; equal to ``training`` when there is only one CT.
    """

    training: Sequence[Entry]
    validation: Sequence[Entry]


def pretrain(
    fabric: Fabric,
    sources: Sources,
    settings: PretrainSettings,
    run: RunFolder,
    reporter: Reporter,
    control: Control,
    *,
    init: Init | None = None,
    resume: bool = False,
    provenance: dict[str, Any] | None = None,
) -> Progress:
    """Pre-train on the sub-volumes of ``sources`` and leave a model folder in the run.

    Args:
        fabric: launched; devices, precision and processes.
        sources: CTs in the store, at the spacing of ``settings``.
        settings: everything that can be chosen.
        run: where to write; already created.
        reporter: whom to tell (silent on all processes but the first).
        control: who may stop it.
        init: weights to start from.
        resume: continue from the last checkpoint of the run.
        provenance: goes into the model card.

    Raises:
        InputError: no CT is as large as one sub-volume.
        SwinSSLError: see :func:`SwinSSLLib.fitting.fit`.
    """
    check_sizes(sources, settings, reporter)
    reporter.state("starting", device=describe(fabric.device))
    torch.manual_seed(settings.training.seed)
    network = accelerate(SSLNet(settings.network, settings.heads))
    coverage = load_encoder(network, init.state, source=init.name, force=init.force) if init else None
    method = Pretraining(fabric, network, sources, settings, run)
    method.announce(fabric, reporter, _first_words(method, sources, coverage))
    if settings.loss.contrast and settings.training.batch * fabric.world_size == 1:
        reporter.emit(
            "warning",
            message="With one sub-volume in a batch there is nothing to contrast it with: that task learns nothing. "
            "Take a batch of 2 or more, or switch it off (loss.contrast = 0).",
        )
    progress = fit(fabric, method, settings.training, run, reporter, control, resume=resume)
    metrics = method.validate(progress.step)
    if fabric.is_global_zero:
        _leave_model(run, method, settings, progress, provenance or {}, metrics)
    fabric.barrier()
    return progress


#: A contrastive loss this near to ln(2N - 1) is that of equal embeddings; fresh weights are ten times as far from it.
_COLLAPSED = 3e-4


class Pretraining(Saving):
    """The three proxy tasks as a :class:`SwinSSLLib.fitting.Method`."""

    network: SSLNet

    def __init__(
        self, fabric: Fabric, network: SSLNet, sources: Sources, settings: PretrainSettings, run: RunFolder
    ) -> None:
        super().__init__(network, run, settings.training, rehearsal(settings), contrast=settings.loss.contrast > 0)
        self.settings, self.fabric, self._advised = settings, fabric, False
        self.larger_is_better = settings.training.best == "rotation_accuracy"
        parameters = list(network.parameters())
        optimizer = make_optimizer([{"params": parameters}], settings.training)
        self.module, self.optimizer = fabric.setup(network, optimizer)
        self.gather = Gather() if fabric.world_size > 1 else None
        sampler = SubVolumeSampler(
            sources.training,
            source_size(settings.input.roi, settings.views.rotation),
            settings.training.seed,
            settings.air_below,
            settings.most_air,
        )
        self.batches = BatchReader(sampler.draw, settings.training, fabric.world_size, fabric.global_rank)
        self.validation = Validation(sources.validation, settings, self.negatives, fabric.device, Share.of(fabric))

    @property
    def negatives(self) -> int:
        """Sub-volumes N among which a partner is sought: the batch of all processes."""
        return self.settings.training.batch * self.fabric.world_size

    def training_step(self, step: int, part: int, piece: int = 0) -> dict[str, Tensor]:
        """Two views of each sub-volume, one concatenated forward pass, three losses."""
        sub_volumes = to_input(
            [block.array for block in self.batches.batch(step, part)], self.settings.input, self.fabric.device
        )
        views = two_views(sub_volumes, self.settings, self._draws(step, part))
        pieces, count = self.thrift.pieces, len(sub_volumes)
        if pieces > 1:
            views = some_of(views, range(piece, count, pieces))
        losses = ssl_objectives(self.module(views.corrupted), views, self.settings.loss, self.gather).by_name()
        # Pieces may differ in size, and the loop takes them as equal.
        share = len(views.rotation) * pieces / (2 * count)
        return losses if share == 1 else {name: value * share for name, value in losses.items()}

    def validate(self, step: int) -> dict[str, float]:
        """Losses and accuracy on the fixed sub-volumes."""
        # The network itself and not its data-parallel wrapper, whose forward would wait for the other processes.
        with self.fabric.autocast():
            return self.validation.measure(self.network)

    def advice(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """Tell once when all sub-volumes have got the same embedding: it rarely gets better by itself."""
        settings = self.settings
        if self._advised or step <= settings.training.warmup or settings.loss.contrast == 0:
            return None
        if abs(metrics["contrast"] - chance_contrast(self.validation.group)) > _COLLAPSED:
            return None
        self._advised = True
        return (
            f"At step {step} all sub-volumes have the same embedding (contrast {metrics['contrast']:.3f} is chance): "
            "the encoder has collapsed. Start again with half the learning rate (--lr) or a longer training.warmup."
        )

    def preview(self, step: int) -> Path:
        """Pictures of the first fixed sub-volumes."""
        with self.fabric.autocast():
            shown = self.validation.show(self.network, self.settings.preview_sub_volumes)
        return write_preview(self.run.previews, step, shown, self.settings.input.hu_window)

    def _draws(self, step: int, part: int) -> Draws:
        """Fresh draws for each batch: the views depend on its number and on the place of a sub-volume in it only."""
        training, fabric = self.settings.training, self.fabric
        number = step * training.accumulate + part
        first, total = fabric.global_rank * training.batch, fabric.world_size * training.batch
        return Draws(training.seed, number, device=fabric.device, first=first, total=total)


def rehearsal(settings: PretrainSettings) -> Rehearsal:
    """A step of this training without content, to count its memory; see :mod:`SwinSSLLib.training_memory`."""
    return Rehearsal(partial(_rehearse, settings), slack=1.5)


def _rehearse(settings: PretrainSettings, batch: int) -> tuple[nn.Module, Callable[[], None]]:
    network = accelerate(SSLNet(settings.network, settings.heads)).to("meta")
    shape = (2 * batch, settings.network.in_channels, *settings.input.roi)

    def step() -> None:
        image, target, mask = (
            without_content(*shape),
            without_content(*shape),
            without_content(*shape, dtype=torch.bool),
        )
        found = network(image)
        # Sizes as in ssl_objectives: the reconstruction's error, everywhere and where something was removed.
        inpaint = F.l1_loss(found.reconstruction, target) + ((found.reconstruction - target).abs() * mask).mean()
        (inpaint + found.rotation.mean() + found.embedding.mean()).backward()

    return network, step


def check_sizes(sources: Sources, settings: PretrainSettings, reporter: Reporter) -> None:
    """Warn of CTs that must be padded, and refuse when no CT fills a sub-volume.

    Raises:
        InputError: names the first CT.
    """
    size = source_size(settings.input.roi, settings.views.rotation)
    entries = {entry.key: entry for entry in (*sources.training, *sources.validation)}.values()
    small = [entry for entry in entries if any(have < want for have, want in zip(entry.shape, size, strict=True))]
    if small and len(small) == len(entries):
        first = small[0]
        raise InputError(
            f"{first.source} is smaller than a sub-volume: {_extent(first.shape)} voxels after resampling, "
            f"{_extent(size)} needed" + (f" (and so are all {len(entries)} volumes)." if len(entries) > 1 else "."),
            "Choose a smaller input.roi (multiples of 32) or a finer input.spacing in a settings file, or other CTs.",
        )
    for entry in small:
        reporter.emit(
            "warning",
            message=f"{entry.source} is smaller than a sub-volume ({_extent(entry.shape)} of {_extent(size)} voxels) "
            "and is padded with air.",
        )


def _extent(size: Sequence[int]) -> str:
    return " × ".join(map(str, size))


def _first_words(method: Pretraining, sources: Sources, coverage: Coverage | None) -> dict[str, Any]:
    """What job.json and the first event say about the run before the first step."""
    chance = {
        "rotation": CHANCE_ROTATION,
        "rotation_accuracy": 0.25,
        # Of the validation: with a large batch its groups are smaller, and so is what is to be got below there.
        "contrast": chance_contrast(method.validation.group),
        **method.validation.mean_image_l1(),
    }
    words: dict[str, Any] = {
        "chance": chance,
        "training": [entry.name for entry in sources.training],
        "validation": [entry.name for entry in sources.validation],
    }
    return words | ({"coverage": coverage.sentence()} if coverage else {})


def _leave_model(
    run: RunFolder,
    method: Pretraining,
    settings: PretrainSettings,
    progress: Progress,
    provenance: dict[str, Any],
    metrics: dict[str, float],
) -> None:
    """Write the model folder: the encoder with its heads, as they are at the end."""
    card = make_card(
        "pretrained",
        settings.network,
        settings.input,
        {**provenance, "steps": progress.step, "launches": launches_of(run), "settings": to_dict(settings)},
        heads=to_dict(settings.heads),
        metrics={"validation": {**metrics, "sub_volumes": len(method.validation)}},
    )
    save_model(run.model, card, method.network.state_dict())

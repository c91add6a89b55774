"""From any CT to a label map in the CT's own grid: resample, slide the window, come back, measure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from SwinSSLLib.data.volumes import Volume, resample_to_ras
from SwinSSLLib.errors import InputError, MemoryShortage
from SwinSSLLib.models import Model, input_of
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.nets.weights import load_all
from SwinSSLLib.organs import Organ
from SwinSSLLib.segment.regrid import LabelPainter, softmax_
from SwinSSLLib.segment.results import OrganMeasure, measure
from SwinSSLLib.segment.windows import Network, Progress, Stop, sliding_scores


@dataclass(frozen=True)
class Options:
    """How to run the network; nothing here changes what a model means.

    Attributes:
        overlap: share of a window that its neighbour covers too.
        batch: windows per call of the network.
        device: a torch device, or ``auto`` for the GPU if there is one.
        precision: one of ``settings.PRECISIONS``.
    """

    overlap: float = 0.5
    batch: int = 1
    device: str = "auto"
    precision: str = "32-true"

    def torch_device(self) -> torch.device:
        """The device to use."""
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Result:
    """A finished segmentation.

    Attributes:
        labels: uint8, with exactly the input's shape, spacing, origin and direction.
        organs: volume and mean HU of every organ of the model, absent ones too.
        seconds: time taken.
        device: where the network ran.
        warnings: sentences to show to the user.
    """

    labels: Volume
    organs: tuple[OrganMeasure, ...]
    seconds: float
    device: str
    warnings: tuple[str, ...] = ()


def organs_of(card: Mapping[str, Any]) -> tuple[Organ, ...]:
    """The labels of a segmenter.

    Raises:
        InputError: the card is not that of a segmenter, or its labels do not fit its network.
    """
    if card.get("kind") != "segmenter":
        raise InputError(
            f"This model is of the kind {card.get('kind')!r} and cannot segment.",
            "Fine-tune it with labelled cases first (swinssl finetune --init ...).",
        )
    classes = card.get("network", {}).get("out_channels")
    try:
        organs = tuple(_organ(label) for label in card["labels"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The labels of this model's card cannot be read: {error!r}.", "Export it again.") from error
    ids = [organ.id for organ in organs]
    if not ids or len(set(ids)) < len(ids) or not all(0 < label < (classes or 0) for label in ids):
        raise InputError(
            f"The labels of this model's card {ids} do not fit its network of {classes} classes.", "Export it again."
        )
    return organs


def segment_volume(
    volume: Volume,
    card: Mapping[str, Any],
    network: Network,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Result:
    """Segment one CT.

    Args:
        volume: CT in HU, any orientation, obliqueness and spacing.
        card: the model's card: spacing, HU window, roi and labels.
        network: windows (B, 1, i, j, k) scaled to 0..1, i to the patient's right, j to anterior, k to superior,
            to logits (B, classes, i, j, k); on ``options.device`` and in evaluation mode.
        options: see :class:`Options`.
        progress: called with windows done and windows in all.
        stop: asked before every call of the network.

    Raises:
        InputError: the card does not fit.
        MemoryShortage: the device is too small.
        Stopped: on request.
    """
    options = options or Options()
    organs = organs_of(card)
    inputs = input_of(card, "the model's card")
    started, device = time.perf_counter(), options.torch_device()
    grid = resample_to_ras(volume, inputs.spacing)
    painter = LabelPainter(volume, grid)
    slabs = sliding_scores(
        grid.array,
        network,
        inputs.roi,
        hu_window=inputs.hu_window,
        overlap=options.overlap,
        batch=options.batch,
        device=device,
        precision=options.precision,
        progress=progress,
        stop=stop,
    )
    try:
        for slab in slabs:
            painter.paint(slab.start, slab.stop, softmax_(slab.scores).cpu().numpy())
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise MemoryShortage(
            f"The memory of {device} is too small to segment {volume.name or 'this volume'}.",
            "Use a batch of 1, precision 16-mixed, or the CPU (--device cpu).",
        ) from error
    labels = replace(volume, array=painter.labels, warnings=())
    measures = measure(painter.labels, volume, organs)
    warnings = volume.warnings
    if not any(organ.present for organ in measures):
        warnings += (
            f"No organ was found in {volume.name or 'this volume'}: check that it is a CT of the abdomen in HU.",
        )
    return Result(labels, measures, time.perf_counter() - started, str(device), warnings)


def load_network(model: Model, options: Options) -> Network:
    """Build a segmenter and give it its weights, ready on the device.

    Raises:
        InputError: the weights do not belong to the network that the card describes.
    """
    organs_of(model.card)
    network = build_segmenter(model.network)
    load_all(network, model.state, source=str(model.folder))
    network.eval().requires_grad_(False)
    return network.to(options.torch_device())


def _organ(label: Mapping[str, Any]) -> Organ:
    """One entry of a card's labels."""

    def code(given: Any) -> tuple[str, str, str]:
        scheme, value, meaning = (str(part) for part in given)
        return scheme, value, meaning

    red, green, blue = (int(channel) for channel in label["colour"])
    modifier = code(label["modifier"]) if label.get("modifier") else None
    return Organ(int(label["id"]), str(label["name"]), code(label["code"]), (red, green, blue), modifier)

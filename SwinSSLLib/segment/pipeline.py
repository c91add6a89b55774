"""From any CT to a label map in the CT's own grid: resample, slide the window, come back, measure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from SwinSSLLib.data.volumes import Volume, resample_to_ras
from SwinSSLLib.errors import InputError, MemoryShortage, is_shortage, one_line
from SwinSSLLib.models import Model, input_of
from SwinSSLLib.nets.fast import accelerate
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.nets.weights import check_shapes, load_all
from SwinSSLLib.organs import Organ
from SwinSSLLib.segment.backends import Runner, ways_of
from SwinSSLLib.segment.regrid import LabelPainter, softmax_
from SwinSSLLib.segment.results import OrganMeasure, measure
from SwinSSLLib.segment.scoring import Network
from SwinSSLLib.segment.windows import Progress, Slab, Stop, central_window, count_windows, sliding_scores
from SwinSSLLib.settings import InputSettings
from SwinSSLLib.validation import to_dict


@dataclass(frozen=True)
class Options:
    """How to run the network; nothing here changes what a model means.

    Attributes:
        overlap: share of a window that its neighbour covers too.
        batch: windows per call of the network.
        device: a torch device, or ``auto`` for the GPU if there is one.
        precision: one of ``settings.PRECISIONS``, or ``auto`` for 16 bits where they are faster and find the same.
        backend: one of ``settings.BACKENDS``; ``auto`` takes the fastest (:mod:`SwinSSLLib.segment.backends`).
    """

    overlap: float = 0.5
    batch: int = 1
    device: str = "auto"
    precision: str = "32-true"
    backend: str = "torch"

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
        backend: how it was computed, in words of :mod:`SwinSSLLib.segment.backends`; empty for a network of yours.
        warnings: sentences to show to the user.
    """

    labels: Volume
    organs: tuple[OrganMeasure, ...]
    seconds: float
    device: str
    warnings: tuple[str, ...] = ()
    backend: str = ""


def organs_of(card: Mapping[str, Any], source: str = "this model's card") -> tuple[Organ, ...]:
    """The labels of a segmenter.

    Args:
        card: content of model.json.
        source: what to call it in messages.

    Raises:
        InputError: the card is not that of a segmenter, or its labels do not fit its network.
    """
    if card.get("kind") != "segmenter":
        raise InputError(
            f"This model is of the kind {card.get('kind')!r} and cannot segment.",
            "Fine-tune it with labelled cases first (swinssl finetune --init ...).",
        )
    section = card.get("network", {})
    classes = section.get("out_channels") if isinstance(section, Mapping) else None
    try:
        organs = tuple(_organ(label) for label in card["labels"])
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        why = one_line(repr(error))
        raise InputError(f"The labels of {source} cannot be read: {why}.", "Export it again.") from error
    ids = [organ.id for organ in organs]
    if not ids or len(set(ids)) < len(ids) or not all(0 < label < (classes or 0) for label in ids):
        raise InputError(
            f"The labels of {source} ({one_line(ids, 200)}) do not fit its network of {classes} classes.",
            "Export it again.",
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
        network: of :func:`load_network`; or anything from windows (B, 1, i, j, k) scaled to 0..1, i to the
            patient's right, j to anterior, k to superior, to logits (B, classes, i, j, k), on ``options.device`` and
            in evaluation mode, which is computed in ``options.precision``.
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
    painter, notes = LabelPainter(volume, grid), list[str]()
    try:
        for slab in _scores(grid.array, network, inputs, options, progress, stop, notes.append):
            painter.paint(slab.start, slab.stop, _probabilities(slab.scores))
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        raise MemoryShortage(
            f"The memory of {device} is too small to segment {volume.name or 'this volume'}.",
            "Close other programs, use a batch of 1 or another device (--device cpu).",
        ) from error
    measures = measure(painter.labels, volume, organs)
    if not any(organ.present for organ in measures):
        notes.append(
            f"No organ was found in {volume.name or 'this volume'}: check that it is a CT of the abdomen in HU."
        )
    runner = _runner_of(network)
    backend = runner.name if runner else ""
    warnings = (*volume.warnings, *(runner.notes if runner else ()), *notes)
    labels = replace(volume, array=painter.labels, warnings=())
    return Result(labels, measures, time.perf_counter() - started, str(device), warnings, backend)


def load_network(model: Model, options: Options) -> Runner:
    """Build a segmenter and give it its weights, ready on the device.

    Raises:
        InputError: the weights do not belong to the network that the card describes, or the options name a backend
            or a precision that there is not.
    """
    organs_of(model.card, str(model.folder))
    device = options.torch_device()
    ways, notes = ways_of(options.backend, options.precision, device)
    check_shapes(model.network, model.state, str(model.folder))
    network = build_segmenter(model.network)
    load_all(network, model.state, source=str(model.folder))
    network.eval().requires_grad_(False)
    sha256 = str(model.card.get("sha256", ""))
    identity = f"{json.dumps(to_dict(model.network), sort_keys=True)} | {sha256}"
    roi = input_of(model.card, str(model.folder)).roi
    return Runner(accelerate(network).to(device), device, ways, roi, identity, sha256, notes=notes)


def _scores(
    image: np.ndarray,
    network: Network,
    inputs: InputSettings,
    options: Options,
    progress: Progress | None,
    stop: Stop | None,
    note: Callable[[str], None],
) -> Iterator[Slab]:
    """The sliding window over a resampled volume; a network of ours finds its fastest way first."""
    runner, precision = _runner_of(network), options.precision
    if runner:
        size = (int(image.shape[0]), int(image.shape[1]), int(image.shape[2]))
        windows = count_windows(size, inputs.roi, options.overlap)
        runner.choose(lambda: central_window(image, inputs.roi, inputs.hu_window), windows, stop)
    if runner or precision == "auto":
        precision = "32-true"  # the runner sees to the rest
    return sliding_scores(
        image,
        network,
        inputs.roi,
        hu_window=inputs.hu_window,
        overlap=options.overlap,
        batch=options.batch,
        device=options.torch_device(),
        precision=precision,
        progress=progress,
        stop=stop,
        note=note,
    )


def _runner_of(network: Network) -> Runner | None:
    """A network of :func:`load_network`, also where something was wrapped around it under the name ``network``."""
    inner = network if isinstance(network, Runner) else getattr(network, "network", None)
    return inner if isinstance(inner, Runner) else None


def _probabilities(scores: torch.Tensor) -> np.ndarray:
    """Softmax of a slab (C, I, J, k) in main memory; in the device's memory as long as that is large enough."""
    try:
        softmax_(scores)  # asks for all its memory before it changes anything
    except RuntimeError as error:
        if scores.device.type == "cpu" or not is_shortage(error):
            raise
        return softmax_(torch.stack([score.cpu() for score in scores])).numpy()
    # Class by class: a slab is a part of its band, and would be copied on the device to be sent in one piece.
    return scores.numpy() if scores.device.type == "cpu" else torch.stack([score.cpu() for score in scores]).numpy()


def _organ(label: Mapping[str, Any]) -> Organ:
    """One entry of a card's labels."""

    def code(given: Any) -> tuple[str, str, str]:
        scheme, value, meaning = (str(part) for part in given)
        return scheme, value, meaning

    red, green, blue = (int(channel) for channel in label["colour"])
    modifier = code(label["modifier"]) if label.get("modifier") else None
    return Organ(int(label["id"]), str(label["name"]), code(label["code"]), (red, green, blue), modifier)

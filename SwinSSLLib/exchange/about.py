"""What is known of weights that their tensors do not say, and the card that follows from it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from SwinSSLLib.exchange.catalogue import Entry
from SwinSSLLib.exchange.labels import numbered_labels
from SwinSSLLib.models import make_card
from SwinSSLLib.nets.foreign import Foreign
from SwinSSLLib.organs import ANATOMICAL_STRUCTURE, CLASSES, ORGANS, Organ
from SwinSSLLib.settings import InputSettings
from SwinSSLLib.validation import build, merged, to_dict

#: The public recipes: pre-training without resampling in a wide window (Pretrain/utils/data_utils.py:72-91),
#: fine-tuning at 1.5 x 1.5 x 2 mm in a soft tissue window (BTCV/utils/data_utils.py:72-102).
PRETRAINED_INPUT = {"spacing": None, "hu_window": [-1000.0, 1000.0], "roi": [96, 96, 96]}
SEGMENTER_INPUT = {"spacing": [1.5, 1.5, 2.0], "hu_window": [-175.0, 250.0], "roi": [96, 96, 96]}


@dataclass(frozen=True)
class About:
    """What somebody states about weights: their publisher, a bundle's configuration, or the user.

    Attributes:
        merging: patch merging that they were trained with; None if nobody said so.
        input: spacing, HU window, roi, as far as stated.
        finetune_input: those to fine-tune with, where they differ.
        labels: of a segmenter.
        provenance: goes into the card.
        metrics: stated figures, with their split.
    """

    merging: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    finetune_input: Mapping[str, Any] | None = None
    labels: tuple[Organ, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def overruled_by(self, other: About) -> About:
        """The same with everything that ``other`` states in its place."""
        return About(
            other.merging or self.merging,
            {**self.input, **other.input},
            other.finetune_input or self.finetune_input,
            other.labels or self.labels,
            {**self.provenance, **other.provenance},
            {**self.metrics, **other.metrics},
        )


def about_entry(entry: Entry) -> About:
    """What the catalogue says."""
    return About(
        merging=entry.merging,
        input=entry.input,
        finetune_input=entry.finetune_input,
        labels=ORGANS if entry.labels == "btcv" else None,
        provenance={
            "published": entry.name,
            "address": entry.address,
            "licence": dict(entry.licence),
            "citation": list(entry.citation),
        },
        metrics={"stated": [dict(figure) for figure in entry.dice]} if entry.dice else {},
    )


def card_of(foreign: Foreign, about: About, source: Path, sha256: str) -> dict[str, Any]:
    """The model card of imported weights; everything that nobody stated is in it as assumed.

    Raises:
        InputError: what is stated cannot be.
    """
    assumed: list[str] = []
    segments = foreign.kind == "segmenter"
    defaults = SEGMENTER_INPUT if segments else PRETRAINED_INPUT
    for name, value in defaults.items():
        if name not in about.input:
            assumed.append(f"input.{name} = {value}, as in the public recipe")
    if about.merging is None:
        assumed.append(f"merging = {foreign.network.merging}, as all weights from before MONAI 1.5 need")
    inputs = build(InputSettings, merged(defaults, about.input), f"The input of {source}")
    more: dict[str, Any] = {"metrics": dict(about.metrics), "coverage": foreign.coverage.to_dict()}
    if segments:
        labels = about.labels
        if labels is None:
            btcv = foreign.network.out_channels == CLASSES
            labels = ORGANS if btcv else numbered_labels(foreign.network.out_channels)
            assumed.append("labels: the 13 organs in BTCV's order" if btcv else "labels: numbered classes")
        more["labels"] = [{**asdict(organ), "category": ANATOMICAL_STRUCTURE} for organ in labels]
    else:
        more["finetune_input"] = dict(about.finetune_input or SEGMENTER_INPUT)
    if foreign.heads:
        more["heads"] = to_dict(foreign.heads)
    provenance = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "file": source.name,
        "file_sha256": sha256,
        **about.provenance,
        "assumed": assumed,
    }
    network = replace(foreign.network, merging=about.merging or foreign.network.merging)
    return make_card(foreign.kind, network, inputs, provenance, **more)

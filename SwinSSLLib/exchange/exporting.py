"""A model in formats that others read: nothing is lost on the way out and back, for the card goes along."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SwinSSLLib import atomic
from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.bundle_out import write_bundle
from SwinSSLLib.exchange.sealing import card_beside, sealed
from SwinSSLLib.models import CARD, WEIGHTS, Model, save_model
from SwinSSLLib.nets.weights import ENCODER

State = dict[str, Tensor]


def export_model(model: Model, format: str, out: Path | str) -> tuple[Path, ...]:
    """Write a model in one of :data:`FORMATS`; returns the files.

    Args:
        model: what to write.
        format: see :data:`FORMATS`.
        out: a folder for ``folder`` and ``bundle``, else a file.

    Raises:
        InputError: unknown format, ``out`` exists already or cannot be written, or the model has not what it takes.
    """
    out = Path(out)
    if format not in FORMATS:
        raise InputError(f"There is no format {format!r}.", f"Choose one of {', '.join(FORMATS)}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already.", "Choose another name.")
    return FORMATS[format](model, out)


def to_swinvit(model: Model) -> State:
    """Tensors as in ``model_swinvit.pt``: what ``SwinUNETR.load_from`` of stock MONAI asks for.

    Only the encoder, and the heads of pre-training where there are any; a decoder has no place in this layout.
    """
    renamed = {}
    for name, value in model.state.items():
        if name.startswith(ENCODER):
            renamed[f"module.{_fc(name.removeprefix(ENCODER))}"] = value
        elif name.startswith("contrast_head."):
            renamed[f"module.contrastive_head.{name.partition('.')[2]}"] = value
        elif name.startswith("rotation_head."):
            renamed[f"module.{name}"] = value
        elif name.startswith("reconstruction_head."):
            transposed = model.card.get("heads", {}).get("reconstruction") == "transposed"
            renamed[f"module.{'convTrans3d' if transposed else 'conv'}.{name.partition('.')[2]}"] = value
    return renamed


def to_ssl_head(model: Model) -> State:
    """Tensors by the names of the public code's ``SSLHead`` (132, 140 or 142, by decoder)."""
    names = {"contrast_head.": "contrastive_head.", "reconstruction_head.": "conv."}
    return {
        next((theirs + name.removeprefix(ours) for ours, theirs in names.items() if name.startswith(ours)), name): value
        for name, value in model.state.items()
    }


def _folder(model: Model, out: Path) -> tuple[Path, ...]:
    save_model(out, model.card, model.state)
    return out / WEIGHTS, out / CARD


def _monai(model: Model, out: Path) -> tuple[Path, ...]:
    """MONAI's names, bare: ``SwinUNETR(...).load_state_dict(torch.load(file))``."""
    _needs(model, "segmenter", "monai")
    return _with_card(model, model.state, out)


def _swinvit(model: Model, out: Path) -> tuple[Path, ...]:
    return _with_card(model, {"state_dict": to_swinvit(model)}, out, whole=model.card["kind"] != "segmenter")


def _ssl_head(model: Model, out: Path) -> tuple[Path, ...]:
    _needs(model, "pretrained", "sslhead")
    return _with_card(model, {"state_dict": to_ssl_head(model)}, out)


def _bundle(model: Model, out: Path) -> tuple[Path, ...]:
    _needs(model, "segmenter", "bundle")
    return write_bundle(model, out)


def _with_card(model: Model, content: Any, out: Path, *, whole: bool = True) -> tuple[Path, ...]:
    """A file that torch reads and the card beside it; of a part of a model there is no card."""
    if out.suffix not in (".pt", ".pth"):
        raise InputError(f"{out} has no ending for weights.", "Use .pt or .pth.")
    with atomic.replacing(out) as file:
        torch.save(content, file)
    if not whole:
        return (out,)
    atomic.write_json(card_beside(out), sealed(model.card, out))
    return out, card_beside(out)


def _needs(model: Model, kind: str, format: str) -> None:
    have: Mapping[str, str] = {
        "encoder": "an encoder",
        "pretrained": "an encoder with heads",
        "segmenter": "a segmenter",
    }
    if model.card["kind"] != kind:
        raise InputError(
            f"The format {format} is for {have[kind]}, and {model.folder} is {have[model.card['kind']]}.",
            "Use the format folder or swinvit.",
        )


def _fc(name: str) -> str:
    return re.sub(r"\.mlp\.linear(\d)\.", r".mlp.fc\1.", name)


#: Formats by name, each with its writer.
FORMATS: dict[str, Callable[[Model, Path], tuple[Path, ...]]] = {
    "folder": _folder,
    "monai": _monai,
    "swinvit": _swinvit,
    "sslhead": _ssl_head,
    "bundle": _bundle,
}

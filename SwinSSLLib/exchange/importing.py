"""Weights in any format become a model: tensors under our names, and a card that says what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.about import About, card_of
from SwinSSLLib.exchange.bundle import is_bundle, opened_bundle
from SwinSSLLib.exchange.sealing import card_beside, open_card, sha256_of
from SwinSSLLib.models import CARD, Model, load_model
from SwinSSLLib.nets.contents import read_content
from SwinSSLLib.nets.foreign import Foreign, from_content
from SwinSSLLib.runs import RunFolder

#: Endings of single files of weights.
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


def import_model(path: Path, about: About | None = None, *, force: bool = False) -> Model:
    """Read weights in any known format, in memory.

    Args:
        path: a model or run folder of ours, a file of weights (with or without a card beside it), or a bundle of
            MONAI's model zoo, as a folder or a zip file.
        about: what is known besides; it goes before what a file or a bundle says, but not before a card of ours.
        force: accept less than the whole encoder.

    Raises:
        InputError: not readable without executing code, not a Swin encoder, not the whole of one, or stated with
            values that cannot be.
    """
    stated = about or About()
    if path.is_dir() and ((path / CARD).is_file() or RunFolder.is_run(path)):
        return load_model(path)
    if is_bundle(path):
        with opened_bundle(path) as bundle:
            card = open_card(bundle.card, bundle.weights, f"The card in {path}") if bundle.card else None
            return _import(bundle.weights, path, bundle.about.overruled_by(stated), card, force)
    if path.is_dir():
        raise InputError(
            f"{path} holds no model and no bundle.", "Give a model folder, a bundle, or a file of weights."
        )
    beside = card_beside(path)
    card = open_card(beside.read_bytes(), path, str(beside)) if path.is_file() and beside.is_file() else None
    return _import(path, path, stated, card, force)


def _import(file: Path, source: Path, about: About, card: dict[str, Any] | None, force: bool) -> Model:
    foreign = from_content(read_content(file), source, merging=about.merging or "legacy", force=force)
    if card is None:
        return Model(source, card_of(foreign, about, source, sha256_of(file)), foreign.state)
    return Model(source, card, _as_card_says(foreign, card, source))


def _as_card_says(foreign: Foreign, card: dict[str, Any], source: Path) -> dict[str, Any]:
    """The tensors, when they are what the card describes."""
    own = Model(source, card, foreign.state).network
    found = replace(foreign.network, merging=own.merging)
    if foreign.kind != "segmenter":  # the classes of an encoder are nowhere in its tensors
        found = replace(found, out_channels=own.out_channels)
    if found != own or foreign.kind != card["kind"]:
        raise InputError(f"{source} does not hold what its card describes.", "Export the model again.")
    return foreign.state

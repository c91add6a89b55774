"""A card beside weights in a format of others: it belongs to one file, and says so by that file's SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.models import KINDS, input_of, network_of

_CHUNK = 1 << 20
#: Hash of the file beside the card; "sha256" stays that of the model folder's own weights.
SEAL = "beside_sha256"


def sha256_of(path: Path) -> str:
    """Hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sealed(card: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    """The card with the hash of the file that it lies beside."""
    return {**card, SEAL: sha256_of(weights)}


def open_card(content: bytes, weights: Path, source: str) -> dict[str, Any]:
    """Read a sealed card.

    Args:
        content: JSON.
        weights: the file that it lies beside.
        source: what to call the card in messages.

    Raises:
        InputError: damaged, of an unknown kind, or written for another file.
    """
    try:
        card = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} cannot be read: {one_line(error)}.", "Export the model again.") from error
    if not isinstance(card, dict) or card.get("kind") not in KINDS:
        raise InputError(f"{source} is not a model card that this version knows.", "Export the model again.")
    if card.get(SEAL) != sha256_of(weights):
        raise InputError(
            f"{source} was not written for {weights.name} (its SHA-256 differs).",
            "One of the two was exchanged or damaged; export the model again, or take the card away.",
        )
    network_of(card, source)
    input_of(card, source)
    return {key: value for key, value in card.items() if key != SEAL}


def card_beside(weights: Path) -> Path:
    """Where the card of a file of weights would lie: ``name.pt`` has ``name.model.json``."""
    return weights.with_name(f"{weights.stem}.model.json")

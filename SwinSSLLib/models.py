"""The model folder: weights that say what they are (``weights.safetensors`` and ``model.json``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib import atomic
from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.organs import ANATOMICAL_STRUCTURE, ORGANS, Organ
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import AXIS_ORDER, InputSettings, NetworkSettings
from SwinSSLLib.validation import build, to_dict

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("encoder", "pretrained", "segmenter")
CARD = "model.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Model:
    """A model folder in memory.

    Attributes:
        folder: where it lies.
        card: what it is (content of model.json).
        state: tensors by name, on the CPU.
    """

    folder: Path
    card: dict[str, Any]
    state: dict[str, Tensor]

    @property
    def network(self) -> NetworkSettings:
        """The network that the weights belong to."""
        return network_of(self.card, str(self.folder))


def make_card(
    kind: str, network: NetworkSettings, input_settings: InputSettings, provenance: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """A card for weights that we made; ``save_model`` adds the hash of the weights."""
    labels = [_label(organ) for organ in ORGANS] if kind == "segmenter" else []
    return {
        "format": 1,
        "kind": kind,
        "network": to_dict(network),
        "input": {"orientation": "RAS", "axis_order": AXIS_ORDER, **to_dict(input_settings)},
        "labels": labels,
        "provenance": dict(provenance),
        "metrics": {},
        **more,
    }


def save_model(folder: Path, card: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write a model folder; returns the card with the hash of its weights.

    The weights are written first: a card never points to weights that are not there.

    Raises:
        InputError: the folder cannot be written.
    """
    from safetensors.torch import save

    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    complete = {**card, "sha256": hashlib.sha256(content).hexdigest()}
    with atomic.replacing(folder / WEIGHTS) as file:
        file.write(content)
    atomic.write_json(folder / CARD, complete)
    return complete


def model_folder(path: Path | str) -> Path:
    """The model folder meant by a path: the folder itself, or the ``model`` of a run.

    Raises:
        InputError: neither.
    """
    path = Path(path)
    if (path / CARD).is_file():
        return path
    run = RunFolder(path)
    if (run.model / CARD).is_file():
        return run.model
    if RunFolder.is_run(path):
        raise InputError(f"The run {path} has no model yet.", "Let it finish, or resume it.")
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Give a model folder or a run folder.")
    raise InputError(f"{path} holds no model ({CARD} is missing).", "Give a model folder or a finished run folder.")


def read_card(path: Path | str) -> dict[str, Any]:
    """The card of a model or run folder, checked.

    Raises:
        InputError: missing, damaged or of an unknown kind.
    """
    file = model_folder(path) / CARD
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {one_line(error)}.", "Export the model again.") from error
    if not isinstance(card, dict) or card.get("kind") not in KINDS:
        raise InputError(f"{file} is not a model card that this version knows.", "Was it made by a newer version?")
    network_of(card, str(file))
    input_of(card, str(file))
    return card


def weights_sha256(card: Mapping[str, Any]) -> str:
    """SHA-256 of what a model's tensors were read from: its own weights or, if it was imported, the file of others.

    Empty where a card tells neither.
    """
    provenance = card.get("provenance")
    stated = provenance.get("file_sha256", "") if isinstance(provenance, Mapping) else ""
    return str(card.get("sha256") or stated)


def load_model(path: Path | str) -> Model:
    """Read a model or run folder; nothing in it is executed.

    Raises:
        InputError: missing or damaged, or the weights are not those that the card was written for.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = model_folder(path)
    card = read_card(folder)
    file = folder / WEIGHTS
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.", "Export the model again.") from error
    if hashlib.sha256(content).hexdigest() != card.get("sha256"):
        raise InputError(
            f"{file} is not the file that {CARD} was written for (its SHA-256 differs).",
            "It is damaged or was exchanged; copy the whole model folder again.",
        )
    try:
        return Model(folder, card, load(content))
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:  # as kinds of numbers differ
        raise InputError(f"{file} is no safetensors file: {one_line(error)}.", "Export the model again.") from error


def network_of(card: Mapping[str, Any], source: str) -> NetworkSettings:
    """The network section of a card.

    Raises:
        InputError: unknown or impossible values.
    """
    return build(NetworkSettings, card.get("network", {}), source)


def input_of(card: Mapping[str, Any], source: str) -> InputSettings:
    """The input section of a card, without orientation and axis order, which must be ours.

    Raises:
        InputError: unknown or impossible values, or another orientation.
    """
    given = card.get("input", {})
    section = dict(given) if isinstance(given, Mapping) else {}
    orientation, order = section.pop("orientation", None), section.pop("axis_order", None)
    if orientation != "RAS" or order != AXIS_ORDER:
        words = f"unknown orientation {one_line(orientation, 80)} or axis order {one_line(order, 80)}"
        raise InputError(f"{source}: {words}.", "Import it again.")
    known = {field.name for field in fields(InputSettings)}
    return build(InputSettings, {key: value for key, value in section.items() if key in known}, source)


def _label(organ: Organ) -> dict[str, Any]:
    return {**asdict(organ), "category": ANATOMICAL_STRUCTURE}

"""Readers of models and weights: cards, model folders, files of torch and safetensors, checkpoints."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

from Fuzz import archives, documents, mutators
from Fuzz.inputs import FOLDER, Input, one
from Fuzz.readers import Reader, bytewise, everywhere
from SwinSSLLib.checkpoints import load_checkpoint, save_checkpoint
from SwinSSLLib.exchange.library import Library
from SwinSSLLib.models import CARD, input_of, load_model, make_card, network_of, read_card, save_model
from SwinSSLLib.models import WEIGHTS as TENSORS
from SwinSSLLib.nets.contents import read_content
from SwinSSLLib.nets.foreign import Foreign, read_foreign
from SwinSSLLib.nets.swin import build_encoder, build_segmenter
from SwinSSLLib.segment.pipeline import Options, load_network, organs_of
from SwinSSLLib.settings import InputSettings, NetworkSettings

NETWORK = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8))
INPUT = InputSettings(spacing=(8.0,) * 3, roi=(64, 32, 32))
#: What a hostile pickle would leave if it were executed.
MARKER = "executed"


def tiny_state() -> dict[str, Any]:
    """Some tensors: enough for readers that do not ask what they are for."""
    return {"a": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(4, dtype=torch.float16), "n": torch.tensor(3)}


def torch_file(content: Any, zipped: bool = True) -> bytes:
    """As ``torch.save`` writes it, in its present or its old format."""
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def segmenter_card(kind: str = "segmenter") -> dict[str, Any]:
    """A card of the small network."""
    return make_card(kind, NETWORK, INPUT, {"created": "2026-01-01", "assumed": ["x"]}, sha256="0" * 64)


# -- cards and model folders -----------------------------------------------------------------------


def _card_seeds(_: Path) -> list[Input]:
    cards = [segmenter_card(), segmenter_card("encoder")]
    return [Input(FOLDER, {CARD: json.dumps(card).encode()}) for card in cards]


def _read_card(path: Path, out: Path) -> Any:
    card = read_card(path)
    network, inputs = network_of(card, str(path)), input_of(card, str(path))
    if card["kind"] == "segmenter":
        organs_of(card, str(path))
    return network, inputs


def bounded(found: Any) -> str:
    """A card may not ask for a network that no machine holds."""
    network = found[0] if isinstance(found, tuple) else found
    sizes = (network.feature_size, *network.depths, *network.num_heads, network.in_channels, network.out_channels)
    return "" if max(sizes) <= 1024 else f"a network of {sizes}"


def _library(path: Path, out: Path) -> Any:
    return [(one.card is None, one.problem) for one in Library(path).models()]


def _library_problem(found: Any) -> str:
    for missing, problem in found:
        if missing != bool(problem) or len(problem) > 6000:
            return f"{missing} {problem!r}"
    return ""


def _model_seeds(folder: Path) -> list[Input]:
    save_model(folder / "m", segmenter_card(), {**tiny_state(), "index": torch.arange(4)})
    return [Input(FOLDER, {file.name: file.read_bytes() for file in sorted((folder / "m").iterdir())}, target=TENSORS)]


def _model(random: Random, seed: Input, other: Input) -> Input:
    """Weights by their header, with the hash of the card put right most of the time."""
    changed = bytewise(archives.safetensors)(random, seed, other)
    card = json.loads(seed.files[CARD])
    if random.random() < 0.95:
        card["sha256"] = hashlib.sha256(changed.content).hexdigest()
    return changed.with_content(json.dumps(card).encode(), CARD)


def _state_problem(state: Mapping[str, Any]) -> str:
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            return f"{name!r} is a {type(value).__name__}"
        if value.device.type != "cpu" or value.layout != torch.strided:
            return f"{name!r} lies on {value.device} as {value.layout}"
        value.double().sum()  # reads every byte of it
    return ""


@functools.cache
def _segmenter() -> tuple[Path, dict[str, Any]]:
    """A real small segmenter; its 16 MB are linked, not copied, into each input."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-model-", dir=os.environ.get("FUZZ_KEEP")))
    torch.manual_seed(1)
    card = make_card("segmenter", NETWORK, INPUT, {})
    return folder, save_model(folder, card, build_segmenter(NETWORK).state_dict())


def _segmenter_seeds(_: Path) -> list[Input]:
    folder, card = _segmenter()
    return [Input(FOLDER, {CARD: json.dumps(card).encode()}, {TENSORS: str(folder / TENSORS)})]


def _segmenter_card(random: Random, seed: Input, other: Input) -> Input:
    """A number of the network, or anything, becomes another; the hash stays, or nothing else would be looked at."""
    card = json.loads(seed.content)
    if random.random() < 0.6:
        section = card[random.choice(("network", "network", "input"))]
        key = random.choice(list(section))
        section[key] = documents.value_like(random, section[key])
        if key == "feature_size" and random.random() < 0.7:
            section[key] = random.choice((24, 48, 96, 192, 384, 768, 1200, 120_000, 12 * 10**9))
        return seed.with_content(json.dumps(card).encode())
    return bytewise(documents.mutated)(random, seed, other)


def _load_network(path: Path, out: Path) -> Any:
    model = load_model(path)
    return model.network, load_network(model, Options(device="cpu", precision="32-true", backend="torch"))


# -- files of weights ------------------------------------------------------------------------------


def _tensor_seeds(_: Path) -> list[Input]:
    contents = (tiny_state(), {"state_dict": tiny_state(), "epoch": 3, "args": [1, "x"], "best": 0.5})
    files = [one("w.pt", torch_file(content, zipped)) for content in contents for zipped in (True, False)]
    from safetensors.torch import save

    return [*files, one("w.safetensors", save(tiny_state()))]


def _torch_member(random: Random, name: str, data: bytes, other: bytes) -> bytes:
    if name.endswith(".pkl"):
        if random.random() < 0.1:
            return archives.hostile_pickle(random, MARKER)
        for _ in range(random.choice((1, 1, 2, 3))):
            data = archives.pickled(random, data, data)
        return data
    return mutators.mutated(random, data or b"x", other or b"x", mutators.BINARY)


_TORCH_ZIP = archives.zip_of(_torch_member)


def torch_change(random: Random, data: bytes, other: bytes) -> bytes:
    """A file of torch in either format."""
    if random.random() < 0.03:
        return archives.hostile_pickle(random, MARKER)
    if data.startswith(b"PK"):
        return _TORCH_ZIP(random, data, other)
    ends = [at + 1 for at in range(len(data)) if data[at : at + 1] == b"."][:8]  # the pickles that it begins with
    start = random.choice([0, *ends])
    return data[:start] + archives.pickled(random, data[start:], other)


def _weights(random: Random, seed: Input, other: Input) -> Input:
    change = archives.safetensors if seed.main.endswith(".safetensors") else torch_change
    return bytewise(change)(random, seed, other if other.main == seed.main else seed)


def _content_problem(content: Any) -> str:
    """Whatever it holds: plain data, and tensors whose memory is theirs."""
    if isinstance(content, torch.Tensor):
        if content.device.type not in ("cpu", "meta"):
            return f"a tensor on {content.device}"
        return ""
    if isinstance(content, Mapping):
        return next((words for value in content.values() if (words := _content_problem(value))), "")
    if isinstance(content, list | tuple):
        return next((words for value in content if (words := _content_problem(value))), "")
    return ""


def _read_content(path: Path, out: Path) -> Any:
    return read_content(path)


def _encoder_seeds(_: Path) -> list[Input]:
    torch.manual_seed(1)
    state = {f"swinViT.{name}": value for name, value in build_encoder(NETWORK).state_dict().items()}
    return [one("encoder.pt", torch_file({"state_dict": state}))]


def _encoder(random: Random, seed: Input, other: Input) -> Input:
    """Tensors of other shapes, kinds and layouts under the right names, or a file that is damaged."""
    if random.random() < 0.5:
        return bytewise(torch_change)(random, seed, other)
    state = torch.load(io.BytesIO(seed.content), weights_only=True)["state_dict"]
    for _ in range(random.choice((1, 1, 2, 5))):
        names = list(state)
        name = random.choice((random.choice(names), "swinViT.patch_embed.proj.weight", random.choice(names[:8])))
        if name in state:
            _odd(random, state, name)
    return seed.with_content(torch_file({"state_dict": state}))


def _odd(random: Random, state: dict[str, Any], name: str) -> None:
    value = state[name]
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        del state[name]
        return
    wide = (random.choice((12, 2400, 24_000_000)), *value.shape[1:]) if value.ndim else (5,)
    choices = (
        lambda: torch.zeros(()).expand(wide),
        lambda: value.to_sparse(),
        lambda: value.to("meta"),
        lambda: value.to(random.choice((torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool))),
        lambda: value.to(torch.complex64),
        lambda: value.to(torch.float8_e4m3fn) if value.is_floating_point() else value,
        lambda: torch.full_like(value, math.nan) if value.is_floating_point() else value,
        lambda: value.reshape(-1),
        lambda: value[:0],
        lambda: torch.nn.Parameter(value) if value.is_floating_point() else value,
        lambda: random.choice(("text", 3, None, [], {}, {"a": 1})),
    )
    key = random.choice((name, name, name, f"module.{name}", name.replace("layers1", "layers99"), name + ".x", ""))
    state[key] = random.choice(choices)()
    if key != name and random.random() < 0.5:
        del state[name]


def _foreign_problem(found: Foreign) -> str:
    for name, value in found.state.items():
        if value.is_floating_point() and value.dtype != torch.float32:
            return f"{name} is {value.dtype}"
        if not value.is_floating_point() and "index" not in name and "num_batches" not in name:
            return f"{name} is {value.dtype}"
    return bounded(found.network) or _state_problem(found.state)


def _checkpoint_seeds(_: Path) -> list[Input]:
    content = {"step": 5, "model": tiny_state(), "optimizer": {"state": {0: tiny_state()}}, "best": 0.5, "best_step": 3}
    out = io.BytesIO()
    save_checkpoint({**content, "numpy": [1, (2, 3)], "words": {"a": None}}, out)
    return [one("last.ckpt", out.getvalue()), one("last.ckpt", torch_file(content))]


READERS: Sequence[Reader] = (
    Reader("model-card", _card_seeds, bytewise(documents.mutated), _read_card, bounded, 2),
    Reader(
        "library",
        lambda folder: [Input(FOLDER, {f"m/{CARD}": one_.content}) for one_ in _card_seeds(folder)],
        everywhere(documents.mutated),
        _library,
        _library_problem,
        0.5,
        quiet=True,
    ),
    Reader("model-folder", _model_seeds, _model, lambda p, o: load_model(p).state, _state_problem, 2),
    Reader("segmenter", _segmenter_seeds, _segmenter_card, _load_network, bounded, 0.12),
    Reader("weights-content", _tensor_seeds, _weights, lambda p, o: read_content(p), _content_problem, 3, books=True),
    Reader("weights-encoder", _encoder_seeds, _encoder, lambda p, o: read_foreign(p), _foreign_problem, 0.15),
    Reader(
        "checkpoint", _checkpoint_seeds, bytewise(torch_change), lambda p, o: load_checkpoint(p), share=2, accepts=False
    ),
)

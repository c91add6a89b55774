"""Weights of others: every published layout of Swin UNETR, read without executing anything that stands in the file.

Known layouts (all read in the public sources):

- the paper's ``model_swinvit.pt``: {"state_dict": module.patch_embed..., module.layersK.0.blocks.J.mlp.fc1...}, with
  four heads and the optimiser beside it;
- the official code's own files (``SSLHead``): ``swinViT.*``, under DDP ``module.swinViT.*``, before pull request 89
  ``swin_vit.*``, with heads ``rotation_head``, ``contrastive_head`` and ``conv``;
- fine-tuned Swin UNETR: MONAI's names, bare or under "state_dict", "model" or "net", with ``module.`` or ``backbone.``;
- Disruptive Autoencoders: {"model": encoder.patch_embed.*, encoder.layersN.0.0.*, decoder, mask token};
- VoCo and other files for ``use_v2``: the same with ``layersNc``;
- any of these under the name that a wrapper gives it, as ``model.`` (Lightning) or ``net.``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.nets.contents import named_tensors, read_content
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.nets.swin import build_encoder, build_segmenter
from SwinSSLLib.nets.weights import ENCODER, FIRST, Coverage, coverage_of
from SwinSSLLib.settings import HeadSettings, NetworkSettings
from SwinSSLLib.validation import build

_PREFIXES = ("module.", "_orig_mod.", "backbone.", "student.")
#: The first convolution, whatever stands before it; wrappers (Lightning, one's own) put the network under a name.
_ANCHOR = re.compile(
    r"(?P<wrapper>(?:.*\.)?)(?:swinViT|swin_vit)\.patch_embed\.proj\.weight|"
    r"(?P<bare>.+\.)patch_embed\.proj\.weight"
)
#: A block of a Swin encoder, or anything under its name in MONAI.
_PART = re.compile(r"swinViT\.|swin_vit\.|(^|\.)layers[1-4]\.0\.(0\.)?blocks\.")
#: Where a file holds several (a teacher, a moving average), the network that was trained.
_TRAINED = ("model.", "_model.", "net.", "network.", "swin_unetr.", "swinunetr.")
_HEADS = {
    "rotation_head.": "rotation_head.",
    "contrastive_head.": "contrast_head.",
    "convTrans3d.": "reconstruction_head.",
    "conv.": "reconstruction_head.",
}
#: What other files that turn up under such names are, and how they are recognised.
_OTHERS = (
    (re.compile(r"(^|\.)(stages|encoder\.stages)\.\d+\."), "a residual encoder U-Net of nnU-Net or nnssl"),
    (
        re.compile(r"(^|\.)(eva|vit)\.|(^|\.)blocks\.\d+\.attn\.qkv"),
        "a plain vision transformer (UNETR, Primus or MAE)",
    ),
    (re.compile(r"(^|\.)(down_convs|downLayers|down_layers)\b"), "a SegResNet or U-Net"),
)


@dataclass(frozen=True)
class Foreign:
    """Weights of others under our names.

    Attributes:
        state: tensors by MONAI's names (``swinViT.*`` and the rest of Swin UNETR, or our heads), complete for ``kind``.
        network: what their shapes say; ``merging`` is ``legacy`` unless somebody knows better.
        kind: ``encoder``, ``pretrained`` (with heads) or ``segmenter``.
        heads: of the kind ``pretrained``, else None.
        coverage: what became of each tensor of the file.
    """

    state: dict[str, Tensor]
    network: NetworkSettings
    kind: str
    heads: HeadSettings | None
    coverage: Coverage


def read_foreign(path: Path, *, merging: str = "legacy", force: bool = False) -> Foreign:
    """Read a file of weights in any known layout.

    Args:
        path: .pt, .pth, .ckpt, .bin or .safetensors.
        merging: of the network that they were trained with. All published weights are from before MONAI 1.5.
        force: accept less than the whole encoder; the rest is filled with fresh random values.

    Raises:
        InputError: no such file, not readable without executing code, not a Swin encoder (says what it is), or not
            the whole of one.
    """
    return from_content(read_content(path), path, merging=merging, force=force)


def from_content(content: Any, path: Path, *, merging: str = "legacy", force: bool = False) -> Foreign:
    """As :func:`read_foreign`, for a file that is in memory already; ``path`` is its name in messages."""
    tensors = named_tensors(content, path)
    given, origin, left_out = _translated(tensors, path)
    part = next((name for name in tensors if _PART.search(name)), "")
    if FIRST not in given and part:
        why = f"{one_line(part, 120)} is there, the patch embedding is missing"
        raise InputError(f"{path} holds only a part of a Swin encoder ({why}).", "Choose a complete file.")
    if not part:
        raise InputError(f"{path} holds no Swin encoder{_what_it_is(tensors)}.", "Choose weights of a Swin UNETR.")
    network = replace(_network_of(given, path), merging=merging)
    kind, heads, receiver, found = _kind_of(given, network)
    converted = [f"{name}: {given[name].dtype} to torch.float32" for name in found.loaded if _is_odd(given[name])]
    coverage = replace(
        found,
        unexpected=tuple(sorted([*(origin[name] for name in found.unexpected), *left_out])),
        renamed={name: origin[name] for name in found.loaded if origin[name] != name},
        converted=tuple(converted),
    )
    if not coverage.complete and not force:
        examples = (*coverage.mismatched, *coverage.missing)[:3]
        raise InputError(
            f"{path} does not hold a whole Swin encoder: {coverage.sentence()}; for example {'; '.join(examples)}.",
            "Choose a complete file, or accept random values for the rest with --force.",
        )
    state = {name: _as_ours(given[name]) for name in coverage.loaded}
    for name, value in state.items():
        shown = one_line(origin[name], 120)
        if not torch.isfinite(value).all():
            raise InputError(f"{path}: {shown} holds values that are not numbers.", "The file is damaged.")
        if receiver[name].is_floating_point() != value.is_floating_point():
            raise InputError(f"{path}: {shown} holds {value.dtype}, which are no weights.", "The file is damaged.")
    if not coverage.complete:
        state = {name: value.clone() for name, value in receiver.items()} | state
    return Foreign(state, network, kind, heads, coverage)


def _translated(tensors: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """Tensors by our names, the file's name of each, and the file's names that have no place or come twice."""
    given: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    left_out: list[str] = []
    plain = {name: _without_prefixes(name) for name in tensors}
    wrapper = _wrapper_of(plain.values(), path)
    plain = {name: short.removeprefix(wrapper) for name, short in plain.items()}
    # Disruptive Autoencoders: its decoder has names of Swin UNETR and other shapes.
    autoencoder = "encoder.patch_embed.proj.weight" in plain.values()
    for name, short in plain.items():
        ours = short if autoencoder and not short.startswith("encoder.") else _our_name(short)
        if ours in given or (autoencoder and not ours.startswith(ENCODER)):
            left_out.append(name)
        else:
            given[ours], origin[ours] = tensors[name], name
    return given, origin, left_out


def _without_prefixes(name: str) -> str:
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), ""):
        name = name.removeprefix(prefix)
    return name


def _wrapper_of(names: Iterable[str], path: Path) -> str:
    """What stands before every tensor of the network, such as ``model.``; mostly nothing.

    Raises:
        InputError: there are several networks, and nobody knows which one is meant.
    """
    found = {match["wrapper"] or match["bare"] or "" for name in names if (match := _ANCHOR.fullmatch(name))}
    found = {"" if wrapper == "encoder." else wrapper for wrapper in found}  # Disruptive Autoencoders
    if len(found) < 2 or "" in found:
        return found.pop() if len(found) == 1 else ""
    known = next((wrapper for wrapper in _TRAINED if wrapper in found), None)
    if known is None:
        several = one_line(", ".join(sorted(found)), 200)
        raise InputError(f"{path} holds several Swin encoders: under {several}.", "Save one of them alone.")
    return known


def _our_name(name: str) -> str:
    """MONAI's name of a tensor, or one of our heads; other names stay as they are and find no place later."""
    name = re.sub(r"^swin_vit\.", ENCODER, name)
    name = re.sub(r"^encoder\.(layers\d)\.0\.0\.", rf"{ENCODER}\1.0.", name)  # Disruptive Autoencoders
    name = re.sub(r"^encoder\.patch_embed\.", f"{ENCODER}patch_embed.", name)
    name = re.sub(r"^(patch_embed\.|layers\dc?\.)", rf"{ENCODER}\1", name)
    name = re.sub(r"\.mlp\.fc(\d)\.", r".mlp.linear\1.", name)
    for theirs, ours in _HEADS.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _network_of(state: Mapping[str, Tensor], path: Path) -> NetworkSettings:
    """Feature size, channels, window, depths, heads, version and classes, from shapes alone."""
    try:
        if state[FIRST].dim() != 5:
            raise ValueError("its first convolution is not one of three dimensions")
        feature_size, in_channels, patch, _, _ = state[FIRST].shape
        depths, heads = [], []
        for stage in range(1, 5):
            pattern = re.compile(rf"{re.escape(ENCODER)}layers{stage}\.0\.blocks\.(\d+)\.")
            blocks = {int(match[1]) for name in state if (match := pattern.match(name))}
            if not blocks:
                raise ValueError(f"stage {stage} is missing: no {ENCODER}layers{stage}")
            # Blocks come in pairs, plain and shifted; an odd number means that one is missing, not that it is so.
            depths.append(2 * ((max(blocks) + 2) // 2))
            table = state[f"{ENCODER}layers{stage}.0.blocks.0.attn.relative_position_bias_table"]
            heads.append(int(table.shape[1]))
        window = (round(table.shape[0] ** (1 / 3)) + 1) // 2
    except (KeyError, ValueError) as error:
        why = one_line(error)
        raise InputError(f"{path} holds only a part of a Swin encoder ({why}).", "Choose a complete file.") from error
    out = state.get("out.conv.conv.weight")
    found = {
        "feature_size": int(feature_size),
        "depths": depths,
        "num_heads": heads,
        "window": window,
        "patch": int(patch),
        "use_v2": any(name.startswith(f"{ENCODER}layers1c.") for name in state),
        "in_channels": int(in_channels),
        "out_channels": 2 if out is None else int(out.shape[0]),
    }
    return build(NetworkSettings, found, f"The network in {path}")


def _kind_of(
    given: Mapping[str, Tensor], network: NetworkSettings
) -> tuple[str, HeadSettings | None, dict[str, Tensor], Coverage]:
    """The most that a file is complete for: a segmenter, an encoder with heads, or an encoder."""
    if "out.conv.conv.weight" in given:
        own = build_segmenter(network).state_dict()
        coverage = coverage_of(own, given, "network")
        if coverage.complete:
            return "segmenter", None, own, coverage
    heads = _heads_of(given)
    if heads is not None:
        own = SSLNet(network, heads).state_dict()
        coverage = coverage_of(own, given, "encoder and head")
        if coverage.complete:
            return "pretrained", heads, own, coverage
    own = _prefixed(build_encoder(network))
    return "encoder", None, own, coverage_of(own, given)


def _prefixed(encoder: nn.Module) -> dict[str, Tensor]:
    return {f"{ENCODER}{name}": value for name, value in encoder.state_dict().items()}


def _heads_of(given: Mapping[str, Tensor]) -> HeadSettings | None:
    """Which of the public code's three decoders a file holds; its heads always read the corner tokens."""
    contrast = given.get("contrast_head.weight")
    if contrast is None or "rotation_head.weight" not in given:
        return None
    if "reconstruction_head.weight" in given:
        decoder = "transposed"
    else:
        first = given.get("reconstruction_head.0.weight")
        decoder = "vae" if first is not None and first.shape[2] == 3 else "deconv"
    return HeadSettings(pooling="corner", reconstruction=decoder, contrast_channels=int(contrast.shape[0]))


def _is_odd(value: Tensor) -> bool:
    return value.is_floating_point() and value.dtype != torch.float32


def _as_ours(value: Tensor) -> Tensor:
    """A copy of its own memory in float32; indices stay what they are."""
    value = value.detach()
    return value.float().clone() if value.is_floating_point() else value.clone()


def _what_it_is(names: Mapping[str, Tensor]) -> str:
    for pattern, words in _OTHERS:
        if any(pattern.search(name) for name in names):
            return f"; it looks like {words}"
    return ""

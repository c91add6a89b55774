"""Weights of others: every published layout of Swin UNETR, read without executing anything that stands in the file.

Known layouts (all read in the public sources):

- the paper's ``model_swinvit.pt``: {"state_dict": module.patch_embed..., module.layersK.0.blocks.J.mlp.fc1...}, with
  four heads and the optimiser beside it;
- the official code's own files (``SSLHead``): ``swinViT.*``, under DDP ``module.swinViT.*``, before pull request 89
  ``swin_vit.*``, with heads ``rotation_head``, ``contrastive_head`` and ``conv``;
- fine-tuned Swin UNETR: MONAI's names, bare or under "state_dict", "model" or "net", with ``module.`` or ``backbone.``;
- Disruptive Autoencoders: {"model": encoder.patch_embed.*, encoder.layersN.0.0.*, decoder, mask token};
- VoCo and other files for ``use_v2``: the same with ``layersNc``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SwinSSLLib.errors import InputError
from SwinSSLLib.nets.weights import ENCODER
from SwinSSLLib.settings import NetworkSettings

#: Names under which people put the tensors; taken in this order, again and again.
_WRAPPERS = ("state_dict", "model", "net", "network_weights", "student", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "student.")
_HEADS = {
    "rotation_head.": "rotation_head.",
    "contrastive_head.": "contrast_head.",
    "convTrans3d.": "reconstruction_head.",
    "conv.": "reconstruction_head.",
}
#: A final normalisation and tokens of a layout that have no place in the network: named, not used.
_LEFT_OUT = re.compile(r"^(norm\.|mask_token|encoder\.(norm\.|mask_token))")
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
        state: tensors by MONAI's names (``swinViT.*`` and the rest of Swin UNETR, or our heads).
        network: what their shapes say; ``merging`` is ``legacy`` unless somebody knows better.
        kind: ``encoder``, ``pretrained`` (with heads) or ``segmenter``.
        renamed: how many tensors had other names.
        left_out: names that have no place in the network.
    """

    state: dict[str, Tensor]
    network: NetworkSettings
    kind: str
    renamed: int
    left_out: tuple[str, ...]


def read_foreign(path: Path, *, merging: str = "legacy") -> Foreign:
    """Read a file of weights in any known layout.

    Args:
        path: .pt, .pth, .ckpt or .safetensors.
        merging: of the network that they were trained with. All published weights are from before MONAI 1.5.

    Raises:
        InputError: no such file, not readable without executing code, or no Swin encoder; says what it is.
    """
    tensors = _tensors(_read(path), path)
    plain = {_without_prefixes(name): value for name, value in tensors.items()}
    state: dict[str, Tensor] = {}
    left_out: list[str] = []
    autoencoder = "encoder.patch_embed.proj.weight" in plain  # its decoder has names of Swin UNETR and other shapes
    for name, value in plain.items():
        known = None if autoencoder and not name.startswith("encoder.") else _our_name(name)
        if known is None:
            left_out.append(name)
        else:
            state[known] = value
    if f"{ENCODER}patch_embed.proj.weight" not in state:
        raise InputError(f"{path} holds no Swin encoder{_what_it_is(plain)}.", "Choose weights of a Swin UNETR.")
    renamed = sum(name not in tensors for name in state)
    network, kind = _network_of(state, path), _kind_of(state)
    return Foreign(state, replace(network, merging=merging), kind, renamed, tuple(sorted(left_out)))


def inflate(weight: Tensor, channels: int) -> Tensor:
    """First convolution of one input channel for several: repeated, and divided so that the response stays equal."""
    return weight.repeat(1, channels, 1, 1, 1) / channels


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path} is not a file.", "Check the path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle, safetensors and torch each have their own kinds of damage
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} cannot be read as weights: {reason[:200]}.",
            "It is damaged, or it would have to execute code to be read, which is never done.",
        ) from error


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The dictionary of tensors somewhere inside."""
    for _ in range(len(_WRAPPERS)):
        if not isinstance(content, Mapping):
            break
        found = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            if found:
                return found
            break
        content = inner
    raise InputError(f"{path} holds no named tensors.", "Choose a file of weights (a state dict).")


def _without_prefixes(name: str) -> str:
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), ""):
        name = name.removeprefix(prefix)
    return name


def _our_name(name: str) -> str | None:
    """MONAI's name of a tensor, or None where it has no place."""
    if _LEFT_OUT.match(name):
        return None
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
        feature_size, in_channels, patch, _, _ = state[f"{ENCODER}patch_embed.proj.weight"].shape
        depths, heads = [], []
        for stage in range(1, 5):
            blocks = {
                int(match[1])
                for name in state
                if (match := re.match(rf"{re.escape(ENCODER)}layers{stage}\.0\.blocks\.(\d+)\.", name))
            }
            depths.append(len(blocks))
            table = state[f"{ENCODER}layers{stage}.0.blocks.0.attn.relative_position_bias_table"]
            heads.append(table.shape[1])
        window = (round(table.shape[0] ** (1 / 3)) + 1) // 2
        out = state.get("out.conv.conv.weight")
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} holds only a part of a Swin encoder ({error}).", "Choose a complete file.") from error
    return NetworkSettings(
        feature_size=feature_size,
        depths=(depths[0], depths[1], depths[2], depths[3]),
        num_heads=(heads[0], heads[1], heads[2], heads[3]),
        window=window,
        patch=patch,
        use_v2=any(name.startswith(f"{ENCODER}layers1c.") for name in state),
        in_channels=in_channels,
        out_channels=2 if out is None else out.shape[0],
    )


def _kind_of(state: Mapping[str, Tensor]) -> str:
    if "decoder1.conv_block.conv1.conv.weight" in state and "out.conv.conv.weight" in state:
        return "segmenter"
    return "pretrained" if "rotation_head.weight" in state else "encoder"


def _what_it_is(names: Mapping[str, Tensor]) -> str:
    for pattern, words in _OTHERS:
        if any(pattern.search(name) for name in names):
            return f"; it looks like {words}"
    return ""

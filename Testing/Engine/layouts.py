"""Files of weights as others publish them, made from the key lists of their public code, with random values.

The values come from a network of the MONAI 1.4.0 wheel, so that its outputs say what is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]
FEATURES = 12
DEEPEST = 16 * FEATURES


def random_(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every parameter another value than it is born with; norms and biases too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def encoder_of_monai_1_4(oracle: Any, use_v2: bool = False, in_chans: int = 1) -> torch.nn.Module:
    """The Swin encoder as it was when the published weights were made."""
    return random_(
        oracle.SwinTransformer(
            in_chans=in_chans,
            embed_dim=FEATURES,
            window_size=(7, 7, 7),
            patch_size=(2, 2, 2),
            depths=(2, 2, 2, 2),
            num_heads=(3, 6, 12, 24),
            downsample=oracle.MERGING_MODE["merging"],
            use_v2=use_v2,
        )
    )


def fc(name: str) -> str:
    return name.replace(".mlp.linear", ".mlp.fc")


def heads(decoder: str) -> State:
    """The heads of SSLHead (Pretrain/models/ssl_head.py) by its own names: 16, 14 or 6 tensors."""
    dim = DEEPEST
    tensors = {"rotation_head": (4, dim), "contrastive_head": (512, dim)}
    widths = [dim, dim // 2, dim // 4, dim // 8, dim // 16]
    if decoder == "large_kernel_deconv":
        tensors["conv"] = (dim, 1, 32, 32, 32)
    elif decoder == "deconv":
        for number, (wide, narrow) in enumerate(zip(widths, [*widths[1:], 1], strict=True)):
            tensors[f"conv.{number}"] = (wide, narrow, 2, 2, 2)
    else:
        for number, (wide, narrow) in enumerate(zip(widths, [*widths[1:], widths[-1]], strict=True)):
            tensors[f"conv.{4 * number}"] = (narrow, wide, 3, 3, 3)
        tensors["conv.20"] = (1, widths[-1], 1, 1, 1)
    state = {}
    for name, shape in tensors.items():
        transposed = name.startswith("conv") and decoder != "vae" and not name.startswith("contrastive")
        state[f"{name}.weight"] = torch.randn(shape)
        state[f"{name}.bias"] = torch.randn(shape[1] if transposed else shape[0])
    return state


def published(encoder: State) -> dict[str, Any]:
    """model_swinvit.pt: 126 tensors of the encoder and 8 of the heads, with the optimiser and its step beside."""
    rest = {
        "norm.weight": torch.ones(DEEPEST),
        "norm.bias": torch.zeros(DEEPEST),
        "convTrans3d.weight": torch.randn(DEEPEST, 1, 32, 32, 32),
        "convTrans3d.bias": torch.zeros(1),
        "rotation_head.weight": torch.randn(4, DEEPEST),
        "rotation_head.bias": torch.zeros(4),
        "contrastive_head.weight": torch.randn(512, DEEPEST),
        "contrastive_head.bias": torch.zeros(512),
    }
    state = {f"module.{fc(name)}": value for name, value in (encoder | rest).items()}
    moments = {"state": {0: {"step": 5, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 4e-4, "params": [0]}]}
    return {"state_dict": state, "optimizer": moments, "epoch": 7, "best_acc": np.float64(0.5)}


def ssl_head(decoder: str) -> Callable[[State], State]:
    def make(encoder: State) -> State:
        return {f"swinViT.{name}": value for name, value in encoder.items()} | heads(decoder)

    return make


def autoencoder(encoder: State) -> dict[str, Any]:
    """ssl_pretrained_weights.pth of Disruptive Autoencoders: nested stages, a decoder of another shape, a token."""
    nested = {re.sub(r"^(layers\d)\.0\.", r"encoder.\1.0.0.", name): value for name, value in encoder.items()}
    nested = {name.replace("patch_embed", "encoder.patch_embed", 1): value for name, value in nested.items()}
    rest = {
        "encoder.mask_token": torch.zeros(1),
        "encoder.norm.weight": torch.ones(DEEPEST),
        "decoder1.conv_block.conv1.conv.weight": torch.ones(3),
        "out.conv.conv.weight": torch.ones(1, FEATURES, 1, 1, 1),
    }
    return {"model": nested | rest}


def prefixed(prefix: str, wrapper: str | None = None, name: Callable[[str], str] = str) -> Callable[[State], Any]:
    def make(encoder: State) -> Any:
        state = {f"{prefix}{name(key)}": value for key, value in encoder.items()}
        return {wrapper: state} if wrapper else state

    return make


#: Layout: how to make it from an encoder's tensors, the kind that it is read as, tensors in the file, tensors of the
#: file that our network has no place for.
LAYOUTS: dict[str, tuple[Callable[[State], Any], str, int, int]] = {
    "published SSL weights": (published, "pretrained", 134, 2),
    "SSLHead with vae decoder": (ssl_head("vae"), "pretrained", 142, 0),
    "SSLHead with deconv decoder": (ssl_head("deconv"), "pretrained", 140, 0),
    "SSLHead with large kernel": (ssl_head("large_kernel_deconv"), "pretrained", 132, 0),
    "SSLHead, one GPU": (prefixed("swinViT."), "encoder", 126, 0),
    "SSLHead, many GPUs": (prefixed("module.swinViT.", "state_dict"), "encoder", 126, 0),
    "before pull request 89": (prefixed("swin_vit.", None, fc), "encoder", 126, 0),
    "SuPreM": (prefixed("module.backbone.swinViT.", "net"), "encoder", 126, 0),
    "compiled": (prefixed("_orig_mod.module.", "model"), "encoder", 126, 0),
    "compiled inside": (prefixed("module._orig_mod.swinViT.", "network_weights"), "encoder", 126, 0),
    "Lightning": (prefixed("model.swinViT.", "state_dict"), "encoder", 126, 0),
    "Lightning, compiled": (prefixed("_model._orig_mod.swinViT.", "state_dict"), "encoder", 126, 0),
    "a wrapper of one's own": (prefixed("my_net.inner.swinViT."), "encoder", 126, 0),
    "a wrapped bare encoder": (prefixed("swin_unetr.", None, fc), "encoder", 126, 0),
    "student": (prefixed("student.swinViT."), "encoder", 126, 0),
    "Disruptive Autoencoders": (autoencoder, "encoder", 130, 4),
}

"""Swin UNETR and its encoder, built from MONAI, with the patch merging that the weights were trained with."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets import SwinUNETR
from monai.networks.nets.swin_unetr import PatchMerging, PatchMergingV2, SwinTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from SwinSSLLib.settings import NetworkSettings

# Offsets of the eight slices that MONAI up to 1.4 concatenated: 101 and 010 stood in twice, 110 and 011 never
# (MONAI pull request 8285 corrected it in 1.5 under equal keys and shapes). All published weights expect these.
_LEGACY_OFFSETS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))


class LegacyPatchMerging(PatchMergingV2):
    """Patch merging as in MONAI <= 1.4, which published Swin UNETR weights need."""

    def forward(self, x: Tensor) -> Tensor:
        """Halve the grid: (N, D, H, W, C) to (N, D/2, H/2, W/2, 2C)."""
        _, depth, height, width, _ = x.shape
        if depth % 2 or height % 2 or width % 2:
            x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2, 0, depth % 2))
        x = torch.cat([x[:, i::2, j::2, k::2, :] for i, j, k in _LEGACY_OFFSETS], dim=-1)
        return self.reduction(self.norm(x))


MERGING = {"legacy": LegacyPatchMerging, "fixed": PatchMerging}


def build_encoder(network: NetworkSettings, *, checkpointing: bool = False) -> SwinTransformer:
    """The Swin encoder alone, with the names that it has inside :func:`build_segmenter` (``swinViT``).

    Its forward takes (N, in_channels, I, J, K) and returns five feature maps, of which the last has
    ``16 * feature_size`` channels on a grid 32 times coarser.
    """
    return SwinTransformer(
        in_chans=network.in_channels,
        embed_dim=network.feature_size,
        window_size=(network.window,) * 3,
        patch_size=(network.patch,) * 3,
        depths=network.depths,
        num_heads=network.num_heads,
        use_checkpoint=checkpointing,
        downsample=MERGING[network.merging],
        use_v2=network.use_v2,
    )


def build_segmenter(network: NetworkSettings, *, checkpointing: bool = False) -> SwinUNETR:
    """Swin UNETR: (N, in_channels, I, J, K) to logits (N, out_channels, I, J, K); sizes multiples of 32."""
    options: dict[str, Any] = {
        "in_channels": network.in_channels,
        "out_channels": network.out_channels,
        "feature_size": network.feature_size,
        "patch_size": network.patch,
        "window_size": network.window,
        "depths": network.depths,
        "num_heads": network.num_heads,
        "use_checkpoint": checkpointing,
        "downsample": MERGING[network.merging],
        "use_v2": network.use_v2,
    }
    return SwinUNETR(**options)


def deepest_channels(network: NetworkSettings) -> int:
    """Channels of the encoder's last feature map."""
    return int(16 * network.feature_size)


def parameters_of(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters())

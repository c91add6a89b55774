"""Swin UNETR and its encoder, built from MONAI, with the patch merging that the weights were trained with."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import SwinUNETR
from monai.networks.nets.swin_unetr import PatchMerging, PatchMergingV2, SwinTransformer
from torch import nn

from SwinSSLLib.nets.merging import LegacyPatchMerging
from SwinSSLLib.settings import NetworkSettings

MERGING = {"legacy": LegacyPatchMerging, "fixed": PatchMerging, "v2": PatchMergingV2}


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

"""Pre-training network: the Swin encoder with heads for rotation, contrast and reconstruction.

Paper, sections 4.1 to 4.3; official code: Pretrain/models/ssl_head.py.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from SwinSSLLib.nets.swin import build_encoder, deepest_channels
from SwinSSLLib.settings import HeadSettings, NetworkSettings


class SSLOutput(NamedTuple):
    """What the network says about N views (a tuple, because wrappers of mixed precision look into tuples).

    Attributes:
        rotation: (N, 4) logits of the rotation by 0, 90, 180, 270 degrees.
        embedding: (N, contrast_channels), not normalised.
        reconstruction: (N, in_channels, I, J, K).
    """

    rotation: Tensor
    embedding: Tensor
    reconstruction: Tensor


class SSLNet(nn.Module):
    """Encoder and the three heads.

    The encoder's tensors are named ``swinViT.*``, exactly as inside MONAI's ``SwinUNETR``, so that what is
    learned here is taken over there without renaming.

    Args:
        network: the encoder.
        heads: ``pooling`` "mean" reads the average of the deepest tokens; "corner" reads token 0 for rotation
            and token 1 for contrast, as the public code does (ssl_head.py:84-87).
            ``reconstruction`` "transposed" is one transposed convolution with kernel and stride 32 (the paper
            and the published weights); "vae" the public code's convolutions and trilinear upsampling; "deconv"
            its five transposed convolutions with kernel and stride 2.
        checkpointing: trade time for memory in the encoder.
    """

    def __init__(self, network: NetworkSettings, heads: HeadSettings, *, checkpointing: bool = False) -> None:
        super().__init__()
        channels = deepest_channels(network)
        self.pooling = heads.pooling
        self.swinViT = build_encoder(network, checkpointing=checkpointing)
        self.rotation_head = nn.Linear(channels, 4)
        self.contrast_head = nn.Linear(channels, heads.contrast_channels)
        if heads.reconstruction == "transposed":
            self.reconstruction_head: nn.Module = nn.ConvTranspose3d(channels, network.in_channels, 32, stride=32)
        elif heads.reconstruction == "deconv":
            self.reconstruction_head = _doubling_decoder(channels, network.in_channels)
        else:
            self.reconstruction_head = _upsampling_decoder(channels, network.in_channels)

    def forward(self, views: Tensor) -> SSLOutput:
        """Read N views (N, in_channels, I, J, K), each size a multiple of 32."""
        # (N, C, I/32, J/32, K/32), layer-normalised without affine. Those of the other four stages, which only the
        # decoder of a segmenter reads, would be normalised in vain.
        features = self.swinViT.proj_out(self.swinViT(views, normalize=False)[4], normalize=True)
        tokens = features.flatten(start_dim=2)  # (N, C, tokens)
        if self.pooling == "mean":
            for_rotation = for_contrast = tokens.mean(dim=2)
        else:
            for_rotation, for_contrast = tokens[:, :, 0], tokens[:, :, 1]
        return SSLOutput(
            rotation=self.rotation_head(for_rotation),
            embedding=self.contrast_head(for_contrast),
            reconstruction=self.reconstruction_head(features),
        )


def _doubling_decoder(channels: int, out_channels: int) -> nn.Module:
    """Five transposed convolutions, each doubling the grid (ssl_head.py:47-58, "deconv")."""
    widths = [*(channels // 2**level for level in range(5)), out_channels]
    return nn.Sequential(*(nn.ConvTranspose3d(wide, narrow, 2, stride=2) for wide, narrow in pairwise(widths)))


def _upsampling_decoder(channels: int, out_channels: int) -> nn.Module:
    """Five times convolution, instance norm, LeakyReLU, doubling; then 1x1 (ssl_head.py:47-71, "vae")."""
    widths = [*(channels // 2**level for level in range(5)), channels // 16]
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [
            nn.Conv3d(wide, narrow, kernel_size=3, padding=1),
            _InstanceNorm(narrow),
            nn.LeakyReLU(),
            nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False),
        ]
    return _LateUpsampling(*layers, nn.Conv3d(widths[-1], out_channels, kernel_size=1))


class _LateUpsampling(nn.Sequential):
    """Layers of which the last but one interpolates and the last one mixes channels, in the other order.

    The two commute, as the weights of an interpolation add up to 1; and one channel is interpolated at full
    resolution instead of ``feature_size``.
    """

    def forward(self, x: Tensor) -> Tensor:
        layers: list[nn.Module] = list(self)
        upsample, mix = layers[-2], cast(nn.Conv3d, layers[-1])
        assert mix.bias is not None
        for layer in layers[:-2]:
            x = _channels_last(layer, x) if isinstance(layer, nn.Upsample) else layer(x.contiguous())
        weights = mix.weight.flatten(1).expand(len(x), -1, -1)
        # As a matrix product: a convolution with one kernel of 1x1x1 takes four times as long on a CPU.
        mixed = torch.baddbmm(mix.bias[:, None], weights, x.flatten(2)).view(len(x), -1, *x.shape[2:])
        return upsample(mixed)


def _channels_last(layer: nn.Module, x: Tensor) -> Tensor:
    """Interpolate with channels as the last axis in memory: eight times as fast on a CPU, where it alone likes it."""
    found: Tensor = layer(x.contiguous(memory_format=torch.channels_last_3d))
    return found


class _InstanceNorm(nn.InstanceNorm3d):
    """Instance norm that lets a single token pass: of one voxel there is no variance to divide by."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x[0, 0].numel() == 1 else super().forward(x)

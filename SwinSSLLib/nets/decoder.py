"""Two blocks of MONAI's convolutional half, without gradients on a CPU: fewer products, the same function.

:class:`ComposedUpBlock`: upsampling by two and the convolution after it are both linear, and nothing is between them.
Their composition is one transposed convolution with a kernel of 4, in which a voxel sees 8 coarse ones where the
convolution looked at 27 fine ones that were made of these. At full resolution that is an eighth of all arithmetic of a
Swin UNETR, and the fine volume of twice the channels is never made.

:class:`OneChannelResBlock`: the shortcut of the first block is one channel times a number for each feature, then
instance norm, which is the normed channel times another number.

Swin UNETR (Hatamizadeh et al. 2022, section 3.2) is not changed by either; Testing/Engine/test_decoder.py compares.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from monai.networks.blocks.convolutions import Convolution
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.unetr_block import UnetrUpBlock
from torch import Tensor, nn
from torch.nn import functional as F

#: Composing kernels must cost less than this share of what the composition saves.
SHARE = 0.05


class ComposedUpBlock(UnetrUpBlock):
    """Upsampling and the first convolution of its residual block in one."""

    def forward(self, inp: Tensor, skip: Tensor) -> Tensor:
        """(N, C, I, J, K) and the encoder's (N, O, 2I, 2J, 2K) to the latter size."""
        if not (_here(inp) and self._pays(inp)):
            return cast(Tensor, super().forward(inp, skip))
        block = self.conv_block
        wide, wide_skip = self._composed(_only(block.conv1), padding=2)
        narrow, narrow_skip = self._composed(_only(block.conv3), padding=0)
        out = F.conv_transpose3d(inp, wide, stride=2, padding=1).add_(F.conv3d(skip, wide_skip, padding=1))
        residual = F.conv_transpose3d(inp, narrow, stride=2).add_(F.conv3d(skip, narrow_skip))
        return _ended(block, out, block.norm3(residual))

    def _pays(self, inp: Tensor) -> bool:
        """Deep down volumes are small and kernels large. A converter composes once, for all windows."""
        coarse, fine = self.transp_conv.conv.in_channels, self.transp_conv.conv.out_channels
        saved = (27 * fine - 8 * coarse) * 8 * math.prod(inp.shape[2:])
        return coarse * fine * 4**3 * 27 < (1.0 if torch.jit.is_tracing() else SHARE) * saved

    def _composed(self, conv: nn.Conv3d, padding: int) -> tuple[Tensor, Tensor]:
        """Kernel (C, O, t, t, t) of upsampling and convolution, and what the convolution does with the encoder's part.

        A coarse voxel i gives u[2i + a] = up[a], a convolution takes u[h + d] * w[d + 1]: what comes from i to h is the
        sum over a of up[a] * w[2i + a - h + 1], a full correlation of both kernels.
        """
        up = self.transp_conv.conv.weight
        ours, encoders = conv.weight[:, : up.shape[1]], conv.weight[:, up.shape[1] :]
        with torch.autocast("cpu", enabled=False):  # rounded once, as a kernel, and not on the way
            return F.conv3d(up, ours.contiguous(), padding=padding), encoders.contiguous()


class OneChannelResBlock(UnetResBlock):
    """A residual block whose shortcut is its one normed channel times a number for each feature."""

    def forward(self, inp: Tensor) -> Tensor:
        """(N, 1, I, J, K) to (N, O, I, J, K)."""
        if not _here(inp):
            return cast(Tensor, super().forward(inp))
        out = self.conv1(inp)
        normed, scale = self._shortcut(inp.to(torch.promote_types(inp.dtype, torch.float32)))
        return _ended(self, out, normed.to(out.dtype) * scale.to(out.dtype))

    def _shortcut(self, channel: Tensor) -> tuple[Tensor, Tensor]:
        """The normed channel, and what to multiply it with: all but the sign of a weight that is not tiny.

        Both have the same epsilon. So a variance that a converter rounds to 16 bits matters in neither.
        """
        weight, epsilon = _only(self.conv3).weight.view(1, -1, 1, 1, 1), self.norm3.eps
        variance = (channel - channel.mean((2, 3, 4), keepdim=True)).square().mean((2, 3, 4), keepdim=True)
        scale = weight * torch.sqrt((variance + epsilon) / (weight.square() * variance + epsilon))
        return F.instance_norm(channel, eps=epsilon), scale


def suiting(module: nn.Module) -> type[nn.Module] | None:
    """The faster class of a block, if there is one that computes the same."""
    if type(module) is UnetrUpBlock and _suits_composed(module):
        return ComposedUpBlock
    if type(module) is UnetResBlock and _suits_one_channel(module):
        return OneChannelResBlock
    return None


def _ended(block: UnetResBlock, out: Tensor, residual: Tensor) -> Tensor:
    """The rest of ``UnetResBlock.forward`` after its first convolution."""
    out = block.norm2(block.conv2(block.lrelu(block.norm1(out))))
    out += residual
    return cast(Tensor, block.lrelu(out))


def _here(volume: Tensor) -> bool:
    """Training is MONAI's, and so is what a GPU does: neither was measured."""
    return volume.ndim == 5 and volume.device.type in ("cpu", "meta") and not torch.is_grad_enabled()


def _only(wrapped: nn.Module) -> nn.Conv3d:
    return cast(nn.Conv3d, wrapped.conv)


def _suits_composed(up: UnetrUpBlock) -> bool:
    block = up.conv_block
    if not isinstance(block, UnetResBlock) or not block.downsample:
        return False
    return (
        _is(up.transp_conv, nn.ConvTranspose3d, 2, 2, 0)
        and tuple(up.transp_conv.conv.output_padding) == (0, 0, 0)
        and _is(block.conv1, nn.Conv3d, 3, 1, 1)
        and _is(block.conv3, nn.Conv3d, 1, 1, 0)
    )


def _suits_one_channel(block: UnetResBlock) -> bool:
    return (
        bool(block.downsample)
        and _is(block.conv3, nn.Conv3d, 1, 1, 0)
        and _only(block.conv3).in_channels == 1
        and isinstance(block.norm3, nn.InstanceNorm3d)
        and not (block.norm3.affine or block.norm3.track_running_stats)
    )


def _is(wrapped: nn.Module, kind: type[nn.Module], kernel: int, stride: int, padding: int) -> bool:
    """Whether MONAI's wrapper holds a convolution of that shape, without bias, and nothing else."""
    if not isinstance(wrapped, Convolution) or [name for name, _ in wrapped.named_children()] != ["conv"]:
        return False
    conv = wrapped.conv
    if not isinstance(conv, kind) or conv.bias is not None or conv.groups != 1 or conv.padding_mode != "zeros":
        return False
    found = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    return found == ((kernel,) * 3, (stride,) * 3, (padding,) * 3, (1, 1, 1))

"""Convolutions of one small sub-volume, computed as a batch of its two halves.

For a float32 batch of one, PyTorch takes oneDNN only above a size, and below it a kernel that is several times
slower (``ConvParams::use_mkldnn`` in aten/src/ATen/native/Convolution.cpp, torch 2.6 to 2.13). Fine-tuning with one
patch at a time meets it in most of its layers. Two halves, each with the planes of the other that its kernel sees, are
a batch of two: the same products, added up in another order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Channels × planes × rows of a single volume up to which PyTorch leaves oneDNN aside.
LARGE = 20480


class HalvedConv3d(nn.Conv3d):
    """``nn.Conv3d`` with the same parameters and results, up to the order of sums."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, I, J, K) to (N, O, I, J, K)."""
        return _in_halves(self, input) if pays(input) else super().forward(input)


def suits(conv: nn.Module) -> bool:
    """Whether a layer keeps the size of its input and looks at neighbours: no stride, no dilation, zeros around."""
    if type(conv) is not nn.Conv3d or conv.padding_mode != "zeros" or conv.groups != 1:
        return False
    shape = (conv.kernel_size, conv.stride, conv.dilation, conv.padding)
    return shape == ((3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1))


def pays(volume: Tensor) -> bool:
    """Whether PyTorch would take its slow kernel for this input, and there are two halves to be had."""
    if volume.ndim != 5 or volume.shape[0] != 1 or volume.shape[2] % 2 or volume.dtype != torch.float32:
        return False
    # In bfloat16 it always takes oneDNN; "meta" rehearses the memory of a CPU.
    here = volume.device.type in ("cpu", "meta") and not torch.is_autocast_enabled("cpu")
    return (
        here and volume.shape[1] * volume.shape[2] * volume.shape[3] <= LARGE and torch.backends.mkldnn.is_available()
    )


def _in_halves(conv: nn.Conv3d, volume: Tensor) -> Tensor:
    half = volume.shape[2] // 2
    rimmed = F.pad(volume, (0, 0, 0, 0, 1, 1))
    halves = torch.cat([rimmed[:, :, : half + 2], rimmed[:, :, half:]])
    made = F.conv3d(halves, conv.weight, conv.bias, padding=(0, 1, 1))
    return torch.cat([made[:1], made[1:]], dim=2)

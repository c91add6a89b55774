"""MONAI's Swin blocks and convolutions, computed faster: the same parameters under the same names, the same function.

:func:`accelerate` exchanges the classes of a network's blocks for subclasses that only compute differently, and
:func:`plain` gives MONAI's back; weights, ``state_dict`` and optimiser do not notice. What differs:

- tokens go to their windows and back in one step each (:mod:`SwinSSLLib.nets.token_windows`), masks are remembered;
- queries, keys and values are made before padding, not after it: padding has known ones;
- attention holds the scores of a few windows only, and none of padding (:mod:`SwinSSLLib.nets.attention`);
- on a CPU the MLP runs in chunks of tokens, its hidden layer is not kept (:mod:`SwinSSLLib.nets.chunks`);
- on a CPU convolutions of one small patch run as two halves (:mod:`SwinSSLLib.nets.halves`);
- in 16 bits on a CPU instance norm keeps the order of the convolutions (:class:`LastChannelsNorm`);
- segmentation on a CPU upsamples with fewer products (:mod:`SwinSSLLib.nets.decoder`);
- in 16 bits the last layer gives its scores in float32 (:class:`ExactScores`).

Testing/Benchmarks/pretrain.py and finetune.py measure what it is worth; Testing/Engine/test_fast.py, test_halves.py
and test_decoder.py compare results and gradients.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from monai.networks.blocks.dynunet_block import UnetOutBlock, UnetResBlock
from monai.networks.blocks.unetr_block import UnetrUpBlock
from monai.networks.nets.swin_unetr import BasicLayer, SwinTransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F

from SwinSSLLib.nets import chunks, decoder, halves
from SwinSSLLib.nets.attention import class_biases, window_attention
from SwinSSLLib.nets.token_windows import token_windows

Network = TypeVar("Network", bound=nn.Module)


class FastLayer(BasicLayer):
    """A stage whose blocks need no mask from outside."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, I, J, K) to (N, 2C, I/2, J/2, K/2), or the same size without downsampling."""
        # Once contiguous, and no norm after it has to copy.
        x = x.permute(0, 2, 3, 4, 1).contiguous()
        for block in self.blocks:
            x = block(x, None)
        if self.downsample is not None:
            x = self.downsample(x)
        return x.permute(0, 4, 1, 2, 3)


class FastBlock(SwinTransformerBlock):
    """A block that attends within windows given as lists of tokens."""

    def forward_part1(self, x: Tensor, mask_matrix: Tensor | None) -> Tensor:
        """Norm and attention; x (N, I, J, K, C). The mask is our own, ``mask_matrix`` is not looked at."""
        attention: Any = self.attn
        count, *grid, channels = x.shape
        heads = attention.num_heads
        split = (3, heads, channels // heads)
        # A GPU minds more classes, not masks; "meta" rehearses the memory of a CPU.
        apart = x.device.type in ("cpu", "meta")
        # While a converter traces the network, sizes are tensors.
        grid = [int(size) for size in grid]
        windows = token_windows(tuple(grid), tuple(self.window_size), tuple(self.shift_size), x.device, apart=apart)
        qkv = attention.qkv(self.norm1(x)).view(count, windows.count, *split)
        padding = qkv.new_zeros(split) if attention.qkv.bias is None else attention.qkv.bias.view(split)
        places = windows.window[0] * windows.window[1] * windows.window[2]
        index = attention.relative_position_index[:places, :places]
        biases = class_biases(attention.relative_position_bias_table, index, windows)
        attended = window_attention(qkv, padding[1:], biases, windows)
        return attention.proj_drop(attention.proj(attended.reshape(x.shape)))

    def forward_part2(self, x: Tensor) -> Tensor:
        """Norm and MLP; x (..., C)."""
        here = x.device.type in ("cpu", "meta") and not torch.is_autocast_enabled("cpu")
        # What a converter traces must be made of operations that it knows.
        if torch.jit.is_tracing() or not (here and chunks.suits(self.norm2, self.mlp)):
            return super().forward_part2(x)
        return self.drop_path(chunks.norm_and_mlp(cast(nn.LayerNorm, self.norm2), self.mlp, x))


class ExactScores(UnetOutBlock):
    """The last layer in float32, whatever autocast says; it is less than one per cent of the arithmetic.

    A score of 20 in bfloat16 is rounded by up to 0.06, and classes that are closer than that swap along the borders
    of organs. Training goes MONAI's way: its losses are in float32 anyway, and a copy of the features would be kept.
    """

    def forward(self, inp: Tensor) -> Tensor:
        """(N, C, I, J, K) of any type to scores (N, classes, I, J, K)."""
        if self.training or inp.device.type not in ("cpu", "cuda"):
            return cast(Tensor, super().forward(inp))
        with torch.autocast(inp.device.type, enabled=False):
            return cast(Tensor, super().forward(inp.float()))


class LastChannelsNorm(nn.InstanceNorm3d):
    """Instance norm that leaves channels the last axis in memory, where the convolutions of 16 bits want them.

    PyTorch's turns them to the front and the next convolution turns them back, which takes as long as a third of all
    else. With a batch of one, instance norm is batch norm, and that one knows this order. Only without gradients: in
    residual blocks with halved convolutions those of torch 2.13 were wrong by a half, for a reason that was not found.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, I, J, K) to the same."""
        last = input.ndim == 5 and input.is_contiguous(memory_format=torch.channels_last_3d)
        if torch.is_grad_enabled() or input.device.type != "cpu" or not last or input.is_contiguous():
            return super().forward(input)
        normed = [F.batch_norm(one, None, None, self.weight, self.bias, True, 0.0, self.eps) for one in input.split(1)]
        return normed[0] if len(normed) == 1 else torch.cat(normed)


_FASTER: dict[type[nn.Module], type[nn.Module]] = {
    BasicLayer: FastLayer,
    SwinTransformerBlock: FastBlock,
    nn.Conv3d: halves.HalvedConv3d,
    UnetOutBlock: ExactScores,
    nn.InstanceNorm3d: LastChannelsNorm,
    UnetrUpBlock: decoder.ComposedUpBlock,
    UnetResBlock: decoder.OneChannelResBlock,
}
#: What a converter may see: made of operations that it knows and none of which it does better itself.
TRACED = (FastLayer, FastBlock, decoder.ComposedUpBlock, decoder.OneChannelResBlock)
_PLAIN = {fast: slow for slow, fast in _FASTER.items()}


def accelerate(network: Network) -> Network:
    """Let MONAI's Swin blocks and small convolutions in a network compute faster; returns the same network.

    What is not known to be equal stays as it is: stages of two dimensions, of Hyena blocks, and attention with dropout.
    """
    for module in network.modules():
        if halves.suits(module):
            module.__class__ = halves.HalvedConv3d
        module.__class__ = decoder.suiting(module) or module.__class__
        if type(module) is UnetOutBlock:
            module.__class__ = ExactScores
        if type(module) is nn.InstanceNorm3d and not module.track_running_stats:
            module.__class__ = LastChannelsNorm
        blocks = list(cast(nn.Module, module.blocks).children()) if isinstance(module, BasicLayer) else []
        if type(module) is BasicLayer and _suits(module, blocks):
            for block in blocks:
                block.__class__ = FastBlock
            module.__class__ = FastLayer
    return network


def plain(network: Network, *, but: tuple[type[nn.Module], ...] = ()) -> Network:
    """Undo :func:`accelerate`, or all of it but some classes; returns the same network."""
    for module in network.modules():
        if not isinstance(module, but):
            module.__class__ = _PLAIN.get(type(module), type(module))
    return network


def _suits(layer: BasicLayer, blocks: list[Any]) -> bool:
    return len(layer.window_size) == 3 and all(
        type(block) is SwinTransformerBlock and block.attn.attn_drop.p == 0 for block in blocks
    )

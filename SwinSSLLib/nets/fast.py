"""MONAI's Swin blocks, computed faster: the same parameters under the same names, the same function.

:func:`accelerate` exchanges the classes of a network's blocks for subclasses that only compute differently, and
:func:`plain` gives MONAI's back; weights, ``state_dict`` and optimiser do not notice. What differs:

- tokens go to their windows and back in one step each (:mod:`SwinSSLLib.nets.token_windows`), masks are remembered;
- queries, keys and values are made before padding, not after it: padding has known ones;
- attention holds the scores of a few windows only (:mod:`SwinSSLLib.nets.attention`).

Testing/Benchmarks/pretrain.py measures what it is worth; Testing/Engine/test_fast.py compares results and gradients.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from monai.networks.nets.swin_unetr import BasicLayer, SwinTransformerBlock, WindowAttention
from torch import Tensor, nn

from SwinSSLLib.nets.attention import window_attention
from SwinSSLLib.nets.token_windows import token_windows

Network = TypeVar("Network", bound=nn.Module)


class FastLayer(BasicLayer):
    """A stage whose blocks need no mask from outside."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, I, J, K) to (N, 2C, I/2, J/2, K/2), or the same size without downsampling."""
        x = x.permute(0, 2, 3, 4, 1)
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
        windows = token_windows(tuple(grid), tuple(self.window_size), tuple(self.shift_size), x.device)
        qkv = attention.qkv(self.norm1(x)).view(count, windows.count, *split)
        padding = qkv.new_zeros(split) if attention.qkv.bias is None else attention.qkv.bias.view(split)
        attended = window_attention(qkv, padding, position_bias(attention, windows.tokens.shape[1]), windows)
        return attention.proj_drop(attention.proj(attended.reshape(x.shape)))


def position_bias(attention: WindowAttention, tokens: int) -> Tensor:
    """The relative position bias (H, n, n) of a window of ``tokens`` tokens, as MONAI's attention looks it up."""
    index: Any = attention.relative_position_index
    table = attention.relative_position_bias_table
    return table[index[:tokens, :tokens].flatten()].view(tokens, tokens, -1).permute(2, 0, 1).contiguous()


_FASTER: dict[type[nn.Module], type[nn.Module]] = {BasicLayer: FastLayer, SwinTransformerBlock: FastBlock}
_PLAIN = {fast: slow for slow, fast in _FASTER.items()}


def accelerate(network: Network) -> Network:
    """Let MONAI's Swin blocks in a network compute faster; returns the same network.

    What is not known to be equal stays as it is: stages of two dimensions, of Hyena blocks, and attention with dropout.
    """
    for module in network.modules():
        blocks = list(cast(nn.Module, module.blocks).children()) if isinstance(module, BasicLayer) else []
        if type(module) is BasicLayer and _suits(module, blocks):
            for block in blocks:
                block.__class__ = FastBlock
            module.__class__ = FastLayer
    return network


def plain(network: Network) -> Network:
    """Undo :func:`accelerate`; returns the same network."""
    for module in network.modules():
        module.__class__ = _PLAIN.get(type(module), type(module))
    return network


def _suits(layer: BasicLayer, blocks: list[Any]) -> bool:
    return len(layer.window_size) == 3 and all(
        type(block) is SwinTransformerBlock and block.attn.attn_drop.p == 0 for block in blocks
    )

"""Attention within windows without holding all its scores.

In the first stage of a sub-volume of 96^3 MONAI's attention makes 343 windows x 3 heads x 343^2 scores, 484 MB in
float32, four or five times over, and keeps two of them for the gradient. Here a few windows are treated at a time,
so that their scores stay in the processor's cache; for the gradient they are computed again (as Dao et al.,
FlashAttention, 2022, do within one matrix). Same function, same gradient, other order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from SwinSSLLib.nets.token_windows import TokenWindows

#: Scores of a block of windows, in values: what fits into the second level of cache of most processors.
BLOCK = 1_500_000


def window_attention(qkv: Tensor, padding: Tensor, bias: Tensor, windows: TokenWindows) -> Tensor:
    """Multi-head attention of the tokens of each window, mask of rolled windows included.

    Args:
        qkv: (N, T, 3, H, D) queries, keys and values of the T tokens of a grid.
        padding: (3, H, D) those of a token of padding, which takes part as MONAI's does.
        bias: (H, n, n) relative position bias.
        windows: where the tokens stand.

    Returns:
        (N, T, H, D).
    """
    if torch.is_grad_enabled() and qkv.device.type == "cpu":
        attended: Tensor = _Blocked.apply(qkv, padding, bias, windows)
        return attended
    return _by_class(qkv, padding, bias, windows)


def _by_class(qkv: Tensor, padding: Tensor, bias: Tensor, windows: TokenWindows) -> Tensor:
    """One call of torch's fused attention for each mask; they take a mask only in addition to the bias."""
    count, _, _, heads, depth = qkv.shape
    places = len(windows.tokens) * windows.tokens.shape[1]
    parts = []
    for one in windows.classes:
        q, k, v = _gather(qkv, padding, windows, slice(one.start, one.stop))
        # The fused kernels of GPUs want the bias in the type of the queries.
        added = (bias if one.mask is None else bias + one.mask).to(q.dtype)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=added[None])
        parts.append(found.transpose(1, 2).reshape(count, -1, heads, depth))
    attended = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    assert attended.shape[1] == places
    return attended.index_select(1, windows.places)


def _gather(qkv: Tensor, padding: Tensor, windows: TokenWindows, rows: slice) -> Tensor:
    """Queries, keys and values of some windows: (3, N W, H, n, D)."""
    tokens = windows.tokens[rows]
    count, total, _, heads, depth = qkv.shape
    found = qkv.index_select(1, tokens.flatten().clamp(max=total - 1))
    if windows.padding is not None:
        found = torch.where(windows.padding[rows].view(1, -1, 1, 1, 1), padding.to(found.dtype), found)
    return found.view(count * tokens.shape[0], tokens.shape[1], 3, heads, depth).permute(2, 0, 3, 1, 4)


@dataclass(frozen=True)
class _Block:
    """Some windows of one class: their rows, their tokens, and what is added to their scores."""

    rows: slice
    tokens: Tensor
    added: Tensor


def _blocks(windows: TokenWindows, bias: Tensor, count: int) -> Iterator[_Block]:
    """Cut the windows of each class into blocks of about :data:`BLOCK` scores."""
    step = max(1, BLOCK // (bias.numel() * count))
    for one in windows.classes:
        added = bias if one.mask is None else bias + one.mask
        for start in range(one.start, one.stop, step):
            rows = slice(start, min(start + step, one.stop))
            yield _Block(rows, windows.tokens[rows].flatten(), added)


class _Blocked(torch.autograd.Function):
    """A block of windows at a time, forward and backward."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, padding: Tensor, bias: Tensor, windows: TokenWindows) -> Tensor:
        count, total, _, heads, depth = qkv.shape
        # One more row takes what padding says to nobody.
        attended = qkv.new_empty(count, total + 1, heads, depth)
        for block in _blocks(windows, bias, count):
            q, k, v = _gather(qkv, padding, windows, block.rows).contiguous()
            shares = _shares(q, k, block.added)
            found = (shares @ v).transpose(1, 2).reshape(count, -1, heads, depth)
            attended.index_copy_(1, block.tokens, found)
        ctx.save_for_backward(qkv, padding, bias)
        ctx.windows = windows
        return attended[:, :total]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        qkv, padding, bias = ctx.saved_tensors
        windows: TokenWindows = ctx.windows
        count, total, _, heads, depth = qkv.shape
        for_qkv = qkv.new_empty(count, total + 1, 3, heads, depth)
        for_padding, for_bias = torch.zeros_like(padding), torch.zeros_like(bias)
        for block in _blocks(windows, bias, count):
            q, k, v = _gather(qkv, padding, windows, block.rows).contiguous()
            shares = _shares(q, k, block.added)
            upstream = gradient.index_select(1, block.tokens.clamp(max=total - 1))
            is_padding = None if windows.padding is None else windows.padding[block.rows].flatten()
            if is_padding is not None:
                upstream.masked_fill_(is_padding.view(1, -1, 1, 1), 0)
            upstream = upstream.view(len(q), -1, heads, depth).transpose(1, 2)
            of_scores = torch._softmax_backward_data(upstream @ v.transpose(-2, -1), shares, -1, shares.dtype)
            for_bias += of_scores.sum(dim=0)
            of_q = (of_scores @ k) * depth**-0.5
            of_k = of_scores.transpose(-2, -1) @ q * depth**-0.5
            of_v = shares.transpose(-2, -1) @ upstream
            of_all = torch.stack([of_q, of_k, of_v]).permute(1, 3, 0, 2, 4).reshape(count, -1, 3, heads, depth)
            for_qkv.index_copy_(1, block.tokens, of_all)
            if is_padding is not None:
                for_padding += of_all[:, is_padding].sum(dim=(0, 1))
        return for_qkv[:, :total], for_padding, for_bias, None


def _shares(q: Tensor, k: Tensor, added: Tensor) -> Tensor:
    """Softmax of the scores: (W, H, n, n)."""
    return torch.softmax((q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).add_(added), dim=-1)

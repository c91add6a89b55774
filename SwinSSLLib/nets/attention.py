"""Attention within windows of tokens, without the scores of all windows at once and without those of padding.

MONAI's Swin blocks make the scores of all windows, (windows, heads, 343, 343), four to five times over: 484 MB each in
the first stage of one sub-volume of 96^3. Here they exist for a few windows at a time, small enough to stay in the
processor's cache; for the gradient those of large stages are computed again (as Dao et al., FlashAttention, 2022, do
within one matrix). And padding is no query, for nobody reads its result; as a key it counts once, not once per token
of padding: all of them have the same key and value, so that together they weigh as one whose bias is the logarithm of
the sum of the exponentials of theirs. Same function, same gradient, other order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from SwinSSLLib.nets.token_windows import TokenWindows, WindowClass

#: Scores of a block of windows, in values: what fits into the second level of cache of most processors.
BLOCK = 1_500_000

#: Up to so many scores of one sample the shares are kept for the gradient: those of the deeper stages at 96^3.
KEPT = 30_000_000


def class_biases(table: Tensor, index: Tensor, windows: TokenWindows) -> list[Tensor]:
    """What is added to the scores of the windows of each class: relative position bias, and the mask.

    Args:
        table: (L, H) the learned bias of each of L relative positions.
        index: (n, n) relative position of each pair of places in a window.
        windows: where the tokens stand.

    Returns:
        (H, m, m) for each class, or (H, m, m + 1) where windows are padded: the last is for all padding.
    """
    found = []
    rows = table.t()
    for one in windows.classes:
        seen = one.places if one.padding is None else torch.cat([one.places, one.padding])
        pairs = index[one.places[:, None], seen]
        # Not table[pairs]: its gradient takes twenty times as long on a CPU.
        bias = rows.index_select(1, pairs.flatten()).view(-1, *pairs.shape)
        if one.mask is not None:
            bias = bias + one.mask
        if one.padding is not None:
            tokens, padding = bias.split([len(one.places), len(one.padding)], dim=2)
            bias = torch.cat([tokens, padding.logsumexp(dim=2, keepdim=True)], dim=2)
        found.append(bias.contiguous())
    return found


def window_attention(qkv: Tensor, padding: Tensor, biases: list[Tensor], windows: TokenWindows) -> Tensor:
    """Multi-head attention of the tokens of each window, mask of rolled windows included.

    Args:
        qkv: (N, T, 3, H, D) queries, keys and values of the T tokens of a grid.
        padding: (2, H, D) key and value of a token of padding, which takes part as MONAI's does.
        biases: of each class of windows, by :func:`class_biases`.
        windows: where the tokens stand.

    Returns:
        (N, T, H, D).
    """
    # Tensors without content stand for all devices when memory is counted; fused kernels hold no scores either.
    if torch.is_grad_enabled() and qkv.device.type in ("cpu", "meta"):
        attended: Tensor = _Blocked.apply(qkv, padding, windows, *biases)
        return attended
    return _by_class(qkv, padding, biases, windows)


def _by_class(qkv: Tensor, padding: Tensor, biases: list[Tensor], windows: TokenWindows) -> Tensor:
    """One call of torch's fused attention for each class, as they take a mask only in addition to the bias."""
    count, _, _, heads, depth = qkv.shape
    parts = []
    for one, bias in zip(windows.classes, biases, strict=True):
        q, k, v = _gather(qkv, padding, one, one.tokens)
        # The fused kernels of GPUs want the bias in the type of the queries.
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype)[None])
        parts.append(found.transpose(1, 2).reshape(count, -1, heads, depth))
    attended = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    return attended.index_select(1, windows.back)


def _gather(qkv: Tensor, padding: Tensor, one: WindowClass, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B, H, m, D), keys and values (B, H, m or m + 1, D) of windows (W, m) of all N samples, B = N W."""
    count, _, _, heads, depth = qkv.shape
    rows, size = tokens.shape
    found = qkv.index_select(1, tokens.flatten()).view(count * rows, size, 3, heads, depth)
    if one.padding is None:
        q, k, v = found.permute(2, 0, 3, 1, 4).contiguous()
        return q, k, v
    kv = found[:, :, 1:].permute(2, 0, 3, 1, 4)
    more = padding.to(kv.dtype)[:, None, :, None].expand(-1, count * rows, -1, -1, -1)
    k, v = torch.cat([kv, more], dim=3)
    return found[:, :, 0].transpose(1, 2).contiguous(), k, v


@dataclass(frozen=True)
class _Block:
    """Some windows of a class: tokens (W, m), and what is added to their scores."""

    number: int
    one: WindowClass
    tokens: Tensor
    added: Tensor


def _blocks(windows: TokenWindows, biases: tuple[Tensor, ...], count: int) -> Iterator[_Block]:
    """Cut the windows of each class into blocks of about :data:`BLOCK` scores."""
    for number, (one, added) in enumerate(zip(windows.classes, biases, strict=True)):
        for tokens in one.tokens.split(max(1, BLOCK // (added.numel() * count))):
            yield _Block(number, one, tokens, added)


class _Blocked(torch.autograd.Function):
    """A block of windows at a time, forward and backward."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, padding: Tensor, windows: TokenWindows, *biases: Tensor) -> Tensor:
        count, total, _, heads, depth = qkv.shape
        scores = sum(len(one.tokens) * bias.numel() for one, bias in zip(windows.classes, biases, strict=True))
        attended = qkv.new_empty(count, total, heads, depth)
        kept = []
        for block in _blocks(windows, biases, count):
            q, k, v = _gather(qkv, padding, block.one, block.tokens)
            shares = _shares(q, k, block.added)
            found = (shares @ v).transpose(1, 2).reshape(count, -1, heads, depth)
            attended.index_copy_(1, block.tokens.flatten(), found)
            if scores <= KEPT:
                kept.append(shares)
        ctx.save_for_backward(qkv, padding, *biases, *kept)
        ctx.windows = windows
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        windows: TokenWindows = ctx.windows
        qkv, padding, *more = ctx.saved_tensors
        biases, kept = tuple(more[: len(windows.classes)]), iter(more[len(windows.classes) :])
        count, _, _, heads, depth = qkv.shape
        for_qkv, for_padding = torch.empty_like(qkv), torch.zeros_like(padding)
        for_biases = [torch.zeros_like(bias) for bias in biases]
        for block in _blocks(windows, biases, count):
            q, k, v = _gather(qkv, padding, block.one, block.tokens)
            shares = next(kept, None)
            shares = _shares(q, k, block.added) if shares is None else shares
            upstream = gradient.index_select(1, block.tokens.flatten())
            upstream = upstream.view(len(q), -1, heads, depth).transpose(1, 2).contiguous()
            of_scores = torch._softmax_backward_data(upstream @ v.mT, shares, -1, shares.dtype)
            for_biases[block.number] += of_scores.sum(dim=0)
            of_q, of_k, of_v = of_scores @ k, of_scores.mT @ q, shares.mT @ upstream
            of_q *= depth**-0.5
            of_k *= depth**-0.5
            if block.one.padding is not None:
                of_k, k_of_padding = of_k[:, :, :-1], of_k[:, :, -1].sum(dim=0)
                of_v, v_of_padding = of_v[:, :, :-1], of_v[:, :, -1].sum(dim=0)
                for_padding += torch.stack([k_of_padding, v_of_padding])
            of_all = torch.stack([of_q, of_k, of_v]).permute(1, 3, 0, 2, 4).reshape(count, -1, 3, heads, depth)
            for_qkv.index_copy_(1, block.tokens.flatten(), of_all)
        return for_qkv, for_padding, None, *for_biases


def _shares(q: Tensor, k: Tensor, added: Tensor) -> Tensor:
    """Softmax of the scores: (B, H, m, m or m + 1)."""
    return torch.softmax((q * q.shape[-1] ** -0.5 @ k.mT).add_(added), dim=-1)

"""What is done token by token, done for a few thousand tokens at a time.

The hidden layer of a Swin block's MLP is four times as wide as its tokens, and autograd keeps it twice: 680 MB in the
first stage of one sub-volume of 96^3 in two views. In chunks it stays in the processor's cache, and for the gradient it
is computed again, which costs less than to write and read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Tokens of a chunk.
CHUNK = 8192


def in_chunks(function: Callable[[Tensor], Tensor], parameters: Iterable[nn.Parameter], x: Tensor) -> Tensor:
    """``function(x)`` for a function that treats every token, (..., C) to (..., C), by itself.

    Args:
        function: any composition of layers without randomness.
        parameters: all that the function has.
        x: (..., C).
    """
    result: Tensor = _InChunks.apply(function, x, *(value for value in parameters if value.requires_grad))
    return result


class _InChunks(torch.autograd.Function):
    """Nothing is kept but the input."""

    @staticmethod
    def forward(ctx: Any, function: Callable[[Tensor], Tensor], x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(x, *parameters)
        rows = x.reshape(-1, x.shape[-1])
        result = torch.empty_like(rows)
        for part, into in zip(rows.split(CHUNK), result.split(CHUNK), strict=True):
            into.copy_(function(part))
        return result.view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = ctx.saved_tensors
        rows, upstream = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, x.shape[-1])
        for_x, totals = torch.empty_like(rows), [torch.zeros_like(value) for value in parameters]
        parts = (rows.split(CHUNK), upstream.split(CHUNK), for_x.split(CHUNK))
        for part, of_part, into in zip(*parts, strict=True):
            with torch.enable_grad():
                leaf = part.detach().requires_grad_()
                result = ctx.function(leaf)
            of_leaf, *others = torch.autograd.grad(result, [leaf, *parameters], of_part)
            into.copy_(of_leaf)
            for total, other in zip(totals, others, strict=True):
                total += other
        return None, for_x.view(x.shape), *totals

"""Norm and MLP of a Swin block for a few thousand tokens at a time.

The hidden layer is four times as wide as the tokens, and autograd keeps it twice: 680 MB in the first stage of one
sub-volume of 96^3 in two views. In chunks it stays in the processor's cache, and for the gradient its first half is
computed again, which costs less than to write and read it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Tokens of a chunk.
CHUNK = 8192


def suits(norm: nn.Module, mlp: Any) -> bool:
    """Whether :func:`norm_and_mlp` computes what these modules do: exact GELU, and no dropout at work."""
    return (
        type(norm) is nn.LayerNorm
        and type(mlp.fn) is nn.GELU
        and mlp.fn.approximate == "none"
        and not (mlp.training and getattr(mlp.drop1, "p", 0))
    )


def norm_and_mlp(norm: nn.LayerNorm, mlp: Any, x: Tensor) -> Tensor:
    """``mlp(norm(x))`` for x (..., C), where :func:`suits` says so."""
    layers = (norm, mlp.linear1, mlp.linear2)
    parameters = [value for layer in layers for value in (layer.weight, layer.bias)]
    result: Tensor = _InChunks.apply(x, norm.eps, *parameters)
    return result


class _InChunks(torch.autograd.Function):
    """Nothing is kept but the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, *parameters: Tensor) -> Tensor:
        ctx.eps = eps
        ctx.save_for_backward(x, *parameters)
        _, _, _, _, weight, bias = parameters
        rows = x.reshape(-1, x.shape[-1])
        result = torch.empty_like(rows)
        for part, into in zip(rows.split(CHUNK), result.split(CHUNK), strict=True):
            hidden = _hidden(part, eps, parameters)[-1]
            torch.addmm(bias, F.gelu(hidden), weight.t(), out=into)
        return result.view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = ctx.saved_tensors
        scale, shift, first, _, second, _ = parameters
        rows, upstream = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, x.shape[-1])
        for_x, totals = torch.empty_like(rows), [torch.zeros_like(value) for value in parameters]
        of_scale, of_shift, of_first, of_bias1, of_second, of_bias2 = totals
        aten = torch.ops.aten
        for part, of_part, into in zip(*(value.split(CHUNK) for value in (rows, upstream, for_x)), strict=True):
            normed, mean, rstd, hidden = _hidden(part, ctx.eps, parameters)
            of_second.addmm_(of_part.t(), F.gelu(hidden))
            of_bias2 += of_part.sum(dim=0)
            of_hidden = aten.gelu_backward(of_part @ second, hidden)
            of_first.addmm_(of_hidden.t(), normed)
            of_bias1 += of_hidden.sum(dim=0)
            width = [part.shape[1]]
            found = aten.native_layer_norm_backward(
                of_hidden @ first, part, width, mean, rstd, scale, shift, [True, True, True]
            )
            into.copy_(found[0])
            of_scale += found[1]
            of_shift += found[2]
        return for_x.view(x.shape), None, *totals


def _hidden(part: Tensor, eps: float, parameters: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normed tokens, their mean and 1 / standard deviation, and the hidden layer before its GELU."""
    scale, shift, first, bias, *_ = parameters
    normed, mean, rstd = torch.native_layer_norm(part, [part.shape[1]], scale, shift, eps)
    return normed, mean, rstd, torch.addmm(bias, normed, first.t())

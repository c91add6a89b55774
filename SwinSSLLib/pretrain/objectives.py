"""The three objectives of pre-training and their sum.

Tang et al., CVPR 2022, section 4: masked volume inpainting (4.1), equation (3); rotation (4.2), equation (4);
contrastive coding (4.3), equation (5); their weighted sum (4.4), equation (6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from SwinSSLLib.nets.heads import SSLOutput
from SwinSSLLib.pretrain.views import Views
from SwinSSLLib.settings import LossSettings


@dataclass(frozen=True)
class Objectives:
    """The losses of one batch; scalars.

    Attributes:
        total: equation (6).
        inpaint: equation (3), mean over all voxels of both views.
        inpaint_masked: the same over removed voxels only; shown always, learned from when ``masked_only``.
        contrast: equation (5).
        rotation: equation (4).
    """

    total: Tensor
    inpaint: Tensor
    inpaint_masked: Tensor
    contrast: Tensor
    rotation: Tensor

    def by_name(self) -> dict[str, Tensor]:
        """The losses by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def ssl_objectives(output: SSLOutput, views: Views, settings: LossSettings, gather: Gather | None = None) -> Objectives:
    """All losses of a batch whose 2N views stand as N first views and then N second ones.

    Args:
        output: what the network said about the 2N views.
        views: what it saw and what was true.
        settings: weights λ1, λ2, λ3 and the temperature t.
        gather: brings embeddings of other processes in as further negatives; None with one process.
    """
    error = (output.reconstruction - views.target).abs()
    inpaint = error.mean()
    masked = (error * views.mask).sum() / (views.mask.sum() * error.shape[1]).clamp(min=1)
    rotation = F.cross_entropy(output.rotation, views.rotation)
    first, second = output.embedding.chunk(2)
    contrast = nt_xent(first, second, settings.temperature, gather)
    return weighted(inpaint, masked, contrast, rotation, settings)


def weighted(inpaint: Tensor, masked: Tensor, contrast: Tensor, rotation: Tensor, settings: LossSettings) -> Objectives:
    """The three losses and their weighted sum, equation (6)."""
    total = (
        settings.inpaint * (masked if settings.masked_only else inpaint)
        + settings.contrast * contrast
        + settings.rotation * rotation
    )
    return Objectives(total, inpaint, masked, contrast, rotation)


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5, gather: Gather | None = None) -> Tensor:
    """Temperature-scaled cross entropy over cosine similarities, equation (5).

    Each of the 2N embeddings is to find its partner among the 2N - 1 others; the partner stays in the
    denominator and the embedding itself does not.

    Args:
        first: (N, D) embeddings of the first views.
        second: (N, D) embeddings of the second views, row n from the same sub-volume as row n of ``first``.
        temperature: t.
        gather: see :func:`ssl_objectives`. With it the loss is that of the whole batch, equal on every process.

    Returns:
        Mean over the 2N embeddings; ln(2N - 1) when nothing can be told apart, 0 for N = 1.
    """
    if gather is not None:
        first, second = gather(first), gather(second)
    count = len(first)
    similarity = similarity_matrix(first, second) / temperature  # (2N, 2N)
    similarity = similarity.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=first.device), -math.inf)
    partner = torch.arange(2 * count, device=first.device).roll(count)  # n <-> n + N
    return F.cross_entropy(similarity, partner)


def similarity_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Cosine similarity of each of the 2N embeddings with each: (2N, 2N), first views first."""
    # In 32 bits also under mixed precision: a temperature below 1 enlarges the rounding of half precision.
    with torch.autocast(first.device.type, enabled=False):
        embeddings = F.normalize(torch.cat([first, second]).float(), dim=1)
        return embeddings @ embeddings.T


def chance_contrast(batch: int) -> float:
    """Contrastive loss of an encoder that tells nothing apart: ln(2N - 1)."""
    return math.log(2 * batch - 1) if batch else 0.0


#: Rotation loss of guessing among four angles.
CHANCE_ROTATION = math.log(4)


class Gather:
    """Embeddings of all processes, in order of rank, with the right gradient under data-parallel averaging.

    Every process computes the loss of the whole batch, so the gradient with respect to its own embeddings is
    known to it without asking others. Data-parallel training then averages parameter gradients over processes;
    multiplied by their number here, that average is the gradient of the whole batch.

    Args:
        group: process group, None for the default one.
    """

    def __init__(self, group: torch.distributed.ProcessGroup | None = None) -> None:
        self.group = group

    def __call__(self, embeddings: Tensor) -> Tensor:
        """(N, D) on each of P processes to (P N, D) on all."""
        gathered: Tensor = _AllGather.apply(embeddings, self.group)
        return gathered


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, embeddings, group):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        world = torch.distributed.get_world_size(group)
        ctx.rank, ctx.world, ctx.rows = torch.distributed.get_rank(group), world, len(embeddings)
        parts = [torch.empty_like(embeddings) for _ in range(world)]
        torch.distributed.all_gather(parts, embeddings.contiguous(), group=group)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        own = gradient[ctx.rank * ctx.rows : (ctx.rank + 1) * ctx.rows]
        return own * ctx.world, None

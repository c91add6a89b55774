"""Validation on fixed, seeded sub-volumes and views, so that numbers and pictures of different steps compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SwinSSLLib.data.sampling import SubVolume, SubVolumeSampler
from SwinSSLLib.data.store import Entry
from SwinSSLLib.nets.heads import SSLOutput
from SwinSSLLib.pretrain.batches import some_of, to_input, two_views
from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.objectives import Objectives, nt_xent, similarity_matrix, weighted
from SwinSSLLib.pretrain.views import Views, source_size
from SwinSSLLib.settings import LossSettings, PretrainSettings
from SwinSSLLib.shares import Share

#: Keeps validation draws apart from training draws of the same seed.
_SEED_OFFSET = 1_000_003


@dataclass(frozen=True)
class Shown:
    """What the network sees and says of N fixed sub-volumes (of the first view, except for the similarity).

    Attributes:
        original, masked, reconstructed: (N, I, J, K), 0..1, rotated as the network saw them.
        rotation_true: (N,) k of k * 90 degrees.
        rotation_probability: (N, 4).
        similarity: (2N, 2N) cosine similarities, first views first.
        confusion: (4, 4) counts over all fixed views, true angle by row.
        blocks: the sub-volumes.
    """

    original: Tensor
    masked: Tensor
    reconstructed: Tensor
    rotation_true: Tensor
    rotation_probability: Tensor
    similarity: Tensor
    confusion: Tensor
    blocks: list[SubVolume]


class Validation:
    """Fixed sub-volumes of CTs that are kept aside, and their fixed views.

    Args:
        entries: the CTs.
        settings: of the run.
        group: how many sub-volumes stand in one contrastive batch, as in training.
        device: where to compute.
        share: this process's part of the work; all processes measure together.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        settings: PretrainSettings,
        group: int,
        device: torch.device,
        share: Share | None = None,
    ) -> None:
        self.settings, self.device, self.share = settings, device, share or Share()
        seed = settings.training.seed + _SEED_OFFSET
        sampler = SubVolumeSampler(
            entries,
            source_size(settings.input.roi, settings.views.rotation),
            seed,
            settings.air_below,
            settings.most_air,
        )
        self.group = max(1, min(group, settings.validation_sub_volumes))
        # Whole groups only, so that every contrastive loss has the same chance level.
        count = settings.validation_sub_volumes // self.group * self.group
        self.blocks = [sampler.draw(number) for number in range(count)]
        self.seed = seed

    def __len__(self) -> int:
        return len(self.blocks)

    @torch.no_grad()
    def measure(self, network: nn.Module) -> dict[str, float]:
        """Mean losses over the groups, and the share of angles told right; all processes of a run call this."""
        sums: dict[str, float] = {}
        correct = 0
        # As many at a time as in training, but some for each process.
        size = min(self.settings.training.batch, -(-self.group // self.share.world))
        network.eval()
        for views in self._views():
            parts = [range(start, min(start + size, self.group)) for start in range(0, self.group, size)]
            answers = _Answers.joined(self.share.each(len(parts), partial(_answers, network, views, parts)))
            for name, value in answers.objectives(views, self.settings.loss).by_name().items():
                name = "rotation_loss" if name == "rotation" else name
                sums[name] = sums.get(name, 0.0) + float(value)
            correct += int((answers.rotation.argmax(1) == views.rotation.cpu()).sum())
        network.train()
        groups = len(self) // self.group
        means = {name: value / groups for name, value in sums.items()}
        return {**means, "rotation_accuracy": correct / (2 * len(self))}

    @torch.no_grad()
    def show(self, network: nn.Module, count: int) -> Shown:
        """Pictures of the first ``count`` sub-volumes."""
        network.eval()
        outputs = list(self._outputs(network))
        network.train()
        confusion = torch.zeros(4, 4, dtype=torch.int64)
        for views, output in outputs:
            for true, told in zip(views.rotation.tolist(), output.rotation.argmax(1).tolist(), strict=True):
                confusion[true, told] += 1

        def first(of: list[Tensor]) -> Tensor:
            return torch.cat([part.chunk(2)[0] for part in of])[:count]

        embeddings = [torch.cat([output.embedding.chunk(2)[view] for _, output in outputs])[:count] for view in (0, 1)]
        return Shown(
            original=first([views.target for views, _ in outputs])[:, 0],
            masked=first([views.corrupted for views, _ in outputs])[:, 0],
            reconstructed=first([output.reconstruction for _, output in outputs])[:, 0],
            rotation_true=first([views.rotation for views, _ in outputs]),
            rotation_probability=first([output.rotation for _, output in outputs]).float().softmax(1),
            similarity=similarity_matrix(*embeddings),
            confusion=confusion,
            blocks=self.blocks[:count],
        )

    def mean_image_l1(self) -> dict[str, float]:
        """L1 of filling every sub-volume with its own mean: the line that inpainting must get below."""
        whole, masked = [], []
        for views in self._views():
            mean = views.target.mean(dim=(1, 2, 3, 4), keepdim=True)
            error = (views.target - mean).abs()
            whole.append(float(error.mean()))
            masked.append(float((error * views.mask).sum() / views.mask.sum().clamp(min=1)))
        return {"inpaint": float(np.mean(whole)), "inpaint_masked": float(np.mean(masked))}

    def _views(self) -> list[Views]:
        result = []
        for start in range(0, len(self), self.group):
            blocks = [block.array for block in self.blocks[start : start + self.group]]
            draws = Draws(self.seed, start, device=self.device)
            result.append(two_views(to_input(blocks, self.settings.input, self.device), self.settings, draws))
        return result

    def _outputs(self, network: nn.Module) -> list[tuple[Views, SSLOutput]]:
        return [(views, network(views.corrupted)) for views in self._views()]


class _Answers(NamedTuple):
    """What the network says of 2N views of N sub-volumes, first views first; on the CPU.

    Attributes:
        embedding: (2N, D).
        rotation: (2N, 4).
        errors: (2N, 3) float64: mean absolute error, its sum over removed voxels, their number.
    """

    embedding: Tensor
    rotation: Tensor
    errors: Tensor

    @classmethod
    def joined(cls, answers: Sequence[_Answers]) -> _Answers:
        """Those of several sub-volumes as one."""

        def join(parts: Sequence[Tensor]) -> Tensor:
            return torch.cat([torch.cat([part.chunk(2)[view] for part in parts]) for view in (0, 1)])

        return cls(*(join(parts) for parts in zip(*answers, strict=True)))

    def objectives(self, views: Views, settings: LossSettings) -> Objectives:
        """The losses of the batch, as ``ssl_objectives`` finds them in one piece."""
        error, removed, count = self.errors.unbind(1)
        masked = removed.sum() / count.sum().clamp(min=1)
        first, second = self.embedding.chunk(2)
        contrast = nt_xent(first, second, settings.temperature)
        rotation = F.cross_entropy(self.rotation, views.rotation.cpu())
        return weighted(error.mean(), masked, contrast, rotation, settings)


def _answers(network: nn.Module, views: Views, parts: Sequence[range], number: int) -> _Answers:
    """Of part ``number`` of the sub-volumes in ``views``."""
    views = some_of(views, parts[number])
    output = network(views.corrupted)
    error = (output.reconstruction - views.target).abs().double()
    voxels, mask = (1, 2, 3, 4), views.mask.expand_as(error)
    errors = torch.stack([error.mean(voxels), (error * mask).sum(voxels), mask.sum(voxels).double()], dim=1)
    return _Answers(output.embedding.float().cpu(), output.rotation.float().cpu(), errors.cpu())

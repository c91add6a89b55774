"""The cutout of the public code, with its statistics and its oddities, for the preset ``official``.

Pretrain/utils/ops.py:17-75 in Project-MONAI/research-contributions: boxes are drawn until their counted
volumes (overlaps twice) reach U(0, s) of the voxels; each is filled with normal noise scaled to 0..1; then,
when another sample is drawn, a second round copies boxes from that already corrupted sample. At 96^3 the
noise stage alters 14.4 % of the voxels on average, not 30 %.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.settings import ViewSettings

_START_MARGIN = 0.05


def official_cutout(target: Tensor, settings: ViewSettings, draws: Draws, *, swap: bool = True) -> Tensor:
    """Corrupted copies of ``target`` (N, C, I, J, K), values 0..1.

    Args:
        target: whole sub-volumes.
        settings: ``cutout_share`` is the upper end of the drawn share, ``box_sides`` the shortest and longest side.
        draws: source of every draw.
        swap: whether the second stage (boxes from another sample) follows. As in the public code, the other one is
            of the same process.
    """
    result = target.clone()
    count = len(target)
    for index in range(count):
        generator = draws.own(index)
        for box in _official_boxes(target.shape[2:], settings, generator):
            view = result[(index, slice(None), *box)]
            noise = torch.randn(view.shape, generator=generator, device=target.device, dtype=target.dtype)
            span = noise.max() - noise.min()
            view.copy_((noise - noise.min()) / span if span > 0 else noise.clamp(0, 1))
        other = int(torch.randint(0, count, (1,), generator=generator, device=target.device))
        if swap and other != index:
            for box in _official_boxes(target.shape[2:], settings, generator):
                result[(index, slice(None), *box)] = result[(other, slice(None), *box)].clone()
    return result


def _official_boxes(
    size: torch.Size, settings: ViewSettings, generator: torch.Generator
) -> list[tuple[slice, slice, slice]]:
    """Boxes until their counted volume reaches the drawn share."""
    device = generator.device
    wanted = float(torch.rand(1, generator=generator, device=device)) * settings.cutout_share * math.prod(size)
    boxes, counted = [], 0
    while counted < wanted:
        draws = torch.rand(6, generator=generator, device=device).tolist()
        slices = []
        for axis, side in enumerate(size):
            shortest, longest = max(1, int(settings.box_sides[0] * side)), max(2, int(settings.box_sides[1] * side))
            start = int(draws[axis] * (side - int(_START_MARGIN * side)))
            length = shortest + int(draws[3 + axis] * (longest - shortest))
            slices.append(slice(start, min(start + length, side)))
        box = (slices[0], slices[1], slices[2])
        boxes.append(box)
        counted += math.prod(part.stop - part.start for part in box)
    return boxes

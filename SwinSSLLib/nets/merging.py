"""Patch merging as in MONAI up to 1.4, which all published Swin UNETR weights were trained with.

MONAI 1.5 changed it under equal names and shapes (pull request 8285). This file stands on torch and MONAI alone:
exported bundles carry a copy of it.
"""

import torch
from monai.networks.nets.swin_unetr import PatchMergingV2
from torch import Tensor
from torch.nn import functional as F

#: Offsets of the eight slices that were concatenated: 101 and 010 stood in twice, 110 and 011 never.
OFFSETS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))


class LegacyPatchMerging(PatchMergingV2):
    """The merging that published weights need, in every version of MONAI."""

    def forward(self, x: Tensor) -> Tensor:
        """Halve the grid: (N, D, H, W, C) to (N, D/2, H/2, W/2, 2C)."""
        _, depth, height, width, _ = x.shape
        if depth % 2 or height % 2 or width % 2:
            x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2, 0, depth % 2))
        x = torch.cat([x[:, i::2, j::2, k::2, :] for i, j, k in OFFSETS], dim=-1)
        return self.reduction(self.norm(x))

"""Which tokens stand in which attention window, worked out once per grid and remembered.

MONAI pads the tokens, rolls them, cuts them into windows and takes every step back, at every block and every
forward pass; and it builds the mask of the rolled windows, of 161 MB in the first stage of a sub-volume of 96^3,
four times per pass. Where a token goes depends on the shape of the grid only. Here it is a list of numbers, without
the padding: a quarter of the scores of a sub-volume of 96^3 concern padding, of which nobody reads the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from monai.networks.nets.swin_unetr import get_window_size, window_partition
from torch import Tensor
from torch.nn import functional as F

Grid = tuple[int, int, int]

#: What the mask adds to scores of tokens that were neighbours only after rolling (MONAI's compute_mask).
MASKED = -100.0


@dataclass(frozen=True)
class WindowClass:
    """Windows that are divided and padded alike, at most eight classes: the last window along each axis, or not.

    Attributes:
        tokens: (W, m) number of each token of each window, without padding.
        places: (m,) where in a window they stand.
        padding: (p,) where in a window there is padding; None if there is none.
        mask: (m, m + p), 0 or -100, tokens first and padding after them; None where nothing is masked.
    """

    tokens: Tensor
    places: Tensor
    padding: Tensor | None
    mask: Tensor | None


@dataclass(frozen=True)
class TokenWindows:
    """Windows of n tokens over a grid of T tokens.

    Attributes:
        classes: the windows. Each token stands in one window of one of them.
        back: (T,) where each token stands in the row of all tokens of all classes.
        window: extent of a window; n is its product.
    """

    classes: tuple[WindowClass, ...]
    back: Tensor
    window: Grid

    @property
    def count(self) -> int:
        """T, the number of tokens of the grid."""
        return len(self.back)


@lru_cache(maxsize=64)
def token_windows(grid: Grid, window: Grid, shift: Grid, device: torch.device) -> TokenWindows:
    """The windows of a grid of tokens as MONAI's ``SwinTransformerBlock`` and ``compute_mask`` lay them.

    Args:
        grid: number of tokens along each axis.
        window: extent of a window; a shorter grid has shorter windows, and is not shifted along that axis.
        shift: by how many tokens the grid is rolled.
        device: where the tensors are wanted.
    """
    window, shift = get_window_size(grid, window, shift)
    count = grid[0] * grid[1] * grid[2]
    more = [-have % of for have, of in zip(grid, window, strict=True)]
    numbers = torch.arange(count, device="cpu").view(grid)
    numbers = F.pad(numbers, (0, more[2], 0, more[1], 0, more[0]), value=count)
    rolled = numbers.roll(tuple(-by for by in shift), dims=(0, 1, 2))
    tokens = _cut(rolled, window)  # (W, n), T where there is padding
    regions = _cut(_regions(rolled.shape, window, shift), window)
    # Only the division counts, not the numbers: every window's numbers begin at its own lowest.
    regions = regions - regions.min(dim=1, keepdim=True).values
    kinds, which = torch.unique(torch.cat([regions, (tokens == count).long()], dim=1), dim=0, return_inverse=True)
    parts = [tokens[which == number] for number in range(len(kinds))]
    row = torch.cat([part[part < count] for part in parts])
    back = torch.empty(count, dtype=torch.long)
    back[row] = torch.arange(count)
    classes = tuple(_class(part, kind, device) for part, kind in zip(parts, kinds, strict=True))
    return TokenWindows(classes, back.to(device), window)


def _class(tokens: Tensor, kind: Tensor, device: torch.device) -> WindowClass:
    """The windows ``tokens`` (W, n), which are divided and padded as ``kind`` (2 n) says."""
    regions, is_padding = kind.view(2, -1)
    places, padding = (is_padding == 0).nonzero().flatten(), is_padding.nonzero().flatten()
    order = torch.cat([places, padding])
    mask = (regions[places][:, None] != regions[order][None, :]) * MASKED
    return WindowClass(
        tokens[:, places].to(device),
        places.to(device),
        padding.to(device) if len(padding) else None,
        mask.to(device) if bool(mask.any()) else None,
    )


def _cut(values: Tensor, window: Grid) -> Tensor:
    """A grid of numbers, (W, n) by windows."""
    return window_partition(values[None, ..., None], window)[..., 0]


def _regions(shape: torch.Size, window: Grid, shift: Grid) -> Tensor:
    """Number the parts of a rolled grid whose tokens were neighbours before."""
    numbers = torch.zeros(shape, dtype=torch.long)
    for axis, (size, of, by) in enumerate(zip(shape, window, shift, strict=True)):
        if by:
            position = torch.arange(size)
            part = (position >= size - of).long() + (position >= size - by).long()
            numbers = numbers * 3 + part.view([-1 if a == axis else 1 for a in range(3)])
    return numbers

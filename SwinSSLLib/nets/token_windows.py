"""Which tokens stand in which attention window, worked out once per grid and remembered.

MONAI pads the tokens, rolls them, cuts them into windows and takes every step back, at every block and every
forward pass; and it builds the mask of the rolled windows, of 161 MB in the first stage of a sub-volume of 96^3,
four times per pass. Where a token goes depends on the shape of the grid only. Here it is a list of numbers.
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
    """Windows with one and the same mask, at most eight classes: the last window along each axis, or not.

    Attributes:
        start, stop: the windows, as rows of :attr:`TokenWindows.tokens`.
        mask: (n, n), 0 or -100; None where nothing is masked.
    """

    start: int
    stop: int
    mask: Tensor | None


@dataclass(frozen=True)
class TokenWindows:
    """Windows of n tokens over a grid of T tokens.

    Attributes:
        tokens: (W, n) number of the token at each place of each window; T stands for padding. Windows of one
            class stand together.
        places: (T,) place of each token, counted through all windows: the way back.
        padding: (W, n), true where there is padding; None if there is none.
        classes: which windows have which mask.
        window: extent of a window; n is its product.
    """

    tokens: Tensor
    places: Tensor
    padding: Tensor | None
    classes: tuple[WindowClass, ...]
    window: Grid

    @property
    def count(self) -> int:
        """T, the number of tokens of the grid."""
        return len(self.places)


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
    numbers = torch.arange(count).view(grid)
    numbers = F.pad(numbers, (0, more[2], 0, more[1], 0, more[0]), value=count)
    rolled = numbers.roll(tuple(-by for by in shift), dims=(0, 1, 2))
    tokens = _cut(rolled, window)
    regions = _cut(_regions(rolled.shape, window, shift), window)
    patterns, which = _distinct(regions)
    order = which.argsort(stable=True)
    tokens, which = tokens[order], which[order]
    classes = []
    for number, pattern in enumerate(patterns):
        rows = (which == number).nonzero().flatten()
        mask = (pattern[:, None] != pattern[None, :]) * MASKED
        classes.append(WindowClass(int(rows[0]), int(rows[-1]) + 1, mask.to(device) if bool(mask.any()) else None))
    places = torch.empty(count + 1, dtype=torch.long)
    places[tokens.flatten()] = torch.arange(tokens.numel())
    padding = tokens == count
    return TokenWindows(
        tokens.to(device),
        places[:count].to(device),
        padding.to(device) if bool(padding.any()) else None,
        tuple(classes),
        window,
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


def _distinct(regions: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct ways in which windows are divided, and which of them each window has."""
    # Only the division counts, not the numbers: every window's numbers begin at its own lowest.
    patterns, which = torch.unique(regions - regions.min(dim=1, keepdim=True).values, dim=0, return_inverse=True)
    return patterns, which

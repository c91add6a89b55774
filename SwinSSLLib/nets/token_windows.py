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
    """Windows, or parts of windows, that are alike.

    Attributes:
        tokens: (W, m) number of each token of each of them, without padding.
        places: (m,) where in a window they stand.
        padding: (p,) where in a window there is padding that they see; None if there is none.
        mask: (m, m + p), 0 or -100, tokens first and padding after them; None where nothing is masked.
    """

    tokens: Tensor
    places: Tensor
    padding: Tensor | None
    mask: Tensor | None = None


@dataclass(frozen=True)
class TokenWindows:
    """Windows of n tokens over a grid of T tokens.

    Attributes:
        classes: the windows, or their parts. Each token stands in one of them.
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
def token_windows(grid: Grid, window: Grid, shift: Grid, device: torch.device, *, apart: bool) -> TokenWindows:
    """The windows of a grid of tokens as MONAI's ``SwinTransformerBlock`` and ``compute_mask`` lay them.

    Args:
        grid: number of tokens along each axis.
        window: extent of a window; a shorter grid has shorter windows, and is not shifted along that axis.
        shift: by how many tokens the grid is rolled.
        device: where the tensors are wanted.
        apart: divide rolled windows into the boxes that see each other instead of masking what does not, which makes
            up to 27 classes instead of eight. A mask of -100 leaves a share of e^-100 = 4e-44: nothing, beside a sum
            of 1 and more, but a denormal number, with which a CPU computes thirty times as slowly.
    """
    whole = window
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
    alike = [(tokens[which == number], kind.view(2, -1)) for number, kind in enumerate(kinds)]
    if apart:
        # A shorter window reads the table of the whole one as if its rows were as long: there a bias depends on
        # places, and not on distances alone.
        classes = _boxes(alike, window, movable=tuple(window) == tuple(whole))
    else:
        classes = [_class(some, regions, is_padding) for some, (regions, is_padding) in alike]
    row = torch.cat([one.tokens.flatten() for one in classes])
    back = torch.empty(count, dtype=torch.long)
    back[row] = torch.arange(count)
    return TokenWindows(tuple(_on(one, device) for one in classes), back.to(device), window)


def _class(tokens: Tensor, regions: Tensor, is_padding: Tensor) -> WindowClass:
    """The windows ``tokens`` (W, n), which are all divided into ``regions`` (n,) and padded alike."""
    places, padding = (is_padding == 0).nonzero().flatten(), is_padding.nonzero().flatten()
    order = torch.cat([places, padding])
    mask = (regions[places][:, None] != regions[order][None, :]) * MASKED
    return WindowClass(tokens[:, places], places, padding if len(padding) else None, mask if bool(mask.any()) else None)


def _boxes(alike: list[tuple[Tensor, Tensor]], window: Grid, *, movable: bool) -> list[WindowClass]:
    """The regions of all windows, those of equal extent and padding together where a box may be moved."""
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], list[Tensor]] = {}
    for tokens, (regions, is_padding) in alike:
        for region in regions[is_padding == 0].unique():
            inside = regions == region
            places, padding = (inside & (is_padding == 0)).nonzero(), (inside & (is_padding == 1)).nonzero()
            first = _first_corner(inside.nonzero(), window) if movable else 0
            key = tuple((places - first).flatten().tolist()), tuple((padding - first).flatten().tolist())
            found.setdefault(key, []).append(tokens[:, places.flatten()])
    return [
        WindowClass(torch.cat(rows), torch.tensor(places), torch.tensor(padding) if padding else None)
        for (places, padding), rows in found.items()
    ]


def _first_corner(places: Tensor, window: Grid) -> int:
    """Number of the place in a window where the box of ``places`` begins."""
    _, rows, columns = window
    first = [int(axis.min()) for axis in (places // (rows * columns), places // columns % rows, places % columns)]
    return (first[0] * rows + first[1]) * columns + first[2]


def _on(one: WindowClass, device: torch.device) -> WindowClass:
    moved = (None if value is None else value.to(device) for value in (one.tokens, one.places, one.padding, one.mask))
    return WindowClass(*moved)  # type: ignore[arg-type]


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

"""Slices of volumes as pictures: in the radiological view, plain or with organs laid over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from scipy.ndimage import zoom

from SwinSSLLib.data.volumes import Volume, resample_to_ras
from SwinSSLLib.errors import InputError
from SwinSSLLib.organs import ORGANS, Organ

#: Plane, the axis that it cuts (RAS arrays [i, j, k]), and what is left, right, top and bottom in the picture.
PLANES: dict[str, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
EDGES: dict[str, tuple[str, str, str, str]] = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}

#: Soft tissue, as in fine-tuning: HU shown as black and as white.
ABDOMEN = (-175.0, 250.0)

_FILL, _OUTLINE = 0.42, 0.95
_PAPER, _INK = "#101418", "#e8eaed"
_COLUMNS = 7


@dataclass(frozen=True)
class Cut:
    """One slice as it is shown.

    Attributes:
        pixels: (rows, columns) or (rows, columns, 3); first row on top, first column on the left.
        ratio: width : height in millimetres.
    """

    pixels: np.ndarray
    ratio: float


def cut(array: np.ndarray, plane: str, index: int | None = None, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Cut:
    """Take a slice in radiological convention: the patient's right and front are on the picture's left.

    Args:
        array: (I, J, K) with i to the right, j to anterior, k to superior; a last axis of colours is kept.
        plane: ``axial``, ``coronal`` or ``sagittal``.
        index: which slice; the middle one if None.
        spacing: millimetres along i, j, k.
    """
    axis = PLANES[plane]
    index = array.shape[axis] // 2 if index is None else index
    across, up = (other for other in range(3) if other != axis)
    flat = np.take(array, index, axis=axis)[::-1, ::-1]
    width, height = array.shape[across] * spacing[across], array.shape[up] * spacing[up]
    return Cut(np.swapaxes(flat, 0, 1), float(width / height))


def busiest(labels: np.ndarray, plane: str) -> int:
    """The slice that shows most organs, and among those the one with most of them in view.

    Returns:
        Its index; the middle if there is no label at all.
    """
    axis = PLANES[plane]
    others = tuple(other for other in range(3) if other != axis)
    areas = [(labels == label).sum(axis=others) for label in np.unique(labels[labels > 0])]
    if not areas:
        return labels.shape[axis] // 2
    # A slice through the tip of an organ shows little of it: count each organ by its share of its largest section.
    return int(np.sum([np.sqrt(area / area.max()) for area in areas], axis=0).argmax())


def colour_over(grey: np.ndarray, labels: np.ndarray, colours: Mapping[int, Sequence[int]]) -> np.ndarray:
    """Lay organs over a slice: filled thinly, so that the CT stays visible, with a clear outline.

    Args:
        grey: (rows, columns), 0..1.
        labels: (rows, columns), 0 is background.
        colours: red, green, blue (0..255) by label.

    Returns:
        (rows, columns, 3), 0..1.
    """
    picture = np.repeat(np.clip(grey, 0, 1)[..., None].astype(np.float64), 3, axis=2)
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = np.any([neighbour != labels for neighbour in neighbours], axis=0)
    for label, colour in colours.items():
        for mask, weight in ((labels == label, _FILL), ((labels == label) & edge, _OUTLINE)):
            picture[mask] = (1 - weight) * picture[mask] + weight * np.asarray(colour) / 255
    return picture


def colours_of(organs: Sequence[Organ] = ORGANS) -> dict[int, tuple[int, int, int]]:
    """Colour by label id."""
    return {organ.id: organ.colour for organ in organs}


def data_uri(pixels: np.ndarray) -> str:
    """A PNG inside its own address, so that a page needs no second file.

    Args:
        pixels: (rows, columns) grey or (rows, columns, 3) colours, 0..1.
    """
    content = io.BytesIO()
    clipped = np.clip(pixels, 0, 1).astype(np.float64)
    if clipped.ndim == 2:
        clipped = np.repeat(clipped[..., None], 3, axis=2)
    imsave(content, clipped, format="png")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def enlarged(array: np.ndarray, factor: int) -> np.ndarray:
    """More pixels for the same slice, for thin outlines on a coarse grid: grey smoothly, labels by repetition."""
    if np.issubdtype(array.dtype, np.floating):
        return np.asarray(zoom(array.astype(np.float32), factor, order=1, mode="nearest", grid_mode=True))
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay_figure(
    volume: Volume,
    labels: Volume,
    organs: Sequence[Organ] = ORGANS,
    planes: Sequence[str] = tuple(PLANES),
    *,
    title: str = "",
    hu_window: tuple[float, float] = ABDOMEN,
    slices_of: Volume | None = None,
) -> Figure:
    """A CT with its organs in three planes and a legend, ready for ``savefig``.

    Args:
        volume: CT in HU, any orientation.
        labels: label map on the same grid.
        organs: what to show.
        planes: which planes, from left to right.
        title: a line above.
        hu_window: HU shown as black and as white.
        slices_of: another label map on that grid, whose busiest slices are shown: two pictures are then of the same
            places.

    Raises:
        InputError: the label map lies on another grid.
    """
    if not labels.same_grid(volume):
        raise InputError(f"The labels {labels.name!r} do not lie on the grid of {volume.name!r}.")
    image, upright = resample_to_ras(volume, None), resample_to_ras(labels, None, labels=True)
    shown = upright if slices_of is None else resample_to_ras(slices_of, None, labels=True)
    low, high = hu_window
    grey = np.clip((image.array.astype(np.float32) - low) / (high - low), 0, 1)
    cuts = {}
    for plane in planes:
        index = busiest(shown.array, plane)
        ct, organ_map = (cut(array, plane, index, image.spacing) for array in (grey, upright.array))
        cuts[plane] = Cut(
            colour_over(enlarged(ct.pixels, 3), enlarged(organ_map.pixels, 3), colours_of(organs)), ct.ratio
        )
    present = [organ for organ in organs if (upright.array == organ.id).any()]
    return _draw(cuts, present, title)


def _draw(cuts: Mapping[str, Cut], organs: Sequence[Organ], title: str) -> Figure:
    """All cuts at one height side by side, legend below."""
    height, gap, legend = 4.2, 0.12, 0.2 * max(-(-len(organs) // _COLUMNS), 1) + 0.2
    head = 0.55 if title else 0.15
    width = sum(height * c.ratio for c in cuts.values()) + gap * (len(cuts) + 1)
    total = height + legend + head
    figure = Figure(figsize=(width, total), dpi=120, facecolor=_PAPER)
    left = gap
    for plane, picture in cuts.items():
        box = (left / width, legend / total, height * picture.ratio / width, height / total)
        axes = figure.add_axes(box)
        axes.imshow(picture.pixels, aspect="auto", interpolation="antialiased")
        axes.set_axis_off()
        _name_edges(axes, plane)
        left += height * picture.ratio + gap
    if title:
        figure.text(gap / width, 1 - 0.2 / total, title, color=_INK, fontsize=12, va="top", weight="bold")
    if organs:
        patches = [Patch(color=np.asarray(organ.colour) / 255, label=organ.name) for organ in organs]
        figure.legend(
            handles=patches,
            loc="lower center",
            ncols=_COLUMNS,
            frameon=False,
            labelcolor=_INK,
            fontsize=9,
            handlelength=1.0,
        )
    else:
        figure.text(0.5, 0.1 / total, "no organ found", color=_INK, fontsize=10, ha="center")
    return figure


def _name_edges(axes: Axes, plane: str) -> None:
    """R, L, A, P, S, I where they belong, legible on black and on white."""
    left, right, top, bottom = EDGES[plane]
    words = [
        (left, 0.015, 0.5, "left", "center"),
        (right, 0.985, 0.5, "right", "center"),
        (top, 0.5, 0.985, "center", "top"),
        (bottom, 0.5, 0.015, "center", "bottom"),
        (plane, 0.015, 0.985, "left", "top"),
    ]
    for word, x, y, across, along in words:
        written = axes.text(x, y, word, color=_INK, fontsize=9.5, ha=across, va=along, transform=axes.transAxes)
        written.set_path_effects([withStroke(linewidth=2, foreground=_PAPER)])

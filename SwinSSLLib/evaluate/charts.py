"""Charts as inline SVG whose colours are the page's own, so that they follow its light or dark theme.

Matplotlib draws with stand-in colours; these become CSS variables (report.css says what they are).
"""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Stand-in colour of the drawing, and the variable of report.css that takes its place.
INK, MUTED, GRID, FIRST, SECOND, GOOD, BAD, THIRD, FOURTH = (
    "#010203", "#020304", "#030405", "#040506", "#050607", "#060708", "#070809", "#08090a", "#090a0b",
)  # fmt: skip
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--grid", FIRST: "--first", SECOND: "--second", GOOD: "--good", BAD: "--bad",
    THIRD: "--third", FOURTH: "--fourth",
}  # fmt: skip
#: Colours of lines in a chart of several; dashes tell more of them apart.
LINE_COLOURS = (FIRST, SECOND, THIRD, FOURTH)

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def variable_of(colour: str) -> str:
    """The variable of report.css that a stand-in colour becomes."""
    return _VARIABLES[colour]


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: for the legend.
        points: value by step.
        colour: one of the stand-ins.
        dots: mark every point; for lines of few points.
    """

    name: str
    points: Mapping[int, float]
    colour: str = FIRST
    dots: bool = False


@dataclass(frozen=True)
class Curve:
    """One small chart: lines over steps, with the level that chance alone would reach.

    Attributes:
        title: what is drawn.
        series: the lines; those without points are left out.
        chance: level of the dashed line, or None.
        percent: whether values are shares to be shown in percent, 0 to 100.
        description: for readers who cannot see it.
    """

    title: str
    series: Sequence[Series]
    chance: float | None = None
    percent: bool = False
    description: str = field(default="")


def curve_svg(curve: Curve, *, width: float = 3.5, height: float = 2.1) -> str:
    """Draw one chart; the title is the page's."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _new(width, height)
        scale = 100.0 if curve.percent else 1.0
        for series in curve.series:
            steps = sorted(series.points)
            values = [series.points[step] * scale for step in steps]
            marker = "o" if series.dots or len(steps) == 1 else ""
            axes.plot(steps, values, color=series.colour, lw=1.6, marker=marker, ms=3, solid_capstyle="round")
        if curve.chance is not None:
            axes.axhline(curve.chance * scale, color=MUTED, lw=1.1, ls=(0, (4, 3)))
            axes.annotate(
                "chance", (1, curve.chance * scale), xycoords=("axes fraction", "data"), xytext=(0, 2.5),
                textcoords="offset points", ha="right", va="bottom", color=MUTED, fontsize=7.5,
            )  # fmt: skip
        if curve.percent:
            axes.set_ylim(0, 102)
            axes.set_yticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
        else:
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.margins(y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("step", fontsize=7.5)
        return svg(figure, curve.description or curve.title)


def sparkline_svg(points: Mapping[int, float]) -> str:
    """A line the size of a word, from 0 to 1."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(1.0, 0.24))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_ylim(-0.08, 1.08)
        steps = sorted(points)
        axes.plot(steps, [points[step] for step in steps], color=FIRST, lw=1.3)
        axes.plot(steps[-1:], [points[steps[-1]]], "o", color=FIRST, ms=2.6, clip_on=False)
        return svg(figure, f"Dice from {points[steps[0]]:.2f} to {points[steps[-1]]:.2f}")


def paired_svg(arms: Mapping[str, Sequence[float]], unit: str = "mean Dice") -> str:
    """Two or more arms with one point a seed; a line joins the points of the same seed.

    Args:
        arms: values by name of the arm; the n-th value of every arm has the same seed and split.
        unit: name of the vertical axis.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _new(4.6, 3.0)
        names = list(arms)
        for same_seed in zip(*arms.values(), strict=True):
            for position, (before, after) in enumerate(pairwise(same_seed)):
                colour = GOOD if after > before else BAD if after < before else MUTED
                axes.plot([position, position + 1], [before, after], color=colour, lw=1.1, alpha=0.75, zorder=1)
        for position, name in enumerate(names):
            values = arms[name]
            mean = sum(values) / len(values)
            colour = SECOND if position else FIRST
            axes.scatter([position] * len(values), values, s=26, color=colour, zorder=2)
            side = -1 if position == 0 else 1
            axes.plot([position + 0.06 * side, position + 0.2 * side], [mean, mean], color=colour, lw=2.4)
            axes.annotate(
                f"{mean:.3f}", (position + 0.24 * side, mean), ha="right" if side < 0 else "left", va="center",
                fontsize=8.5, color=INK,
            )  # fmt: skip
        axes.set_xticks(range(len(names)), [textwrap.fill(name, 48 // len(names)) for name in names], color=INK)
        axes.set_xlim(-0.75, len(names) - 0.25)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(y=0.15)
        axes.set_ylabel(unit)
        listing = "; ".join(f"{name}: {', '.join(f'{v:.3f}' for v in values)}" for name, values in arms.items())
        return svg(figure, f"{unit} by seed. {listing}")


def levels_svg(
    lines: Mapping[str, Mapping[int, tuple[float, float, float]]],
    *,
    across: str = "labelled CTs learned from",
    up: str = "mean Dice",
    differences: bool = False,
) -> str:
    """Lines over doubling numbers, each point with its interval.

    Args:
        lines: mean, low and high by number, by name of the line.
        across: name of the horizontal axis.
        up: name of the vertical axis.
        differences: draw the line at 0, and leave the first colour to what is not drawn, the baseline.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _new(5.4, 3.2)
        draw_levels(axes, lines, LINE_COLOURS, first=int(differences))
        if differences:
            axes.axhline(0, color=MUTED, lw=1.1, ls=(0, (4, 3)))
        axes.set_xlabel(across, fontsize=8)
        axes.set_ylabel(up)
        told = "; ".join(
            f"{name}: {', '.join(f'{count}: {level[0]:.3f}' for count, level in points.items())}"
            for name, points in lines.items()
        )
        return svg(figure, f"{up} by {across}. {told}")


def draw_levels(
    axes: Axes, lines: Mapping[str, Mapping[int, tuple[float, float, float]]], colours: Sequence[str], first: int = 0
) -> None:
    """The lines of :func:`levels_svg` in axes of any figure; points of one number stand a little apart."""
    counts = sorted({count for points in lines.values() for count in points})
    for order, (name, points) in enumerate(lines.items(), start=first):
        aside = 2 ** (0.06 * (order - first - (len(lines) - 1) / 2))
        places = [count * aside for count in points]
        means = [level[0] for level in points.values()]
        below = [level[0] - level[1] for level in points.values()]
        above = [level[2] - level[0] for level in points.values()]
        colour, dashed = colours[order % len(colours)], order >= len(colours)
        axes.errorbar(
            places, means, yerr=(below, above), color=colour, lw=1.7, elinewidth=1.0, capsize=2, marker="o", ms=4,
            ls="--" if dashed else "-", label=name,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.margins(x=0.08, y=0.1)


def dumbbell_svg(rows: Mapping[str, tuple[float, float]], unit: str = "Dice") -> str:
    """One line an organ from the first arm's value to the second's.

    Args:
        rows: two values of 0..1 by organ.
        unit: name of the horizontal axis.
    """
    with matplotlib.rc_context({**_STYLE, "axes.grid.axis": "x"}):
        figure, axes = _new(5.2, 0.6 + 0.24 * len(rows))
        for row, (before, after) in enumerate(rows.values()):
            colour = GOOD if after > before else BAD if after < before else MUTED
            axes.plot([before, after], [row, row], color=colour, lw=1.8, alpha=0.8, zorder=1)
        for arm, colour in enumerate((FIRST, SECOND)):
            axes.scatter([pair[arm] for pair in rows.values()], range(len(rows)), s=24, color=colour, zorder=2)
        axes.set_yticks(range(len(rows)), list(rows), color=INK)
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(unit)
        listing = "; ".join(f"{organ} {a:.2f} and {b:.2f}" for organ, (a, b) in rows.items())
        return svg(figure, f"{unit} by organ in the first and the second arm: {listing}")


def svg(figure: Figure, description: str) -> str:
    """The figure as an SVG element that takes its colours from the page."""
    content = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = content.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.S)
    for colour, variable in _VARIABLES.items():
        drawing = drawing.replace(colour, f"var({variable})")
    # The namespace declarations are addresses; an SVG inside HTML needs none of them, its links lose their prefix.
    drawing = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", drawing).replace("xlink:href", "href")
    named = f'<svg class="chart" role="img" aria-label="{html.escape(description, quote=True)}" '
    return drawing.replace("<svg ", named, 1)


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()

"""Curves of a run as charts of the scene: they follow it, are saved with the scene, and carry their chance lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
import vtk.util.numpy_support
from slicer.i18n import tr as _

#: Colours that people with every common kind of colour blindness tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, PURPLE, GREY = (
    (0.0, 0.447, 0.698),
    (0.902, 0.624, 0.0),
    (0.0, 0.620, 0.451),
    (0.8, 0.475, 0.655),
    (0.5, 0.5, 0.5),
)


#: Room above the curves, as a share of their height: Slicer's plots paint the legend into the upper right corner.
LEGEND_ROOM = 0.6
LEGEND_FONT = 9


#: Points of a curve that are drawn; a run of days has a hundred times as many.
MOST_POINTS = 2000


@dataclass(frozen=True)
class Curve:
    """One curve of a chart.

    Attributes:
        metric: name in the events ("validation/inpaint").
        title: for the legend.
        colour: red, green, blue, 0..1.
        chance: name among the run's chance levels; None for no line.
    """

    metric: str
    title: str
    colour: tuple[float, float, float]
    chance: str | None = None


@dataclass(frozen=True)
class Chart:
    """What one chart shows."""

    name: str
    title: str
    curves: tuple[Curve, ...]


def pretrainingCharts() -> tuple[Chart, ...]:
    """The three losses, each with its validation and its chance line."""
    training, validation = _("training"), _("validation")
    return (
        Chart(
            "inpaint",
            _("Inpainting, L1"),
            (
                Curve("train/inpaint", training, BLUE),
                Curve("validation/inpaint", validation, ORANGE, "inpaint"),
            ),
        ),
        Chart(
            "contrast",
            _("Contrast, NT-Xent"),
            (
                Curve("train/contrast", training, BLUE),
                Curve("validation/contrast", validation, ORANGE, "contrast"),
            ),
        ),
        Chart(
            "rotation",
            _("Rotation, cross entropy"),
            (
                Curve("train/rotation", training, BLUE),
                Curve("validation/rotation_loss", validation, ORANGE, "rotation"),
            ),
        ),
    )


def finetuningCharts() -> tuple[Chart, ...]:
    """Loss and mean Dice."""
    return (
        Chart("loss", _("Loss, Dice and cross entropy"), (Curve("train/total", _("training"), BLUE),)),
        Chart("dice", _("Mean Dice of 13 organs"), (Curve("validation/dice", _("validation"), GREEN),)),
    )


@dataclass
class RunCharts:
    """The charts of one run in the scene.

    Args:
        charts: what to show.
        runName: goes into the names of the nodes.
    """

    charts: tuple[Chart, ...]
    runName: str
    _points: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _chance: dict[str, float] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)

    def feed(self, events: Iterable[Mapping[str, Any]]) -> bool:
        """Take up events; returns whether there is anything new to draw."""
        new = False
        for event in events:
            if event["event"] == "metric" and isinstance(event.get("value"), int | float):
                points = self._points.setdefault(str(event.get("name")), [])
                step = float(event.get("step", 0))
                while points and points[-1][0] >= step:  # a resumed run repeats what came after its checkpoint
                    points.pop()
                points.append((step, float(event["value"])))
                new = True
            elif event["event"] == "started" and isinstance(event.get("chance"), Mapping):
                self._chance = {str(name): float(value) for name, value in event["chance"].items()}
        return new

    def draw(self) -> list[Any]:
        """Bring the nodes of the scene up to date; returns the chart nodes in their order."""
        return [self._draw(chart) for chart in self.charts]

    def chartNode(self, name: str) -> Any:
        """The chart of a name, or None."""
        return slicer.mrmlScene.GetNodeByID(self._ids.get(f"chart {name}", ""))

    def remove(self) -> None:
        """Take the nodes out of the scene."""
        for nodeID in self._ids.values():
            node = slicer.mrmlScene.GetNodeByID(nodeID)
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
        self._ids = {}

    def _draw(self, chart: Chart) -> Any:
        node = self._node("vtkMRMLPlotChartNode", f"chart {chart.name}", f"{self.runName}: {chart.title}")
        node.SetTitle(chart.title)
        node.SetXAxisTitle(_("step"))
        node.SetYAxisTitle("")
        node.SetLegendFontSize(LEGEND_FONT)
        for curve in chart.curves:
            points = self._points.get(curve.metric, [])
            self._series(node, curve.metric, curve.title, points, curve.colour, dashed=False)
            level = self._chance.get(curve.chance or "")
            if level is not None and points:
                first, last = self._range(chart)
                line = [(first, level), (last, level)]
                self._series(node, f"chance {chart.name}", _("chance"), line, GREY, dashed=True)
        self._fitHeight(node, chart)
        return node

    def _fitHeight(self, node: Any, chart: Chart) -> None:
        """An axis that leaves the legend a place of its own above the curves."""
        values = [value for curve in chart.curves for _step, value in self._points.get(curve.metric, [])]
        if not values:
            return
        values += [self._chance[curve.chance] for curve in chart.curves if curve.chance in self._chance]
        low, high = min(values), max(values)
        height = max(high - low, 1e-3 * abs(high), 1e-6)  # a single point, too, stands on an axis
        node.SetYAxisRangeAuto(False)
        node.SetYAxisRange(low - 0.05 * height, high + LEGEND_ROOM * height)

    def _range(self, chart: Chart) -> tuple[float, float]:
        steps = [step for curve in chart.curves for step, _value in self._points.get(curve.metric, [])]
        return min(steps), max(steps)

    def _series(
        self,
        chartNode: Any,
        key: str,
        title: str,
        points: list[tuple[float, float]],
        colour: tuple[float, float, float],
        *,
        dashed: bool,
    ) -> None:
        if not points:
            return
        points = thinned(points)
        table = self._node("vtkMRMLTableNode", f"table {key}", f"{self.runName}: {key}")
        fillTable(table, {"step": [step for step, _v in points], title: [value for _s, value in points]})
        isNew = f"series {key}" not in self._ids
        series = self._node("vtkMRMLPlotSeriesNode", f"series {key}", title)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName("step")
        series.SetYColumnName(title)
        if isNew:
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
            series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
            style = slicer.vtkMRMLPlotSeriesNode
            series.SetLineStyle(style.LineStyleDash if dashed else style.LineStyleSolid)
            series.SetLineWidth(2)
            series.SetColor(*colour)
        if not chartNode.HasPlotSeriesNodeID(series.GetID()):
            chartNode.AddAndObservePlotSeriesNodeID(series.GetID())

    def _node(self, kind: str, key: str, name: str) -> Any:
        node = slicer.mrmlScene.GetNodeByID(self._ids.get(key, ""))
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
            self._ids[key] = node.GetID()
        return node


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Some of the points of a long curve, its first and last among them: a chart has no more pixels."""
    if len(points) <= MOST_POINTS:
        return points
    chosen = np.unique(np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int))
    return [points[number] for number in chosen]


def fillTable(tableNode: Any, columns: Mapping[str, Iterable[float]]) -> None:
    """Put columns of numbers into a table node, in place of what it held."""
    table = vtk.vtkTable()
    for name, values in columns.items():
        array = vtk.util.numpy_support.numpy_to_vtk(np.asarray(list(values), float), deep=True)
        array.SetName(name)
        table.AddColumn(array)
    tableNode.SetAndObserveTable(table)

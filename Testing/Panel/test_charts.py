"""Charts of a run: curves as the events tell them, chance lines, resumed runs, saved with the scene."""

from __future__ import annotations

import numpy as np
import slicer
from SwinSSLPanel.charts import MOST_POINTS, RunCharts, finetuningCharts, pretrainingCharts
from vtk.util.numpy_support import vtk_to_numpy

STARTED = {"event": "started", "chance": {"inpaint": 0.24, "contrast": 1.9459, "rotation": 1.3863}}


def metric(name: str, step: int, value: float) -> dict:
    return {"event": "metric", "name": name, "step": step, "value": value}


def curves(chart) -> dict[str, np.ndarray]:
    """Points (step, value) by the name of the series."""
    found = {}
    for number in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(number)
        table = series.GetTableNode().GetTable()
        columns = (series.GetXColumnName(), series.GetYColumnName())
        found[series.GetName()] = np.column_stack([vtk_to_numpy(table.GetColumnByName(name)) for name in columns])
    return found


def test_curves_and_chance_lines_are_those_of_the_events(a_bench):
    charts = RunCharts(pretrainingCharts(), "run 1")
    events = [STARTED, *(metric("train/inpaint", step, 1 / step) for step in (1, 2, 4))]
    events += [metric("validation/inpaint", 2, 0.3), metric("validation/rotation_loss", 2, 1.2)]
    assert charts.feed(events)
    inpaint, contrast, rotation = charts.draw()
    found = curves(inpaint)
    assert found["training"].tolist() == [[1, 1.0], [2, 0.5], [4, 0.25]]
    assert found["validation"].tolist() == [[2, 0.3]]
    assert found["chance"].tolist() == [[1, 0.24], [4, 0.24]]
    assert curves(contrast) == {}
    assert curves(rotation)["chance"][0, 1] == 1.3863
    styles = {s.GetName(): s.GetLineStyle() for s in (inpaint.GetNthPlotSeriesNode(n) for n in range(3))}
    assert styles["chance"] == slicer.vtkMRMLPlotSeriesNode.LineStyleDash
    charts.remove()


def test_drawing_again_changes_the_same_nodes(a_bench):
    charts = RunCharts(pretrainingCharts(), "run 1")
    for step in range(1, 30):
        charts.feed([STARTED, metric("train/inpaint", step, 0.5), metric("validation/contrast", step, 1.8)])
        charts.draw()
        if step == 1:
            count = slicer.mrmlScene.GetNumberOfNodes()
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert len(curves(charts.chartNode("inpaint"))["training"]) == 29
    charts.remove()
    assert charts.chartNode("inpaint") is None
    assert slicer.util.getNodesByClass("vtkMRMLPlotChartNode") == []
    assert slicer.util.getNodesByClass("vtkMRMLTableNode") == []


def test_steps_that_a_resumed_run_repeats_stand_once(a_bench):
    charts = RunCharts(finetuningCharts(), "run")
    charts.feed([metric("train/total", step, 1.0) for step in (1, 2, 3, 4, 5)])
    charts.feed([metric("train/total", step, 2.0) for step in (3, 4)])
    charts.draw()
    assert curves(charts.chartNode("loss"))["training"].tolist() == [[1, 1], [2, 1], [3, 2], [4, 2]]
    charts.remove()


def test_events_without_numbers_draw_nothing(a_bench):
    charts = RunCharts(pretrainingCharts(), "run")
    assert not charts.feed([{"event": "metric", "name": "train/inpaint", "value": None}, {"event": "progress"}])
    charts.draw()
    assert curves(charts.chartNode("inpaint")) == {}
    charts.remove()


def test_a_long_curve_is_thinned_and_keeps_its_ends(a_bench):
    charts = RunCharts(pretrainingCharts(), "long")
    charts.feed([metric("train/inpaint", step, 1.0 / (1 + step)) for step in range(50_000)])
    charts.draw()
    points = curves(charts.chartNode("inpaint"))["training"]
    assert len(points) == MOST_POINTS
    assert (points[0, 0], points[-1, 0]) == (0, 49_999)
    assert (np.diff(points[:, 0]) > 0).all()
    charts.remove()


def test_the_legend_has_a_place_above_the_curves(a_bench):
    charts = RunCharts(pretrainingCharts(), "run")
    charts.feed(
        [STARTED, *(metric("train/inpaint", step, 1 / step) for step in (1, 2, 4)), metric("x", 1, float("inf"))]
    )
    inpaint, contrast, _rotation = charts.draw()
    low, high = inpaint.GetYAxisRange()
    assert not inpaint.GetYAxisRangeAuto()
    assert low < 0.24, "the chance line is seen"
    assert 1.3 <= high <= 1.7, "a third of the height is free"
    assert contrast.GetYAxisRangeAuto(), "nothing is drawn yet"
    charts.feed([metric("train/contrast", 1, 1.9459)])
    low, high = charts.draw()[1].GetYAxisRange()
    assert low < 1.9459 < high
    charts.remove()


def test_charts_are_saved_with_the_scene(a_bench, tmp_path):
    charts = RunCharts(pretrainingCharts(), "run 1")
    charts.feed([STARTED, metric("validation/inpaint", 2, 0.3), metric("validation/inpaint", 4, 0.2)])
    charts.draw()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    chart = slicer.util.getNode("run 1: Inpainting, L1")
    assert curves(chart)["validation"].tolist() == [[2, 0.3], [4, 0.2]]

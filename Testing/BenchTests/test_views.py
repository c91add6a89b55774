"""Slices, 3D, plots and tables: what the scene says is what a picture shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtTest import QTest

LAYOUT = slicer.vtkMRMLLayoutNode
CUSTOM = """
<layout type="vertical" split="true">
 <item><view class="vtkMRMLSliceNode" singletontag="Before">
  <property name="orientation" action="default">Axial</property>
  <property name="viewlabel" action="default">BEF</property>
  <property name="viewcolor" action="default">#112233</property>
 </view></item>
 <item><layout type="horizontal">
  <item><view class="vtkMRMLSliceNode" singletontag="After">
   <property name="orientation" action="default">Coronal</property>
   <property name="viewlabel" action="default">AFT</property></view></item>
  <item><view class="vtkMRMLViewNode" singletontag="1"/></item></layout></item>
</layout>"""


@pytest.fixture
def shown_views(a_scene_with_a_segmentation: Any) -> Any:
    """The layout manager, its views on a window of 900 by 700, with a CT, a segmentation and its surface."""
    manager = slicer.app.layoutManager()
    port = manager.viewport()
    port.resize(900, 700)
    port.show()
    a_scene_with_a_segmentation.CreateClosedSurfaceRepresentation()
    slicer.util.resetSliceViews()
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 65.0, 10.0, 0.0)  # the middle of the liver
    manager.resetThreeDViews()
    slicer.app.processEvents()
    yield manager
    port.hide()


def pixels(widget: Any) -> np.ndarray:
    """RGB of a widget as it would be photographed."""
    image = QtWidgets.QWidget.grab(widget).toImage().convertToFormat(QtGui.QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def coloured(picture: np.ndarray) -> int:
    """How many pixels are no grey: segments, boxes, surfaces."""
    return int((np.ptp(picture, axis=2) > 25).sum())


def test_a_ct_and_a_segmentation_are_seen_in_four_views_at_once(shown_views: Any, tmp_path: Path) -> None:
    assert shown_views.layout == LAYOUT.SlicerLayoutFourUpView
    assert shown_views.sliceViewNames() == ("Red", "Green", "Yellow")
    for name in ("Red", "Green", "Yellow"):
        picture = pixels(shown_views.sliceWidget(name).sliceView())
        assert len(np.unique(picture[..., 0])) > 5, f"{name} shows no CT"
        assert coloured(picture) > 500, f"{name} shows no segment"
    surface = pixels(shown_views.threeDWidget(0).threeDView())
    liver = (surface[..., 0] > surface[..., 2] + 20).sum()
    assert liver > 500, "3D shows no surface"
    whole = QtWidgets.QWidget.grab(shown_views.viewport())
    assert whole.save(str(tmp_path / "four_up.png"))


def test_views_keep_up_with_the_scene(
    shown_views: Any, a_scene_with_a_segmentation: Any, a_scene_with_a_ct: Any
) -> None:
    view = shown_views.sliceWidget("Red").sliceView()
    before = pixels(view)
    a_scene_with_a_segmentation.GetDisplayNode().SetVisibility(False)
    without = pixels(view)
    assert coloured(without) < coloured(before) / 10
    slicer.util.updateVolumeFromArray(a_scene_with_a_ct, np.full((40, 64, 64), 200, np.int16))
    assert len(np.unique(pixels(view)[..., 0])) < len(np.unique(without[..., 0]))
    with slicer.util.RenderBlocker():
        a_scene_with_a_segmentation.GetDisplayNode().SetVisibility(True)
        assert coloured(pixels(view)) == coloured(pixels(view)) < 100
    assert coloured(pixels(view)) > 500


def _wheel(widget: Any, up: bool) -> None:
    place = QtCore.QPointF(widget.rect.center() if isinstance(widget.rect, QtCore.QRect) else widget.rect().center())
    none, turn = QtCore.QPoint(0, 0), QtCore.QPoint(0, 120 if up else -120)
    buttons, keys = QtCore.Qt.MouseButton.NoButton, QtCore.Qt.KeyboardModifier.NoModifier
    phase = QtCore.Qt.ScrollPhase.NoScrollPhase
    event = QtGui.QWheelEvent(place, place, none, turn, buttons, keys, phase, False)
    QtCore.QCoreApplication.sendEvent(widget, event)


def test_the_wheel_moves_the_slice_by_one(shown_views: Any) -> None:
    widget = shown_views.sliceWidget("Red")
    logic, before = widget.sliceLogic(), pixels(widget.sliceView())
    offset = logic.GetSliceOffset()
    _wheel(widget.sliceView(), up=True)
    assert logic.GetSliceOffset() - offset == pytest.approx(6.0)
    assert widget.sliceController().offset.value == pytest.approx(logic.GetSliceOffset())
    assert (pixels(widget.sliceView()) != before).any()
    _wheel(widget.sliceView(), up=False)
    assert logic.GetSliceOffset() == pytest.approx(offset)


def test_the_bar_moves_the_slice(shown_views: Any) -> None:
    widget = shown_views.sliceWidget("Green")
    bar, logic = widget.sliceController(), widget.sliceLogic()
    bar.sliceOffsetSlider().value = bar.sliceOffsetSlider().value + 3
    assert bar.offset.value == pytest.approx(logic.GetSliceOffset())
    bar.setSliceOffsetValue(-20.0)
    assert logic.GetSliceOffset() == pytest.approx(-20.0, abs=5.0)
    assert bar.label.text == "G"
    bar.setSliceVisible(True)
    assert widget.mrmlSliceNode().GetSliceVisible()
    bar.setSliceVisible(False)


def test_linked_views_of_one_orientation_move_together(shown_views: Any) -> None:
    node = shown_views.layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(501, CUSTOM.replace("Coronal", "Axial"))
    shown_views.setLayout(501)
    slicer.app.processEvents()
    first, second = shown_views.sliceWidget("Before"), shown_views.sliceWidget("After")
    assert first is not None and second is not None
    slicer.util.setSliceViewerLayers(background=slicer.util.getNode("CT"), fit=True)
    first.sliceController().setSliceLink(True)
    assert second.sliceController().link.checked
    first.sliceController().setSliceOffsetValue(24.0)
    assert second.sliceLogic().GetSliceOffset() == pytest.approx(first.sliceLogic().GetSliceOffset())
    first.sliceController().setSliceLink(False)
    first.sliceController().setSliceOffsetValue(-36.0)
    assert second.sliceLogic().GetSliceOffset() != pytest.approx(first.sliceLogic().GetSliceOffset())


def test_a_custom_layout_is_arranged_as_its_xml_says(shown_views: Any) -> None:
    heard: list[int] = []
    shown_views.layoutChanged.connect(heard.append)
    node = shown_views.layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(502, CUSTOM.replace("Before", "Third").replace("After", "Fourth"))
    shown_views.setLayout(502)
    slicer.app.processEvents()
    assert heard == [502] == [shown_views.layout]
    before, after = shown_views.sliceWidget("Third"), shown_views.sliceWidget("Fourth")
    assert (before.mrmlSliceNode().GetOrientation(), after.mrmlSliceNode().GetOrientation()) == ("Axial", "Coronal")
    assert (before.sliceController().label.text, after.sliceController().label.text) == ("BEF", "AFT")
    assert before.mrmlSliceNode().GetLayoutColor()[2] == pytest.approx(0x33 / 255)
    tops = [
        one.mapTo(shown_views.viewport(), QtCore.QPoint(0, 0)) for one in (before, after, shown_views.threeDWidget(0))
    ]
    assert tops[0].y() < tops[1].y() == tops[2].y()
    assert tops[1].x() < tops[2].x()
    assert not shown_views.sliceWidget("Red").isVisible()
    shown_views.layoutChanged.disconnect(heard.append)


@pytest.mark.parametrize(
    "name", ["OneUpRedSlice", "Conventional", "OneUp3D", "TabbedSlice", "Compare", "FourUpPlotTable"]
)
def test_built_in_layouts_show_their_views(name: str, shown_views: Any) -> None:
    shown_views.setLayout(getattr(LAYOUT, f"SlicerLayout{name}View"))
    slicer.app.processEvents()
    picture = pixels(shown_views.viewport())
    empty = (picture == QtWidgets.QApplication.palette().window().color().red()).all(axis=2).mean()
    assert empty < 0.15, "much of the layout is empty"


def test_plots_and_tables_show_their_nodes(shown_views: Any) -> None:
    shown_views.setLayout(LAYOUT.SlicerLayoutFourUpPlotTableView)
    slicer.app.processEvents()
    values = np.column_stack([np.arange(10.0), np.arange(10.0) ** 2])
    table = slicer.util.updateTableFromArray(None, values, ["x", "square"])
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "squares")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("x")
    series.SetYColumnName("square")
    series.SetColor(1.0, 0.0, 0.0)
    series.SetLineWidth(4)
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    view = shown_views.plotWidget(0).plotView()
    view.mrmlPlotViewNode().SetPlotChartNodeID(chart.GetID())
    picture = pixels(view)
    assert ((picture[..., 0] > 200) & (picture[..., 1] < 80)).sum() > 100, "no red line"
    series.SetColor(0.0, 0.0, 1.0)
    assert ((pixels(view)[..., 2] > 200) & (pixels(view)[..., 0] < 80)).sum() > 100, "the line did not turn blue"
    view.mrmlPlotViewNode().SetPlotChartNodeID(None)
    widget = shown_views.tableWidget(0)
    widget.mrmlTableViewNode().SetTableNodeID(table.GetID())
    model = widget.tableView().model()
    assert (model.rowCount(), model.columnCount()) == (10, 2)
    assert model.data(model.index(3, 1)) == "9"
    widget.mrmlTableViewNode().SetTableNodeID(None)


def test_the_3d_view_turns_under_the_mouse(shown_views: Any) -> None:
    view = shown_views.threeDWidget(0).threeDView()
    before = pixels(view)
    position = view.cameraNode().GetPosition()
    left, none = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
    QTest.mousePress(view, left, none, QtCore.QPoint(100, 100))
    QTest.mouseMove(view, QtCore.QPoint(160, 120))
    for step in range(5):
        move = QtGui.QMouseEvent(
            QtCore.QEvent.Type.MouseMove, QtCore.QPointF(110 + 10 * step, 110), QtCore.QPointF(0, 0), left, left, none
        )
        QtCore.QCoreApplication.sendEvent(view, move)
    QTest.mouseRelease(view, left, none, QtCore.QPoint(160, 110))
    assert not np.allclose(view.cameraNode().GetPosition(), position)
    assert (pixels(view) != before).any()


def test_a_slice_widget_of_ones_own(a_scene_with_a_ct: Any) -> None:
    widget = slicer.qMRMLSliceWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLSliceNode(slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode())
    assert widget.sliceOrientation == "Axial"
    view = widget.sliceView()
    np.testing.assert_allclose(view.convertRASToXYZ(view.convertXYZToRAS((7, 5, 0))), (7, 5, 0), atol=1e-6)

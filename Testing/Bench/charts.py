# ruff: noqa: N801 - the names are those of Slicer
"""Plot views, drawn by VTK's charts, and table views, which are Qt tables over the table node."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6 import QtCore, QtWidgets

from Bench.bars import Bar
from Bench.canvas import Canvas, weakly
from Bench.views import ViewWidget


class PlotView(Canvas):
    """``plotWidget.plotView()``: the chart that the plot view node names."""

    def __init__(self, node: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node = node
        self.view = vtk.vtkContextView()
        self.render_window.RemoveRenderer(self.renderer)
        self.view.SetRenderWindow(self.render_window)
        self.renderer = self.view.GetRenderer()
        self.renderer.SetBackground(1.0, 1.0, 1.0)
        self._chart = vtk.vtkChartXY()
        self.view.GetScene().AddItem(self._chart)
        self._watched: list[tuple[Any, int]] = []
        self.observe(node, "ModifiedEvent", self.refresh)
        watched = self._watched
        self.destroyed.connect(lambda: [thing.RemoveObserver(tag) for thing, tag in watched])
        self.refresh()

    def chart(self) -> Any:
        return self._chart

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def fitToContent(self) -> None:
        self._chart.RecalculateBounds()
        self.schedule()

    def _watch(self, thing: Any) -> None:
        self._watched.append((thing, thing.AddObserver("ModifiedEvent", weakly(self.refresh))))

    def refresh(self, *_: Any) -> None:
        """Build the chart from its nodes; they are few, and charts are small."""
        for thing, tag in self._watched:
            thing.RemoveObserver(tag)
        self._watched.clear()
        self._chart.ClearPlots()
        chart = self._node.GetPlotChartNode()
        if chart is not None:
            self._watch(chart)
            self._titles(chart)
            for index in range(chart.GetNumberOfPlotSeriesNodes()):
                self._add(chart.GetNthPlotSeriesNode(index))
        self._chart.RecalculateBounds()
        self.schedule()

    def _titles(self, chart: Any) -> None:
        self._chart.SetTitle(chart.GetTitle() if chart.GetTitleVisibility() and chart.GetTitle() else "")
        self._chart.SetShowLegend(bool(chart.GetLegendVisibility()))
        self._chart.GetLegend().SetLabelSize(chart.GetLegendFontSize())
        bottom, left = self._chart.GetAxis(1), self._chart.GetAxis(0)
        bottom.SetTitle(chart.GetXAxisTitle() or "")
        left.SetTitle(chart.GetYAxisTitle() or "")
        for axis, manual, limits in (
            (bottom, chart.GetXAxisRangeAuto(), chart.GetXAxisRange()),
            (left, chart.GetYAxisRangeAuto(), chart.GetYAxisRange()),
        ):
            axis.SetBehavior(0 if manual else 1)
            if not manual:
                axis.SetRange(limits)

    def _add(self, series: Any) -> None:
        self._watch(series)
        table = series.GetTableNode()
        if table is None or table.GetTable() is None:
            return
        self._watch(table)
        data = table.GetTable()
        y = data.GetColumnByName(series.GetYColumnName() or "")
        if y is None:
            return
        kinds = {series.PlotTypeBar: vtk.vtkChart.BAR, series.PlotTypeScatterBar: vtk.vtkChart.BAR}
        plot = self._chart.AddPlot(kinds.get(series.GetPlotType(), vtk.vtkChart.LINE))
        x = data.GetColumnByName(series.GetXColumnName() or "")
        if x is None or isinstance(x, vtk.vtkStringArray):
            plot.SetUseIndexForXSeries(True)
            plot.SetInputData(data, series.GetYColumnName(), series.GetYColumnName())
        else:
            plot.SetInputData(data, series.GetXColumnName(), series.GetYColumnName())
        plot.SetColorF(*series.GetColor())
        plot.SetWidth(series.GetLineWidth())
        plot.SetLabel(series.GetName())
        if series.GetLineStyle() == series.LineStyleNone:
            plot.GetPen().SetLineType(vtk.vtkPen.NO_PEN)
        if hasattr(plot, "SetMarkerStyle"):
            plot.SetMarkerStyle(series.GetMarkerStyle())
            plot.SetMarkerSize(series.GetMarkerSize())


class qMRMLPlotWidget(ViewWidget):
    """A plot view with its bar."""

    def setMRMLPlotViewNode(self, node: Any) -> None:
        """Show a plot view node."""
        self._scene = node.GetScene()
        bar = Bar(node.GetLayoutLabel() or node.GetName(), node.GetLayoutColor(), self)
        bar.row.addStretch(1)
        self._fill(bar, PlotView(node, self))

    def plotView(self) -> PlotView:
        return self._view

    def plotController(self) -> Bar:
        return self._bar

    def mrmlPlotViewNode(self) -> Any:
        return self._view.mrmlPlotViewNode() if self._view is not None else None


class TableModel(QtCore.QAbstractTableModel):
    """The rows and columns of a ``vtkMRMLTableNode``."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._tag = 0

    def set_node(self, node: Any) -> None:
        """Show another table."""
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        if node is not None:
            self._tag = node.AddObserver("ModifiedEvent", weakly(self.refresh))
        self.refresh()

    def node(self) -> Any:
        return self._node

    def refresh(self, *_: Any) -> None:
        """The table has changed: read it again."""
        self.beginResetModel()
        self.endResetModel()

    def _table(self) -> Any:
        return self._node.GetTable() if self._node is not None else None

    def rowCount(self, parent: QtCore.QModelIndex | None = None) -> int:
        return self._table().GetNumberOfRows() if self._table() is not None else 0

    def columnCount(self, parent: QtCore.QModelIndex | None = None) -> int:
        return self._table().GetNumberOfColumns() if self._table() is not None else 0

    def data(self, index: QtCore.QModelIndex, role: int = QtCore.Qt.ItemDataRole.DisplayRole) -> Any:
        if role not in (QtCore.Qt.ItemDataRole.DisplayRole, QtCore.Qt.ItemDataRole.EditRole):
            return None
        return self._table().GetValue(index.row(), index.column()).ToString()

    def headerData(self, section: int, orientation: QtCore.Qt.Orientation, role: int = 0) -> Any:
        if role != QtCore.Qt.ItemDataRole.DisplayRole or self._table() is None:
            return None
        horizontal = orientation == QtCore.Qt.Orientation.Horizontal
        return self._table().GetColumnName(section) if horizontal else str(section + 1)


class qMRMLTableWidget(ViewWidget):
    """A table view with its bar."""

    def setMRMLTableViewNode(self, node: Any) -> None:
        """Show a table view node."""
        self._scene, self._node = node.GetScene(), node
        bar = Bar(node.GetLayoutLabel() or node.GetName(), node.GetLayoutColor(), self)
        bar.row.addStretch(1)
        table = QtWidgets.QTableView(self)
        self._model = TableModel(table)
        table.setModel(self._model)
        self._fill(bar, table)
        links = [(node, node.AddObserver("ModifiedEvent", weakly(self._refresh)))]
        self.destroyed.connect(lambda: [thing.RemoveObserver(tag) for thing, tag in links])
        self._refresh()

    def _refresh(self, *_: Any) -> None:
        node = self._node.GetTableNode()
        if node is not self._model.node():
            self._model.set_node(node)

    def tableView(self) -> QtWidgets.QTableView:
        return self._view

    def tableController(self) -> Bar:
        return self._bar

    def mrmlTableViewNode(self) -> Any:
        return self._node

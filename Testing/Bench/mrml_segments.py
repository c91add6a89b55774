"""The table of segments."""
# ruff: noqa: N801, N815 - the names are Slicer's

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_watch import Segmented
from .standin import StandIn

SEGMENT_ID = QtCore.Qt.UserRole
VISIBLE, COLOR, OPACITY, NAME, STATUS, LAYER = range(6)


def _column(column: int) -> tuple[Any, Any]:
    """Getter and setter of the visibility of a column."""
    return (
        lambda self: not self._d["table"].isColumnHidden(column),
        lambda self, value: self._d["table"].setColumnHidden(column, not value),
    )


class SegmentsModel(QtGui.QStandardItemModel):
    """Rows of the table: a box for visibility, opacity and name to be typed over unless locked."""

    locked = False

    def flags(self, index: QtCore.QModelIndex) -> QtCore.Qt.ItemFlag:
        flags = QtCore.Qt.ItemIsEnabled | QtCore.Qt.ItemIsSelectable
        if index.column() == VISIBLE:
            flags |= QtCore.Qt.ItemIsUserCheckable
        elif index.column() in (OPACITY, NAME) and not self.locked:
            flags |= QtCore.Qt.ItemIsEditable
        return flags


class qMRMLSegmentsTableView(StandIn, Segmented, QtWidgets.QWidget):
    """Segments with their visibility, colour, opacity and name, which can be changed in the table."""

    _properties_ = """int selectionMode; bool headerVisible; bool visibilityColumnVisible; bool colorColumnVisible;
        bool opacityColumnVisible; bool statusColumnVisible; bool layerColumnVisible; bool readOnly;
        bool filterBarVisible; QString textFilter; bool jumpToSelectedSegmentEnabled; int segmentCount (read-only);
        QString useTerminologySelectorSettingsKey; bool useTerminologySelector; bool terminologySelectorOptionVisible;
        bool terminologySelectorAutoDisable"""
    _signals_ = """selectionChanged(const QItemSelection&, const QItemSelection&); segmentAboutToBeModified(QString);
        mrmlSceneChanged(vtkMRMLScene*)"""
    _slots_ = """setSegmentationNode(vtkMRMLNode*); setMRMLScene(vtkMRMLScene*); setSelectionMode(int);
        setHeaderVisible(bool); setVisibilityColumnVisible(bool); setColorColumnVisible(bool);
        setOpacityColumnVisible(bool); setStatusColumnVisible(bool); setLayerColumnVisible(bool); setReadOnly(bool);
        setFilterBarVisible(bool); showOnlySelectedSegments(); toggleSelectedSegmentsVisibility(); jumpSlices();
        setJumpToSelectedSegmentEnabled(bool); setSelectedSegmentsStatus(int); clearSelectedSegments();
        moveSelectedSegmentsUp(); moveSelectedSegmentsDown(); setTextFilter(QString);
        setUseTerminologySelectorSettingsKey(QString); setUseTerminologySelector(bool);
        setTerminologySelectorOptionVisible(bool); setTerminologySelectorAutoDisable(bool); setStatusShown(int, bool)"""
    _invokables_ = """mrmlScene(); segmentationNode(); tableWidget(); selectedSegmentIDs();
        setSelectedSegmentIDs(QStringList); clearSelection(); terminologyTooltipForSegment(vtkSegment*);
        setHideSegments(const QStringList&); hideSegments(); displayedSegmentIDs(); sortFilterProxyModel(); model();
        statusShown(int); rowForSegmentID(QString); segmentIDForRow(int)"""

    def _build(self) -> None:
        self._begin()
        self._d.update(node=None, hidden=(), headerVisible=True, filling=False, jumpToSelectedSegmentEnabled=False)
        bar = self._d["filter"] = QtWidgets.QLineEdit(self)
        bar.setPlaceholderText("Filter segments by name...")
        bar.hide()
        model = self._d["model"] = SegmentsModel(0, 6, self)
        model.setHorizontalHeaderLabels(["", "", "Opacity", "Name", "Status", "Layer"])
        table = self._d["table"] = QtWidgets.QTableView(self)
        table.setModel(model)
        table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        table.verticalHeader().hide()
        table.horizontalHeader().setSectionResizeMode(NAME, QtWidgets.QHeaderView.Stretch)
        for column, width in ((VISIBLE, 28), (COLOR, 28), (OPACITY, 60), (STATUS, 60), (LAYER, 40)):
            table.setColumnWidth(column, width)
        for column in (STATUS, LAYER):
            table.setColumnHidden(column, True)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(bar)
        layout.addWidget(table)
        bar.textChanged.connect(self._fill)
        model.dataChanged.connect(self._edited)
        table.doubleClicked.connect(self._double_clicked)
        table.selectionModel().selectionChanged.connect(self._selected)

    def _selected(self, now: QtCore.QItemSelection, before: QtCore.QItemSelection) -> None:
        self.selectionChanged.emit(now, before)

    def setSegmentationNode(self, node: Any) -> None:
        self._watch_segmentation(node)

    def _segmentation_changed(self, _node: Any = None) -> None:
        display = None if self._d["node"] is None else self._d["node"].GetDisplayNode()
        self._d["watch"].observe("display", display, ("ModifiedEvent",), "_fill")
        self._fill()

    def displayedSegmentIDs(self) -> list[str]:
        segmentation, text = self._segmentation(), self._d["filter"].text().lower()
        every = [] if segmentation is None else list(segmentation.GetSegmentIDs())
        return [
            key
            for key in every
            if key not in self._d["hidden"] and text in (segmentation.GetSegment(key).GetName() or "").lower()
        ]

    def _fill(self, *_: Any) -> None:
        """Rows anew; the selection stays."""
        chosen, model = self.selectedSegmentIDs(), self._d["model"]
        self._d["filling"] = True
        keys = self.displayedSegmentIDs()
        model.setRowCount(len(keys))
        for row, key in enumerate(keys):
            self._fill_row(row, key)
        self._d["filling"] = False
        if self.selectedSegmentIDs() != chosen:
            self.setSelectedSegmentIDs([key for key in chosen if key in keys])

    def _fill_row(self, row: int, key: str) -> None:
        model, node = self._d["model"], self._d["node"]
        segment, display = node.GetSegmentation().GetSegment(key), node.GetDisplayNode()
        red, green, blue = segment.GetColor()
        contents = (
            (VISIBLE, QtCore.Qt.CheckStateRole, display is None or display.GetSegmentVisibility(key)),
            (COLOR, QtCore.Qt.DecorationRole, QtGui.QColor.fromRgbF(red, green, blue)),
            (OPACITY, QtCore.Qt.DisplayRole, f"{1.0 if display is None else display.GetSegmentOpacity3D(key):.2f}"),
            (NAME, QtCore.Qt.DisplayRole, segment.GetName()),
        )
        for column, role, value in contents:
            if role == QtCore.Qt.CheckStateRole:
                value = QtCore.Qt.Checked if value else QtCore.Qt.Unchecked
            model.setData(model.index(row, column), value, role)
            model.setData(model.index(row, column), key, SEGMENT_ID)

    def _edited(self, item: QtCore.QModelIndex, *_: Any) -> None:
        """The user changed an entry: the segment knows."""
        key, node = item.data(SEGMENT_ID), self._d["node"]
        if self._d["filling"] or node is None or not key:
            return
        display = node.GetDisplayNode()
        if item.column() == NAME:
            self.segmentAboutToBeModified.emit(key)
            node.GetSegmentation().GetSegment(key).SetName(item.data())
        elif item.column() == VISIBLE and display is not None:
            display.SetSegmentVisibility(key, item.data(QtCore.Qt.CheckStateRole) == QtCore.Qt.Checked)
        elif item.column() == OPACITY and display is not None:
            try:
                display.SetSegmentOpacity(key, min(max(float(item.data()), 0.0), 1.0))
            except ValueError:
                self._fill()

    def _double_clicked(self, index: QtCore.QModelIndex) -> None:
        """Another colour for a segment."""
        if index.column() == COLOR and not self._d.get("readOnly", False):
            key = self.segmentIDForRow(index.row())
            color = QtWidgets.QColorDialog.getColor(index.data(QtCore.Qt.DecorationRole), self)
            if color.isValid():
                self.segmentAboutToBeModified.emit(key)
                self._segmentation().GetSegment(key).SetColor(color.redF(), color.greenF(), color.blueF())

    def tableWidget(self) -> QtWidgets.QTableView:
        return self._d["table"]

    def model(self) -> QtCore.QAbstractItemModel:
        return self._d["model"]

    sortFilterProxyModel = model

    def segmentIDForRow(self, row: int) -> str:
        return self._d["model"].index(row, NAME).data(SEGMENT_ID) or ""

    def rowForSegmentID(self, key: str) -> int:
        keys = self.displayedSegmentIDs()
        return keys.index(key) if key in keys else -1

    def selectedSegmentIDs(self) -> list[str]:
        rows = sorted({index.row() for index in self._d["table"].selectionModel().selectedRows()})
        return [self.segmentIDForRow(row) for row in rows]

    def setSelectedSegmentIDs(self, keys: list[str]) -> None:
        selection = QtCore.QItemSelection()
        for row in (self.rowForSegmentID(key) for key in keys):
            if row >= 0:
                index = self._d["model"].index(row, NAME)
                selection.select(index, index)
        flags = QtCore.QItemSelectionModel.ClearAndSelect | QtCore.QItemSelectionModel.Rows
        self._d["table"].selectionModel().select(selection, flags)

    def clearSelection(self) -> None:
        self._d["table"].clearSelection()

    def showOnlySelectedSegments(self) -> None:
        chosen = self.selectedSegmentIDs()
        for key in self.displayedSegmentIDs() if chosen else ():
            self._d["node"].GetDisplayNode().SetSegmentVisibility(key, key in chosen)

    def toggleSelectedSegmentsVisibility(self) -> None:
        for key in self.selectedSegmentIDs():
            display = self._d["node"].GetDisplayNode()
            display.SetSegmentVisibility(key, not display.GetSegmentVisibility(key))

    def hideSegments(self) -> list[str]:
        return list(self._d["hidden"])

    def setHideSegments(self, keys: list[str]) -> None:
        self._d["hidden"] = tuple(keys)
        self._fill()

    def _get_segmentCount(self) -> int:
        return len(self.displayedSegmentIDs())

    def _get_selectionMode(self) -> int:
        return int(self._d["table"].selectionMode().value)

    def _set_selectionMode(self, mode: int) -> None:
        self._d["table"].setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(mode))

    def _set_headerVisible(self, value: bool) -> None:
        self._d["headerVisible"] = value
        self._d["table"].horizontalHeader().setVisible(value)

    _get_visibilityColumnVisible, _set_visibilityColumnVisible = _column(VISIBLE)
    _get_colorColumnVisible, _set_colorColumnVisible = _column(COLOR)
    _get_opacityColumnVisible, _set_opacityColumnVisible = _column(OPACITY)
    _get_statusColumnVisible, _set_statusColumnVisible = _column(STATUS)
    _get_layerColumnVisible, _set_layerColumnVisible = _column(LAYER)

    def _get_filterBarVisible(self) -> bool:
        return not self._d["filter"].isHidden()

    def _set_filterBarVisible(self, value: bool) -> None:
        self._d["filter"].setVisible(value)

    def _get_textFilter(self) -> str:
        return self._d["filter"].text()

    def _set_textFilter(self, text: str) -> None:
        self._d["filter"].setText(text)

    def _set_readOnly(self, value: bool) -> None:
        self._d["readOnly"] = self._d["model"].locked = value


WIDGETS = (qMRMLSegmentsTableView,)

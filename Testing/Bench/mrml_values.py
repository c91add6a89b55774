"""Tables, and CTK's number widgets under the names that take units from the scene."""
# ruff: noqa: N801, N815 - the names are Slicer's

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .ctk import ctkCollapsibleButton
from .ctk_numbers import ctkDoubleSpinBox, ctkSliderWidget
from .ctk_ranges import ctkRangeWidget
from .mrml_watch import Scened
from .standin import StandIn, unseen

_UNITS = "QString quantity; UnitAwareProperties unitAwareProperties"


class qMRMLCollapsibleButton(Scened, ctkCollapsibleButton):
    """A collapsible button that hands its scene on."""

    _properties_ = ""
    _signals_ = "mrmlSceneChanged(vtkMRMLScene*)"
    _slots_ = "setMRMLScene(vtkMRMLScene*)"
    _invokables_ = "mrmlScene()"

    def _build(self) -> None:
        super()._build()
        self._begin()


@unseen
class _Unitary(Scened):
    """A number with a quantity; units are taken as millimetres and as they are."""

    def _build(self: Any) -> None:
        super()._build()
        self._begin()


class qMRMLSliderWidget(_Unitary, ctkSliderWidget):
    """A slider with units."""

    _properties_ = f"{_UNITS}; Qt::Orientation orientation"
    _signals_ = _invokables_ = ""
    _slots_ = "setQuantity(const QString&); setMRMLScene(vtkMRMLScene*)"


class qMRMLSpinBox(_Unitary, ctkDoubleSpinBox):
    """A spin box with units."""

    _properties_ = _UNITS
    _signals_ = _invokables_ = ""
    _slots_ = "setQuantity(const QString&); setMRMLScene(vtkMRMLScene*)"


class qMRMLRangeWidget(_Unitary, ctkRangeWidget):
    """A range with units."""

    _properties_ = _UNITS
    _signals_ = _invokables_ = ""
    _slots_ = "setQuantity(const QString&); setMRMLScene(vtkMRMLScene*)"


class qMRMLTableView(StandIn, Scened, QtWidgets.QTableView):
    """Cells of a table node, which can be changed."""

    _properties_ = "bool transposed; bool firstRowLocked; bool firstColumnLocked"
    _signals_ = "mrmlSceneChanged(vtkMRMLScene*); selectionChanged()"
    _slots_ = """setMRMLScene(vtkMRMLScene*); setMRMLTableNode(vtkMRMLTableNode*); setMRMLTableNode(vtkMRMLNode*);
        setTransposed(bool); setFirstRowLocked(bool); setFirstColumnLocked(bool); insertRow(); insertColumn();
        deleteRow(); deleteColumn()"""
    _invokables_ = "mrmlScene(); mrmlTableNode(); tableModel(); sortFilterProxyModel()"

    def _build(self) -> None:
        self._begin()
        self._d.update(node=None, filling=False)
        model = self._d["model"] = QtGui.QStandardItemModel(self)
        self.setModel(model)
        model.itemChanged.connect(self._edited)
        self.selectionModel().selectionChanged.connect(self._tell)

    def _tell(self, *_: Any) -> None:
        self._selectionChanged.emit()

    def setMRMLTableNode(self, node: Any) -> None:
        self._d["node"] = node
        self._d["watch"].observe("node", node, ("ModifiedEvent",), "_fill")
        self._fill()

    def mrmlTableNode(self) -> Any:
        return self._d["node"]

    def _fill(self, _node: Any = None) -> None:
        node, model = self._d["node"], self._d["model"]
        self._d["filling"] = True
        model.clear()
        if node is not None:
            columns, rows = node.GetNumberOfColumns(), node.GetNumberOfRows()
            across = self._d.get("transposed", False)
            for column in range(columns):
                for row in range(rows):
                    item = QtGui.QStandardItem(node.GetCellText(row, column))
                    item.setEditable(not node.GetLocked())
                    model.setItem(*((column, row) if across else (row, column)), item)
            names = [node.GetColumnName(column) for column in range(columns)]
            (model.setVerticalHeaderLabels if across else model.setHorizontalHeaderLabels)(names)
        self._d["filling"] = False

    def _edited(self, item: QtGui.QStandardItem) -> None:
        if not self._d["filling"] and self._d["node"] is not None:
            place = (item.row(), item.column())
            self._d["node"].SetCellText(*(place[::-1] if self._d.get("transposed") else place), item.text())

    def _set_transposed(self, value: bool) -> None:
        self._d["transposed"] = value
        self._fill()

    def insertRow(self) -> None:
        self._d["node"].AddEmptyRow()

    def insertColumn(self) -> None:
        self._d["node"].AddColumn()

    def deleteRow(self) -> None:
        self._d["node"].RemoveRow(self.currentIndex().row())

    def deleteColumn(self) -> None:
        self._d["node"].RemoveColumn(self.currentIndex().column())

    def tableModel(self) -> QtCore.QAbstractItemModel:
        return self._d["model"]

    sortFilterProxyModel = tableModel


WIDGETS = (
    qMRMLCollapsibleButton,
    qMRMLSliderWidget,
    qMRMLSpinBox,
    qMRMLRangeWidget,
    qMRMLTableView,
)

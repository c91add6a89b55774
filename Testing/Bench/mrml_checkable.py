"""The combo box that lists nodes with check boxes."""
# ruff: noqa: N801 - the names are Slicer's

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .ctk_choices import ctkCheckableComboBox
from .mrml_nodes import NODE_ID, qMRMLNodeComboBox


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Lists nodes with check boxes; a node is checked when it is selected in the scene."""

    _properties_ = ""
    _signals_ = "checkedNodesChanged()"
    _slots_ = "check(vtkMRMLNode*); uncheck(vtkMRMLNode*)"
    _invokables_ = """checkedNodes(); uncheckedNodes(); allChecked(); noneChecked(); checkState(vtkMRMLNode*);
        setCheckState(vtkMRMLNode*, Qt::CheckState); setUserCheckable(vtkMRMLNode*, bool)"""

    def _build(self) -> None:
        super()._build()
        self._d.update(addEnabled=False, removeEnabled=False, told=[])
        self._d["combo"].model().dataChanged.connect(self._ticked)
        self._refresh()

    def _inner(self) -> QtWidgets.QComboBox:
        return ctkCheckableComboBox(self)

    def _dress(self, row: int, node: Any) -> None:
        state = QtCore.Qt.Checked if node.GetSelected() else QtCore.Qt.Unchecked
        self._d["combo"].setItemData(row, state, QtCore.Qt.CheckStateRole)

    def _refresh(self) -> None:
        self._d["filling"] = True
        super()._refresh()
        self._d["filling"] = False
        checked = [node.GetID() for node in self.checkedNodes()]
        if checked != self._d.get("told", []):
            self._d["told"] = checked
            self.checkedNodesChanged.emit()

    def _ticked(self, index: QtCore.QModelIndex, *_: Any) -> None:
        """The user ticked a box: the node knows."""
        key = index.data(NODE_ID)
        if key and not self._d["filling"] and self._d["scene"] is not None:
            ticked = index.data(QtCore.Qt.CheckStateRole) == QtCore.Qt.Checked
            self._d["scene"].GetNodeByID(key).SetSelected(ticked)

    def _listed(self) -> list[Any]:
        return [self.nodeFromIndex(row) for row in range(self.nodeCount())]

    def checkedNodes(self) -> list[Any]:
        return [node for node in self._listed() if node.GetSelected()]

    def uncheckedNodes(self) -> list[Any]:
        return [node for node in self._listed() if not node.GetSelected()]

    def allChecked(self) -> bool:
        return bool(self._listed()) and not self.uncheckedNodes()

    def noneChecked(self) -> bool:
        return not self.checkedNodes()

    def checkState(self, node: Any) -> QtCore.Qt.CheckState:
        return QtCore.Qt.Checked if node in self.checkedNodes() else QtCore.Qt.Unchecked

    def setCheckState(self, node: Any, state: QtCore.Qt.CheckState) -> None:
        node.SetSelected(state == QtCore.Qt.Checked)

    def check(self, node: Any) -> None:
        self.setCheckState(node, QtCore.Qt.Checked)

    def uncheck(self, node: Any) -> None:
        self.setCheckState(node, QtCore.Qt.Unchecked)


WIDGETS = (qMRMLCheckableNodeComboBox,)

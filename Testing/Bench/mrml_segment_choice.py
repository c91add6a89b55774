"""The choice of a segment, and the button that shows a segmentation in 3D."""
# ruff: noqa: N801 - the names are Slicer's

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .ctk import ctkMenuButton
from .mrml_nodes import qMRMLNodeComboBox
from .mrml_watch import Segmented
from .standin import StandIn

SURFACE, LABELMAP = "Closed surface", "Binary labelmap"
SMOOTHING = "Smoothing factor"


class qMRMLSegmentationShow3DButton(Segmented, ctkMenuButton):
    """Makes the closed surfaces of a segmentation and shows them; released, it removes them."""

    _properties_ = "bool locked"
    _signals_ = ""
    _slots_ = "setSegmentationNode(vtkMRMLSegmentationNode*); setLocked(bool)"
    _invokables_ = "segmentationNode()"

    def _build(self) -> None:
        super()._build()
        self._begin()
        self._d.update(node=None, locked=False)
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        menu = QtWidgets.QMenu("Show 3D", self)
        smooth = self._d["smooth"] = QtGui.QAction("Surface smoothing", menu)
        smooth.setCheckable(True)
        smooth.toggled.connect(self._smooth)
        menu.addAction(smooth)
        self.setMenu(menu)
        self.toggled.connect(self._show)

    def setSegmentationNode(self, node: Any) -> None:
        self._watch_segmentation(node)

    def _set_locked(self, value: bool) -> None:
        self._d["locked"] = value
        self._segmentation_changed()

    def _segmentation_changed(self, _node: Any = None) -> None:
        segmentation = self._segmentation()
        if segmentation is None:
            self.setEnabled(False)
            return
        from_labels = segmentation.GetSourceRepresentationName() != SURFACE
        self.setEnabled(not self._d["locked"] and segmentation.GetNumberOfSegments() > 0 and from_labels)
        with QtCore.QSignalBlocker(self):
            self.setChecked(segmentation.ContainsRepresentation(SURFACE))
        with QtCore.QSignalBlocker(self._d["smooth"]):
            self._d["smooth"].setChecked(_number(segmentation.GetConversionParameter(SMOOTHING)) >= 0)

    def _show(self, on: bool) -> None:
        node, segmentation = self._d["node"], self._segmentation()
        if segmentation is None:
            return
        if not on:
            if segmentation.GetSourceRepresentationName() != SURFACE:
                segmentation.RemoveRepresentation(SURFACE)
        elif segmentation.CreateRepresentation(SURFACE) and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetPreferredDisplayRepresentationName3D(SURFACE)
            if segmentation.ContainsRepresentation(LABELMAP):
                node.GetDisplayNode().SetPreferredDisplayRepresentationName2D(LABELMAP)
        self._segmentation_changed()

    def _smooth(self, on: bool) -> None:
        """Smoothing is on while its factor is not negative."""
        segmentation = self._segmentation()
        if segmentation is None:
            return
        factor = abs(_number(segmentation.GetConversionParameter(SMOOTHING))) or 0.5
        segmentation.SetConversionParameter(SMOOTHING, str(factor if on else -factor))
        if segmentation.ContainsRepresentation(SURFACE):
            segmentation.CreateRepresentation(SURFACE, True)


def _number(text: str) -> float:
    return float(text) if text else 0.5


class qMRMLSegmentSelectorWidget(StandIn, Segmented, QtWidgets.QWidget):
    """Chooses a segmentation, and one segment of it."""

    _properties_ = """bool noneEnabled; bool editEnabled; bool segmentationNodeSelectorVisible; bool multiSelection;
        bool horizontalLayout; bool selectNodeUponCreation"""
    _signals_ = """currentNodeChanged(vtkMRMLNode*); currentSegmentChanged(QString);
        segmentSelectionChanged(QStringList); nodeAboutToBeEdited(vtkMRMLNode*); currentNodeChanged(bool);
        mrmlSceneChanged(vtkMRMLScene*)"""
    _slots_ = """setMRMLScene(vtkMRMLScene*); setCurrentNode(vtkMRMLNode*); setCurrentNodeID(const QString&);
        setCurrentSegmentID(QString); setSelectedSegmentIDs(QStringList)"""
    _invokables_ = """mrmlScene(); currentNode(); currentNodeID(); currentSegmentID(); selectedSegmentIDs();
        segmentIDs()"""

    def _build(self) -> None:
        self._begin()
        self._d.update(node=None, noneEnabled=False, told="")
        nodes = self._d["nodes"] = qMRMLNodeComboBox(self)
        nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        nodes.addEnabled = nodes.removeEnabled = False
        nodes.noneEnabled = True
        segments = self._d["segments"] = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(nodes)
        layout.addWidget(segments)
        nodes.currentNodeChanged.connect(self._node_changed)
        segments.currentIndexChanged.connect(self._tell)

    def _scene_changed(self, scene: Any) -> None:
        self._d["nodes"].setMRMLScene(scene)

    def _node_changed(self, node: Any) -> None:
        self._watch_segmentation(node)
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)

    def _segmentation_changed(self, _node: Any = None) -> None:
        combo, segmentation = self._d["segments"], self._segmentation()
        chosen = self.currentSegmentID()
        with QtCore.QSignalBlocker(combo):
            combo.clear()
            if self._d["noneEnabled"]:
                combo.addItem("None", "")
            for key in self.segmentIDs():
                combo.addItem(segmentation.GetSegment(key).GetName(), key)
            combo.setCurrentIndex(max(combo.findData(chosen), 0) if combo.count() else -1)
        self._tell()

    def _tell(self, *_: Any) -> None:
        if self.currentSegmentID() != self._d["told"]:
            self._d["told"] = self.currentSegmentID()
            self.currentSegmentChanged.emit(self._d["told"])

    def currentNode(self) -> Any:
        return self._d["node"]

    def currentNodeID(self) -> str:
        return "" if self._d["node"] is None else self._d["node"].GetID()

    def setCurrentNode(self, node: Any) -> None:
        self._d["nodes"].setCurrentNode(node)

    def setCurrentNodeID(self, key: str) -> None:
        self._d["nodes"].setCurrentNodeID(key)

    def segmentIDs(self) -> list[str]:
        segmentation = self._segmentation()
        return [] if segmentation is None else list(segmentation.GetSegmentIDs())

    def currentSegmentID(self) -> str:
        return self._d["segments"].currentData() or ""

    def setCurrentSegmentID(self, key: str) -> None:
        self._d["segments"].setCurrentIndex(self._d["segments"].findData(key))

    def selectedSegmentIDs(self) -> list[str]:
        return [self.currentSegmentID()] if self.currentSegmentID() else []

    def _set_noneEnabled(self, value: bool) -> None:
        self._d["noneEnabled"] = value
        self._segmentation_changed()

    def _set_segmentationNodeSelectorVisible(self, value: bool) -> None:
        self._d["nodes"].setVisible(value)

    def _get_segmentationNodeSelectorVisible(self) -> bool:
        return not self._d["nodes"].isHidden()


WIDGETS = (qMRMLSegmentationShow3DButton, qMRMLSegmentSelectorWidget)

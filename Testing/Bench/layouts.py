# ruff: noqa: N815 - the names are those of Slicer
"""The layout manager: MRML's own layout logic decides, Qt arranges the views."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from Bench.canvas import Canvas, weakly
from Bench.charts import qMRMLPlotWidget, qMRMLTableWidget
from Bench.views import qMRMLSliceWidget, qMRMLThreeDWidget

_VERTICAL, _HORIZONTAL = QtCore.Qt.Orientation.Vertical, QtCore.Qt.Orientation.Horizontal


class LayoutManager(QtCore.QObject):
    """``slicer.app.layoutManager()``."""

    layoutChanged = QtCore.Signal(int)
    activeMRMLThreeDViewNodeChanged = QtCore.Signal(object)

    def __init__(self, scene: Any, application_logic: Any) -> None:
        super().__init__()
        self._scene = scene
        self._application_logic = application_logic
        self._slice_logics = vtk.vtkCollection()
        application_logic.SetSliceLogics(self._slice_logics)
        self._view_logics = vtk.vtkCollection()
        application_logic.SetViewLogics(self._view_logics)
        self._widgets: dict[str, QtWidgets.QWidget] = {}
        self._shown: list[str] = []
        self._paused = 0
        self._root: QtWidgets.QWidget | None = None
        self._description = ""
        self.port = QtWidgets.QWidget()
        self.port.setObjectName("CentralWidgetLayoutFrame")
        column = QtWidgets.QVBoxLayout(self.port)
        column.setContentsMargins(0, 0, 0, 0)
        self._shelf = QtWidgets.QWidget(self.port)
        self._shelf.hide()
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        node = self._logic.GetLayoutNode()
        node.AddObserver("ModifiedEvent", weakly(self._layout_modified))
        node.SetViewArrangement(node.SlicerLayoutFourUpView)
        self._layout_modified()

    # Arrangement

    def _layout_modified(self, *_: Any) -> None:
        node = self._logic.GetLayoutNode()
        description = node.GetCurrentLayoutDescription() or ""
        if description == self._description:
            return
        self._description = description
        # The views outlive their arrangement; its splitters and tabs do not.
        for widget in self._widgets.values():
            widget.hide()
            widget.setParent(self._shelf)
        if self._root is not None:
            self._root.hide()
            self.port.layout().removeWidget(self._root)
            self._root.deleteLater()
        self._root = None
        self._shown = []
        if description:
            root = self._arrange(ElementTree.fromstring(description))
            self.port.layout().addWidget(root)
            root.show()
            self._root = None if root in self._widgets.values() else root
        self.layoutChanged.emit(node.GetViewArrangement())

    def _arrange(self, element: ElementTree.Element) -> QtWidgets.QWidget:
        if element.tag == "view":
            return self._view(element)
        kind = element.get("type", "horizontal")
        if kind == "grid":
            return self._grid(element)
        if kind == "tab":
            tabs = QtWidgets.QTabWidget()
            for item in element.findall("item"):
                child = self._arrange(item[0])
                tabs.addTab(child, item.get("name") or getattr(child, "title", ""))
            return tabs
        splitter = QtWidgets.QSplitter(_VERTICAL if kind == "vertical" else _HORIZONTAL)
        sizes = []
        for item in element.findall("item"):
            if len(item):
                child = self._arrange(item[0])
                splitter.addWidget(child)
                child.show()
                sizes.append(int(item.get("splitSize") or 500))
        splitter.setSizes(sizes)
        for index, size in enumerate(sizes):
            splitter.setStretchFactor(index, size)
        splitter.setHandleWidth(3)
        return splitter

    def _grid(self, element: ElementTree.Element) -> QtWidgets.QWidget:
        box = QtWidgets.QWidget()
        grid = QtWidgets.QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        for item in element.findall("item"):
            place = [int(item.get(key) or missing) for key, missing in (("row", 0), ("column", 0))]
            span = [int(item.get(key) or 1) for key in ("rowspan", "colspan")]
            child = self._arrange(item[0])
            grid.addWidget(child, *place, *span)
            grid.setRowStretch(place[0], 1)
            grid.setColumnStretch(place[1], 1)
            child.show()
        return box

    def _view(self, element: ElementTree.Element) -> QtWidgets.QWidget:
        node = self._node_of(element)
        if node is None:
            raise ValueError(
                f"The layout asks for a view that is not there: {ElementTree.tostring(element, 'unicode')}"
            )
        self._shown.append(node.GetID())
        if node.GetID() not in self._widgets:
            self._widgets[node.GetID()] = self._make(node)
        return self._widgets[node.GetID()]

    def _node_of(self, element: ElementTree.Element) -> Any:
        tag, classname = element.get("singletontag"), element.get("class", "")
        if tag:
            return self._scene.GetSingletonNode(tag, classname)
        views = self._logic.GetViewNodes()
        every = [views.GetItemAsObject(i) for i in range(views.GetNumberOfItems())]
        return next((one for one in every if one.IsA(classname) and one.GetID() not in self._shown), None)

    def _make(self, node: Any) -> QtWidgets.QWidget:
        widget: Any
        if node.IsA("vtkMRMLSliceNode"):
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self._application_logic)
            self._slice_logics.AddItem(logic)
            logic.SetMRMLScene(self._scene)
            logic.SetSliceNode(node)
            widget = qMRMLSliceWidget()
            widget.show_logic(logic)
        elif node.IsA("vtkMRMLViewNode"):
            widget = qMRMLThreeDWidget()
            widget.setMRMLViewNode(node)
            self._view_logics.AddItem(widget.viewLogic())
        elif node.IsA("vtkMRMLPlotViewNode"):
            widget = qMRMLPlotWidget()
            widget.setMRMLPlotViewNode(node)
        elif node.IsA("vtkMRMLTableViewNode"):
            widget = qMRMLTableWidget()
            widget.setMRMLTableViewNode(node)
        else:
            raise ValueError(f"The bench has no view for {node.GetClassName()}")
        widget.setObjectName(f"{type(widget).__name__}{node.GetLayoutName()}")
        widget.title = node.GetLayoutName()
        return widget

    # What modules ask for

    def _of(self, classname: str) -> list[str]:
        """Identities of the shown views of a class, in the order of the scene."""
        nodes = [
            self._scene.GetNthNodeByClass(i, classname) for i in range(self._scene.GetNumberOfNodesByClass(classname))
        ]
        return [node.GetID() for node in nodes if node.GetID() in self._widgets]

    def _nth(self, classname: str, which: int | str) -> Any:
        every = self._of(classname)
        if isinstance(which, int):
            return self._widgets[every[which]] if 0 <= which < len(every) else None
        named = (one for one in every if which in (self._scene.GetNodeByID(one).GetLayoutName(), one))
        return next((self._widgets[one] for one in named), None)

    def mrmlScene(self) -> Any:
        return self._scene

    def layoutLogic(self) -> Any:
        return self._logic

    def viewport(self) -> QtWidgets.QWidget:
        return self.port

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._scene.GetNodeByID(one).GetLayoutName() for one in self._of("vtkMRMLSliceNode"))

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._nth("vtkMRMLSliceNode", name)

    def threeDWidget(self, which: int | str) -> qMRMLThreeDWidget | None:
        return self._nth("vtkMRMLViewNode", which)

    def plotWidget(self, which: int | str) -> qMRMLPlotWidget | None:
        return self._nth("vtkMRMLPlotViewNode", which)

    def tableWidget(self, which: int | str) -> qMRMLTableWidget | None:
        return self._nth("vtkMRMLTableViewNode", which)

    def viewWidget(self, node: Any) -> QtWidgets.QWidget | None:
        return self._widgets.get(node.GetID())

    def mrmlSliceLogics(self) -> Any:
        return self._slice_logics

    def mrmlViewLogics(self) -> Any:
        return self._view_logics

    def activeMRMLThreeDViewNode(self) -> Any:
        return next((self._scene.GetNodeByID(one) for one in self._of("vtkMRMLViewNode") if one in self._shown), None)

    def activeThreeDRenderer(self) -> Any:
        node = self.activeMRMLThreeDViewNode()
        return self._widgets[node.GetID()].threeDView().renderer if node is not None else None

    def setLayout(self, layout: int) -> None:
        """Change the arrangement."""
        self._logic.GetLayoutNode().SetViewArrangement(int(layout))

    def resetThreeDViews(self) -> None:
        for one in self._of("vtkMRMLViewNode"):
            view = self._widgets[one].threeDView()
            view.resetFocalPoint()
            view.resetCamera()

    def resetSliceViews(self) -> None:
        for index in range(self._slice_logics.GetNumberOfItems()):
            self._slice_logics.GetItemAsObject(index).FitSliceToBackground(True)

    def reset(self) -> None:
        """Back to four-up, with nothing paused: what closing a scene leaves as it is."""
        self._paused = 0
        self.setLayout(self._logic.GetLayoutNode().SlicerLayoutFourUpView)
        for canvas in self.canvases():
            canvas.paused = 0
            canvas.schedule()

    def canvases(self) -> list[Canvas]:
        """Everything that is drawn by VTK."""
        return [view for one in self._widgets.values() if isinstance(view := one.viewWidget(), Canvas)]

    def setRenderPaused(self, pause: bool) -> None:
        """Hold the views still, or let them go again; calls nest."""
        self._paused = max(0, self._paused + (1 if pause else -1))
        for canvas in self.canvases():
            canvas.paused = self._paused
            if not self._paused:
                canvas.update()

    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    def allViewsPauseRenderCount(self) -> int:
        return self._paused

    layout = QtCore.Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: len(self._of("vtkMRMLViewNode")))
    plotViewCount = QtCore.Property(int, lambda self: len(self._of("vtkMRMLPlotViewNode")))
    tableViewCount = QtCore.Property(int, lambda self: len(self._of("vtkMRMLTableViewNode")))

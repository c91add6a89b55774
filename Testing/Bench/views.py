# ruff: noqa: N801, N815 - the names are those of Slicer
"""The slice and 3D widgets that modules get from the layout manager."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from Bench.bars import Bar, SliceController
from Bench.canvas import SliceCanvas, ThreeDCanvas


class ViewMethods:
    """What the render views of Slicer have in common; mixed into canvases."""

    def renderWindow(self: Any) -> Any:
        return self.render_window

    def scheduleRender(self: Any) -> None:
        self.schedule()

    def forceRender(self: Any) -> None:
        self.force_render()

    def displayableManagerByClassName(self: Any, name: str) -> Any:
        return self.group.GetDisplayableManagerByClassName(name)

    def interactorStyle(self: Any) -> Any:
        return self.interactor.GetInteractorStyle()

    def interactorObserver(self: Any) -> Any:
        return self.interactor_style

    def setBackgroundColor(self: Any, colour: QtGui.QColor) -> None:
        self.renderer.SetBackground(colour.redF(), colour.greenF(), colour.blueF())
        self.schedule()


class SliceView(ViewMethods, SliceCanvas):
    """``sliceWidget.sliceView()``."""

    def __init__(self, logic: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(logic, parent)
        self._annotation = vtk.vtkCornerAnnotation()
        self._annotation.SetMaximumFontSize(14)
        self.renderer.AddViewProp(self._annotation)

    def cornerAnnotation(self) -> Any:
        return self._annotation

    def mrmlSliceNode(self) -> Any:
        return self.logic.GetSliceNode()

    def sliceLogic(self) -> Any:
        return self.logic

    def convertRASToXYZ(self, ras: Any) -> tuple[float, float, float]:
        """Where a point in patient coordinates is in the view, in pixels from the lower left."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.logic.GetSliceNode().GetXYToRAS(), inverse)
        return inverse.MultiplyPoint((*ras, 1.0))[:3]

    def convertXYZToRAS(self, xyz: Any) -> tuple[float, float, float]:
        """Patient coordinates of a point in the view."""
        return self.logic.GetSliceNode().GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3]

    convertDeviceToXYZ = staticmethod(lambda xy: (xy[0], xy[1], 0.0))


class ThreeDView(ViewMethods, ThreeDCanvas):
    """``threeDWidget.threeDView()``."""

    def mrmlViewNode(self) -> Any:
        return self.logic.GetViewNode()

    def cameraNode(self) -> Any:
        return self.logic.GetCameraNode()

    def resetFocalPoint(self) -> None:
        """Turn the camera to the middle of what is visible."""
        node = self.mrmlViewNode()
        box, labels = node.GetBoxVisible(), node.GetAxisLabelsVisible()
        node.SetBoxVisible(0)
        node.SetAxisLabelsVisible(0)
        bounds = self.renderer.ComputeVisiblePropBounds()
        node.SetBoxVisible(box)
        node.SetAxisLabelsVisible(labels)
        middle = [(bounds[i] + bounds[i + 1]) / 2 for i in (0, 2, 4)] if bounds[0] <= bounds[1] else [0.0, 0.0, 0.0]
        camera = self.cameraNode()
        shift = [new - old for new, old in zip(middle, camera.GetFocalPoint(), strict=True)]
        camera.SetFocalPoint(middle)
        camera.SetPosition([at + by for at, by in zip(camera.GetPosition(), shift, strict=True)])
        self.renderer.ResetCameraClippingRange()
        self.schedule()

    def resetCamera(self, rotation: bool = True, translation: bool = True, distance: bool = True) -> None:
        """Look from the front at everything."""
        self.cameraNode().Reset(rotation, translation, distance, self.renderer)
        self.schedule()

    def rotateToViewAxis(self, axis: int) -> None:
        self.cameraNode().RotateTo(axis)

    lookFromAxis = rotateToViewAxis

    def zoomIn(self) -> None:
        self.renderer.GetActiveCamera().Zoom(1.2)
        self.schedule()

    def zoomOut(self) -> None:
        self.renderer.GetActiveCamera().Zoom(1 / 1.2)
        self.schedule()


def _application_logic() -> Any:
    return slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance().GetMRMLApplicationLogic()


class ViewWidget(QtWidgets.QWidget):
    """A bar over a view."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = QtWidgets.QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._bar: Any = None
        self._view: Any = None
        self._scene: Any = None

    def _fill(self, bar: QtWidgets.QWidget, view: QtWidgets.QWidget) -> None:
        for old in (self._bar, self._view):
            if old is not None:
                old.deleteLater()
        self._bar, self._view = bar, view
        self._column.addWidget(bar)
        self._column.addWidget(view, 1)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def controllerWidget(self) -> Any:
        return self._bar

    def viewWidget(self) -> Any:
        return self._view


class qMRMLSliceWidget(ViewWidget):
    """A slice view with its control bar."""

    def setMRMLSliceNode(self, node: Any) -> None:
        """Show a slice node."""
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(_application_logic())
        logic.SetMRMLScene(node.GetScene())
        logic.SetSliceNode(node)
        self.show_logic(logic)

    def show_logic(self, logic: Any) -> None:
        """Show what a slice logic makes."""
        self._scene = logic.GetMRMLScene()
        self._fill(SliceController(logic, self), SliceView(logic, self))

    def sliceView(self) -> SliceView:
        return self._view

    def sliceController(self) -> SliceController:
        return self._bar

    def sliceLogic(self) -> Any:
        return self._view.logic if self._view is not None else None

    logic = sliceLogic

    def mrmlSliceNode(self) -> Any:
        return self.sliceLogic().GetSliceNode() if self._view is not None else None

    mrmlAbstractViewNode = mrmlSliceNode

    def mrmlSliceCompositeNode(self) -> Any:
        return self.sliceLogic().GetSliceCompositeNode()

    def interactorStyle(self) -> Any:
        return self._view.interactorStyle()

    def fitSliceToBackground(self) -> None:
        self._bar.fitSliceToBackground()

    def setSliceOrientation(self, orientation: str) -> None:
        self.mrmlSliceNode().SetOrientation(orientation)

    sliceOrientation = QtCore.Property(
        str, lambda self: self.mrmlSliceNode().GetOrientation() if self._view else "", setSliceOrientation
    )
    sliceViewName = QtCore.Property(str, lambda self: self.mrmlSliceNode().GetName() if self._view else "")
    sliceViewLabel = QtCore.Property(str, lambda self: self.mrmlSliceNode().GetLayoutLabel() if self._view else "")


class qMRMLThreeDWidget(ViewWidget):
    """A 3D view with its bar."""

    def setMRMLViewNode(self, node: Any) -> None:
        """Show a view node."""
        logic = slicer.vtkMRMLViewLogic()
        logic.SetMRMLApplicationLogic(_application_logic())
        logic.SetName(node.GetLayoutName())
        logic.SetMRMLScene(node.GetScene())
        self._scene = node.GetScene()
        bar = Bar(node.GetLayoutLabel() or node.GetName(), node.GetLayoutColor(), self)
        bar.row.addStretch(1)
        center = bar.add_button("\u2295", "Center the view on what is visible")
        self._fill(bar, ThreeDView(logic, self))
        center.clicked.connect(lambda: self._view.resetFocalPoint())

    setMRMLAbstractViewNode = setMRMLViewNode

    def threeDView(self) -> ThreeDView:
        return self._view

    def threeDController(self) -> Bar:
        return self._bar

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode() if self._view is not None else None

    mrmlAbstractViewNode = mrmlViewNode

    def viewLogic(self) -> Any:
        return self._view.logic

    logic = viewLogic

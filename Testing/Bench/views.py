# ruff: noqa: N801, N815 - the names are those of Slicer
"""The slice and 3D widgets that modules get from the layout manager."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from Bench.canvas import SliceCanvas, ThreeDCanvas, weakly

_DIRECTIONS = (("R", "L"), ("A", "P"), ("S", "I"))


class Bar(QtWidgets.QFrame):
    """The coloured strip over a view: its label at the left, controls at the right."""

    def __init__(self, label: str, colour: tuple[float, ...], parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        shade = QtGui.QColor.fromRgbF(*colour[:3])
        ink = "black" if shade.lightness() > 110 else "white"
        self.setObjectName("BarWidget")
        self.setStyleSheet(f"#BarWidget {{ background: {shade.name()}; }} QLabel#ViewLabel {{ color: {ink}; }}")
        self.setFixedHeight(24)
        self.row = QtWidgets.QHBoxLayout(self)
        self.row.setContentsMargins(4, 1, 4, 1)
        self.label = QtWidgets.QLabel(label)
        self.label.setObjectName("ViewLabel")
        bold = self.label.font()
        bold.setBold(True)
        self.label.setFont(bold)
        self.row.addWidget(self.label)

    def add_button(self, text: str, tip: str, checkable: bool = False) -> QtWidgets.QToolButton:
        """A small button at the right end."""
        button = QtWidgets.QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setCheckable(checkable)
        button.setAutoRaise(True)
        self.row.addWidget(button)
        return button


def _direction(node: Any) -> str:
    """The letter of the direction in which the offset of a slice grows."""
    normal = [node.GetSliceToRAS().GetElement(row, 2) for row in range(3)]
    axis = max(range(3), key=lambda each: abs(normal[each]))
    return _DIRECTIONS[axis][normal[axis] < 0]


class SliceController(Bar):
    """``sliceWidget.sliceController()``."""

    def __init__(self, logic: Any, parent: QtWidgets.QWidget | None = None) -> None:
        node = logic.GetSliceNode()
        super().__init__(node.GetLayoutLabel() or node.GetName(), node.GetLayoutColor(), parent)
        self._logic = logic
        self._step = 1.0
        self._low = 0.0
        self.link = self.add_button("\u221e", "Link the slice views of the same group", checkable=True)
        self.link.clicked.connect(self.setSliceLink)
        self.slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.slider.setObjectName("SliceOffsetSlider")
        self.slider.valueChanged.connect(lambda at: self.setSliceOffsetValue(self._low + at * self._step))
        self.row.insertWidget(1, self.slider, 1)
        self.offset = QtWidgets.QDoubleSpinBox()
        self.offset.setSuffix("mm")
        self.offset.setButtonSymbols(QtWidgets.QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.offset.valueChanged.connect(self.setSliceOffsetValue)
        self.row.insertWidget(2, self.offset)
        self.fit = self.add_button("\u2922", "Fit the slice to the volumes")
        self.fit.clicked.connect(lambda: self.fitSliceToBackground())
        self.eye = self.add_button("\u25c9", "Show the slice in 3D", checkable=True)
        self.eye.clicked.connect(self.setSliceVisible)
        composite = logic.GetSliceCompositeNode()
        self._links = [
            (thing, thing.AddObserver("ModifiedEvent", weakly(self.refresh))) for thing in (logic, node, composite)
        ]
        links = self._links
        self.destroyed.connect(lambda: [thing.RemoveObserver(tag) for thing, tag in links])
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Bring range, value and buttons in step with the nodes."""
        node = self._logic.GetSliceNode()
        limits, resolution = [-1.0, 1.0], vtk.reference(1.0)
        self._logic.GetSliceOffsetRangeResolution(limits, resolution)
        self._step = max(float(resolution), 1e-6)
        self._low = limits[0]
        value = self._logic.GetSliceOffset()
        blocked = [QtCore.QSignalBlocker(one) for one in (self.slider, self.offset, self.link, self.eye)]
        self.slider.setRange(0, round((limits[1] - limits[0]) / self._step))
        self.slider.setValue(round((value - self._low) / self._step))
        self.offset.setRange(*limits)
        self.offset.setSingleStep(self._step)
        self.offset.setPrefix(f"{_direction(node)}: ")
        self.offset.setValue(value)
        self.link.setChecked(bool(self._logic.GetSliceCompositeNode().GetLinkedControl()))
        self.eye.setChecked(bool(node.GetSliceVisible()))
        self.label.setText(node.GetLayoutLabel() or node.GetName())
        del blocked

    def setSliceOffsetValue(self, value: float) -> None:
        """Move the slice, and the linked ones with it."""
        self._logic.StartSliceOffsetInteraction()
        self._logic.SetSliceOffset(value)
        self._logic.EndSliceOffsetInteraction()

    def setSliceLink(self, linked: bool) -> None:
        """Link or unlink all slice views, as the button does."""
        scene = self._logic.GetMRMLScene()
        composites = scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
        composites.UnRegister(None)
        for index in range(composites.GetNumberOfItems()):
            composites.GetItemAsObject(index).SetLinkedControl(int(linked))

    def setSliceVisible(self, visible: bool) -> None:
        """Show the slice in the 3D views."""
        self._logic.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.SliceVisibleFlag)
        self._logic.GetSliceNode().SetSliceVisible(int(visible))
        self._logic.EndSliceNodeInteraction()

    def fitSliceToBackground(self) -> None:
        """Show the whole of the volumes."""
        self._logic.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.ResetFieldOfViewFlag)
        self._logic.FitSliceToBackground(True)
        self._logic.GetSliceNode().UpdateMatrices()
        self._logic.EndSliceNodeInteraction()

    def sliceOffsetSlider(self) -> QtWidgets.QSlider:
        return self.slider

    def barWidget(self) -> QtWidgets.QWidget:
        return self

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def sliceLogic(self) -> Any:
        return self._logic


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

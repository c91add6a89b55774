"""VTK rendered off-screen by EGL and painted by Qt: in screenshots, without a display, and in step with the scene."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkRenderingOpenGL2 import vtkEGLRenderWindow

# Windows that VTK makes by itself (for picking and charts) must not look for an X server either.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

_DOWN = {
    QtCore.Qt.MouseButton.LeftButton: "LeftButtonPressEvent",
    QtCore.Qt.MouseButton.MiddleButton: "MiddleButtonPressEvent",
    QtCore.Qt.MouseButton.RightButton: "RightButtonPressEvent",
}


def weakly(method: Callable[..., None]) -> Callable[..., None]:
    """A callback for VTK that does not keep the owner of a bound method alive."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        alive = reference()
        if alive is not None and shiboken6.isValid(alive.__self__):
            alive(*arguments)

    return call


class Canvas(QtWidgets.QWidget):
    """A widget that shows a VTK render window which no window system knows of."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.WheelFocus)
        self.setMinimumSize(20, 20)
        self.render_window = vtkEGLRenderWindow()
        self.render_window.SetMultiSamples(0)
        self.render_window.OffScreenRenderingOn()
        self.render_window.SetShowWindow(False)
        self.renderer = vtk.vtkRenderer()
        self.render_window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.render_window)
        # A style that does nothing by itself: VTK's default would take the mouse away from Slicer's.
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.interactor.Initialize()
        self._picture = QtGui.QImage()
        self._stale = True
        self.paused = 0
        self.group: Any = None
        self.interactor_style: Any = None
        # VTK styles render through the interactor; here that means: paint soon.
        self._links: list[tuple[Any, int]] = []
        self.observe(self.interactor, "RenderEvent", self.schedule)
        links = self._links
        self.destroyed.connect(lambda: [thing.RemoveObserver(tag) for thing, tag in links])

    def observe(self, thing: Any, event: Any, method: Callable[..., None]) -> None:
        """Observe a VTK object for as long as this widget lives, without keeping it alive."""
        self._links.append((thing, thing.AddObserver(event, weakly(method))))

    def show_with(self, factory: Any, style: Any, node: Any, managers: tuple[str, ...]) -> None:
        """Put Slicer's displayable managers and its interactor style to work for one view node."""
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.group = factory.InstantiateDisplayableManagers(self.renderer)
        self.interactor_style = style
        style.SetDisplayableManagers(self.group)
        style.SetInteractor(self.interactor)
        self.observe(self.group, "UpdateEvent", self.schedule)
        self.group.SetMRMLDisplayableNode(node)

    def schedule(self, *_: Any) -> None:
        """The picture is out of date: paint it anew when Qt comes round to it."""
        self._stale = True
        if not self.paused:
            self.update()

    def force_render(self) -> None:
        """Render now."""
        self._stale = True
        self._render()
        self.update()

    def _render(self) -> None:
        width, height = max(self.width(), 1), max(self.height(), 1)
        if not self._stale or self.paused:
            return
        if tuple(self.render_window.GetSize()) != (width, height):
            self.render_window.SetSize(width, height)
            self.interactor.UpdateSize(width, height)
            self.interactor.InvokeEvent("ConfigureEvent")
        self.before_rendering(width, height)
        self._stale = False
        self.render_window.Render()
        pixels = vtk.vtkUnsignedCharArray()
        self.render_window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, pixels)
        rows = vtk_to_numpy(pixels).reshape(height, width, 4)[::-1].copy()
        picture = QtGui.QImage(rows.data, width, height, 4 * width, QtGui.QImage.Format.Format_RGBX8888)
        self._picture = picture.copy()

    def before_rendering(self, width: int, height: int) -> None:
        """What a kind of view does at the last moment."""

    def picture(self) -> QtGui.QImage:
        """What the view shows."""
        self._render()
        return self._picture

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        self._render()
        painter = QtGui.QPainter(self)
        painter.drawImage(0, 0, self._picture)
        painter.end()

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        self._stale = True
        self.before_rendering(max(self.width(), 1), max(self.height(), 1))
        super().resizeEvent(event)

    def _tell(self, event: QtGui.QSinglePointEvent, name: str, repeat: int = 0) -> None:
        place, held = event.position(), event.modifiers()
        control = bool(held & QtCore.Qt.KeyboardModifier.ControlModifier)
        shift = bool(held & QtCore.Qt.KeyboardModifier.ShiftModifier)
        y = self.height() - int(place.y()) - 1
        self.interactor.SetEventInformation(int(place.x()), y, control, shift, "\0", repeat, None)
        self.interactor.InvokeEvent(name)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self._tell(event, _DOWN.get(event.button(), "LeftButtonPressEvent"))

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        self._tell(event, _DOWN.get(event.button(), "LeftButtonPressEvent").replace("Press", "Release"))

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        self._tell(event, _DOWN.get(event.button(), "LeftButtonPressEvent").replace("Press", "DoubleClick"), 1)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        self._tell(event, "MouseMoveEvent")

    def enterEvent(self, event: QtGui.QEnterEvent) -> None:
        self._tell(event, "EnterEvent")

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        self.interactor.InvokeEvent("LeaveEvent")

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        self._tell(event, "MouseWheelForwardEvent" if event.angleDelta().y() > 0 else "MouseWheelBackwardEvent")
        event.accept()


SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLLinearTransformsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
THREED_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLLinearTransformsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLVolumeRenderingDisplayableManager",
)


class SliceCanvas(Canvas):
    """A slice: the image that the slice logic blends, and what the displayable managers draw over it."""

    def __init__(self, logic: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.logic = logic
        self.mapper = vtk.vtkImageMapper()
        self.mapper.SetColorWindow(255)
        self.mapper.SetColorLevel(127.5)
        self.image = vtk.vtkActor2D()
        self.image.SetMapper(self.mapper)
        # Layer 0, under the contours and markups that are 2D actors too.
        self.image.GetProperty().SetDisplayLocationToBackground()
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        style = slicer.vtkMRMLSliceViewInteractorStyle()
        style.SetSliceLogic(logic)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self.show_with(factory, style, logic.GetSliceNode(), SLICE_MANAGERS)
        logic.SetDisplayableManagerGroup(self.group)
        self.observe(logic, "ModifiedEvent", self._image_changed)
        self.observe(logic.GetSliceNode(), "ModifiedEvent", self.schedule)
        self._image_changed()

    def _image_changed(self, *_: Any) -> None:
        """An empty slice has no image to map; asking for one is an error in VTK."""
        connection = self.logic.GetImageDataConnection()
        self.mapper.SetInputConnection(connection)
        if connection is None:
            self.renderer.RemoveActor2D(self.image)
        elif not self.renderer.HasViewProp(self.image):
            self.renderer.AddActor2D(self.image)
        self.schedule()

    def before_rendering(self, width: int, height: int) -> None:
        """The slice has as many pixels as the widget."""
        size = self.logic.GetSliceNode().GetDimensions()
        if tuple(size[:2]) != (width, height):
            self.logic.ResizeSliceNode(width, height)


class ThreeDCanvas(Canvas):
    """A 3D view of the scene."""

    def __init__(self, logic: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.logic = logic
        node = logic.GetViewNode()
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        self.show_with(factory, slicer.vtkMRMLThreeDViewInteractorStyle(), node, THREED_MANAGERS)
        logic.SetDisplayableManagerGroup(self.group)
        self.observe(node, "ModifiedEvent", self.schedule)

    def manager(self, name: str) -> Any:
        """One of the displayable managers, by class name."""
        return self.group.GetDisplayableManagerByClassName(name)

"""The strip over a view: its label, and for slices their controls."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from Bench.canvas import weakly

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

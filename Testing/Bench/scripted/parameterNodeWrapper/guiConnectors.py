"""Which widget shows which type, and how a value goes in and out."""

from __future__ import annotations

import enum
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import qt

from .nodes import getNodeTypes, isNodeOrUnionOfNodes
from .parameterPack import FloatRange, isParameterPack, nestedParameterNames
from .rules import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    RangeBounds,
    SingleStep,
    WithinRange,
    findFirstAnnotation,
    splitAnnotations,
    unannotatedType,
)

__all__ = [
    "GuiConnector",
    "SlicerPackParameterNamePropertyName",
    "createGuiConnector",
    "parameterNodeGuiConnector",
]

SlicerPackParameterNamePropertyName = "SlicerPackParameterName"


class GuiConnector:
    """A widget that shows a value. Others derive from this, and register with :func:`parameterNodeGuiConnector`."""

    def __init__(self) -> None:
        super().__init__()
        self._callback: Callable[[], None] | None = None

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        """Whether this connector is for a widget and a type."""
        raise NotImplementedError("Must implement canRepresent")

    @staticmethod
    def create(widget: Any, datatype: Any) -> GuiConnector | None:
        """A connector, or None."""
        raise NotImplementedError("Must implement create")

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        """Call a function when the user changes the value; None ends it."""
        self._callback = callback
        if callback is None:
            self._disconnect()
        else:
            self._connect()

    def changed(self) -> None:
        """Tell of a change."""
        if self._callback:
            self._callback()

    def _connect(self) -> None:
        raise NotImplementedError("Must implement _connect")

    def _disconnect(self) -> None:
        raise NotImplementedError("Must implement _disconnect")

    def widget(self) -> Any:
        """The widget."""
        raise NotImplementedError("Must implement widget")

    def read(self) -> Any:
        """The value that is shown."""
        raise NotImplementedError("Must implement read")

    def write(self, value: Any) -> None:
        """Show a value."""
        raise NotImplementedError("Must implement write")


class Bound(GuiConnector):
    """One of the bench's own connections: a signal, and two functions."""

    def __init__(self, widget: Any, signal: str, read: Callable[[], Any], write: Callable[[Any], Any]) -> None:
        super().__init__()
        self._widget, self._signal, self.read, self.write = widget, signal, read, write

    def _connect(self) -> None:
        if self._signal:
            self._widget.connect(self._signal, self._heard)

    def _disconnect(self) -> None:
        if self._signal:
            self._widget.disconnect(self._signal, self._heard)

    def _heard(self, *_: Any) -> None:
        self.changed()

    def widget(self) -> Any:
        return self._widget


class _Pack(GuiConnector):
    """A widget whose children show the members of a pack."""

    def __init__(self, widget: Any, kind: Any) -> None:
        super().__init__()
        self._widget, self._kind = widget, kind
        children = packWidgets(widget)
        self._parts = {name: createGuiConnector(children[name], kind.dataType(name)) for name in _leaves(kind)}

    def _connect(self) -> None:
        for part in self._parts.values():
            part.onChanged(self.changed)

    def _disconnect(self) -> None:
        for part in self._parts.values():
            part.onChanged(None)

    def widget(self) -> Any:
        return self._widget

    def read(self) -> Any:
        pack = self._kind()
        for name, part in self._parts.items():
            pack.setValue(name, part.read())
        return pack

    def write(self, value: Any) -> None:
        for name, part in self._parts.items():
            part.write(value.getValue(name))


def _leaves(kind: Any) -> list[str]:
    return nestedParameterNames(kind)


def packWidgets(widget: Any) -> dict[str, Any]:
    """Child widgets by the dotted name that they and the widgets around them carry."""
    named = {}
    for child in widget.findChildren(qt.QWidget):
        parts, at = [], child
        while at is not None and at is not widget:
            part = at.property(SlicerPackParameterNamePropertyName)
            if part is not None:
                parts.insert(0, part)
            at = at.parent()
        if child.property(SlicerPackParameterNamePropertyName) is not None:
            named[".".join(parts)] = child
    return named


def _bool(widget: Any, kind: Any, _: Sequence[Any]) -> GuiConnector | None:
    if kind is not bool:
        return None
    if widget.inherits("QPushButton"):
        widget.checkable = True
    return Bound(widget, "toggled(bool)", lambda: widget.checked, lambda value: setattr(widget, "checked", value))


def _limits(notes: Sequence[Any]) -> tuple[float | None, float | None]:
    both = findFirstAnnotation(notes, WithinRange)
    if both is not None:
        return both.minimum, both.maximum
    low, high = findFirstAnnotation(notes, Minimum), findFirstAnnotation(notes, Maximum)
    return (low.minimum if low else None), (high.maximum if high else None)


def _number(widget: Any, kind: Any, notes: Sequence[Any]) -> GuiConnector | None:
    whole = any(widget.inherits(name) for name in ("QSlider", "QSpinBox", "QDial", "QScrollBar"))
    if kind not in ((int,) if whole else (int, float)):
        return None
    low, high = _limits(notes)
    slider = any(widget.inherits(name) for name in ("QSlider", "QDial", "QScrollBar", "ctkSliderWidget"))
    if slider and (low is None or high is None):
        raise RuntimeError(f"A {widget.className()} needs both limits: annotate the parameter with WithinRange")
    decimals, step = findFirstAnnotation(notes, Decimals), findFirstAnnotation(notes, SingleStep)
    if not whole and hasattr(widget, "decimals") and (decimals or kind is int):
        widget.decimals = decimals.value if decimals else 0
    least, most = (-(2**31), 2**31 - 1) if whole else (-math.inf, math.inf)
    widget.minimum = least if low is None else low
    widget.maximum = most if high is None else high
    if step is not None:
        widget.singleStep = step.value
    signal = "valueChanged(int)" if whole else "valueChanged(double)"
    return Bound(widget, signal, lambda: kind(widget.value), lambda value: setattr(widget, "value", value))


def _combo(widget: Any, kind: Any, notes: Sequence[Any]) -> GuiConnector | None:
    choice = findFirstAnnotation(notes, Choice)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        values = list(kind)
        texts = [value.label() if hasattr(value, "label") else value.name for value in values]
    elif choice is not None and kind in (int, float, str, bool):
        values = list(choice.choices)
        texts = [str(value) for value in values]
    else:
        return None
    widget.clear()
    widget.addItems(texts)
    return Bound(
        widget,
        "currentIndexChanged(int)",
        lambda: values[widget.currentIndex],
        lambda value: setattr(widget, "currentIndex", values.index(value)),
    )


def _line(widget: Any, kind: Any, _: Sequence[Any]) -> GuiConnector | None:
    def write(value: str) -> None:
        if widget.text != value:  # else the cursor would jump to the end while the user types
            widget.text = value

    signal = "" if widget.inherits("QLabel") else "textChanged(QString)"
    return Bound(widget, signal, lambda: widget.text, write) if kind is str else None


def _text(widget: Any, kind: Any, _: Sequence[Any]) -> GuiConnector | None:
    def write(value: str) -> None:
        if widget.toPlainText() != value:
            widget.setPlainText(value)

    return Bound(widget, "textChanged()", lambda: widget.toPlainText(), write) if kind is str else None


def _range(widget: Any, kind: Any, notes: Sequence[Any]) -> GuiConnector | None:
    bounds = findFirstAnnotation(notes, RangeBounds)
    if kind is not FloatRange:
        return None
    if bounds is not None:
        widget.minimum, widget.maximum = bounds.minimum, bounds.maximum
    decimals, step = findFirstAnnotation(notes, Decimals), findFirstAnnotation(notes, SingleStep)
    if decimals is not None and hasattr(widget, "decimals"):
        widget.decimals = decimals.value
    if step is not None:
        widget.singleStep = step.value
    return Bound(
        widget,
        "valuesChanged(double,double)",
        lambda: FloatRange(widget.minimumValue, widget.maximumValue),
        lambda value: widget.setValues(value.minimum, value.maximum),
    )


def _path(widget: Any, kind: Any, _: Sequence[Any]) -> GuiConnector | None:
    if not (isinstance(kind, type) and issubclass(kind, pathlib.PurePath)):
        return None
    name = "directory" if widget.inherits("ctkDirectoryButton") else "currentPath"

    def write(value: pathlib.PurePath) -> None:
        if kind(getattr(widget, name)) != value:
            setattr(widget, name, str(value))

    return Bound(widget, f"{name}Changed(QString)", lambda: kind(getattr(widget, name)), write)


def _node(widget: Any, kind: Any, _: Sequence[Any]) -> GuiConnector | None:
    if not isNodeOrUnionOfNodes(kind):
        return None
    tree = widget.inherits("qMRMLSubjectHierarchyTreeView") or widget.inherits("qMRMLSubjectHierarchyComboBox")
    if tree:
        widget.setNodeTypes(getNodeTypes(kind)) if hasattr(widget, "setNodeTypes") else setattr(
            widget, "nodeTypes", getNodeTypes(kind)
        )
    else:
        widget.nodeTypes = getNodeTypes(kind)

    def write(value: Any) -> None:
        if tree and value is None:
            widget.clearSelection()
        else:
            widget.setCurrentNode(value)

    signal = "currentItemChanged(vtkIdType)" if tree else "currentNodeChanged(vtkMRMLNode*)"
    return Bound(widget, signal, lambda: widget.currentNode(), write)


def _colour(widget: Any, kind: Any, _: Sequence[Any]) -> GuiConnector | None:
    if kind is not qt.QColor:
        return None
    return Bound(widget, "colorChanged(QColor)", lambda: widget.color, lambda value: setattr(widget, "color", value))


#: Class of widget (a subclass serves too) and what binds it; the first that answers is taken.
_BINDERS: tuple[tuple[tuple[str, ...], Callable[[Any, Any, Sequence[Any]], GuiConnector | None]], ...] = (
    (("QSlider", "QSpinBox", "QDial", "QScrollBar", "QDoubleSpinBox"), _number),
    (("ctkDoubleSlider", "ctkSliderWidget", "ctkDoubleSpinBox", "qMRMLSliderWidget", "qMRMLSpinBox"), _number),
    (("ctkRangeWidget", "ctkDoubleRangeSlider", "qMRMLRangeWidget"), _range),
    (("ctkPathLineEdit", "ctkDirectoryButton"), _path),
    (("qMRMLNodeComboBox", "qMRMLSubjectHierarchyTreeView", "qMRMLSubjectHierarchyComboBox"), _node),
    (("ctkColorPickerButton",), _colour),
    (("QComboBox",), _combo),
    (("QLineEdit", "QLabel"), _line),
    (("QTextEdit", "QPlainTextEdit"), _text),
    (("QAbstractButton", "QGroupBox"), _bool),
)
_registered: list[Any] = []


def parameterNodeGuiConnector(classtype: Any = None) -> Any:
    """Class decorator: this connector is asked first from now on."""
    if classtype is None:
        return parameterNodeGuiConnector
    if not issubclass(classtype, GuiConnector):
        raise TypeError("Must be a GuiConnector subclass")
    _registered.append(classtype)
    return classtype


def createGuiConnector(widget: Any, datatype: Any) -> GuiConnector:
    """A connector for a widget and a type with its annotations.

    Raises:
        RuntimeError: this widget cannot show this type.
    """
    for each in _registered:
        if each.canRepresent(widget, datatype):
            return each.create(widget, datatype)
    kind, notes = splitAnnotations(datatype)
    for names, bind in _BINDERS:
        if any(widget.inherits(name) for name in names):
            found = bind(widget, kind, notes)
            if found is not None:
                return found
    if isParameterPack(unannotatedType(datatype)) and set(_leaves(kind)) <= set(packWidgets(widget)):
        return _Pack(widget, kind)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'")

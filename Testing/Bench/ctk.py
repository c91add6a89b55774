"""Module ``ctk``: widgets of the Common Toolkit, with the members that Slicer shows to Python."""
# ruff: noqa: N801 - the names are CTK's

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from . import ctk_choices, ctk_numbers, ctk_paths, ctk_ranges, uiloader
from .standin import StandIn


class ctkCollapsibleButton(StandIn, QtWidgets.QAbstractButton):
    """A title that shows and hides what is below it."""

    _properties_ = """bool collapsed; int collapsedHeight; bool flat; QFrame::Shape contentsFrameShape;
        QFrame::Shadow contentsFrameShadow; int contentsLineWidth; int contentsMidLineWidth;
        Qt::Alignment buttonTextAlignment; Qt::Alignment indicatorAlignment"""
    _signals_ = "contentsCollapsed(bool)"
    _slots_ = _invokables_ = ""

    def _build(self) -> None:
        self._d["collapsedHeight"] = 10
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self._d["hidden"] = []
        self.setContentsMargins(0, self._title_height(), 0, 0)
        self.toggled.connect(self._toggled)

    def _title_height(self) -> int:
        return QtGui.QFontMetrics(self.font()).height() + 8

    def _get_collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, value: bool) -> None:
        self.setChecked(not value)

    def _toggled(self, opened: bool) -> None:
        """Hide the children, and show again those that were hidden by it."""
        fold(self, self._d, opened, self._title_height())
        self.contentsCollapsed.emit(not opened)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """A widget that comes while the button is closed stays out of sight."""
        child = event.child()
        if event.added() and self._get_collapsed() and isinstance(child, QtWidgets.QWidget):
            child.setVisible(False)
            self._d["hidden"].append(child)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._title_height()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), self._title_height() - 2)
        painter = QtWidgets.QStylePainter(self)
        painter.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyle.PE_IndicatorArrowRight if self.collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown
        place = QtWidgets.QStyleOption(option)
        place.rect = QtCore.QRect(6, 0, 10, option.rect.height())
        painter.drawPrimitive(arrow, place)
        painter.drawText(option.rect.adjusted(22, 0, 0, 0), QtCore.Qt.AlignVCenter, self.text())


def fold(widget: QtWidgets.QWidget, kept: dict[str, Any], opened: bool, title: int) -> None:
    """Show or hide the children of a widget; those that were hidden before stay so."""
    if opened:
        for child in kept["hidden"]:
            child.setVisible(True)
        kept["hidden"] = []
        widget.setMaximumHeight(16777215)
    else:
        children = widget.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly)
        kept["hidden"] = [child for child in children if not child.isHidden()]
        for child in kept["hidden"]:
            child.setVisible(False)
        widget.setMaximumHeight(title + kept["collapsedHeight"])


class ctkCollapsibleGroupBox(StandIn, QtWidgets.QGroupBox):
    """A group box that folds when it is unchecked."""

    _properties_ = "bool collapsed; int collapsedHeight"
    _signals_ = _slots_ = _invokables_ = ""

    def _build(self) -> None:
        self._d.update(hidden=[], collapsedHeight=14)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._toggled)

    def _get_collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, value: bool) -> None:
        self.setChecked(not value)

    def _toggled(self, opened: bool) -> None:
        fold(self, self._d, opened, QtGui.QFontMetrics(self.font()).height())


class ctkMenuButton(StandIn, QtWidgets.QPushButton):
    """A push button; where it has a menu, an arrow opens it."""

    _properties_ = "bool showMenuIndicator"
    _signals_ = _slots_ = _invokables_ = ""

    def _build(self) -> None:
        self._d.update(showMenuIndicator=True, menu=None)

    def setMenu(self, menu: QtWidgets.QMenu | None) -> None:
        """The menu belongs to the arrow alone; a click elsewhere is a click of the button."""
        self._d["menu"] = menu
        self.updateGeometry()
        self.update()

    def menu(self) -> QtWidgets.QMenu | None:
        return self._d["menu"]

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if self._d["menu"] is not None and event.position().x() > self.width() - self.height() * 0.8:
            self._d["menu"].popup(self.mapToGlobal(QtCore.QPoint(0, self.height())))
        else:
            super().mousePressEvent(event)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        option = QtWidgets.QStyleOptionButton()
        self.initStyleOption(option)
        if self._d["menu"] is not None and self._d["showMenuIndicator"]:
            option.features |= QtWidgets.QStyleOptionButton.HasMenu
        QtWidgets.QStylePainter(self).drawControl(QtWidgets.QStyle.CE_PushButton, option)


class ctkCheckablePushButton(StandIn, QtWidgets.QPushButton):
    """A push button with a check box in it."""

    _properties_ = """Qt::Alignment buttonTextAlignment; Qt::Alignment indicatorAlignment; Qt::CheckState checkState;
        bool checkBoxUserCheckable; bool checkBoxControlsButton; bool checkBoxControlsButtonToggleState"""
    _signals_ = "checkBoxToggled(bool)"
    _slots_ = _invokables_ = ""

    def _build(self) -> None:
        self._d.update(checkState=QtCore.Qt.Unchecked, checkBoxUserCheckable=True, checkBoxControlsButton=True)
        self.toggled.connect(self._toggled)

    def _set_checkState(self, value: QtCore.Qt.CheckState) -> None:
        if value != self._d["checkState"]:
            self._d["checkState"] = value
            self.checkBoxToggled.emit(value == QtCore.Qt.Checked)

    def _set_checkBoxControlsButton(self, value: bool) -> None:
        self._d["checkBoxControlsButton"] = value

    def _toggled(self, down: bool) -> None:
        if self._d["checkBoxControlsButton"]:
            self._set_checkState(QtCore.Qt.Checked if down else QtCore.Qt.Unchecked)


class ctkCheckBox(StandIn, QtWidgets.QCheckBox):
    """A check box that can show an icon as its indicator."""

    _properties_ = "QIcon indicatorIcon; QSize indicatorIconSize"
    _signals_ = _slots_ = _invokables_ = ""


WIDGETS = (
    ctkCollapsibleButton,
    ctkCollapsibleGroupBox,
    ctkMenuButton,
    ctkCheckablePushButton,
    ctkCheckBox,
    *ctk_numbers.WIDGETS,
    *ctk_ranges.WIDGETS,
    *ctk_paths.WIDGETS,
    *ctk_choices.WIDGETS,
)


def install() -> ModuleType:
    """Put ``ctk`` into ``sys.modules``."""
    if "ctk" not in sys.modules or not hasattr(sys.modules["ctk"], "of_the_bench"):
        module = ModuleType("ctk", "The Common Toolkit as 3D Slicer's Python sees it.")
        module.of_the_bench = True
        for widget in WIDGETS:
            setattr(module, widget.__name__, widget)
            uiloader.KNOWN[widget.__name__] = widget
        sys.modules["ctk"] = module
    return sys.modules["ctk"]

"""CTK's widgets for choices, colours, texts and messages."""
# ruff: noqa: N801, N815 - the names are CTK's

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .standin import StandIn


class ctkComboBox(StandIn, QtWidgets.QComboBox):
    """A combo box with a text for nothing chosen."""

    _values_ = "NeverScroll=0 AlwaysScroll=1 ScrollWithFocus=2 ScrollWithNoFocus=3"
    _properties_ = """QString defaultText; QIcon defaultIcon; bool forceDefault; Qt::TextElideMode elideMode;
        ScrollEffect scrollWheelEffect; QString currentUserDataAsString"""
    _signals_ = "returnRelease()"
    _slots_ = "setCurrentUserDataAsString(QString)"
    _invokables_ = ""

    def _set_defaultText(self, text: str) -> None:
        self._d["defaultText"] = text
        self.setPlaceholderText(text)

    def _get_currentUserDataAsString(self) -> str:
        value = self.currentData()
        return "" if value is None else str(value)

    def _set_currentUserDataAsString(self, text: str) -> None:
        rows = [row for row in range(self.count()) if str(self.itemData(row)) == text]
        self.setCurrentIndex(rows[0] if rows else -1)


class CheckableModel(QtGui.QStandardItemModel):
    """Items with check boxes. Items themselves are never asked for: PySide6 keeps wrappers of those that are gone."""

    def flags(self, index: QtCore.QModelIndex) -> QtCore.Qt.ItemFlag:
        return QtGui.QStandardItemModel.flags(self, index) | QtCore.Qt.ItemIsUserCheckable


class ctkCheckableComboBox(StandIn, QtWidgets.QComboBox):
    """A combo box whose items have check boxes."""

    _properties_ = ""
    _signals_ = "checkedIndexesChanged(); returnRelease()"
    _slots_ = ""
    _invokables_ = """checkableModel(); setCheckableModel(QAbstractItemModel); checkedIndexes(); allChecked();
        allPatiallyChecked(); noneChecked(); setCheckState(const QModelIndex&, Qt::CheckState);
        checkState(const QModelIndex&); checkableModelHelper()"""

    def _build(self) -> None:
        self.setModel(CheckableModel(self))
        self.model().dataChanged.connect(self._data_changed)
        self.model().rowsInserted.connect(self._inserted)

    def _inserted(self, _parent: QtCore.QModelIndex, first: int, last: int) -> None:
        for row in range(first, last + 1):
            if self.itemData(row, QtCore.Qt.CheckStateRole) is None:
                self.setItemData(row, QtCore.Qt.Unchecked, QtCore.Qt.CheckStateRole)

    def _data_changed(self, *_: Any) -> None:
        checked = [index.row() for index in self.checkedIndexes()]
        if checked != self._d.get("checked", []):
            self._d["checked"] = checked
            self.checkedIndexesChanged.emit()

    def _states(self) -> list[QtCore.Qt.CheckState]:
        return [self.checkState(self.model().index(row, 0)) for row in range(self.count())]

    def checkedIndexes(self) -> list[QtCore.QModelIndex]:
        every = (self.model().index(row, 0) for row in range(self.count()))
        return [index for index in every if self.checkState(index) == QtCore.Qt.Checked]

    def checkState(self, index: QtCore.QModelIndex) -> QtCore.Qt.CheckState:
        return QtCore.Qt.CheckState(index.data(QtCore.Qt.CheckStateRole) or 0)

    def setCheckState(self, index: QtCore.QModelIndex, state: QtCore.Qt.CheckState) -> None:
        self.model().setData(index, state, QtCore.Qt.CheckStateRole)

    def allChecked(self) -> bool:
        return bool(self.count()) and all(state == QtCore.Qt.Checked for state in self._states())

    def noneChecked(self) -> bool:
        return all(state == QtCore.Qt.Unchecked for state in self._states())

    def checkableModel(self) -> QtCore.QAbstractItemModel:
        return self.model()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        """As CTK paints it: All, None, or the names of what is checked."""
        if not self.count():
            super().paintEvent(event)
            return
        painter, option = QtWidgets.QStylePainter(self), QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        names = ", ".join(str(index.data()) for index in self.checkedIndexes())
        option.currentText = "All" if self.allChecked() else names or "None"
        painter.drawComplexControl(QtWidgets.QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_ComboBoxLabel, option)


class ctkFittedTextBrowser(StandIn, QtWidgets.QTextBrowser):
    """A text browser as high as its text, of which a part can be folded away."""

    _properties_ = "bool disableMouseScroll; bool collapsed; QString showDetailsText; QString hideDetailsText"
    _signals_ = ""
    _slots_ = (
        "setCollapsibleText(const QString); setCollapsibleHtml(const QString); setCollapsiblePlainText(const QString)"
    )
    _invokables_ = "collapsibleText()"

    def _build(self) -> None:
        self._d.update(collapsed=True, showDetailsText="Show details...", hideDetailsText="Hide details.", whole="")
        self.setOpenLinks(False)
        self.anchorClicked.connect(self._clicked)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)

    def _fit(self, size: QtCore.QSizeF) -> None:
        self.setFixedHeight(int(size.height()) + 2 * self.frameWidth())

    def _clicked(self, link: QtCore.QUrl) -> None:
        if link.toString() in ("#show", "#hide"):
            self._set_collapsed(link.toString() == "#hide")
        else:
            QtGui.QDesktopServices.openUrl(link)

    def _set_collapsed(self, value: bool) -> None:
        self._d["collapsed"] = value
        if self._d["whole"]:
            self._show()

    def _show(self) -> None:
        """The first line and a link while collapsed, else everything."""
        collapsed, whole = self._d["collapsed"], self._d["whole"]
        words = self._d["showDetailsText" if collapsed else "hideDetailsText"]
        shown = whole.partition("<br>")[0] if collapsed else whole
        self.setHtml(f'{shown} <a href="#{"show" if collapsed else "hide"}">{words}</a>' if words else shown)

    def setCollapsibleText(self, text: str) -> None:
        self._d["whole"] = text
        self._show()

    setCollapsibleHtml = setCollapsibleText

    def setCollapsiblePlainText(self, text: str) -> None:
        self.setCollapsibleText(text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>"))

    def collapsibleText(self) -> str:
        return self._d["whole"]


class ctkColorPickerButton(StandIn, QtWidgets.QPushButton):
    """A button that shows a colour and asks for another."""

    _properties_ = "QColor color; QString colorName; bool displayColorName; ColorDialogOptions dialogOptions"
    _signals_ = "colorChanged(QColor); colorNameChanged(QString)"
    _slots_ = "setColor(const QColor&); changeColor(); setDisplayColorName(bool)"
    _invokables_ = ""

    def _build(self) -> None:
        self._d.update(color=QtGui.QColor(0, 0, 0), displayColorName=True)
        self.clicked.connect(self.changeColor)
        self._show()

    def _show(self) -> None:
        swatch = QtGui.QPixmap(16, 16)
        swatch.fill(self._d["color"])
        self.setIcon(QtGui.QIcon(swatch))
        self.setText(self._get_colorName() if self._d["displayColorName"] else "")

    def setColor(self, color: QtGui.QColor) -> None:
        if color != self._d["color"]:
            self._d["color"] = QtGui.QColor(color)
            self._show()
            self.colorChanged.emit(self._d["color"])

    _set_color = setColor

    def _get_colorName(self) -> str:
        return self._d.get("name") or self._d["color"].name()

    def _set_colorName(self, name: str) -> None:
        self._d["name"] = name
        self._show()
        self.colorNameChanged.emit(name)

    def _set_displayColorName(self, value: bool) -> None:
        self._d["displayColorName"] = value
        self._show()

    def changeColor(self) -> None:
        color = QtWidgets.QColorDialog.getColor(self._d["color"], self)
        if color.isValid():
            self.setColor(color)


class ctkSearchBox(StandIn, QtWidgets.QLineEdit):
    """A line with a magnifying glass and a button that clears it."""

    _properties_ = "bool showSearchIcon; QIcon searchIcon; QIcon clearIcon"
    _signals_ = _slots_ = _invokables_ = ""

    def _build(self) -> None:
        self.setClearButtonEnabled(True)
        self.setPlaceholderText("Search...")


class ctkMessageBox(StandIn, QtWidgets.QMessageBox):
    """A message box that can be told to keep quiet."""

    _properties_ = """bool dontShowAgain; RoleList dontShowAgainButtonRoles; QString dontShowAgainSettingsKey;
        bool dontShowAgainVisible"""
    _signals_ = ""
    _slots_ = "setDontShowAgain(bool); onFinished(int)"
    _invokables_ = "addDontShowAgainButtonRole(QMessageBox::ButtonRole)"

    def _build(self) -> None:
        self._d["check"] = QtWidgets.QCheckBox("Don't show this message again", self)
        self._d["check"].hide()

    def _get_dontShowAgain(self) -> bool:
        return self._d["check"].isChecked()

    def _set_dontShowAgain(self, value: bool) -> None:
        self._d["check"].setChecked(value)

    def _get_dontShowAgainVisible(self) -> bool:
        return self.checkBox() is not None

    def _set_dontShowAgainVisible(self, value: bool) -> None:
        if value:
            self.setCheckBox(self._d["check"])

    def _set_dontShowAgainSettingsKey(self, key: str) -> None:
        self._d["dontShowAgainSettingsKey"] = key
        self._set_dontShowAgainVisible(True)
        stored = QtCore.QSettings().value(key)
        if stored is not None:
            self._set_dontShowAgain(str(stored).lower() in ("true", "1") or (str(stored).isdigit() and int(stored) > 0))

    def onFinished(self, result: int) -> None:
        key = self._d.get("dontShowAgainSettingsKey")
        if key:
            QtCore.QSettings().setValue(key, result if self._get_dontShowAgain() else False)


WIDGETS = (
    ctkComboBox,
    ctkCheckableComboBox,
    ctkFittedTextBrowser,
    ctkColorPickerButton,
    ctkSearchBox,
    ctkMessageBox,
)

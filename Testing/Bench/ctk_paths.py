"""CTK's widgets for paths and folders."""
# ruff: noqa: N801, N815 - the names are CTK's

from __future__ import annotations

from pathlib import Path

from PySide6 import QtCore, QtWidgets

from .standin import StandIn


class ctkPathLineEdit(StandIn, QtWidgets.QWidget):
    """A line for a path, with its history and a button that browses."""

    _values_ = """Dirs=0x1 Files=0x2 Drives=0x4 NoSymLinks=0x8 AllEntries=0x7 Readable=0x10 Writable=0x20
        Executable=0x40 Modified=0x80 Hidden=0x100 System=0x200 AllDirs=0x400 CaseSensitive=0x800 NoDot=0x2000
        NoDotDot=0x4000 NoDotAndDotDot=0x6000 NoFilter=-1"""
    _properties_ = """QString label; Filters filters; QString currentPath; Options options; QString settingKey;
        bool showBrowseButton; bool showHistoryButton; SizeAdjustPolicy sizeAdjustPolicy; int minimumContentsLength;
        QStringList nameFilters"""
    _signals_ = "validInputChanged(bool); currentPathChanged(const QString&)"
    _slots_ = "setCurrentPath(const QString&); browse(); retrieveHistory(); addCurrentPathToHistory()"
    _invokables_ = "comboBox()"

    def _build(self) -> None:
        self._d["filters"] = self.AllEntries | self.NoDotAndDotDot | self.Readable
        combo = self._d["combo"] = QtWidgets.QComboBox(self)
        combo.setEditable(True)
        combo.setInsertPolicy(QtWidgets.QComboBox.NoInsert)
        combo.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        button = self._d["button"] = QtWidgets.QToolButton(self)
        button.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(combo, 1)
        layout.addWidget(button)
        combo.editTextChanged.connect(self._changed)
        button.clicked.connect(self.browse)

    def _changed(self, text: str) -> None:
        valid = Path(text).exists() if text else False
        if valid != self._d.get("valid", False):
            self._d["valid"] = valid
            self.validInputChanged.emit(valid)
        self.currentPathChanged.emit(text)

    def _get_currentPath(self) -> str:
        return self._d["combo"].currentText()

    def setCurrentPath(self, path: str) -> None:
        self._d["combo"].setEditText(path)

    _set_currentPath = setCurrentPath

    def _set_showBrowseButton(self, value: bool) -> None:
        self._d["button"].setVisible(value)

    def _get_showBrowseButton(self) -> bool:
        return not self._d["button"].isHidden()

    def browse(self) -> None:
        """Ask for a folder where only folders are wanted, for a file otherwise."""
        title, start = self._d.get("label", ""), self._get_currentPath()
        if int(self._d["filters"]) & self.Files or not int(self._d["filters"]) & self.Dirs:
            path = QtWidgets.QFileDialog.getOpenFileName(self, title, start, ";;".join(self._d.get("nameFilters", ())))[
                0
            ]
        else:
            path = QtWidgets.QFileDialog.getExistingDirectory(self, title, start)
        if path:
            self.setCurrentPath(path)
            self.addCurrentPathToHistory()

    def _history(self) -> str:
        return f"History/{self._d.get('settingKey') or self.objectName()}"

    def _set_settingKey(self, key: str) -> None:
        self._d["settingKey"] = key
        self.retrieveHistory()

    def retrieveHistory(self) -> None:
        known = QtCore.QSettings().value(self._history()) or []
        for path in [known] if isinstance(known, str) else known:
            if self._d["combo"].findText(path) < 0:
                self._d["combo"].addItem(path)

    def addCurrentPathToHistory(self) -> None:
        combo, path = self._d["combo"], self._get_currentPath()
        if path and combo.findText(path) < 0:
            with QtCore.QSignalBlocker(combo):
                combo.insertItem(0, path)
                combo.setCurrentIndex(0)
        paths = [combo.itemText(row) for row in range(min(combo.count(), 10))]
        QtCore.QSettings().setValue(self._history(), paths)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._d["combo"]


class ctkDirectoryButton(StandIn, QtWidgets.QWidget):
    """A button that shows a folder and asks for another."""

    _properties_ = """QFileDialog::AcceptMode acceptMode; QString directory; QString caption; QString text; QIcon icon;
        Qt::TextElideMode elideMode; Options options"""
    _signals_ = "directoryChanged(const QString&); directorySelected(const QString&)"
    _slots_ = "browse()"
    _invokables_ = ""

    def _build(self) -> None:
        button = self._d["button"] = QtWidgets.QPushButton(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(button)
        self._d["directory"] = "."
        button.clicked.connect(self.browse)
        self._show()

    def _show(self) -> None:
        self._d["button"].setText(self._d.get("text") or QtCore.QDir(self._d["directory"]).absolutePath())

    def _set_directory(self, path: str) -> None:
        path = QtCore.QDir(path).absolutePath()
        self.directorySelected.emit(path)
        if path != QtCore.QDir(self._d["directory"]).absolutePath():
            self._d["directory"] = path
            self._show()
            self.directoryChanged.emit(path)

    def _set_text(self, text: str) -> None:
        self._d["text"] = text
        self._show()

    def browse(self) -> None:
        path = QtWidgets.QFileDialog.getExistingDirectory(self, self._d.get("caption", ""), self._d["directory"])
        if path:
            self._set_directory(path)


WIDGETS = (ctkPathLineEdit, ctkDirectoryButton)

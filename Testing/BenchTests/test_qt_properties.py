"""Properties, values and names of module ``qt``, as measured in PythonQt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from Bench import pythonqt, strictness

qt = pythonqt.install()
app = pythonqt.application()


class Panel(qt.QWidget):
    """A subclass with a member of its own."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.clicks = 0

    @property
    def doubled(self):
        return 2 * self.clicks

    @doubled.setter
    def doubled(self, value):
        self.clicks = value // 2


def test_properties_are_values_and_the_rest_are_methods() -> None:
    button, box, combo = qt.QPushButton("go"), qt.QSpinBox(), qt.QComboBox()
    combo.addItem("a", 7)
    assert (button.text, button.enabled, button.toolTip) == ("go", True, "")
    assert (box.value, combo.count, combo.currentData, combo.currentText) == (0, 1, 7, "a")
    assert (button.isEnabled(), button.isChecked(), button.isVisible()) == (True, False, False)
    assert button.layout() is None and button.parent() is None
    assert button.width == button.size.width()
    assert qt.QTableWidgetItem("cell").text() == "cell", "no QObject, so a method"


def test_assigning_sets_the_property() -> None:
    button, box = qt.QPushButton(), qt.QSpinBox()
    button.text, button.enabled, button.toolTip = "x", False, "t"
    assert (button.text, button.isEnabled(), button.toolTip) == ("x", False, "t")
    button.setText("y")
    assert button.text == "y"
    button.enabled = [1]
    assert button.enabled is True, "truth is what counts"
    button.setEnabled("")
    assert button.enabled is False
    box.value = 2.7
    assert box.value == 2, "cut, not rounded"
    box.value = np.int64(5)
    assert box.value == 5
    button.visible = True
    assert button.isVisible()
    button.hide()


def test_values_that_do_not_fit_are_refused() -> None:
    box, widget = qt.QSpinBox(), qt.QWidget()
    with pytest.raises(AttributeError, match="Property 'value' of type 'int' does not accept an object of type str"):
        box.value = "4"
    with pytest.raises(AttributeError, match="does not accept an object of type NoneType"):
        box.value = None
    with pytest.raises(AttributeError, match="Property 'x' of QWidget object is not writable"):
        widget.x = 5
    with pytest.raises(AttributeError, match="Slot 'closeEvent' can not be overwritten on QWidget object"):
        widget.closeEvent = print
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        widget.mine = 1
    assert not hasattr(widget, "hidden")


def test_paths_are_text(tmp_path: Path) -> None:
    label = qt.QLabel()
    label.setText(tmp_path)
    assert label.text == str(tmp_path)
    assert qt.QDir(tmp_path).exists()
    pixmap = qt.QPixmap(4, 4)
    pixmap.fill(qt.QColor("red"))
    assert pixmap.save(tmp_path / "a.png")
    assert qt.QPixmap(tmp_path / "a.png").width() == 4


def test_a_subclass_has_attributes_of_its_own() -> None:
    panel = Panel()
    panel.clicks = 4
    assert panel.doubled == 8
    panel.doubled = 6
    assert panel.clicks == 3
    panel.windowTitle = "t"
    assert panel.windowTitle == "t"
    assert Panel(parent=panel).parent() is panel, "keywords are fine where __init__ is Python"


def test_base_methods_are_called_by_class_and_overrides_by_qt() -> None:
    calls = []

    class Dialog(qt.QDialog):
        def accept(self):
            calls.append("accept")
            qt.QDialog.accept(self)

        def closeEvent(self, event):
            calls.append("close")
            qt.QDialog.closeEvent(self, event)

        def paintEvent(self, event):
            calls.append("paint")

        def sizeHint(self):
            return qt.QSize(123, 77)

    dialog = Dialog()
    dialog.show()
    app.processEvents()
    dialog.grab()
    assert "paint" in calls
    dialog.adjustSize()
    assert (dialog.width, dialog.height) == (123, 77)
    buttons = qt.QDialogButtonBox()
    buttons.setStandardButtons(qt.QDialogButtonBox.Ok)
    buttons.accepted.connect(dialog.accept)
    buttons.accepted.emit()
    assert calls[-1] == "accept" and not dialog.visible
    dialog.show()
    dialog.close()
    assert calls[-1] == "close"


def test_enums_are_numbers_that_have_names() -> None:
    assert qt.Qt.Checked == 2 and int(qt.Qt.Checked) == 2 and {2: "x"}[qt.Qt.Checked] == "x"
    assert not qt.Qt.Unchecked
    assert qt.Qt.UserRole + 1 == 257
    process = qt.QProcess()
    assert process.state() == qt.QProcess.NotRunning == process.NotRunning == 0
    assert qt.QProcess.ProcessState.Running == qt.QProcess.Running
    item = qt.QTableWidgetItem("a")
    item.setFlags(item.flags() & ~qt.Qt.ItemIsEditable)
    label = qt.QLabel()
    label.setAlignment(qt.Qt.AlignLeft | qt.Qt.AlignTop)


def test_children_and_dynamic_properties_are_attributes() -> None:
    parent = qt.QWidget()
    child = qt.QPushButton("go", parent)
    child.objectName = "apply"
    assert parent.apply is child and child.name == "apply"
    child.setProperty("SlicerParameterName", "a.b")
    assert child.SlicerParameterName == "a.b"
    child.SlicerParameterName = "c"
    assert child.property("SlicerParameterName") == "c"
    assert parent.findChild(qt.QPushButton) is child is parent.findChild("QPushButton")
    assert parent.findChildren("QWidget") == (child,)
    assert parent.findChild(qt.QLabel) is None
    with pytest.raises(ValueError, match="without a type"):
        parent.findChildren()


def test_class_names_and_deletion() -> None:
    button = qt.QPushButton()
    assert button.className() == "QPushButton" and Panel().className() == "QWidget"
    button.delete()
    assert not button
    with pytest.raises(ValueError, match="Trying to read property 'text' from a destroyed QPushButton object"):
        _ = button.text
    with pytest.raises(ValueError, match="destroyed"):
        button.setText("x")
    with pytest.raises(ValueError, match="destroyed"):
        hasattr(button, "text")
    with pytest.raises(AttributeError, match="destroyed"):
        button.text = "x"


def test_an_empty_layout_is_false() -> None:
    parent = qt.QWidget()
    layout = qt.QVBoxLayout(parent)
    assert not layout
    layout.addWidget(qt.QLabel())
    assert layout and layout.count() == 1


def test_dialogs_answer_with_the_bare_value(monkeypatch: pytest.MonkeyPatch) -> None:
    from Bench.members import REPLACED

    asked = []
    native = REPLACED["QFileDialog.getOpenFileName"]
    assert qt.QFileDialog.getOpenFileName is native
    from Bench import dialogs

    def answer(*arguments):
        asked.append(arguments)
        return "chosen.nrrd", "Volumes (*.nrrd)"

    ask = dialogs._bare("QFileDialog.getOpenFileName", answer, "")
    assert ask(None, "Open", Path("folder")) == "chosen.nrrd"
    assert asked == [(None, "Open", "folder")]
    flag = dialogs.BoolResult()
    text = dialogs._bare("QInputDialog.getText", lambda *_: ("word", True), "")
    assert text(None, "t", "l", flag) == "word" and flag
    with pytest.raises(ValueError, match="kwargs"):
        ask(caption="x")


def test_settings_come_back_in_one_process(tmp_path: Path) -> None:
    settings = qt.QSettings(str(tmp_path / "s.ini"), qt.QSettings.IniFormat)
    settings.setValue("list", ["a", "b"])
    assert settings.value("list") == ("a", "b")
    assert settings.value("nothing", "default") == "default"


def test_lenient_sessions_print_and_go_on(caplog: pytest.LogCaptureFixture) -> None:
    label, button = qt.QLabel(), qt.QPushButton()
    with strictness.leniently():
        label.text = None
        assert label.text == "None"
        label.setText("x")
        label.setText(None)
        assert label.text == "None"
        assert not isinstance(button, qt.QWidget)
        assert button.connect("nosuch()", print) is False
        label.setAlignment(4)
        label.alignment = 132
    assert len([one for one in caplog.records if "None as text" in one.message]) == 2
    assert "nosuch" in caplog.text and "inherits" in caplog.text
    with pytest.raises(TypeError):
        label.text = None


def test_pyside_itself_keeps_its_manners() -> None:
    """Code of PySide6's friends runs in the same process: it sees methods where others see properties."""
    source = "def ask(button):\n    return button.text(), isinstance(button, __import__('PySide6').QtWidgets.QWidget)"
    scope = {"__name__": "vtkmodules.qt.inside"}
    exec(source, scope)
    assert scope["ask"](qt.QPushButton("x")) == ("x", True)

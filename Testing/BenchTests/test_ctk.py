"""CTK's widgets: members as in Slicer, signals, and nothing left behind."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from Bench import ctk as bench_ctk
from Bench import pythonqt, signals

qt = pythonqt.install()
ctk = bench_ctk.install()
app = pythonqt.application()


@pytest.fixture
def told() -> list:
    """What signals brought."""
    return []


def test_collapsible_button(told: list) -> None:
    button = ctk.ctkCollapsibleButton()
    button.text = "Inputs"
    layout = qt.QFormLayout(button)
    shown, hidden = qt.QLabel("a"), qt.QLabel("b")
    layout.addRow(shown)
    layout.addRow(hidden)
    hidden.hide()
    button.connect("contentsCollapsed(bool)", told.append)
    button.show()
    assert (button.collapsed, button.checked, shown.visible) == (False, True, True)
    button.collapsed = True
    assert (button.checked, shown.visible, told) == (False, False, [True])
    late = qt.QLabel("c")
    layout.addRow(late)
    assert not late.visible
    button.click()
    assert (button.collapsed, shown.visible, hidden.visible, late.visible) == (False, True, False, True)
    assert told == [True, False]


def test_collapsible_group_box() -> None:
    box = ctk.ctkCollapsibleGroupBox()
    box.title = "Advanced"
    layout, label = qt.QVBoxLayout(box), qt.QLabel("a")
    layout.addWidget(label)
    box.show()
    box.collapsed = True
    assert not label.visible and not box.checked
    box.checked = True
    assert label.visible and not box.collapsed


def test_slider_widget(told: list) -> None:
    slider = ctk.ctkSliderWidget()
    slider.valueChanged.connect(told.append)
    slider.value = 5
    slider.setValue(5)
    assert slider.value == 5.0 and told == [5.0]
    slider.minimum = 10
    assert (slider.value, told) == (10.0, [5.0, 10.0])
    slider.minimum = 300
    assert (slider.minimum, slider.maximum, slider.value) == (300, 300, 300)
    slider.decimals, slider.singleStep = 1, 0.1
    slider.maximum = 400
    slider.value = 312.34
    assert slider.value == pytest.approx(312.3)
    slider.suffix = " mm"
    assert slider.suffix == " mm"
    assert slider.findChild("QSlider") is not None
    for wrong in ("4", None):
        with pytest.raises(AttributeError, match="Property 'value' of type 'double'"):
            slider.value = wrong


def test_the_user_moves_a_slider(told: list) -> None:
    slider = ctk.ctkSliderWidget()
    slider.connect("valueChanged(double)", told.append)
    slider.findChild("QSlider").setValue(40)
    slider.findChild("QDoubleSpinBox").setValue(41.5)
    assert told == [40.0, 41.5] and slider.value == 41.5


def test_spin_box_and_double_slider(told: list) -> None:
    box = ctk.ctkDoubleSpinBox()
    box.valueChanged.connect(told.append)
    box.connect("valueChanged(QString)", told.append)
    box.decimals = 1
    box.value = 3
    assert told == [3.0, "3.0"]
    slider = ctk.ctkDoubleSlider()
    slider.setRange(-1, 1)
    slider.singleStep = 0.01
    slider.value = 0.25
    assert slider.value == 0.25
    slider.value = 7
    assert slider.value == 1.0
    slider.orientation = qt.Qt.Vertical
    assert slider.orientation == qt.Qt.Vertical


def test_range_widget(told: list) -> None:
    box = ctk.ctkRangeWidget()
    box.connect("valuesChanged(double,double)", lambda low, high: told.append((low, high)))
    box.setValues(3, 40)
    box.setRange(10, 20)
    assert told == [(3.0, 40.0), (10.0, 20.0)]
    assert (box.minimumValue, box.maximumValue, box.minimum, box.maximum) == (10, 20, 10, 20)
    box.minimumValue = 30
    assert (box.minimumValue, box.maximumValue) == (20, 20)


def test_path_line_edit(told: list, tmp_path: Path) -> None:
    edit = ctk.ctkPathLineEdit()
    edit.connect("currentPathChanged(QString)", told.append)
    edit.connect("validInputChanged(bool)", told.append)
    edit.currentPath = tmp_path
    assert edit.currentPath == str(tmp_path) and told == [True, str(tmp_path)]
    edit.setCurrentPath("/nowhere at all")
    assert told[2:] == [False, "/nowhere at all"]
    edit.nameFilters = ["*.nrrd"]
    assert edit.nameFilters == ("*.nrrd",)
    edit.filters = ctk.ctkPathLineEdit.Files
    assert edit.filters == 2 and edit.comboBox().currentText == "/nowhere at all"


def test_directory_button(told: list, tmp_path: Path) -> None:
    button = ctk.ctkDirectoryButton()
    button.directoryChanged.connect(told.append)
    button.directory = tmp_path
    button.directory = str(tmp_path)
    assert button.directory == str(tmp_path) and told == [str(tmp_path)]


def test_checkable_combo_box(told: list) -> None:
    box = ctk.ctkCheckableComboBox()
    for name in "abc":
        box.addItem(name)
    box.checkedIndexesChanged.connect(lambda: told.append("changed"))
    index = box.model().index(1, 0)
    box.setCheckState(index, qt.Qt.Checked)
    assert [one.row() for one in box.checkedIndexes()] == [1] and told == ["changed"]
    assert box.checkState(index) == qt.Qt.Checked and not box.allChecked() and not box.noneChecked()
    with pytest.raises(ValueError, match="give an index"):
        box.setCheckState(1, qt.Qt.Checked)
    box.clear()
    assert box.noneChecked() and box.checkedIndexes() == ()


def test_a_checkable_combo_box_shows_what_is_checked() -> None:
    box, plain = ctk.ctkCheckableComboBox(), qt.QComboBox()
    box.resize(200, 30)
    plain.resize(200, 30)
    box.addItem("liver")
    box.addItem("spleen")

    def looks_like(text: str) -> bool:
        plain.clear()
        plain.addItem(text)
        return box.grab().toImage() == plain.grab().toImage()

    assert looks_like("None")
    box.setCheckState(box.model().index(1, 0), qt.Qt.Checked)
    assert looks_like("spleen")
    box.setCheckState(box.model().index(0, 0), qt.Qt.Checked)
    assert looks_like("All")


def test_texts_colours_menus_and_searches(told: list) -> None:
    browser = ctk.ctkFittedTextBrowser()
    browser.setCollapsibleText("first<br>second")
    assert "second" not in browser.plainText and browser.collapsed
    browser.collapsed = False
    assert "second" in browser.plainText
    picker = ctk.ctkColorPickerButton()
    picker.colorChanged.connect(lambda color: told.append(color.name()))
    picker.color = qt.QColor("#123456")
    assert told == ["#123456"] and picker.color.name() == "#123456"
    button, menu = ctk.ctkMenuButton(), qt.QMenu()
    button.setMenu(menu)
    button.clicked.connect(lambda: told.append("clicked"))
    button.show()
    button.click()
    assert told[-1] == "clicked" and not menu.visible and button.menu() is menu
    search = ctk.ctkSearchBox()
    search.connect("textChanged(QString)", told.append)
    search.text = "liver"
    assert told[-1] == "liver"


def test_message_box() -> None:
    box = ctk.ctkMessageBox()
    box.text, box.icon, box.windowTitle = "Really?", qt.QMessageBox.Question, "t"
    box.standardButtons = qt.QMessageBox.Yes | qt.QMessageBox.No
    assert box.text == "Really?" and len(box.buttons()) == 2
    box.dontShowAgainVisible = True
    box.setDontShowAgain(True)
    assert box.dontShowAgain is True


def test_combo_box_says_what_to_choose() -> None:
    box = ctk.ctkComboBox()
    box.defaultText = "Choose"
    box.addItem("a", 7)
    box.setCurrentIndex(-1)
    assert box.currentText == "" and box.defaultText == "Choose"
    box.currentUserDataAsString = "7"
    assert box.currentIndex == 0


@pytest.mark.parametrize("widget", bench_ctk.WIDGETS, ids=lambda one: one.__name__)
def test_members_are_those_of_slicer_and_nothing_is_left_of_200(widget: type) -> None:
    one = widget()
    for name in dir(widget):
        if name.startswith("_") and not name.startswith("__"):
            assert not hasattr(one, name), f"{name} is the bench's own"
    with pytest.raises(ValueError, match="does not support kwargs"):
        widget(parent=None)
    del one
    for _ in range(20):
        made(widget)
    swept()
    before = len(gc.get_objects()), len(signals._links), len(app.topLevelWidgets())
    for _ in range(200):
        made(widget)
    swept()
    after = len(gc.get_objects()), len(signals._links), len(app.topLevelWidgets())
    assert after[0] - before[0] < 50 and after[1:] == before[1:]


def made(widget: type) -> None:
    """A widget in a panel that listens to it, and is deleted as Slicer deletes panels."""
    panel = qt.QWidget()
    layout, child = qt.QVBoxLayout(panel), widget()
    layout.addWidget(child)
    child.connect("objectNameChanged(QString)", lambda _: panel.update())
    panel.deleteLater()


def swept() -> None:
    """Everything that was to be deleted later is deleted."""
    app.sendPostedEvents(None, qt.QEvent.DeferredDelete)
    app.processEvents()
    gc.collect()

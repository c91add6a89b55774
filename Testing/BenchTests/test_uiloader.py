"""Designer files are built as Slicer builds them, or raise with the name of what is wrong."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from Bench import ctk as bench_ctk
from Bench import pythonqt, uiloader

qt = pythonqt.install()
ctk = bench_ctk.install()
app = pythonqt.application()

FILE = """<ui version="4.0"><class>Panel</class><widget class="QWidget" name="Panel">
<layout class="QVBoxLayout" name="rows">
<item><widget class="ctkCollapsibleButton" name="inputs">
 <property name="text"><string>Inputs</string></property><property name="collapsed"><bool>true</bool></property>
 <layout class="QFormLayout" name="form">
 <item row="0" column="0"><widget class="QLabel" name="label">
  <property name="text"><string>Model</string></property></widget></item>
 <item row="0" column="1"><widget class="ctkPathLineEdit" name="path">
  <property name="filters"><set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Drives</set></property>
  <property name="SlicerParameterName" stdset="0"><string>model.path</string></property></widget></item>
 <item row="1" column="1"><widget class="ctkSliderWidget" name="step">
  <property name="value"><double>150.0</double></property><property name="maximum"><double>200.0</double></property>
  <property name="decimals"><number>1</number></property></widget></item>
 </layout></widget></item>
<item><widget class="QCheckBox" name="check"><property name="text"><string>Show</string></property></widget></item>
<item><widget class="Line" name="line">
 <property name="orientation"><enum>Qt::Horizontal</enum></property></widget></item>
</layout></widget>
<connections><connection><sender>check</sender><signal>toggled(bool)</signal><receiver>label</receiver>
<slot>setEnabled(bool)</slot></connection></connections></ui>"""


@pytest.fixture
def a_file(tmp_path: Path):
    """Write the file with one thing changed."""

    def write(old: str = "", new: str = "") -> Path:
        assert old in FILE
        path = tmp_path / "Panel.ui"
        path.write_text(FILE.replace(old, new) if old else FILE)
        return path

    return write


def test_widgets_properties_and_connections(a_file) -> None:
    panel = uiloader.load_ui(a_file())
    inputs, path = panel.findChild("ctkCollapsibleButton"), panel.findChild("ctkPathLineEdit")
    assert type(inputs) is ctk.ctkCollapsibleButton
    assert (inputs.text, inputs.collapsed, inputs.name) == ("Inputs", True, "inputs")
    assert path.filters == ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Drives
    assert path.SlicerParameterName == "model.path" == path.property("SlicerParameterName")
    assert panel.findChild("ctkSliderWidget").value == 150.0, "maximum comes before value"
    label = panel.findChild("QLabel")
    check = panel.findChild("QCheckBox")
    check.checked = True
    assert label.enabled
    check.checked = False
    assert not label.enabled


def test_children_are_found_and_keep_what_they_know(a_file) -> None:
    panel = uiloader.load_ui(a_file())
    panel.findChild("ctkCollapsibleButton").collapsed = False
    gc.collect()
    assert panel.findChild("ctkCollapsibleButton").collapsed is False
    names = {child.name for child in panel.findChildren("QWidget") if child.name}
    assert {"inputs", "label", "path", "step", "check"} <= names


def test_as_slicer_util_does(a_file) -> None:
    file = qt.QFile(a_file())
    file.open(qt.QFile.ReadOnly)
    assert qt.QUiLoader().load(file).name == "Panel"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'class="QCheckBox"',
            'class="ctkNonsense"',
            r"Panel\.ui: widget 'check' is of the unknown class 'ctkNonsense'",
        ),
        ('name="collapsed"', 'name="colapsed"', r"ctkCollapsibleButton 'inputs' has no property 'colapsed'"),
        ('name="filters"', 'name="filter"', r"ctkPathLineEdit 'path' has no property 'filter'"),
        ("<string>Show", "<string>Show</string></property><property name='chek'><string>", r"'check' has no property"),
        ("ctkPathLineEdit::Dirs", "ctkPathLineEdit::Dirz", r"'path', property 'filters'.*Dirz"),
        ("toggled(bool)", "togled(bool)", r"check\.togled\(bool\).*no signal 'togled\(bool\)'"),
        ("setEnabled(bool)", "setEnbled(bool)", r"QLabel has no slot 'setEnbled\(bool\)'"),
        ("<receiver>label", "<receiver>lable", r"a connection names 'lable', which is not in the file"),
    ],
)
def test_what_is_wrong_is_named(a_file, old: str, new: str, message: str) -> None:
    with pytest.raises(uiloader.UiError, match=message):
        uiloader.load_ui(a_file(old, new))

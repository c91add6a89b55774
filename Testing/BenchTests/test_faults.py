"""One test for each mistake that plain PySide6 would let through, or answer in other words than Slicer does."""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import numpy as np
import pytest
from Bench import ctk as bench_ctk
from Bench import mrmlwidgets, pythonqt, uiloader

qt = pythonqt.install()
ctk = bench_ctk.install()
pythonqt.application()


class Dialog(qt.QDialog):
    """A dialog as extensions write them."""

    def __init__(self, parent=None):
        super().__init__(parent)


def test_1_super_reaches_only_init() -> None:
    class Closing(Dialog):
        def leave(self):
            super().accept()

    with pytest.raises(AttributeError, match=r"'super' object has no attribute 'accept'.*qt\.QDialog\.accept\(self"):
        Closing().leave()


def test_2_keyword_arguments() -> None:
    with pytest.raises(ValueError, match=r"QLabel\(text=\).*does not support kwargs"):
        qt.QLabel(text="x")
    with pytest.raises(ValueError, match=r"QLabel\.setText\(text=\).*does not support kwargs"):
        qt.QLabel().setText(text="x")
    with pytest.raises(ValueError, match=r"does not support kwargs"):
        qt.QSettings().value("key", type=bool)


@pytest.mark.parametrize(
    ("use", "word"),
    [(bytes, "bytes"), (len, "len"), (lambda given: given[0], "indexing")],
    ids=["bytes", "len", "indexing"],
)
def test_3_byte_arrays_give_their_bytes_through_data(use, word) -> None:
    given = qt.QByteArray(b"a\x00b")
    with pytest.raises(TypeError, match=rf"cannot convert 'QByteArray'.*{word}.*\.data\(\)"):
        use(given)
    assert given.data() == b"a\x00b"


def test_4_isinstance_of_a_base_class() -> None:
    button = qt.QPushButton()
    with pytest.raises(TypeError, match=r"isinstance\(QPushButton, QWidget\) is always False.*inherits\('QWidget'\)"):
        isinstance(button, qt.QWidget)
    with pytest.raises(TypeError, match=r"issubclass\(QPushButton, QWidget\) is always False"):
        issubclass(qt.QPushButton, qt.QWidget)
    assert isinstance(button, qt.QPushButton)
    assert not isinstance(button, qt.QLabel)
    assert isinstance(Dialog(), qt.QDialog), "a Python subclass of exactly that class"
    assert button.inherits("QWidget")


def test_5_arguments_are_not_cut_for_slots_partials_and_decorated_functions() -> None:
    button, label = qt.QPushButton(), qt.QLabel()

    def without():
        pass

    @functools.wraps(without)
    def decorated(*arguments):
        without(*arguments)

    with pytest.raises(TypeError, match=r"clicked, which carries 1 argument, to hide\(\), which takes 0"):
        button.clicked.connect(label.hide)
    with pytest.raises(TypeError, match=r"to partial: .*hands every argument to partials"):
        button.clicked.connect(functools.partial(without))
    with pytest.raises(TypeError, match=r"to without: .*decorated"):
        button.clicked.connect(decorated)
    assert button.clicked.connect(without), "a plain function is called with fewer arguments"


@pytest.mark.parametrize("name", ["layout", "parent", "style", "update", "result", "accepted", "x", "size"])
def test_6_names_of_qt_are_not_attributes_of_a_subclass(name: str) -> None:
    dialog = Dialog()
    with pytest.raises(AttributeError, match=rf"'{name}'"):
        setattr(dialog, name, "mine")
    dialog.title, dialog.status, dialog.results = "a", 1, []
    assert dialog.title == "a"


def test_7_signals_need_a_qobject_that_was_initialised() -> None:
    with pytest.raises((TypeError, RuntimeError)) as caught:

        class Logic:
            done = qt.Signal(int)

    assert "Logic.done: qt.Signal on a class that is no QObject" in str(caught.value.__cause__ or caught.value)

    class Early(qt.QObject):
        done = qt.Signal(int)

        def __init__(self):
            self.done.connect(print)

    with pytest.raises(RuntimeError, match=r"Early\.done before super\(\)\.__init__\(\)"):
        Early()


def test_8_finished_gives_one_argument_with_qt_5() -> None:
    process = qt.QProcess()
    with pytest.raises(TypeError, match=r"receiver of 2 arguments.*finished\(int,QProcess::ExitStatus\)"):
        process.finished.connect(lambda code, status: None)
    assert process.finished.connect(lambda code, status=None: None)
    assert process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: None)


@pytest.mark.parametrize(
    "value",
    [Path("x"), np.int64(3), np.float32(1), np.bool_(True), [Path("x")], {"a": object()}],
    ids=["path", "int64", "float32", "bool_", "list of paths", "dictionary of objects"],
)
def test_9_settings_take_plain_values_only(value: object, tmp_path: Path) -> None:
    settings = qt.QSettings(str(tmp_path / "s.ini"), qt.QSettings.IniFormat)
    with pytest.raises(TypeError, match=r"QSettings\.setValue\('k'.*crash"):
        settings.setValue("k", value)
    for plain in (True, 3, 2.5, "x", ["a", "b"], np.float64(2.5), None):
        settings.setValue("k", plain)


def test_10_none_is_no_text() -> None:
    label, edit = qt.QLabel(), ctk.ctkPathLineEdit()
    for attempt in (
        lambda: label.setText(None),
        lambda: setattr(label, "text", None),
        lambda: label.setToolTip(None),
        lambda: setattr(edit, "currentPath", None),
        lambda: edit.setCurrentPath(None),
    ):
        with pytest.raises(TypeError, match=r"None as text.*write ''"):
            attempt()
    label.setBuddy(None)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ctkSliderWidget", "setMinimum"),
        ("ctkSliderWidget", "setSingleStep"),
        ("ctkCollapsibleButton", "setCollapsed"),
        ("ctkDirectoryButton", "setDirectory"),
        ("ctkPathLineEdit", "setFilters"),
    ],
)
def test_11_ctk_shows_no_setter_of_a_property(kind: str, name: str) -> None:
    bare = f"{name[3].lower()}{name[4:]}"
    with pytest.raises(AttributeError, match=rf"'{name}': {kind} shows no such method.*\.{bare} = "):
        getattr(getattr(ctk, kind)(), name)


def test_11_mrml_widgets_show_no_setter_of_a_property() -> None:
    with pytest.raises(AttributeError, match=r"'setNodeTypes'.*\.nodeTypes = "):
        kind(mrmlwidgets, "qMRMLNodeComboBox")().setNodeTypes(["vtkMRMLModelNode"])


def kind(module: object, name: str) -> type:
    """A stand-in by its name."""
    return next(one for one in module.WIDGETS if one.__name__ == name)


def test_12_overrides_on_ctk_widgets_are_never_called() -> None:
    with pytest.raises(TypeError, match=r"Mine\(ctkCollapsibleButton\) defines mousePressEvent.*event filter"):

        class Mine(ctk.ctkCollapsibleButton):
            def mousePressEvent(self, event):
                pass

    class Allowed(ctk.ctkCollapsibleButton):
        def fill(self):
            return self.collapsed

    assert Allowed().fill() is False


def test_13_lists_are_tuples() -> None:
    parent = qt.QWidget()
    children = parent.findChildren(qt.QLabel)
    assert isinstance(children, tuple)
    with pytest.raises(TypeError, match=r"tuples in PythonQt.*list\(\.\.\.\)"):
        children + [1]  # noqa: RUF005
    with pytest.raises(TypeError, match=r"never equal to a list"):
        assert children == []
    with pytest.raises(AttributeError, match=r"tuples in PythonQt, without append"):
        children.append(1)
    assert list(children) == []
    assert children == ()


def test_14_a_button_box_takes_no_buttons_when_it_is_made() -> None:
    with pytest.raises(ValueError, match=r"QDialogButtonBox\(buttons\).*setStandardButtons"):
        qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    box = qt.QDialogButtonBox()
    box.setStandardButtons(qt.QDialogButtonBox.Ok)
    assert len(box.buttons()) == 1


def test_15_python_threads_stand_still() -> None:
    with pytest.raises(RuntimeError, match=r"threading\.Thread\.start.*qt\.QProcess"):
        threading.Thread(target=print).start()
    with pytest.raises(TypeError, match=r"class Worker: subclasses of QThread and QRunnable crash Slicer"):

        class Worker(qt.QThread):
            pass


def test_15_widgets_are_not_touched_from_a_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    label = qt.QLabel()
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match=r"QLabel\.setText from a Python thread"):
        pool.submit(label.setText, "x").result()
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match=r"QLabel\.text from a Python thread"):
        pool.submit(setattr, label, "text", "x").result()


def test_a_misspelt_property() -> None:
    button = qt.QPushButton()
    with pytest.raises(AttributeError, match=r"'tooltip' does not exist on QPushButton.*did you mean 'toolTip'"):
        button.tooltip = "x"
    with pytest.raises(AttributeError, match=r"no attribute named 'chekable'.*did you mean 'checkable'"):
        _ = button.chekable
    with pytest.raises(AttributeError, match=r"Dialog\.tooltip sets nothing in Qt: the property is 'toolTip'"):
        Dialog().tooltip = "x"


def test_a_widget_class_that_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "panel.ui"
    path.write_text('<ui version="4.0"><widget class="ctkNonsense" name="n"/></ui>')
    with pytest.raises(uiloader.UiError, match=r"panel\.ui: widget 'n' is of the unknown class 'ctkNonsense'"):
        uiloader.load_ui(path)


def test_a_property_called_like_a_method() -> None:
    label, slider = qt.QLabel("x"), ctk.ctkSliderWidget()
    with pytest.raises(TypeError, match=r"'str' object is not callable: QLabel\.text is a property.*without \(\)"):
        label.text()
    with pytest.raises(TypeError, match=r"'float' object is not callable: ctkSliderWidget\.value is a property"):
        slider.value()


def test_a_connect_string_that_names_no_signal() -> None:
    button = qt.QPushButton()
    with pytest.raises(ValueError, match=r"no signal 'clicked\(int\)'.*There is clicked\(bool\) and clicked\(\)"):
        button.connect("clicked(int)", print)
    with pytest.raises(ValueError, match=r"no signal 'nosuch\(\)'.*returns False"):
        button.connect("nosuch()", print)
    with pytest.raises(ValueError, match=r"no signal 'currentIndexChanged\(QString\)'"):
        qt.QComboBox().connect("currentIndexChanged(QString)", print)


def test_an_int_for_an_enum() -> None:
    label, box = qt.QLabel(), qt.QCheckBox()
    with pytest.raises(TypeError, match=r"QLabel\.setAlignment\(int\): an int for an enum.*qt\.Qt\.AlignmentFlag"):
        label.setAlignment(4)
    with pytest.raises(TypeError, match=r"QLabel\.alignment\(int\): an int for an enum"):
        label.alignment = 4
    with pytest.raises(TypeError, match=r"setCheckState\(bool\): an int for an enum.*CheckState"):
        box.setCheckState(True)
    choice = ctk.ctkCheckableComboBox()
    choice.addItem("a")
    with pytest.raises(TypeError, match=r"setCheckState\(True\): an int for the enum"):
        choice.setCheckState(choice.model().index(0, 0), True)


def test_names_of_qt_5_alone_and_of_later_qt() -> None:
    with pytest.raises(AttributeError, match=r"qt\.QRegExp is gone with Qt 6: use qt\.QRegularExpression"):
        _ = qt.QRegExp
    with pytest.raises(AttributeError, match=r"checkStateChanged.*stateChanged\(int\)"):
        _ = qt.QCheckBox().checkStateChanged
    with pytest.raises(AttributeError):
        _ = qt.Property

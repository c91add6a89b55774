"""The application, its modules and panels, and what a test may not leave behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
import vtk
from Bench import application, leaks, system

BENCH = Path(application.__file__).parent.parent


def test_the_panel_opens_and_its_parameters_follow_the_widgets(an_open_panel: Any, a_scene_with_a_ct: Any) -> None:
    ui, parameters = an_open_panel.ui, an_open_panel.parameters
    assert an_open_panel.entered == 1
    assert slicer.modules.SmallWidget is an_open_panel
    assert slicer.util.getModuleWidget("Small") is an_open_panel
    ui.thresholdBox.value = 33
    ui.invertBox.checked = True
    ui.volumeSelector.setCurrentNode(a_scene_with_a_ct)
    assert (parameters.threshold, parameters.invert, parameters.volume) == (33, True, a_scene_with_a_ct)
    parameters.threshold = -5
    assert ui.thresholdBox.value == -5
    assert (ui.thresholdBox.minimum, ui.thresholdBox.maximum) == (-100, 100)
    ui.applyButton.click()
    assert ui.resultLabel.text == "-5 True"


def test_closing_the_scene_is_seen_by_the_panel(an_open_panel: Any) -> None:
    slicer.mrmlScene.Clear(0)
    assert an_open_panel.closings == 1


def test_closing_a_panel_calls_exit_and_cleanup(a_bench: Any, panel_module: Path) -> None:
    module = application.load_module(panel_module)
    widget = application.open_panel(module.name)
    application.close_panel(module.name)
    assert widget.entered == 0
    assert not widget.timer.isActive()
    assert not hasattr(slicer.modules, "SmallWidget")


def test_names_that_slicer_has_not_are_not_here_either(a_bench: Any) -> None:
    for name in ("loadVolume", "arrayFromVolume", "VTKObservationMixin", "mainWindow", "vtkITK", "MRMLCore"):
        assert not hasattr(slicer, name), name
        with pytest.raises(AttributeError):
            getattr(slicer, name)
    assert slicer.util.loadVolume
    with pytest.raises(AttributeError, match="nosuchmodule"):
        _ = slicer.modules.nosuchmodule
    import vtkSegmentationCorePython

    assert vtkSegmentationCorePython.vtkSegment is slicer.vtkSegment


def test_util_functions_that_need_the_application_work(a_bench: Any) -> None:
    assert Path(slicer.util.tempDirectory()).is_dir()
    with slicer.util.WaitCursor():
        slicer.app.processEvents()
    slicer.util.errorDisplay("only in the log")
    slicer.util.delayDisplay("gone at once", 10)
    qt.QSettings().setValue("Bench/number", 7)
    assert slicer.util.settingsValue("Bench/number", 0, converter=int) == 7
    assert "Volumes" in slicer.util.moduleNames()
    assert slicer.util.getModuleLogic("Volumes").IsA("vtkSlicerVolumesLogic")
    process = slicer.util.launchConsoleProcess([sys.executable, "-c", "print(6 * 7)"])
    assert "42" in process.communicate()[0]


def test_settings_of_one_test_are_nothing_to_the_next(a_bench: Any) -> None:
    assert qt.QSettings().value("Bench/number") is None
    assert a_bench.temporaryPath in qt.QSettings().fileName()


def test_the_application_announces_the_end_of_its_start(a_bench: Any) -> None:
    heard: list[str] = []
    slicer.app.connect("startupCompleted()", lambda: heard.append("started"))
    a_bench.announce("startupCompleted()")
    a_bench.announce("startupCompleted()")
    assert heard == ["started"]
    with pytest.raises(ValueError, match="no signal 'nosuch"):
        slicer.app.connect("nosuch()", heard.clear)


def test_a_module_that_fails_to_set_up_leaves_nothing(a_bench: Any, panel_module: Path) -> None:
    panel_module.write_text(panel_module.read_text().replace("util.childWidgetVariables", "util.childWidgetVariable"))
    module = application.load_module(panel_module)
    with pytest.raises(AttributeError, match="childWidgetVariable"):
        application.open_panel(module.name)
    assert module.widget() is None
    assert not hasattr(slicer.modules, "SmallWidget")


def test_installation_is_recorded_and_not_done(a_bench: Any, tmp_path: Path) -> None:
    packaging = slicer.packaging
    (tmp_path / "requirements.txt").write_text("# needed\nnumpy>=1.20\n\nno-such-package-anywhere==9  # really\n-r x\n")
    wanted = packaging.load_requirements(tmp_path / "requirements.txt")
    assert [each.name for each in wanted] == ["numpy", "no-such-package-anywhere"]
    assert packaging.pip_check("numpy>=1.20 pytest")
    assert not packaging.pip_check(["numpy<1"])
    assert not packaging.pip_check(wanted)
    assert packaging.pip_check("no-such-package; sys_platform == 'nowhere'")
    packaging.pip_ensure(wanted, requester="Test")
    slicer.util.pip_install("no-such-package-anywhere --no-deps")
    slicer.util.pip_uninstall("no-such-package-anywhere")
    assert packaging.recorded == [
        ["skipped", "no-such-package-anywhere==9"],
        ["install", "no-such-package-anywhere", "--no-deps"],
        ["uninstall", "--yes", "no-such-package-anywhere"],
    ]


def test_pip_ensure_asks_and_may_be_declined(a_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    application.start(testing=False)
    given: list[list[str]] = []
    slicer.packaging.instead_of_pip = given.append
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: False)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure("no-such-package-anywhere")
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: True)
    slicer.packaging.pip_ensure("no-such-package-anywhere")
    assert given == [["install", "no-such-package-anywhere"]]


def test_sample_data_is_registered_and_loaded_from_a_file(a_scene_with_a_ct: Any, tmp_path: Path) -> None:
    import SampleData

    path = tmp_path / "sample one.nrrd"
    assert slicer.util.saveNode(a_scene_with_a_ct, str(path))
    register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    for _ in range(2):
        register(category="Test", sampleName="One", uris=path.as_uri(), fileNames="one.nrrd", nodeNames="First")
    assert len(SampleData.SampleDataLogic.sampleDataSourcesByCategory("Test")) == 1
    assert SampleData.SampleDataLogic().downloadSample("One").GetName() == "First"
    register(category="Test", sampleName="Far", uris="https://example.org/x.nrrd", fileNames="x.nrrd")
    with pytest.raises(ValueError, match="downloads nothing"):
        SampleData.SampleDataLogic().downloadSample("Far")


def test_translation_takes_its_context_from_the_file(tmp_path: Path, a_bench: Any) -> None:
    from slicer.i18n import getContext, tr, translate

    (tmp_path / "__init__.py").touch()
    (tmp_path / "One.py").touch()
    assert getContext(str(tmp_path / "One.py")) == f"{tmp_path.name}.One"
    assert tr("Apply") == translate("One", "Apply") == "Apply"


def _left(make: Any) -> list[str]:
    """What a snapshot says after something was left behind."""
    before = leaks.Snapshot()
    kept = make()
    found = before.leaks()
    assert leaks.Snapshot().leaks() == []
    del kept
    return found


def test_what_a_test_leaves_behind_is_named(a_bench: Any) -> None:
    def window() -> Any:
        widget = qt.QLabel("forgotten")
        widget.objectName = "ForgottenLabel"
        widget.show()
        return widget

    def on_modified(caller: Any, event: str) -> None:
        """Left on the scene."""

    def timer() -> Any:
        made = qt.QTimer()
        made.start(1000)
        return made

    def process() -> Any:
        made = qt.QProcess()
        made.start(sys.executable, ["-c", "import time; time.sleep(60)"])
        made.waitForStarted(5000)
        return made

    assert "ForgottenLabel" in "".join(_left(window))
    assert "on_modified" in "".join(_left(lambda: slicer.mrmlScene.AddObserver("ModifiedEvent", on_modified)))
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert "vtkMRMLSelectionNode" in "".join(_left(lambda: selection.AddObserver("ModifiedEvent", on_modified)))
    assert "a running timer" in "".join(_left(timer))
    assert "time.sleep(60)" in "".join(_left(process))


def test_errors_in_observers_are_kept(a_bench: Any) -> None:
    def broken(caller: Any, event: str) -> None:
        raise ZeroDivisionError("in an observer")

    before = leaks.Snapshot()
    thing = vtk.vtkObject()
    thing.AddObserver("ModifiedEvent", broken)
    thing.Modified()
    assert "in an observer" in "".join(before.leaks())


def test_system_libraries_are_looked_for_by_loading_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_loads", lambda library: library not in ("libEGL.so.1", "libxcb-cursor.so.0"))
    assert system.missing_packages(on_display=False) == ["libegl1"]
    assert system.missing_packages(on_display=True) == ["libegl1", "libxcb-cursor0"]
    monkeypatch.setattr(system, "can_install", lambda: False)
    monkeypatch.delenv("DISPLAY", raising=False)
    assert system.ensure() == f"System libraries are missing: run  {system.command(['libegl1'])}"
    monkeypatch.undo()
    assert system.missing_packages(on_display=False) == []


@pytest.mark.parametrize("display", [False, True])
def test_the_panel_command_writes_a_screenshot(display: bool, panel_module: Path, tmp_path: Path) -> None:
    import os
    import shutil

    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "QT_QPA_PLATFORM")}
    words = [
        sys.executable,
        "-m",
        "Bench.panel",
        "--module",
        str(panel_module),
        "--screenshot",
        str(tmp_path / "p.png"),
    ]
    if display:
        if not shutil.which("xvfb-run"):
            pytest.skip("xvfb-run is not installed")
        words = ["xvfb-run", "-a", *words]
    begin = time.monotonic()
    done = subprocess.run(words, env=environment, cwd=BENCH, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    from PySide6 import QtGui

    picture = QtGui.QImage(str(tmp_path / "p.png"))
    colours = {picture.pixelColor(x, y).name() for x in range(0, 1280, 16) for y in range(0, 800, 16)}
    assert (picture.width(), picture.height()) == (1280, 800)
    assert len(colours) > 30, "the views are empty"
    print(f"start, panel, picture and end: {time.monotonic() - begin:.2f} s")


def test_the_panel_command_loads_a_volume_into_the_slice_views(a_bench) -> None:
    import slicer
    from Bench import panel

    panel.show(BENCH / "Data" / "lidc-idri-0001-ct.nii.gz")
    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() == volume.GetID()


def test_the_panel_command_refuses_with_a_sentence_what_cannot_be_seen(monkeypatch, capsys, panel_module) -> None:
    from Bench import panel

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(system, "ensure", lambda: None)
    assert panel.main(["--module", str(panel_module)]) == 2
    assert capsys.readouterr().err == "No display: use --screenshot FILE\n"
    assert panel.main(["--load", "no such file.nrrd"]) == 2
    assert capsys.readouterr().err == "No such file: no such file.nrrd\n"
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    assert system.has_display()
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert not system.has_display(), "it would run, and nobody would see it"

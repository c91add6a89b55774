"""Typed parameter nodes: values, limits, references, packs, bindings, and what survives in a saved scene."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated, Any, Optional

import pytest
import qt
import slicer
import vtk
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    FloatRange,
    Maximum,
    Minimum,
    RangeBounds,
    Validator,
    WithinRange,
    findChildWidgetForParameter,
    isParameterNodeWrapper,
    isParameterPack,
    parameterNodeWrapper,
    parameterPack,
)


class Metric(enum.Enum):
    DICE = "dice"
    HAUSDORFF = "hd95"

    def label(self) -> str:
        return self.name.title()


class Even(Validator):
    def validate(self, value: int) -> None:
        if value % 2:
            raise ValueError("odd")


@parameterPack
class Window:
    level: float
    width: Annotated[float, Minimum(1.0), Default(400.0)]


@parameterNodeWrapper
class Parameters:
    name: str = "unnamed"
    steps: Annotated[int, WithinRange(1, 100), Default(10)]
    rate: Annotated[float, Minimum(0.0), Maximum(1.0)]
    pairs: Annotated[int, Even]
    run: bool = True
    folder: pathlib.Path
    metric: Metric
    kind: Annotated[str, Choice(["swin", "unet"]), Default("swin")]
    volume: slicer.vtkMRMLScalarVolumeNode
    volumes: list[slicer.vtkMRMLScalarVolumeNode]
    spacing: tuple[float, float, float] = (1.0, 1.0, 2.0)
    labels: dict[str, int]
    limit: Optional[float]  # noqa: UP045 - both ways of writing it are in use
    either: int | str
    window: Window
    band: Annotated[FloatRange, RangeBounds(-1000, 1000), Default(FloatRange(-100, 250))]


@pytest.fixture
def a_parameter_node(a_bench: Any) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Parameters")


def test_defaults(a_parameter_node: Any) -> None:
    values = Parameters(a_parameter_node)
    assert (values.name, values.steps, values.rate, values.run) == ("unnamed", 10, 0.0, True)
    assert (values.folder, values.metric, values.kind) == (pathlib.Path(), Metric.DICE, "swin")
    assert (values.volume, list(values.volumes), values.spacing, dict(values.labels)) == (None, [], (1.0, 1.0, 2.0), {})
    assert (values.limit, values.either) == (None, 0)
    assert (values.window.level, values.window.width) == (0.0, 400.0)
    assert (values.band.minimum, values.band.maximum) == (-100, 250)
    assert isParameterNodeWrapper(values) and isParameterPack(Window) and not isParameterPack(values)


@pytest.mark.parametrize(
    ("name", "bad", "error"),
    [
        ("name", 3, TypeError),
        ("name", None, ValueError),
        ("steps", 101, ValueError),
        ("steps", 2.5, TypeError),
        ("rate", -0.1, ValueError),
        ("rate", 1.1, ValueError),
        ("rate", "1", TypeError),
        ("pairs", 3, ValueError),
        ("run", 1, TypeError),
        ("folder", "text", TypeError),
        ("metric", "DICE", TypeError),
        ("kind", "vnet", ValueError),
        ("volume", "vtkMRMLScalarVolumeNode1", TypeError),
        ("volumes", [1], TypeError),
        ("volumes", None, ValueError),
        ("spacing", (1.0, 2.0), ValueError),
        ("labels", {"a": "b"}, TypeError),
        ("limit", "x", TypeError),
        ("either", 1.5, TypeError),
        ("window", None, ValueError),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    name: str, bad: Any, error: Any, a_parameter_node: Any
) -> None:
    values = Parameters(a_parameter_node)
    before = repr(getattr(values, name))
    with pytest.raises(error):
        setattr(values, name, bad)
    with pytest.raises(error):
        values.setValue(name, bad)
    assert repr(getattr(values, name)) == before


def test_values_survive_in_a_saved_scene(a_scene_with_a_ct: Any, a_parameter_node: Any, tmp_path: pathlib.Path) -> None:
    values = Parameters(a_parameter_node)
    values.name, values.rate, values.folder, values.metric = "n|1=é", 0.1, tmp_path / "a b", Metric.HAUSDORFF
    values.volume, values.volumes = a_scene_with_a_ct, [a_scene_with_a_ct, None]
    values.labels["liver"] = 1
    values.limit, values.either = 2.5, "text"
    values.window.width = 50.0
    values.band.maximum = 300.5
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    again = Parameters(slicer.util.getNode("Parameters"))
    assert (again.name, again.rate, again.folder, again.metric) == ("n|1=é", 0.1, tmp_path / "a b", Metric.HAUSDORFF)
    assert again.volume.GetName() == "CT"
    assert list(again.volumes) == [again.volume, None]
    assert dict(again.labels) == {"liver": 1}
    assert (again.limit, again.either, again.window.width) == (2.5, "text", 50.0)
    assert again.band == FloatRange(-100, 300.5)


def test_a_removed_node_is_no_longer_referred_to(a_scene_with_a_ct: Any, a_parameter_node: Any) -> None:
    values = Parameters(a_parameter_node)
    values.volume = a_scene_with_a_ct
    slicer.mrmlScene.RemoveNode(a_scene_with_a_ct)
    assert values.volume is None


def test_one_change_is_one_event(a_parameter_node: Any) -> None:
    values, heard = Parameters(a_parameter_node), []
    tag = values.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: heard.append(values.steps))
    values.steps = 20
    values.window = Window(1.0, 2.0)
    with slicer.util.NodeModify(values):
        values.steps = 30
        values.name = "changed"
        values.labels["x"] = 3
    values.RemoveObserver(tag)
    values.steps = 40
    assert heard == [20, 20, 30]


def test_prefixes_keep_two_wrappers_apart(a_parameter_node: Any) -> None:
    first, second = (Parameters(a_parameter_node, prefix=each) for each in ("a.", "b."))
    first.steps = 20
    assert (first.steps, second.steps) == (20, 10)


def test_reserved_and_misspelt_names(a_parameter_node: Any) -> None:
    with pytest.raises(ValueError, match="reserved"):

        @parameterNodeWrapper
        class Clash:
            connectGui: int  # noqa: N815 - the point of it

    values = Parameters(a_parameter_node)
    with pytest.raises(ValueError, match="nosuch"):
        values.getValue("nosuch")
    with pytest.raises(ValueError, match="parameter pack"):
        values.setValue("steps.more", 1)
    assert Parameters.dataType("window.level") is float
    assert values.isCached("steps")


def test_widgets_and_parameters_follow_each_other(a_parameter_node: Any) -> None:
    form = qt.QWidget()
    widgets = {
        "name": qt.QLineEdit(form),
        "steps": qt.QSpinBox(form),
        "rate": qt.QDoubleSpinBox(form),
        "run": qt.QCheckBox(form),
        "metric": qt.QComboBox(form),
        "kind": qt.QComboBox(form),
        "window.level": qt.QDoubleSpinBox(form),
    }
    for name, widget in widgets.items():
        widget.setProperty("SlicerParameterName", name)
    values = Parameters(a_parameter_node)
    tag = values.connectGui(form)
    assert (widgets["steps"].minimum, widgets["steps"].maximum, widgets["steps"].value) == (1, 100, 10)
    assert [widgets["metric"].itemText(i) for i in range(2)] == ["Dice", "Hausdorff"]
    widgets["name"].text = "typed"
    widgets["steps"].value = 7
    widgets["metric"].currentIndex = 1
    widgets["window.level"].value = 12.5
    assert (values.name, values.steps, values.metric, values.window.level) == ("typed", 7, Metric.HAUSDORFF, 12.5)
    values.run, values.kind = False, "unet"
    assert (widgets["run"].checked, widgets["kind"].currentText) == (False, "unet")
    assert findChildWidgetForParameter(form, "steps") is widgets["steps"]
    values.disconnectGui(tag)
    values.steps = 9
    widgets["name"].text = "later"
    assert (widgets["steps"].value, values.name) == (7, "typed")


def test_a_widget_that_cannot_show_a_type_is_refused(a_parameter_node: Any) -> None:
    values, slider, box = Parameters(a_parameter_node), qt.QSlider(), qt.QSpinBox()
    with pytest.raises(RuntimeError, match="both limits"):
        values.connectParametersToGui({"pairs": slider})
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        values.connectParametersToGui({"name": box})
    with pytest.raises(ValueError, match="nosuch"):
        values.connectParametersToGui({"nosuch": box})

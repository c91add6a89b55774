"""A pytest plugin: ``pytest_plugins = ["Bench.fixtures"]``. Fixtures are named as sentences read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Bench import application, leaks


def pytest_addoption(parser: pytest.Parser) -> None:
    """The module whose panel ``an_open_panel`` opens may be named in the ini file."""
    parser.addini("panel_module", "path of the scripted module that an_open_panel opens", default="")


@pytest.fixture
def a_bench() -> Iterator[application.Application]:
    """The running application with an empty scene; what the test leaves behind is an error that names it."""
    app = application.start(testing=True)
    before = leaks.Snapshot()
    modules = set(app.moduleManager().known())
    samples = dict(_samples())
    yield app
    for name in set(app.moduleManager().known()) - modules:
        application.unload_module(name)
    left = before.leaks()
    before.clear_scene()
    _forget(samples)
    if left:
        pytest.fail("The test left behind:\n" + "\n".join(f"- {each}" for each in left), pytrace=False)


def _samples() -> dict[str, list[Any]]:
    import slicer

    return slicer.modules.sampleDataSources


def _forget(samples: dict[str, list[Any]]) -> None:
    """Settings, recorded installations and sample data of one test are nothing to the next."""
    import slicer
    from PySide6 import QtCore

    QtCore.QSettings().clear()
    slicer.packaging.recorded.clear()
    slicer.packaging.instead_of_pip = None
    slicer.modules.sampleDataSources = samples
    slicer.app.commandOptions().isTestingEnabled = True


def ct_array(shape: tuple[int, int, int] = (40, 64, 64)) -> np.ndarray:
    """Hounsfield units ``[k, j, i]`` of a body with a liver, a spleen, a spine and air in a stomach."""
    k, j, i = (np.linspace(-1, 1, size).reshape(place) for size, place in zip(shape, _AXES, strict=True))
    hounsfield = np.full(shape, -1000, np.int16)
    hounsfield[np.broadcast_to((i / 0.9) ** 2 + (j / 0.7) ** 2 < 1, shape)] = 20
    hounsfield[liver(shape)] = 110
    hounsfield[((i - 0.5) / 0.2) ** 2 + ((j - 0.2) / 0.25) ** 2 + ((k - 0.2) / 0.5) ** 2 < 1] = 130
    hounsfield[np.broadcast_to((i / 0.13) ** 2 + ((j - 0.5) / 0.13) ** 2 < 1, shape)] = 400
    hounsfield[((i - 0.2) / 0.2) ** 2 + ((j + 0.35) / 0.15) ** 2 + (k / 0.4) ** 2 < 1] = -900
    return hounsfield


def liver(shape: tuple[int, int, int] = (40, 64, 64)) -> np.ndarray:
    """Where the liver of :func:`ct_array` is."""
    k, j, i = (np.linspace(-1, 1, size).reshape(place) for size, place in zip(shape, _AXES, strict=True))
    return ((i + 0.4) / 0.4) ** 2 + ((j + 0.05) / 0.45) ** 2 + (k / 0.7) ** 2 < 1


_AXES = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))


@pytest.fixture
def a_scene_with_a_ct(a_bench: application.Application) -> Any:
    """A CT volume in the scene, shown in the slice views; its node."""
    import slicer

    node = slicer.util.addVolumeFromArray(ct_array(), name="CT")
    node.SetSpacing(5.0, 5.0, 6.0)
    node.SetOrigin(160.0, 160.0, -120.0)
    matrix = np.diag([-1.0, -1.0, 1.0])
    node.SetIJKToRASDirections(*matrix.ravel())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(400, 50)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


@pytest.fixture
def a_scene_with_a_segmentation(a_scene_with_a_ct: Any) -> Any:
    """A segmentation of one liver over the CT; its node."""
    import slicer

    from Bench import anatomy

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_scene_with_a_ct)
    identity = node.GetSegmentation().AddEmptySegment("liver", "Liver", (0.87, 0.51, 0.4))
    node.GetSegmentation().GetSegment(identity).SetTag("TerminologyEntry", anatomy.tag("Liver"))
    slicer.util.updateSegmentBinaryLabelmapFromArray(liver().astype(np.uint8), node, identity, a_scene_with_a_ct)
    return node


@pytest.fixture
def panel_module(pytestconfig: pytest.Config) -> Path:
    """Path of the module that ``an_open_panel`` opens: from the ini file, or from a fixture of the same name."""
    named = pytestconfig.getini("panel_module")
    if not named:
        pytest.fail("an_open_panel needs a fixture 'panel_module' that returns the path of a scripted module")
    return Path(pytestconfig.rootpath) / named


@pytest.fixture
def an_open_panel(a_bench: application.Application, panel_module: Path) -> Any:
    """The Python object (``NameWidget``) of the module's panel, opened as Slicer opens it."""
    return application.open_panel(application.load_module(panel_module).name)

"""Tests of the bench itself: it knows nothing of any extension, and neither do they."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))
pytest_plugins = ["Bench.fixtures"]

from Bench import application  # noqa: E402 - only now can it be found

# Test files import qt and slicer at their top, as modules of Slicer do.
application.start(testing=True)

#: A small module with all that panels usually have: a .ui file, a parameter node with bindings, observers, a timer.
MODULE = """
import qt, slicer, vtk
from slicer.ScriptedLoadableModule import *
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.util import VTKObservationMixin
from typing import Annotated


@parameterNodeWrapper
class SmallParameters:
    volume: slicer.vtkMRMLScalarVolumeNode
    threshold: Annotated[int, WithinRange(-100, 100)] = 10
    invert: bool = False


class Small(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Small")
        self.parent.categories = ["Testing"]


class SmallWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.closings = 0
        self.entered = 0

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.root = slicer.util.loadUI(self.resourcePath("UI/Small.ui"))
        self.layout.addWidget(self.root)
        self.ui = slicer.util.childWidgetVariables(self.root)
        self.root.setMRMLScene(slicer.mrmlScene)
        self.logic = ScriptedLoadableModuleLogic()
        self.logic.moduleName = "Small"
        self.parameters = SmallParameters(self.logic.getParameterNode())
        self.binding = self.parameters.connectGui(self.root)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.timer = qt.QTimer()
        self.timer.setInterval(1000)
        self.timer.connect("timeout()", self.onTimeout)
        self.timer.start()

    def enter(self):
        self.entered += 1

    def exit(self):
        self.entered -= 1

    def onSceneStartClose(self, caller, event):
        self.closings += 1

    def onApply(self, checked):
        self.ui.resultLabel.text = f"{self.parameters.threshold} {self.parameters.invert}"

    def onTimeout(self):
        pass

    def cleanup(self):
        self.timer.stop()
        # In PythonQt too, a timer that calls its owner keeps it alive for ever.
        self.timer.disconnect("timeout()", self.onTimeout)
        self.parameters.disconnectGui(self.binding)
        self.removeObservers()
"""
UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Small</class><widget class="qMRMLWidget" name="Small"><layout class="QFormLayout" name="form">
<item row="0" column="0"><widget class="QLabel" name="label"><property name="text"><string>Volume</string></property>
</widget></item>
<item row="0" column="1"><widget class="qMRMLNodeComboBox" name="volumeSelector">
<property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
<property name="noneEnabled"><bool>true</bool></property>
<property name="SlicerParameterName" stdset="0"><string>volume</string></property></widget></item>
<item row="1" column="1"><widget class="QSpinBox" name="thresholdBox">
<property name="SlicerParameterName" stdset="0"><string>threshold</string></property></widget></item>
<item row="2" column="1"><widget class="QCheckBox" name="invertBox">
<property name="text"><string>Invert</string></property>
<property name="SlicerParameterName" stdset="0"><string>invert</string></property></widget></item>
<item row="3" column="1"><widget class="QPushButton" name="applyButton"><property name="text"><string>Apply</string>
</property></widget></item>
<item row="4" column="1"><widget class="QLabel" name="resultLabel"/></item>
</layout></widget>
<customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header>
<container>1</container></customwidget><customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends>
<header>qMRMLNodeComboBox.h</header></customwidget></customwidgets>
<resources/><connections>
<connection><sender>Small</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal><receiver>volumeSelector</receiver>
<slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>
"""


@pytest.fixture
def panel_module(tmp_path: Path) -> Path:
    """A small scripted module, made here."""
    folder = tmp_path / "Small"
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "Small.py").write_text(MODULE)
    (folder / "Resources" / "UI" / "Small.ui").write_text(UI)
    return folder / "Small.py"

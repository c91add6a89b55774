"""SwinSSL for 3D Slicer: self-supervised pre-training on CT, fine-tuning, and abdominal organ segmentation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# Slicer puts a module's folder on the path only for installed extensions.
if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from SwinSSLPanel import engine, sampleData

engine.makeEngineImportable()

from SwinSSLPanel import terminology  # noqa: E402
from SwinSSLPanel.allSections import SECTIONS  # noqa: E402
from SwinSSLPanel.context import PanelContext  # noqa: E402 - it needs the engine
from SwinSSLPanel.parameters import SwinSSLParameters  # noqa: E402


class SwinSSL(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SwinSSL")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["SwinSSL contributors"]
        parent.helpText = _(
            "Pre-trains a Swin UNETR on unlabelled CT (inpainting, contrast and rotation), fine-tunes it on a few "
            "labelled cases, and segments 13 abdominal organs. Research only; not a medical device."
        )
        parent.acknowledgementText = _(
            "Method: Tang Y. et al., Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis, "
            "CVPR 2022. Built on MONAI and PyTorch."
        )
        slicer.app.connect("startupCompleted()", sampleData.register)
        slicer.app.connect("startupCompleted()", terminology.register)


class SwinSSLWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: five sections, top to bottom as the work flows."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.context: PanelContext | None = None
        self.sections: list[Any] = []
        self._binding: Any = None

    def setup(self) -> None:
        """Build the panel; nothing is installed and nothing heavy is imported."""
        ScriptedLoadableModuleWidget.setup(self)
        root = slicer.util.loadUI(self.resourcePath("UI/SwinSSL.ui"))
        self.layout.addWidget(root)
        self.ui = slicer.util.childWidgetVariables(root)
        self.root = root
        self.ui.oldSlicerLabel.visible = slicerIsTooOld()
        self.logic = SwinSSLLogic()
        self.context = PanelContext(self.resourcePath, self.logic.getParameters())
        for kind in SECTIONS:
            section = kind(self.context)
            button = getattr(self.ui, f"{section.name}Button")
            button.layout().addWidget(section.root)
            button.connect("contentsCollapsed(bool)", lambda isIt, one=section: None if isIt else one.onExpanded())
            section.root.setMRMLScene(slicer.mrmlScene)
            self.sections.append(section)
        root.setMRMLScene(slicer.mrmlScene)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndClose)
        self._bind()

    def cleanup(self) -> None:
        """Called when the application closes and before the module is reloaded."""
        self._unbind()
        for section in self.sections:
            section.close()
        self.sections = []
        if self.context is not None:
            self.context.close()
        self.removeObservers()

    def enter(self) -> None:
        """The user comes to this module."""
        for section in self.sections:
            section.enter()

    def exit(self) -> None:
        """The user goes to another module; jobs go on."""
        for section in self.sections:
            section.exit()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The scene goes away: let go of its nodes."""
        self._unbind()
        for section in self.sections:
            section.onSceneClosing()

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """A new scene is there."""
        self._unbind()
        self.context.parameters = self.logic.getParameters()
        self._bind()
        for section in self.sections:
            section.onSceneReady()

    def _bind(self) -> None:
        self._binding = self.context.parameters.connectGui(self.root)

    def _unbind(self) -> None:
        if self._binding is not None:
            self.context.parameters.disconnectGui(self._binding)
            self._binding = None


class SwinSSLLogic(ScriptedLoadableModuleLogic):
    """What scripts may use without the panel."""

    def getParameters(self) -> SwinSSLParameters:
        """The parameters of the panel in this scene."""
        return SwinSSLParameters(self.getParameterNode())


def slicerIsTooOld() -> bool:
    """Whether this Slicer is older than what is supported."""
    return (slicer.app.majorVersion, slicer.app.minorVersion) < engine.OLDEST_SLICER


class SwinSSLTest(ScriptedLoadableModuleTest):
    """The test that Slicer runs: the panel opens and its sections are there."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        self.setUp()
        self.testPanelOpens()

    def testPanelOpens(self) -> None:
        """All sections are there, and opening the panel has started nothing."""
        widget = slicer.modules.swinssl.widgetRepresentation().self()
        assert [section.name for section in widget.sections] == [kind.name for kind in SECTIONS]
        assert not widget.context.runner.running
        assert isinstance(widget.ui.setupButton, ctk.ctkCollapsibleButton)
        assert qt.QApplication.instance() is not None

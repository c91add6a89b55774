# ruff: noqa: N803 - the names are those of Slicer
"""``slicer.ScriptedLoadableModule``: the four base classes of a scripted module."""

from __future__ import annotations

import importlib
import logging
import unittest
from pathlib import Path
from typing import Any

import qt
import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


def _without(name: str, ending: str) -> str:
    return name.removesuffix(ending)


class ScriptedLoadableModule:
    """What Slicer knows of a module before its panel is opened."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        icons = Path(parent.path).parent / "Resources" / "Icons"
        for picture in (icons / f"{self.moduleName}.svg", icons / f"{self.moduleName}.png"):
            if picture.is_file():
                parent.icon = qt.QIcon(str(picture))
                break
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        """Path of a file under ``Resources``."""
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """A paragraph that links to the documentation."""
        documentation = slicer.app.moduleDocumentationUrl(self.moduleName)
        url = slicer.app.documentationBaseUrl + docPage if docPage else documentation
        return f'<p>For more information, see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        """Run the module's own test class.

        Raises:
            AssertionError: it has none.
        """
        module = importlib.import_module(self.__module__)
        kind = getattr(module, f"{self.moduleName}Test", None)
        if kind is None:
            raise AssertionError(f"Test case class not found: {self.__module__}.{self.moduleName}Test")
        case = kind()
        case.messageDelay = msec
        case.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel; ``setup`` fills ``self.layout``."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = _without(type(self).__name__, "Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        self.parent = parent
        if parent is None:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        """Path of a file under ``Resources``."""
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """Fill the panel; subclasses call this first."""
        if self.developerMode:
            self.reloadButton = qt.QPushButton("Reload")
            self.reloadButton.toolTip = "Reload this module."
            self.reloadButton.connect("clicked()", self.onReload)
            self.layout.addWidget(self.reloadButton)

    def cleanup(self) -> None:
        """Called before the panel is deleted."""

    def onReload(self) -> None:
        """Load the module's file again."""
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            self.stop_listening()

    def stop_listening(self) -> None:
        """Hear no more of modules that are unloaded: this panel is gone, or was never finished."""
        slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """Computation, and the node that holds its parameters."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = _without(type(self).__name__, "Logic")
        self.isSingletonParameterNode = True

    def getAllParameterNodes(self) -> list[Any]:
        """All parameter nodes of this module in the scene."""
        found = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in found if node.GetAttribute("ModuleName") == self.moduleName]

    def getParameterNode(self) -> Any:
        """The parameter node; made on first use."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None:
                # Closing a scene resets singletons, and with them this attribute.
                if node.GetAttribute("ModuleName") != self.moduleName:
                    node.SetAttribute("ModuleName", self.moduleName)
                return node
        elif nodes := self.getAllParameterNodes():
            return nodes[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def createParameterNode(self) -> Any:
        """A parameter node that is in no scene yet."""
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's own tests."""

    def __init__(self, methodName: str = "runTest", *args: Any, **kwargs: Any) -> None:
        super().__init__(methodName, *args, **kwargs)
        # TestCase does not go on to the next class, which may be a mixin.
        super(unittest.TestCase, self).__init__()
        self.messageDelay = 0
        self.enableScreenshots = False

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        """Say what the test does; here in the log."""
        logging.info(message)
        slicer.app.processEvents()

    def takeScreenshot(self, name: str, description: str, type: int = -1) -> None:
        """Screenshots of module tests go nowhere here."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def tearDown(self) -> None:
        """Nothing to undo."""

    def runTest(self) -> None:
        """Run all methods called test_*."""
        for name in sorted(each for each in dir(self) if each.startswith("test_")):
            getattr(self, name)()

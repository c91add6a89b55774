# ruff: noqa: N815 - the names are those of Slicer
"""``slicer.modules`` and the module manager: real logics of loadable modules, and scripted modules from their files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from Bench.standin import StandIn


class Modules:
    """``slicer.modules``: an attribute for each module, in lower case, and ``NameWidget`` for each open panel."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"slicer.modules has no '{name}': no such module is loaded in the bench")


class LoadableModule:
    """A module of Slicer that is written in C++: here only its logic."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = self.title = name
        self.path = slicer.__file__
        self._logic = logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> Any:
        raise NotImplementedError(f"The panel of the {self.name} module is C++; the bench has only its logic")


class ScriptedModule:
    """A scripted module: what Slicer makes of a ``.py`` file whose class has its name."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.name = self.title = path.stem
        self.categories: list[str] = []
        self.dependencies: list[str] = []
        self.contributors: list[str] = []
        self.associatedNodeTypes: list[str] = []
        self.helpText = self.acknowledgementText = ""
        self.hidden = False
        self.widgetRepresentationCreationEnabled = True
        self.icon = QtGui.QIcon()
        self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
        self._root: Any = None
        folder = str(path.parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        spec = importlib.util.spec_from_file_location(self.name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"Not a Python file: {path}")
        self.python = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = self.python
        spec.loader.exec_module(self.python)
        self.instance = getattr(self.python, self.name)(self)

    # ``parent.title = ...`` and ``setTitle`` are both in use.
    def setTitle(self, title: str) -> None:
        self.title = title

    def logic(self) -> Any:
        if self._logic.GetMRMLScene() is None:
            self._logic.SetMRMLScene(slicer.mrmlScene)
        return self._logic

    def widgetRepresentation(self) -> Any:
        """The panel; the first call makes it."""
        if self._root is None:
            self._root = self.createNewWidgetRepresentation()
        return self._root

    def createNewWidgetRepresentation(self) -> Any:
        """Another panel of the same module."""
        root, widget = panel_root(self.name), None
        try:
            widget = getattr(self.python, f"{self.name}Widget")(root)
            root.hold(widget)
            setattr(slicer.modules, f"{self.name}Widget", widget)
            widget.setup()
        except BaseException:
            if hasattr(widget, "stop_listening"):
                widget.stop_listening()
            self.forget(root)
            raise
        return root

    def close(self) -> None:
        """Unload the panel as Slicer does: exit, cleanup, deletion."""
        root, self._root = self._root, None
        if root is not None:
            leave(root)
            slicer.app.moduleManager().announce_unloading(self.name)
            self.forget(root)

    def forget(self, root: Any) -> None:
        """Delete a panel with all that was made for it."""
        root.hold(None)
        slicer.modules.__dict__.pop(f"{self.name}Widget", None)
        root.hide()
        root.deleteLater()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)

    def widget(self) -> Any:
        """The Python object of the open panel, or None."""
        return self._root.self() if self._root is not None else None


def panel_class() -> type:
    """The class of the empty widget that a panel fills; it can be made only when ``slicer.qMRMLWidget`` is there."""

    class PanelRoot(slicer.qMRMLWidget):
        held: Any = None
        entered = False

        def hold(self, widget: Any) -> None:
            self.held = widget

        def self(self) -> Any:
            return self.held

    PanelRoot.__name__ = "qSlicerScriptedLoadableModuleWidget"
    return PanelRoot


def panel_root(name: str) -> Any:
    """An empty panel with a vertical layout, in the scene."""
    root = slicer.qSlicerScriptedLoadableModuleWidget()
    root.setObjectName(f"{name}Panel")
    QtWidgets.QVBoxLayout(root)
    root.setMRMLScene(slicer.mrmlScene)
    return root


def enter(root: Any) -> None:
    """Tell a panel that the user has come to it."""
    if not root.entered:
        root.entered = True
        if hasattr(root.held, "enter"):
            root.held.enter()


def leave(root: Any) -> None:
    """Tell a panel that the user has gone."""
    if root.entered:
        root.entered = False
        if hasattr(root.held, "exit"):
            root.held.exit()


class ModuleManager(StandIn, QtCore.QObject):
    """``slicer.app.moduleManager()``."""

    _properties_ = ""
    _signals_ = "moduleLoaded(QString); moduleAboutToBeUnloaded(QString); moduleUnloaded(QString)"
    _slots_ = ""
    _invokables_ = "module(QString); modulesNames(); loadedModulesNames(); factoryManager(); isLoaded(QString)"

    def module(self, name: str) -> Any:
        return self.known().get(name)

    def known(self) -> dict[str, Any]:
        """Modules by name."""
        everything = slicer.modules.__dict__.values()
        return {one.name: one for one in everything if isinstance(one, LoadableModule | ScriptedModule)}

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self.known())

    loadedModulesNames = modulesNames
    loadedModuleNames = modulesNames

    def isLoaded(self, name: str) -> bool:
        return name in self.known()

    def factoryManager(self) -> Any:
        return _FactoryManager(self)

    def announce_unloading(self, name: str) -> None:
        """Panels listen, to clean up."""
        self.moduleAboutToBeUnloaded.emit(name)


class _FactoryManager:
    def __init__(self, manager: ModuleManager) -> None:
        self._manager = manager

    def loadedModuleNames(self) -> tuple[str, ...]:
        return self._manager.modulesNames()

    registeredModuleNames = instantiatedModuleNames = loadedModuleNames

    def isLoaded(self, name: str) -> bool:
        return self._manager.isLoaded(name)

# ruff: noqa: N815 - the names are those of Slicer
"""``slicer.app`` and what surrounds it: started once in a process, as Slicer is."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
import slicer_core
from PySide6 import QtCore, QtWidgets

from Bench import ctk, mrmlwidgets, pythonqt
from Bench.charts import qMRMLPlotWidget, qMRMLTableWidget
from Bench.io import IOManager
from Bench.layouts import LayoutManager
from Bench.modules import LoadableModule, ModuleManager, Modules, ScriptedModule, enter, leave, panel_class
from Bench.scene import Scene
from Bench.views import qMRMLSliceWidget, qMRMLThreeDWidget

HERE = Path(__file__).parent
#: Reads an attribute as module code does: with PythonQt's manners.
_ask: Callable[[Any, str], Any] = eval("lambda thing, name: getattr(thing, name)", {"__name__": "slicer.app"})
#: Signals of the application that modules listen to.
_SIGNALS = ("startupCompleted()", "aboutToQuit()", "mrmlSceneChanged(vtkMRMLScene*)", "lastWindowClosed()")
#: What the wheel's own ``slicer/__init__.py`` leaves behind.
_SPILLED = ("me", "info", "item_name", "extend_path", "import_module", "iter_modules")


class CommandOptions:
    """``slicer.app.commandOptions()``."""

    def __init__(self, testing: bool) -> None:
        self.isTestingEnabled = testing
        self.runPythonAndExit = self.noMainWindow = False


class ExtensionsManager:
    """``slicer.app.extensionsManagerModel()``: nothing is installed, and nothing is installed."""

    installedExtensions: tuple[str, ...] = ()
    interactive = False

    def isExtensionInstalled(self, name: str) -> bool:
        return False

    def installExtensionFromServer(self, *_: Any) -> bool:
        logging.warning("The bench installs no extensions")
        return False


class Application:
    """``slicer.app``; what is not here is asked of the real ``QApplication``."""

    applicationName = mainApplicationName = "Slicer"
    mainApplicationDisplayName = "3D Slicer"
    applicationVersion = "5.13.0-bench"
    majorVersion, minorVersion = 5, 13
    mainApplicationMajorVersion, mainApplicationMinorVersion = 5, 13
    revision = mainApplicationRevision = repositoryRevision = "31053"
    releaseType = "Experimental"
    isInstalled = isCustomMainApplication = False
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"
    documentationVersion = "latest"
    intDir = ""

    def __init__(self, testing: bool) -> None:
        self._keep = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        self.temporaryPath = self.slicerHome = self.defaultScenePath = self._keep.name
        self.slicerSharePath = str(Path(self._keep.name) / "share")
        self.cachePath = str(Path(self._keep.name) / "cache")
        self.extensionsInstallPath = str(Path(self._keep.name) / "extensions")
        self.os, self.arch = platform.system().lower(), platform.machine()
        self.platform = f"{self.os}-{self.arch}"
        self._qt = pythonqt.application()
        self._settings_of_its_own()
        self._options = CommandOptions(testing)
        self._scene = Scene(self._keep.name)
        self._io = IOManager(self._scene.node, self._scene.logics, self._scene.application_logic)
        self._layouts = LayoutManager(self._scene.node, self._scene.application_logic)
        self._manager = ModuleManager()
        self._environment = QtCore.QProcessEnvironment.systemEnvironment()
        self._listeners: dict[str, list[Callable]] = {name: [] for name in _SIGNALS}
        self.window: MainWindow | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _ask(self._qt, name)

    def _settings_of_its_own(self) -> None:
        """Neither read nor change the settings of whoever runs the bench."""
        self._qt.setOrganizationName("NA-MIC")
        self._qt.setApplicationName("Slicer")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
            QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, self.temporaryPath)

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    userSettings = revisionUserSettings = defaultSettings = settings

    @property
    def slicerUserSettingsFilePath(self) -> str:
        return QtCore.QSettings().fileName()

    slicerRevisionUserSettingsFilePath = slicerUserSettingsFilePath

    def mrmlScene(self) -> Any:
        return self._scene.node

    def applicationLogic(self) -> Any:
        return self._scene.application_logic

    def moduleLogic(self, name: str) -> Any:
        return self._scene.logics.get(name)

    def coreIOManager(self) -> IOManager:
        return self._io

    ioManager = coreIOManager

    def layoutManager(self) -> LayoutManager:
        return self._layouts

    def moduleManager(self) -> ModuleManager:
        return self._manager

    def commandOptions(self) -> CommandOptions:
        return self._options

    def extensionsManagerModel(self) -> ExtensionsManager:
        return ExtensionsManager()

    def testingEnabled(self) -> bool:
        return self._options.isTestingEnabled

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment(self._environment)

    environment = startupEnvironment

    def setRenderPaused(self, pause: bool) -> None:
        self._layouts.setRenderPaused(pause)

    def pauseRender(self) -> None:
        self._layouts.pauseRender()

    def resumeRender(self) -> None:
        self._layouts.resumeRender()

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def connect(self, signal: str, receiver: Callable) -> bool:
        """Listen to a signal of the application, by its full name."""
        if signal.replace(" ", "") not in self._listeners:
            raise ValueError(f"slicer.app has no signal '{signal}'; the bench knows {', '.join(_SIGNALS)}")
        self._listeners[signal.replace(" ", "")].append(receiver)
        return True

    def disconnect(self, signal: str, receiver: Callable) -> bool:
        """Listen no more."""
        known = self._listeners.get(signal.replace(" ", ""), [])
        if receiver in known:
            known.remove(receiver)
            return True
        return False

    def announce(self, signal: str, *arguments: Any) -> None:
        """Call those who listen; ``startupCompleted()`` comes once."""
        receivers = list(self._listeners[signal])
        if signal == "startupCompleted()":
            self._listeners[signal].clear()
        for receiver in receivers:
            receiver(*arguments)

    def main_window(self) -> MainWindow:
        """The main window, made on first use; tests of panels mostly do without."""
        if self.window is None:
            self.window = MainWindow(self._layouts)
        return self.window

    def logics(self) -> dict[str, Any]:
        """Real logics by module name."""
        return self._scene.logics

    def clear_scene(self) -> None:
        """Close the scene and forget what only tests would notice."""
        self._scene.clear()
        self._layouts.reset()


class MainWindow(QtWidgets.QMainWindow):
    """A panel at the left, views at the right."""

    def __init__(self, layouts: LayoutManager) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer bench")
        self.panel = QtWidgets.QScrollArea()
        self.panel.setObjectName("PanelScrollArea")
        self.panel.setWidgetResizable(True)
        self.panel.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.panel.setMinimumWidth(420)
        split = QtWidgets.QSplitter()
        split.addWidget(self.panel)
        split.addWidget(layouts.port)
        split.setStretchFactor(1, 1)
        self.setCentralWidget(split)
        self.resize(1280, 800)

    def show_panel(self, root: QtWidgets.QWidget) -> None:
        """Put a panel into its place, without deleting the one before."""
        old = self.panel.takeWidget()
        if old is not None and old is not root:
            leave(old)
            old.setParent(None)
        self.panel.setWidget(root)
        # There is no horizontal scroll bar: the panel is as wide as its content needs.
        self.panel.setMinimumWidth(max(420, root.minimumSizeHint().width() + 24))
        root.show()

    def moduleSelector(self) -> Any:
        return self

    def selectModule(self, name: str) -> None:
        open_panel(name, window=True)


def start(testing: bool = True) -> Application:
    """Start the application, once; later calls return the same one."""
    if isinstance(getattr(slicer, "app", None), Application):
        slicer.app.commandOptions().isTestingEnabled = testing
        return slicer.app
    pythonqt.install()
    ctk.install()
    _tidy_namespace()
    slicer.modules = Modules()
    mrmlwidgets.install(slicer)
    for kind in (qMRMLSliceWidget, qMRMLThreeDWidget, qMRMLPlotWidget, qMRMLTableWidget):
        setattr(slicer, kind.__name__, kind)
    # slicer.util tells modules apart by these names.
    slicer.qSlicerScriptedLoadableModule, slicer.qSlicerLoadableModule = ScriptedModule, LoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = panel_class()
    slicer.selfTests = {}
    slicer.app = Application(testing)
    slicer.mrmlScene = slicer.app.mrmlScene()
    for name, logic in slicer.app.logics().items():
        setattr(slicer.modules, name.lower(), LoadableModule(name, logic))
    _own_modules()
    return slicer.app


def _tidy_namespace() -> None:
    """Take away what the wheel puts into ``slicer`` and Slicer does not: a wrong call must fail here too."""
    util = importlib.import_module("slicer.util")
    keep = {"util", "slicer_core"}
    for name, value in list(vars(slicer).items()):
        if name in keep or name.startswith("__"):
            continue
        spilled = name in vars(util) and vars(util)[name] is value
        if spilled or isinstance(value, ModuleType) or name in _SPILLED:
            delattr(slicer, name)
    for name, value in vars(slicer_core).items():
        if isinstance(value, ModuleType):
            # Slicer has the wrapped libraries at top level, under these two names.
            sys.modules.setdefault(name, value)
            sys.modules.setdefault(f"{name}Python", value)
    if "slicer_core" in vars(slicer):
        del slicer.slicer_core


def _own_modules() -> None:
    """Let ``import slicer.parameterNodeWrapper`` and its like find the bench's own, under Slicer's names."""
    folder = str(HERE / "scripted")
    if folder not in slicer.__path__:
        slicer.__path__.append(folder)
    for name in ("i18n", "ScriptedLoadableModule", "packaging", "parameterNodeWrapper"):
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
    spec = importlib.util.spec_from_file_location("SampleData", HERE / "scripted" / "samples" / "SampleData.py")
    assert spec is not None and spec.loader is not None
    sample = importlib.util.module_from_spec(spec)
    sys.modules["SampleData"] = sample
    spec.loader.exec_module(sample)
    slicer.modules.sampledata = LoadableModule("SampleData", None)


def load_module(path: str | Path) -> ScriptedModule:
    """Load a scripted module from its file, or from the folder that has its name."""
    path = Path(path).resolve()
    if path.is_dir():
        path = path / f"{path.name}.py"
    loaded = slicer.app.moduleManager().module(path.stem)
    if isinstance(loaded, ScriptedModule):
        return loaded
    module = ScriptedModule(path)
    setattr(slicer.modules, module.name.lower(), module)
    slicer.app.announce("startupCompleted()")
    return module


def unload_module(name: str) -> None:
    """Forget a scripted module, panel and all."""
    module = slicer.app.moduleManager().module(name)
    if isinstance(module, ScriptedModule):
        module.close()
        slicer.modules.__dict__.pop(name.lower(), None)
        slicer.selfTests.pop(name, None)
        sys.modules.pop(name, None)


def open_panel(name: str, window: bool = False) -> Any:
    """Open the panel of a loaded module and return its Python object (``NameWidget``)."""
    module = slicer.app.moduleManager().module(name)
    if not isinstance(module, ScriptedModule):
        raise ValueError(f"No scripted module '{name}' is loaded: call load_module first")
    root = module.widgetRepresentation()
    if window:
        slicer.app.main_window().show_panel(root)
    enter(root)
    return root.self()


def close_panel(name: str) -> None:
    """Close the panel of a module, and delete it."""
    module = slicer.app.moduleManager().module(name)
    if isinstance(module, ScriptedModule):
        module.close()

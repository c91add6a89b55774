"""What a test leaves behind: widgets, observers, timers, processes, and errors that nobody saw."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

import shiboken6
import slicer
from PySide6 import QtCore, QtWidgets

#: Observers of the bench itself, which live as long as the views and the scene.
_OWN = ("Bench.canvas", "Bench.layouts", "Bench.scene", "Bench.charts", "Bench.views", "Bench.bars")


class Watch:
    """Records who observes the scene and the nodes that outlive a test. VTK itself cannot say whose an observer is."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, int], tuple[Any, str]] = {}
        self._watched: dict[int, Any] = {}

    def watch(self, thing: Any) -> None:
        """Record the observers of one object from now on."""
        if id(thing) in self._watched:
            return
        self._watched[id(thing)] = thing
        add, remove = thing.AddObserver, thing.RemoveObserver

        def add_observer(event: Any, callback: Any, *more: Any) -> int:
            tag = add(event, callback, *more)
            if getattr(callback, "__module__", "") not in _OWN:
                where = f"{getattr(callback, '__module__', '?')}.{getattr(callback, '__qualname__', callback)}"
                self.made[(id(thing), tag)] = (thing, where)
            return tag

        def remove_observer(tag: int) -> None:
            self.made.pop((id(thing), tag), None)
            remove(tag)

        # VTK's classes cannot be changed, their instances can.
        thing.AddObserver, thing.RemoveObserver = add_observer, remove_observer

    def of(self, thing: Any) -> list[str]:
        """Who observes an object now."""
        return [where for (identity, _), (_, where) in self.made.items() if identity == id(thing)]


_watch = Watch()
watch, observers_of = _watch.watch, _watch.of


def _loose_widgets() -> dict[int, QtWidgets.QWidget]:
    """Windows without parent, but for those of the application itself."""
    app = slicer.app
    own = (app.window, app.layoutManager().port)
    every = QtWidgets.QApplication.topLevelWidgets()
    return {shiboken6.getCppPointer(one)[0]: one for one in every if one.parent() is None and one not in own}


def _all(kind: type) -> list[Any]:
    found = (one for one in gc.get_objects() if type.__instancecheck__(kind, one))
    return [one for one in found if shiboken6.isValid(one)]


def _timers() -> dict[int, QtCore.QTimer]:
    return {id(one): one for one in _all(QtCore.QTimer) if one.isActive()}


def _processes() -> dict[int, QtCore.QProcess]:
    running = QtCore.QProcess.ProcessState.NotRunning
    return {id(one): one for one in _all(QtCore.QProcess) if one.state() != running}


def settle() -> None:
    """Let Qt and Python finish what they are about to delete."""
    for _ in range(2):
        gc.collect()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        QtCore.QCoreApplication.processEvents()


class Snapshot:
    """The state before a test; :meth:`leaks` says what has come since, and takes it away."""

    def __init__(self) -> None:
        settle()
        scene = slicer.mrmlScene
        _watch.watch(scene)
        self.nodes = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
        for identity in self.nodes:
            node = scene.GetNodeByID(identity)
            if not node.IsA("vtkMRMLColorNode"):
                _watch.watch(node)
        self._observers = set(_watch.made)
        self._widgets, self._timers, self._processes = set(_loose_widgets()), set(_timers()), set(_processes())
        self.errors: list[str] = []
        self._hook = sys.excepthook
        sys.excepthook = self._heard

    def _heard(self, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        """VTK and Qt print what goes wrong in a callback and go on; here it is kept."""
        self.errors.append("".join(traceback.format_exception(kind, error, where)).strip())

    def leaks(self) -> list[str]:
        """One sentence for each thing left behind; afterwards it is gone."""
        sys.excepthook = self._hook
        settle()
        found = [f"an error in a slot or observer: {text}" for text in self.errors]
        found += self._each(_processes(), self._processes, self._stop)
        found += self._each(_timers(), self._timers, lambda timer: timer.stop() or f"a running timer: {timer}")
        found += self._each(_loose_widgets(), self._widgets, self._drop)
        for key in set(_watch.made) - self._observers:
            thing, where = _watch.made[key]
            thing.RemoveObserver(key[1])
            found.append(f"an observer of {thing.GetClassName()}: {where}")
        settle()
        return found

    @staticmethod
    def _each(now: dict[int, Any], before: set[int], end: Callable[[Any], str]) -> list[str]:
        return [end(one) for key, one in now.items() if key not in before]

    @staticmethod
    def _stop(process: QtCore.QProcess) -> str:
        name = f"a running process: {process.program()} {' '.join(process.arguments())}"
        process.kill()
        process.waitForFinished(2000)
        return name

    @staticmethod
    def _drop(widget: QtWidgets.QWidget) -> str:
        name = f"a window: {type(widget).__name__} '{widget.objectName() or widget.windowTitle()}'"
        widget.hide()
        widget.deleteLater()
        return name

    def clear_scene(self) -> None:
        """Close the scene, and remove the singletons that closing would keep. Views stay, as in Slicer."""
        slicer.app.clear_scene()
        scene = slicer.mrmlScene
        stay = ("vtkMRMLAbstractViewNode", "vtkMRMLSliceCompositeNode", "vtkMRMLSliceDisplayNode", "vtkMRMLColorNode")
        nodes = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        for node in nodes:
            if node.GetID() not in self.nodes and node.GetSingletonTag() and not any(map(node.IsA, stay)):
                scene.RemoveNode(node)

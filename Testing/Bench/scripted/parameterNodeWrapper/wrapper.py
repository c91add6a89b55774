# ruff: noqa: N803, N815 - the names are those of Slicer
"""The wrapper: a class of typed parameters over a ``vtkMRMLScriptedModuleNode``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from .guiConnectors import GuiConnector, createGuiConnector, packWidgets
from .parameterPack import ParameterInfo, members, reserve, split, type_of
from .rules import Decimals, Label, SingleStep, sort_notes, splitAnnotations

__all__ = [
    "SlicerParameterNamePropertyName",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Wrapper:
    """What every wrapper can do; its methods are given to the decorated class."""

    allParameters: dict[str, ParameterInfo]
    parameterNode: Any

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._guis: dict[int, dict[str, GuiConnector]] = {}
        self._guiVtkObserverTags: dict[int, int] = {}
        self._nextGui = 0
        self._updating = False
        with slicer.util.NodeModify(parameterNode):
            for info in self.allParameters.values():
                self._ensure(info)

    def _ensure(self, info: ParameterInfo) -> str:
        """Name of a parameter in the node; a missing value becomes the default."""
        name = self._prefix + info.basename
        if not info.serializer.isIn(self.parameterNode, name):
            info.serializer.write(self.parameterNode, name, info.default.value)
        return name

    def _read(self, basename: str) -> Any:
        info = self.allParameters[basename]
        return info.serializer.read(self.parameterNode, self._ensure(info))

    def _write(self, basename: str, value: Any) -> None:
        info = self.allParameters[basename]
        with slicer.util.NodeModify(self.parameterNode):
            info.serializer.write(self.parameterNode, self._prefix + basename, value)

    def default(self, paramName: str) -> Any:
        """The :class:`Default` of a parameter."""
        type_of(self.allParameters, paramName)
        return self.allParameters[paramName].default

    def isCached(self, paramName: str) -> bool:
        """Whether Slicer would keep the value between reads; the bench reads the node each time."""
        type_of(self.allParameters, paramName)
        return self.allParameters[paramName].serializer.supportsCaching()

    def getValue(self, name: str) -> Any:
        """A parameter by name; ``pack.member`` reaches into packs."""
        type_of(self.allParameters, name)
        first, rest = split(name)
        value = self._read(first)
        return value.getValue(rest) if rest else value

    def setValue(self, name: str, value: Any) -> None:
        """Set a parameter by name."""
        type_of(self.allParameters, name)
        first, rest = split(name)
        if rest:
            self._read(first).setValue(rest, value)
        else:
            self._write(first, value)

    def connectGui(self, gui: Any) -> int:
        """Bind all widgets that carry ``SlicerParameterName``: children of a widget, or attributes of an object."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else vars(gui).values()
        named = ((widget.property(SlicerParameterNamePropertyName), widget) for widget in widgets)
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Bind parameters to widgets or connectors; the tag undoes it."""
        connectors = {}
        for name, widget in mapping.items():
            kind = type_of(self.allParameters, name)
            connectors[name] = widget if isinstance(widget, GuiConnector) else createGuiConnector(widget, kind)
        tag, self._nextGui = self._nextGui, self._nextGui + 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._listener(name, connector))
        self._guiVtkObserverTags[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, self._node_changed)
        return tag

    def _listener(self, name: str, connector: GuiConnector) -> Callable[[], None]:
        def changed() -> None:
            if not self._updating:
                with slicer.util.NodeModify(self.parameterNode):
                    self.setValue(name, connector.read())

        return changed

    def _node_changed(self, *_: Any) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in self._guis.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    def disconnectGui(self, guiTag: int) -> None:
        """Undo a binding."""
        for connector in self._guis.pop(guiTag, {}).values():
            connector.onChanged(None)
        if guiTag in self._guiVtkObserverTags:
            self.RemoveObserver(self._guiVtkObserverTags.pop(guiTag))

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> None:
        self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _parameter(basename: str) -> property:
    return property(lambda self: self._read(basename), lambda self, value: self._write(basename, value))


def parameterNodeWrapper(classtype: Any = None) -> Any:
    """Class decorator: the annotated members become typed parameters of a node."""
    if classtype is None:
        return parameterNodeWrapper
    found = members(classtype)
    for name, info in found.items():
        rest = sort_notes(splitAnnotations(info.unalteredType)[1])[2]
        known = (Decimals, SingleStep, Label)
        strange = [note for note in rest if not isinstance(note, known) and not hasattr(note, "isIn")]
        if strange:
            logging.warning("Unused annotations of %s: %s", name, strange)
        setattr(classtype, name, _parameter(name))
    additions = {name: value for name, value in vars(_Wrapper).items() if not name.startswith("__")}
    if clash := set(additions) & set(found):
        raise ValueError(f"Cannot use reserved name '{clash.pop()}' in a parameterNodeWrapper")
    classtype.__init__ = _Wrapper.__init__
    additions |= {
        "allParameters": found,
        "_is_parameter_node_wrapper": True,
        "dataType": staticmethod(lambda membername: type_of(found, membername)),
    }
    reserve(classtype, additions, "parameterNodeWrapper")
    return classtype


def isParameterNodeWrapper(classOrObj: Any) -> bool:
    """Whether something is a wrapper or a class of wrappers."""
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:
    """The child widget that is bound to a parameter, or None."""
    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    first, rest = split(parameter)
    whole = findChildWidgetForParameter(widget, first) if rest else None
    return packWidgets(whole).get(rest) if whole is not None else None

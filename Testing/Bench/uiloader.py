"""Designer files: real Qt builds them out of Qt's and the bench's widgets, and what is unknown is an error."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import access
from .signals import by_string
from .standin import StandInProperty

#: Custom widget classes by name, filled by ctk and mrmlwidgets.
KNOWN: dict[str, type] = {}


class UiError(RuntimeError):
    """A Designer file that Slicer would not load as it was meant."""


class Loader:
    """``qt.QUiLoader``."""

    def load(self, device: Any, parent: Any = None) -> QtWidgets.QWidget:
        """Widget of an open or unopened ``QFile``."""
        return load_ui(device.fileName(), parent)


class _Maker(QtUiTools.QUiLoader):
    """Makes the bench's own widgets itself: each one that PySide6's registerCustomWidget makes stays in memory."""

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> QtWidgets.QWidget:
        """A widget by the name of its class."""
        if class_name not in KNOWN:
            return super().createWidget(class_name, parent, name)
        widget = KNOWN[class_name](parent)
        widget.setObjectName(name)
        return widget


def load_ui(path: str | Path, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
    """Widget of a Designer file.

    Raises:
        UiError: a class, property, signal or slot that does not exist; the message names it and the file.
    """
    path = Path(path)
    tree = ElementTree.parse(path)
    root = tree.getroot()
    _check_classes(root, path)
    ours = _take_properties(root)
    connections = _take_connections(root)
    loader = _Maker()
    loader.setWorkingDirectory(QtCore.QDir(str(path.parent)))
    buffer = QtCore.QBuffer()
    buffer.setData(ElementTree.tostring(root))
    widget = loader.load(buffer, parent)
    if widget is None:
        raise UiError(f"{path}: {loader.errorString()}")
    _check_properties(root, widget, path)
    for name, properties in ours.items():
        _set(_named(widget, name), properties, path)
    for connection in connections:
        _connect(widget, connection, path)
    return widget


def _check_classes(root: ElementTree.Element, path: Path) -> None:
    known = {*QtUiTools.QUiLoader().availableWidgets(), *KNOWN, "Line"}
    for widget in root.iter("widget"):
        kind = widget.get("class") or ""
        if kind not in known:
            raise UiError(f"{path}: widget '{widget.get('name')}' is of the unknown class '{kind}'")


def _take_properties(root: ElementTree.Element) -> dict[str, list[ElementTree.Element]]:
    """Take the properties that our widgets declare out of the file, by name of the widget.

    Designer's loader does not know the enums of CTK and MRML.
    """
    taken: dict[str, list[ElementTree.Element]] = {}
    for widget in root.iter("widget"):
        kind = KNOWN.get(widget.get("class") or "")
        if kind is None:
            continue
        for entry in list(widget.findall("property")):
            if isinstance(access.lookup(kind, entry.get("name") or "")[1], StandInProperty):
                taken.setdefault(widget.get("name") or "", []).append(entry)
                widget.remove(entry)
    return taken


def _take_connections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    found = []
    for section in root.findall("connections"):
        for connection in section.findall("connection"):
            words = [connection.findtext(word, "") for word in ("sender", "signal", "receiver", "slot")]
            found.append((words[0], words[1], words[2], words[3]))
        root.remove(section)
    return found


def _check_properties(root: ElementTree.Element, widget: QtWidgets.QWidget, path: Path) -> None:
    """QUiLoader turns a property that does not exist into a dynamic one, in silence."""
    for entry in root.iter("widget"):
        thing = _named(widget, entry.get("name") or "")
        if thing is None or entry.get("class") == "Line":  # Designer's own name for a QFrame
            continue
        for known in entry.findall("property"):
            name = known.get("name") or ""
            if known.get("stdset") != "0" and thing.metaObject().indexOfProperty(name) < 0:
                raise UiError(f"{path}: {entry.get('class')} '{entry.get('name')}' has no property '{name}'")


def _named(widget: QtWidgets.QWidget, name: str) -> Any:
    return widget if widget.objectName() == name else widget.findChild(QtCore.QObject, name)


def _set(thing: Any, properties: list[ElementTree.Element], path: Path) -> None:
    """Assign declared properties of one of our widgets, minimum and maximum first."""
    for entry in sorted(properties, key=lambda one: one.get("name") not in ("minimum", "maximum", "decimals")):
        name, value = entry.get("name") or "", entry[0]
        try:
            access.lookup(type(thing), name)[1].write(thing, _value(type(thing), value))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UiError(
                f"{path}: {type(thing).__name__} '{thing.objectName()}', property '{name}': {error}"
            ) from error


def _value(kind: type, element: ElementTree.Element) -> Any:
    """What a property element says."""
    text = element.text or ""
    if element.tag == "bool":
        return text == "true"
    if element.tag in ("number", "double", "float", "uint", "longlong"):
        return float(text) if "." in text or "e" in text else int(text)
    if element.tag == "stringlist":
        return [one.text or "" for one in element.findall("string")]
    if element.tag in ("enum", "set"):
        return _enum(kind, text)
    if element.tag in ("string", "cstring"):
        return text
    raise ValueError(f"the bench reads no <{element.tag}>")


def _enum(kind: type, text: str) -> Any:
    """Value of ``ctkPathLineEdit::Dirs|ctkPathLineEdit::Files`` or ``Qt::AlignLeft``."""
    from . import pythonqt

    total: Any = None
    for word in filter(None, text.split("|")):
        owner, _, name = word.strip().rpartition("::")
        scope: Any = kind
        for part in owner.split("::") if owner else ():
            scope = KNOWN.get(part) or pythonqt.native(part) or getattr(scope, part)
        value = getattr(scope, name)
        total = value if total is None else total | value
    return total


def _connect(widget: QtWidgets.QWidget, connection: tuple[str, str, str, str], path: Path) -> None:
    sender, signal, receiver, slot = connection
    source, target = _named(widget, sender), _named(widget, receiver)
    for name, found in ((sender, source), (receiver, target)):
        if found is None:
            raise UiError(f"{path}: a connection names '{name}', which is not in the file")
    try:
        by_string(source, signal, target, slot)
    except (AttributeError, TypeError, ValueError) as error:
        raise UiError(f"{path}: {sender}.{signal} to {receiver}.{slot}: {error}") from error

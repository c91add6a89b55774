"""Signals with PythonQt's manners: by attribute and by string, and no cutting of arguments for C++ slots."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore

from .members import Bound
from .receivers import deliver, refuse_receiver, required, split_types
from .strictness import refuse
from .values import none_as_text, to_qt

#: Connections by address of the sender: signature, receiver, the signal, and what Qt calls where that is a function.
_links: dict[int, list[tuple[str, Any, Any, Callable | None]]] = {}
#: Signals of which Qt 5 tells less by attribute than Qt 6: name to arguments there.
SHORTER_IN_QT5 = {("QProcess", "finished"): (1, "finished(int,QProcess::ExitStatus)")}


class BoundSignal:
    """A signal of one object: the first-declared overload with all its arguments."""

    __slots__ = ("name", "native", "sender", "signature")

    def __init__(self, sender: Any, native: Any, name: str) -> None:
        self.sender, self.name = sender, name
        self.signature = _first_overload(sender, name)
        types = split_types(self.signature)
        # PySide6 begins with clicked(), Qt and PythonQt with clicked(bool).
        self.native = native[tuple(types)] if types and f" {name}() " in repr(native) else native

    def connect(self, *arguments: Any, **keywords: Any) -> bool:
        """Connect a receiver, and nothing but a receiver."""
        if len(arguments) != 1 or keywords:
            raise ValueError(f"{self.name}.connect takes one argument, the receiver: no connection type, no keywords")
        kind, receiver = type(self.sender).__name__, arguments[0]
        self._refuse_qt5(receiver)
        link(self.sender, self.native, self.signature, receiver, f"{kind}.{self.name}")
        return True

    def _refuse_qt5(self, receiver: Any) -> None:
        for one in type(self.sender).__mro__:
            least, instead = SHORTER_IN_QT5.get((one.__name__, self.name), (None, None))
            if least is not None and required(receiver) > least:
                raise TypeError(
                    f"{one.__name__}.{self.name}.connect to a receiver of {required(receiver)} arguments: with Qt 5 "
                    f"only {least} arrives. Connect by string: connect('{instead}', receiver)"
                )

    def disconnect(self, *arguments: Any) -> bool:
        """Disconnect one receiver, or all."""
        if not arguments:
            return _unlink_all(self.sender, self.signature)
        return unlink(self.sender, self.signature, arguments[0])

    def emit(self, *arguments: Any) -> None:
        """Send the signal; the number of arguments must be right."""
        kinds = split_types(self.signature)
        if len(arguments) > len(kinds):
            raise ValueError(f"{self.signature} takes {len(kinds)} arguments, {len(arguments)} were given")
        for kind, argument in zip(kinds, arguments, strict=False):
            if argument is None and kind == "QString":
                refuse(none_as_text(f"{self.name}.emit"))
        self.native.emit(*map(to_qt, arguments))

    __call__ = emit

    def __getitem__(self, key: Any) -> Any:
        raise TypeError(
            f"'{self.name}' object is not subscriptable: choose overloads by string, connect('{self.name}(...)')"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundSignal) and other.sender is self.sender and other.name == self.name

    def __hash__(self) -> int:
        return hash((id(self.sender), self.name))

    def native_for_qt(self) -> Any:
        return self.native


def by_string(self: Any, *arguments: Any, **keywords: Any) -> bool:
    """``sender.connect('signal(types)', receiver)`` or ``sender.connect('signal(types)', object, 'slot(types)')``.

    Raises:
        ValueError: the sender has no such signal; PythonQt would only return False.
    """
    if keywords or len(arguments) not in (2, 3) or not isinstance(arguments[0], str):
        raise ValueError("connect('signal(types)', receiver) or connect('signal(types)', object, 'slot(types)')")
    try:
        native, signature = _find(self, arguments[0])
    except ValueError as error:
        refuse(error)
        return False
    name = f"{type(self).__name__}.connect('{signature}')"
    if len(arguments) == 2:
        link(self, native, signature, arguments[1], name)
    else:
        _, target, slot = arguments
        link(self, native, signature, _slot(target, slot, name), name)
    return True


def by_string_no_more(self: Any, *arguments: Any, **keywords: Any) -> bool:
    """``sender.disconnect('signal(types)', receiver)``: False when nothing was connected."""
    if keywords or len(arguments) not in (2, 3) or not isinstance(arguments[0], str):
        raise ValueError("disconnect('signal(types)', receiver): PythonQt has no disconnect() of everything")
    _, signature = _find(self, arguments[0])
    receiver = arguments[1] if len(arguments) == 2 else _slot(arguments[1], arguments[2], "disconnect")
    return unlink(self, signature, receiver)


def _slot(target: Any, slot: str, name: str) -> Any:
    """The C++ slot of an object, to be connected.

    Raises:
        ValueError: there is none with that signature.
    """
    slot = _normalised(slot.removeprefix("1"))
    member = slot.partition("(")[0]
    table = {one for kind in type(target).__mro__ for one in kind.__dict__.get("__slots_by_string__", ())}
    if slot not in table and target.metaObject().indexOfMethod(slot) < 0:
        raise ValueError(f"{name}: {type(target).__name__} has no slot '{slot}'")
    return Bound(getattr(target, member), target, member)


def _find(sender: Any, text: str) -> tuple[Any, str]:
    """The native signal and the normalised signature of a connect string."""
    signature = _normalised(text.removeprefix("2"))
    name = signature.partition("(")[0]
    for one in type(sender).__mro__:
        declared = one.__dict__.get("__signals_by_string__", {})
        if signature in declared:
            return overload(sender, *declared[signature]), signature
    meta = sender.metaObject()
    index = meta.indexOfSignal(signature)
    if index < 0 or "(" not in text or name == "checkStateChanged":
        raise ValueError(_no_signal(sender, text, name))
    if _made_in_python(sender, name):
        raise ValueError(f"'{text}': signals made in Python are connected by attribute, .{name}.connect(receiver)")
    return signature, signature


def overload(sender: Any, name: str, types: tuple) -> Any:
    """PySide6's signal of a stand-in, the overload with these types."""
    signal = getattr(sender, name)
    return signal[types[0] if len(types) == 1 else types] if types else signal


def _made_in_python(sender: Any, name: str) -> bool:
    from .access import CPP, lookup

    owner, _ = lookup(type(sender), name)
    return owner is not None and owner not in CPP


def _no_signal(sender: Any, text: str, name: str) -> str:
    known = [one for one in signatures(sender) if one.partition("(")[0].lower() == name.lower()]
    return f"{type(sender).__name__} has no signal '{text}': PythonQt only prints a line and returns False. " + (
        f"There is {' and '.join(known)}" if known else "Look for the name in the documentation of the class"
    )


def signatures(sender: Any) -> list[str]:
    """All signals of an object, as connect strings."""
    meta = sender.metaObject()
    found = [one for kind in type(sender).__mro__ for one in kind.__dict__.get("__signals_by_string__", {})]
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.Signal:
            signature = method.methodSignature().data().decode()
            if "PyObject" not in signature and not signature.startswith("_"):
                found.append(signature)
    return found


@functools.cache
def _normalised(text: str) -> str:
    return QtCore.QMetaObject.normalizedSignature(text).data().decode()


def _first_overload(sender: Any, name: str) -> str:
    for one in type(sender).__mro__:
        for signature in one.__dict__.get("__signals_by_string__", {}):
            if signature.partition("(")[0] == name:
                return signature
    meta = sender.metaObject()
    key = meta.className(), name
    if key not in _overloads or _made_in_python(sender, name):
        prefix = f"{name}("
        every = (meta.method(index).methodSignature().data().decode() for index in range(meta.methodCount()))
        _overloads[key] = next((one for one in every if one.startswith(prefix)), f"{name}()")
    return _overloads[key]


_overloads: dict[tuple[str, str], str] = {}


def link(sender: Any, native: Any, signature: str, receiver: Any, name: str) -> None:
    """Connect; ``native`` is PySide6's signal, or a signature for signals of C++.

    Raises:
        TypeError: the receiver cannot take what the signal carries.
    """
    count = len(split_types(signature))
    refuse_receiver(receiver, count, f"{name}, which carries {count} argument{'s' * (count != 1)}")
    target = None if _is_slot(receiver) else deliver(receiver, count)
    (_by_text(QtCore.QObject.connect, sender, native) if isinstance(native, str) else native.connect)(
        target or receiver.native
    )
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _links:
        _links[address] = []
        sender.destroyed.connect(lambda *_: _links.pop(address, None))
    _links[address].append((signature, _key(receiver), native, target))


def unlink(sender: Any, signature: str, receiver: Any) -> bool:
    """Undo one connection; False when there was none."""
    links = _links.get(shiboken6.getCppPointer(sender)[0], [])
    for entry in links:
        if entry[0] == signature and entry[1] == _key(receiver):
            links.remove(entry)
            _cut(sender, entry[2], entry[3] or receiver.native)
            return True
    return False


def _unlink_all(sender: Any, signature: str) -> bool:
    """Undo the connections to Python functions."""
    links = _links.get(shiboken6.getCppPointer(sender)[0], [])
    for entry in [one for one in links if one[0] == signature and one[3] is not None]:
        links.remove(entry)
        _cut(sender, entry[2], entry[3])
    return True


def _cut(sender: Any, native: Any, target: Any) -> None:
    (_by_text(QtCore.QObject.disconnect, sender, native) if isinstance(native, str) else native.disconnect)(target)


def _by_text(act: Callable, sender: Any, signature: str) -> Callable[[Any], Any]:
    return functools.partial(act, sender, QtCore.SIGNAL(signature))


def _is_slot(receiver: Any) -> bool:
    """Whether Qt itself can be connected to it; then nothing of it is kept alive."""
    return isinstance(receiver, BoundSignal) or (
        isinstance(receiver, Bound) and isinstance(receiver.owner, QtCore.QObject)
    )


def _key(receiver: Any) -> Any:
    """What tells receivers apart without keeping C++ objects alive."""
    if isinstance(receiver, Bound):
        return "slot", shiboken6.getCppPointer(receiver.owner)[0], receiver.name
    if isinstance(receiver, BoundSignal):
        return "signal", shiboken6.getCppPointer(receiver.sender)[0], receiver.signature
    return receiver

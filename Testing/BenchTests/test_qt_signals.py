"""Signals of module ``qt``: by attribute and by string, across threads, and gone with their sender."""

from __future__ import annotations

import functools
import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
from Bench import pythonqt, signals

qt = pythonqt.install()
app = pythonqt.application()


class Worker(qt.QObject):
    """Has signals of its own."""

    done = qt.Signal(str, int)
    plain = qt.Signal()

    def __init__(self):
        super().__init__()


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def nothing(self):
        self.told.append("nothing")

    def one(self, value):
        self.told.append(value)

    @staticmethod
    def static():
        pass


def test_by_string_and_by_attribute() -> None:
    button, listener = qt.QPushButton(), Listener()
    assert button.connect("clicked(bool)", listener.one) is True
    assert button.connect("clicked()", listener.nothing) is True
    assert button.clicked.connect(listener.one) is True
    button.click()
    assert listener.told == [False, "nothing", False]
    assert button.disconnect("clicked(bool)", listener.one)
    assert button.clicked.disconnect(listener.one), "either form undoes a connection of either form"
    assert button.clicked.disconnect(listener.one) is False
    listener.told.clear()
    button.click()
    assert listener.told == ["nothing"]


def test_strings_are_normalised() -> None:
    edit, listener = qt.QLineEdit(), Listener()
    assert edit.connect("textChanged( const QString & )", listener.one)
    edit.text = "x"
    assert listener.told == ["x"]


def test_plain_functions_get_as_many_arguments_as_they_name() -> None:
    button, told = qt.QPushButton(), []
    button.clicked.connect(Listener.static)
    button.clicked.connect(lambda: told.append("none"))
    button.clicked.connect(lambda i=5: told.append(i))
    button.clicked.connect(lambda _checked=False, i=5: told.append(i))
    button.clicked.connect(lambda *_: told.append(len(_)))
    button.clicked.connect(functools.partial(lambda word, checked: told.append((word, checked)), "w"))
    button.click()
    assert told == ["none", False, 5, 1, ("w", False)]


def test_two_connections_are_two_calls_and_one_disconnect_takes_one() -> None:
    button, listener = qt.QPushButton(), Listener()
    button.clicked.connect(listener.nothing)
    button.clicked.connect(listener.nothing)
    button.click()
    assert len(listener.told) == 2
    assert button.clicked.disconnect(listener.nothing)
    button.click()
    assert len(listener.told) == 3
    assert button.clicked.disconnect() is True
    button.click()
    assert len(listener.told) == 3
    assert button.clicked.disconnect(listener.nothing) is False


def test_slots_of_cpp() -> None:
    box, label, dialog = qt.QCheckBox(), qt.QLabel(), qt.QDialog()
    label.visible = True
    assert box.toggled.connect(label.setVisible)
    box.checked = True
    box.checked = False
    assert not label.visible
    assert box.toggled.disconnect(label.setVisible)
    box.checked = True
    assert not label.visible
    dialog.show()
    assert box.connect("clicked()", dialog, "reject()")
    box.click()
    assert not dialog.visible
    with pytest.raises(ValueError, match="QDialog has no slot 'rejct\\(\\)'"):
        box.connect("clicked()", dialog, "rejct()")


@pytest.mark.parametrize("send", ["emit", "call"])
def test_signals_made_in_python(send: str) -> None:
    worker, told = Worker(), []
    worker.done.connect(lambda *given: told.append(given))
    (worker.done.emit if send == "emit" else worker.done)("a", 1)
    assert told == [("a", 1)]
    with pytest.raises((TypeError, ValueError)):
        worker.done.emit("a")
    with pytest.raises(ValueError, match="connected by attribute"):
        worker.connect("done(QString,int)", print)
    with pytest.raises(TypeError, match="None as text"):
        worker.done.emit(None, 1)
    worker.blockSignals(True)
    worker.done.emit("b", 2)
    assert len(told) == 1


def test_odd_forms_are_refused() -> None:
    button = qt.QPushButton()
    with pytest.raises(ValueError, match="takes one argument, the receiver"):
        button.clicked.connect(print, qt.Qt.QueuedConnection)
    with pytest.raises(TypeError, match="not subscriptable"):
        button.clicked[bool]
    with pytest.raises(TypeError, match="cannot be called"):
        button.clicked.connect(None)
    with pytest.raises(TypeError, match="cannot be called"):
        button.connect("clicked()", 3)
    with pytest.raises(ValueError, match="no disconnect"):
        button.disconnect()
    with pytest.raises(ValueError, match="destroyed"):
        gone = qt.QPushButton()
        gone.delete()
        gone.clicked.connect(print)


def test_emits_of_threads_arrive_in_the_main_thread() -> None:
    import threading

    worker, told = Worker(), []
    worker.done.connect(lambda word, number: told.append((number, threading.current_thread())))
    with ThreadPoolExecutor(4) as pool:
        for number in range(200):
            pool.submit(worker.done.emit, "x", number)
    assert told == []
    app.processEvents()
    assert sorted(number for number, _ in told) == list(range(200))
    assert {thread for _, thread in told} == {threading.main_thread()}


def test_timers_and_processes() -> None:
    loop, told = qt.QEventLoop(), []
    qt.QTimer.singleShot(0, lambda: told.append("once"))
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: told.append("timer"))
    timer.setSingleShot(True)
    timer.start(1.0)
    assert timer.active and timer.interval == 1
    process = qt.QProcess()
    process.connect(
        "finished(int,QProcess::ExitStatus)", lambda code, status: (told.append((code, status)), loop.quit())
    )
    process.readyReadStandardOutput.connect(lambda: told.append(process.readAllStandardOutput().data()))
    process.start("echo", ["word", 3])
    loop.exec_()
    assert {"once", "timer", b"word 3\n", (0, qt.QProcess.NormalExit)} <= set(told)


def test_a_connection_keeps_the_receiver_until_the_sender_dies() -> None:
    import weakref

    button, listener = qt.QPushButton(), Listener()
    button.clicked.connect(listener.nothing)
    kept = weakref.ref(listener)
    del listener
    gc.collect()
    assert kept() is not None
    button.click()
    assert kept().told == ["nothing"]
    before = len(signals._links)
    button.delete()
    gc.collect()
    assert kept() is None
    assert len(signals._links) == before - 1


def test_an_error_in_a_slot_does_not_stop_the_others(qtbot, capfd) -> None:
    button, listener = qt.QPushButton(), Listener()

    def fail():
        raise KeyError("in a slot")

    button.clicked.connect(fail)
    button.clicked.connect(listener.nothing)
    with qtbot.captureExceptions() as caught:
        button.click()
    assert listener.told == ["nothing"]
    assert [kind for kind, *_ in caught] == [KeyError]

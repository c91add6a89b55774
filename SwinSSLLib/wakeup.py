"""Signals that arrive while the main thread is inside of a library, where Python's own handlers have to wait."""

from __future__ import annotations

import signal
import socket
import threading
from types import TracebackType


class Wakeup:
    """Between ``with`` and its end, another thread can ask which signals came.

    Their Python handlers run too, as soon as the main thread is back in Python. Outside of the main thread, where
    signals cannot be listened to, nothing is ever heard.
    """

    def __init__(self) -> None:
        self._reader: socket.socket | None = None
        self._writer: socket.socket | None = None
        self._before = -1

    def __enter__(self) -> Wakeup:
        if threading.current_thread() is threading.main_thread():
            self._reader, self._writer = socket.socketpair()
            for end in (self._reader, self._writer):
                end.setblocking(False)
            self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._reader is None or self._writer is None:
            return
        signal.set_wakeup_fd(self._before)
        reader, self._reader = self._reader, None  # the other thread may be about to ask
        reader.close()
        self._writer.close()

    def heard(self) -> bytes:
        """Numbers of the signals since the last call; those without a Python handler are not among them."""
        reader = self._reader
        try:
            return reader.recv(64) if reader else b""
        except OSError:  # nothing there, or closed just now
            return b""

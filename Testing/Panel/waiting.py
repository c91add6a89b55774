"""Letting the application run until something happens."""

from __future__ import annotations

import time
from collections.abc import Callable

import slicer


def waitFor(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Let the application run until something is true; False if it never was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slicer.app.processEvents()
        if condition():
            return True
        time.sleep(0.005)
    return False

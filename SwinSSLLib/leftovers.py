"""Temporary files and folders whose names say which process made them, so that those of the dead can be cleared away.

A killed process clears nothing. What it leaves may be a copy of a patient's CT, or gigabytes of half a checkpoint; the
next process that works in the same place removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import time
from pathlib import Path

#: Seconds after which what another machine has left counts as abandoned: nobody can ask there whether it is at work.
_STALE = 24 * 3600.0

_NAME = re.compile(r"[.-](?P<host>[0-9a-f]{8})-(?P<pid>\d{1,10})-[^.]*(\.part)?$")


def marked(stem: str) -> str:
    """Beginning of a temporary name: ``stem``, this machine (hashed) and this process; for mkstemp and mkdtemp."""
    return f"{stem}{_host()}-{os.getpid()}-"


def clear(folder: Path, pattern: str = ".*") -> list[Path]:
    """Remove what processes that are no more have left in a folder; returns what was removed.

    Only names made by :func:`marked` count, so that nothing of anybody else is touched.

    Args:
        folder: need not exist.
        pattern: which names to look at.
    """
    removed = []
    for path in folder.glob(pattern):
        if _abandoned(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # read-only now: it does no harm there
                    path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _abandoned(path: Path) -> bool:
    found = _NAME.search(path.name)
    if found is None:
        return False
    if found["host"] == _host() and os.name != "nt":
        return not _exists(int(found["pid"]))
    try:  # on Windows a process cannot be asked for without harm
        return time.time() - path.stat().st_mtime > _STALE
    except OSError:
        return False


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]

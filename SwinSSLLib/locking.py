"""One writer at a time: a lock that the operating system gives back when its holder dies."""

from __future__ import annotations

import errno
import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from SwinSSLLib import atomic
from SwinSSLLib.errors import InputError

log = logging.getLogger(__name__)

#: Bytes before the one that is locked: on Windows nobody else can read that one.
_WORDS = 256


@contextmanager
def only_writer(file: Path, what: str, hint: str) -> Iterator[None]:
    """Hold the lock ``file`` while the block runs.

    Args:
        file: the lock; its folder exists. It stays when the block ends, and means nothing by itself.
        what: what is locked, for the sentence.
        hint: what to do when another process has it.

    Raises:
        InputError: another process has it (named, as far as it is known); or the file cannot be written.
    """
    try:
        opened = file.open("a+b", buffering=0)
    except OSError as error:
        raise atomic.cannot_write(file, error) from error
    with opened:
        try:
            _lock(opened)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                # Some network file systems know no locks; there the user has to look after it.
                log.warning("%s cannot be locked: %s", file, error)
                yield
                return
            raise InputError(f"{what} is being written by another process{_holder(opened)}.", hint) from error
        opened.truncate(0)
        opened.write(f"process {os.getpid()} on {platform.node()}".encode()[:_WORDS])
        yield


def _holder(opened: BinaryIO) -> str:
    opened.seek(0)
    words = opened.read(_WORDS).decode(errors="replace").strip()
    return f" ({words})" if words else ""


if sys.platform == "win32":
    import msvcrt

    def _lock(opened: BinaryIO) -> None:
        opened.seek(_WORDS)
        msvcrt.locking(opened.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(opened: BinaryIO) -> None:
        fcntl.flock(opened.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

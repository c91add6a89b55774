"""Files that are either whole or not there: written beside their name, flushed, then renamed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from SwinSSLLib import leftovers
from SwinSSLLib.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file next to ``path`` that takes its name when the block ends well.

    Two processes that write the same name do not disturb each other: the last one to finish wins
    and no reader ever sees half a file.

    Raises:
        InputError: the folder cannot be written, or the disk is full; ``path`` is as it was before.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=leftovers.marked(f".{path.name}."), suffix=".part", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 would hide the file from colleagues
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def cannot_write(path: Path, error: OSError) -> InputError:
    """The sentence for a failed write: which file, why, and what to do."""
    reason = error.strerror or str(error)
    return InputError(
        f"{path} could not be written: {reason}.",
        "Free some space or choose an output folder that you may write to; nothing already written was lost.",
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

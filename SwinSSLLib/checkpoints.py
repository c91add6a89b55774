"""Checkpoints: written so that a full disk is told as one, read so that nothing in them is executed and no flipped bit
is taken for a weight (torch's own files have checksums, but torch does not look at them).
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from SwinSSLLib.errors import InputError

#: Weights hardly shrink, and torch does not pack its files at all.
_MOST_GROWTH = 50


def save_checkpoint(content: dict[str, Any], file: BinaryIO) -> None:
    """``torch.save`` that lets the error of a full disk through; torch replaces it by one of its own."""
    failed: list[OSError] = []

    class Watched:
        def write(self, data: bytes) -> int:
            try:
                return file.write(data)
            except OSError as error:
                failed.append(error)
                raise

        def flush(self) -> None:
            file.flush()

    try:
        # It needs no more than this of a file.
        torch.save({**content, "digest": digest_of(content)}, Watched())  # type: ignore[arg-type]
    except RuntimeError as error:
        raise (failed[0] if failed else error) from None


def load_checkpoint(file: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint without executing anything that stands in it.

    Raises:
        InputError: truncated, damaged in any bit, or not ours.
    """
    check_growth(file)
    if file.is_file() and not zipfile.is_zipfile(file):  # for its older format torch asks for any memory that is named
        raise InputError(f"The checkpoint {file} is damaged (it is no archive).")
    try:
        content = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and torch each have their own kinds of damage
        raise InputError(f"The checkpoint {file} is damaged ({type(error).__name__}).") from error
    if not isinstance(content, dict) or not {"step", "model", "optimizer", "best", "best_step"} <= content.keys():
        raise InputError(f"{file} is not a checkpoint of this program.")
    if content.pop("digest", None) != digest_of(content):
        raise InputError(f"The checkpoint {file} is damaged (its content is not what was written).")
    return content


def check_growth(file: Path) -> None:
    """Refuse a zip archive that grows without measure: torch would ask for the memory first.

    Raises:
        InputError: it does. Other damage is left for torch to tell.
    """
    with contextlib.suppress(OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        with zipfile.ZipFile(file) as archive:
            grown = sum(info.file_size for info in archive.infolist())
        if grown > _MOST_GROWTH * file.stat().st_size + (1 << 20):
            raise InputError(f"{file} is refused: what is packed in it grows without measure.", "Do not use this file.")


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 over every name, number and tensor."""
    digest = hashlib.sha256()
    for part in _parts(content):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield repr(name).encode()
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}]".encode()
        for item in value:
            yield from _parts(item)
    else:
        yield repr(value).encode()

"""What was found to be the fastest way of computing a network on this machine, kept in the cache."""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from SwinSSLLib import atomic
from SwinSSLLib.errors import InputError
from SwinSSLLib.places import cache_folder
from SwinSSLLib.segment import openvino_net

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What measuring gave.

    Attributes:
        way: the one to take; None if only the exact one was timed, because the volume was too small for more.
        exact_seconds: of a window in the exact way.
        seconds, agreement: of each way that was tried: time of a window, share of the foreground that is the same.
    """

    way: str | None
    exact_seconds: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    agreement: Mapping[str, float] = field(default_factory=dict)


def choices_file() -> Path:
    """Where choices are kept; can be deleted at any time, they are measured again then."""
    return cache_folder() / "backends.json"


def recall(key: str) -> Choice | None:
    """A choice that was made on this machine, with these versions, for the same key."""
    found = _all().get(f"{machine_key()} | {key}")
    try:
        choice = None if found is None else Choice(**{**found, "exact_seconds": float(found["exact_seconds"])})
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    return choice if choice is not None and _is_whole(choice) else None


def _is_whole(choice: Choice) -> bool:
    """Whether it is what :func:`remember` writes; anybody can have changed the file."""
    tables = (choice.seconds, choice.agreement)
    if not all(isinstance(table, dict) for table in tables) or not isinstance(choice.way, str | None):
        return False
    return all(isinstance(value, int | float) for table in tables for value in table.values())


def remember(key: str, choice: Choice) -> None:
    """Keep a choice; where the cache cannot be written it is made again next time."""
    try:
        atomic.write_json(choices_file(), {**_all(), f"{machine_key()} | {key}": asdict(choice)})
    except InputError as error:
        log.warning("%s", error.message)


def machine_key() -> str:
    """Processor or GPU, threads and versions: what times depend on."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()[0]
    versions = f"torch {torch.__version__}", f"openvino {openvino_net.version() or 'none'}"
    return " | ".join((name, f"{torch.get_num_threads()} threads", *versions))


def has_bf16() -> bool:
    """Whether the processor multiplies in bf16 by itself; elsewhere bf16 is slower than 32 bits."""
    flags = processor()[1]
    if flags:
        return bool(flags & {"amx_bf16", "avx512_bf16"})
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # where the system does not tell
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)


@lru_cache
def processor() -> tuple[str, frozenset[str]]:
    """Name and flags of the processor; no flags where the system does not tell them in a file."""
    name, file = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if not sys.platform.startswith("linux") or not file.exists():
        return f"{name}, {os.cpu_count()} cores", frozenset()
    pairs = [line.partition(":")[::2] for line in file.read_text(encoding="utf-8").splitlines()]
    known = {title.strip(): value.strip() for title, value in reversed(pairs)}
    return known.get("model name", name), frozenset(known.get("flags", "").split())


def _all() -> dict[str, Any]:
    try:
        content = json.loads(choices_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read and is made anew: %s", choices_file(), error)
        return {}
    return content if isinstance(content, dict) else {}

"""Published weights: where they are, what they are, and on what terms (``SwinSSLLib/catalogue.json``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.settings import InputSettings
from SwinSSLLib.validation import build

CATALOGUE = Path(__file__).resolve().parents[1] / "catalogue.json"
#: A file whose size is only known roughly may differ by this share; error pages differ by much more.
_ROUGHLY = 0.1


@dataclass(frozen=True)
class Entry:
    """One published file of weights.

    Attributes:
        name: short name for the command line.
        title, description, citation: for people.
        kind: ``pretrained`` or ``segmenter``.
        address: where it is published.
        file: its name there.
        bytes: its size; to the byte where ``bytes_exact``, else roughly, as ``bytes_source`` says.
        sha256, md5: where the publisher states one.
        licence: ``name``, ``text`` and ``url``.
        network: what its tensors must say.
        merging: patch merging that it was trained with.
        input: spacing, HU window and roi that it was trained with.
        finetune_input: those that its publisher fine-tunes with, where they differ.
        labels: ``btcv`` for the 13 organs in BTCV's order, or None.
        dice: stated figures, each with ``value``, ``split`` and ``source``.
    """

    name: str
    title: str
    kind: str
    address: str
    file: str
    bytes: int
    bytes_exact: bool
    bytes_source: str
    sha256: str | None
    md5: str | None
    licence: Mapping[str, str]
    description: str
    network: Mapping[str, Any]
    merging: str
    input: Mapping[str, Any]
    finetune_input: Mapping[str, Any] | None
    labels: str | None
    dice: tuple[Mapping[str, Any], ...] = ()
    citation: tuple[str, ...] = field(default=())

    def size_problem(self, size: int) -> str | None:
        """Why a file of so many bytes cannot be this one, or None."""
        wrong = size != self.bytes if self.bytes_exact else abs(size - self.bytes) > _ROUGHLY * self.bytes
        about = "" if self.bytes_exact else "about "
        return f"it has {size:,} bytes instead of {about}{self.bytes:,}" if wrong else None

    def network_problem(self, network: Mapping[str, Any]) -> str | None:
        """Why weights of this network cannot be these, or None."""
        wrong = [
            f"{key} {network.get(key)} instead of {value}"
            for key, value in self.network.items()
            if network.get(key) != value
        ]
        return f"its network has {', '.join(wrong)}" if wrong else None


def read_catalogue(path: Path = CATALOGUE) -> dict[str, Entry]:
    """All entries by name.

    Raises:
        InputError: the catalogue is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = [_entry(given) for given in content["models"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        why = one_line(str(error).splitlines()[-1] if str(error) else type(error).__name__)
        raise InputError(f"The catalogue {path} cannot be read: {why}.", "Install SwinSSL again.") from error
    return {entry.name: entry for entry in entries}


@cache
def published() -> Mapping[str, Entry]:
    """The catalogue that comes with SwinSSL."""
    return read_catalogue()


def _entry(given: Mapping[str, Any]) -> Entry:
    unknown = given.keys() - {known.name for known in fields(Entry)}
    if unknown:
        raise ValueError(f"{given.get('name')}: unknown {', '.join(sorted(unknown))}")
    for section in ("input", "finetune_input"):
        if given[section] is not None:
            build(InputSettings, given[section], f"{given['name']}, {section}")
    entry = Entry(**{**given, "dice": tuple(given["dice"]), "citation": tuple(given["citation"])})
    texts = (entry.name, entry.title, entry.kind, entry.address, entry.file, entry.description, entry.merging)
    whole = isinstance(entry.bytes, int) and not isinstance(entry.bytes, bool) and entry.bytes > 0
    if not all(isinstance(text, str) for text in texts) or not isinstance(entry.network, Mapping) or not whole:
        raise TypeError(f"{given['name']}: a text, a number or a section is something else")
    if Path(entry.file).name != entry.file or entry.file.startswith("."):
        raise ValueError(f"{given['name']}: the file {entry.file!r} has a folder in its name")
    return entry

"""Label lists of others: from the names that they use to organs with codes and colours."""

from __future__ import annotations

import colorsys
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.organs import ORGANS, Organ

#: Other spellings in use, the model zoo's misprint among them; compared without case, spaces and signs.
_ALIASES = {
    "kidneyright": 2, "rightkidney": 2, "rkidney": 2, "rkid": 2,
    "kidneyleft": 3, "leftkidney": 3, "leftkideny": 3, "lkidney": 3, "lkid": 3,
    "gallbladder": 4, "gall": 4,
    "oesophagus": 5,
    "ivc": 9, "postcava": 9, "inferiorvenacava": 9,
    "portalandsplenicveins": 10, "portalveinandsplenicvein": 10, "portalsplenicvein": 10, "veins": 10,
    "rightadrenal": 12, "adrenalglandright": 12, "rad": 12,
    "leftadrenal": 13, "adrenalglandleft": 13, "lad": 13,
}  # fmt: skip
_TISSUE = ("SCT", "85756007", "Tissue")


def labels_from_names(names: Mapping[int, str]) -> tuple[Organ, ...]:
    """Labels with terminology for a list of class names; background (0) is left out.

    A name that is one of the 13 organs takes its code and colour; others become "Tissue" with a colour of their own.
    """
    known = {_plain(organ.name): organ for organ in ORGANS}
    known |= {alias: ORGANS[number - 1] for alias, number in _ALIASES.items()}
    found: list[Organ] = []
    for number, name in sorted(names.items()):
        if number == 0:
            continue
        organ = known.get(_plain(name))
        found.append(replace(organ, id=number) if organ else Organ(number, name, _TISSUE, _colour(number)))
    return tuple(found)


def numbered_labels(classes: int) -> tuple[Organ, ...]:
    """Labels for a network of which nothing but the number of classes is known."""
    return labels_from_names({number: f"class {number}" for number in range(1, classes)})


def read_label_names(path: Path) -> tuple[Organ, ...]:
    """Labels from a JSON file: ``{"1": "spleen", ...}``, or a list of names from background on.

    Raises:
        InputError: the file cannot be read as such.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pairs = enumerate(content) if isinstance(content, list) else content.items()
        names = {_label(number): one_line(name, 80) for number, name in pairs}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as a list of labels: {one_line(error)}.",
            'Write {"1": "spleen", "2": "right kidney", ...}.',
        ) from error
    if not labels_from_names(names):
        raise InputError(f"{path} names no label.", 'Write {"1": "spleen", "2": "right kidney", ...}.')
    return labels_from_names(names)


def _label(number: Any) -> int:
    """A label as it fits into 8 bits."""
    if not 0 <= int(number) <= 255:
        raise ValueError(f"{one_line(number, 20)} is not between 0 and 255")
    return int(number)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _colour(number: int) -> tuple[int, int, int]:
    """Neighbouring numbers get hues far apart: steps of the golden ratio."""
    red, green, blue = colorsys.hsv_to_rgb((number * 0.618034) % 1.0, 0.55, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)

"""Datalists in JSON, in the style of the Medical Segmentation Decathlon."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from SwinSSLLib.data.cases import Case, Datalist, make_case, settle_names
from SwinSSLLib.errors import InputError, one_line

#: Names that lists use for volumes without labels.
UNLABELLED = ("unlabelled", "unlabeled")
_PARTS = ("training", "validation", *UNLABELLED, "test")
_SHOWN = 20
#: Problems that all paths of a list tend to have together, of which a few are shown, and what to do about each.
_OUTSIDE, _MISSING = "lies outside of the datalist's folder.", "does not exist."
_ALIKE = 3
_HINTS = {
    _OUTSIDE: "If these files are meant, allow it with --allow-outside.",
    _MISSING: "Paths are relative to the folder of the list: put it back beside its volumes, or correct the paths.",
}


def read_json(path: Path, allow_outside: bool = False) -> tuple[Datalist, bool]:
    """Read a JSON datalist.

    "training" and "validation" hold {"image", "label"} (label optional), "unlabelled" or "unlabeled"
    {"image"} or plain paths; each entry may name its "patient". "test" without labels counts as
    unlabelled, with labels it is left out: nothing may be learned from a test set.

    Args:
        path: the file; paths in it are relative to its folder.
        allow_outside: whether paths may leave that folder.

    Returns:
        The datalist, and whether it names a validation part.

    Raises:
        InputError: all problems at once.
    """
    content = _parse(path)
    reader = _Reader(path, allow_outside)
    parts = {part: reader.cases(content, part) for part in _PARTS}
    if reader.problems:
        raise _refusal(path, reader.problems)
    warnings = []
    held_out = [case for case in parts["test"] if case.labels]
    if held_out:
        warnings.append(f"{path.name}: {len(held_out)} test cases with labels are left out.")
    unlabelled = [*parts["unlabelled"], *parts["unlabeled"], *(c for c in parts["test"] if not c.labels)]
    every = [*parts["training"], *parts["validation"], *unlabelled]
    if not every:
        raise InputError(f"{path} lists no volume.", "Add volumes to it.")
    settled = settle_names(every)
    first, second = len(parts["training"]), len(parts["training"]) + len(parts["validation"])
    training, validation = settled[:first], settled[first:second]
    learned = {case.patient for case in (*training, *settled[second:])}
    both = sorted(learned & {case.patient for case in validation})
    if both:
        some = ", ".join(both[:5]) + (", ..." if len(both) > 5 else "")
        warnings.append(f"{path.name}: {len(both)} patients are both learned from and validated on ({some}).")
    unlabelled = [replace(case, labels=None) for case in settled[second:]]
    return Datalist(tuple(training), tuple(validation), tuple(unlabelled), tuple(warnings)), "validation" in content


def _refusal(path: Path, problems: list[str]) -> InputError:
    """All problems of a list in one sentence, alike ones by a few examples."""
    alike = {ending: [one for one in problems if one.endswith(ending)] for ending in _HINTS}
    others = [one for one in problems if not one.endswith(tuple(_HINTS))]
    shown = others[:_SHOWN] + [f"And {len(others) - _SHOWN} more." for _ in others[_SHOWN : _SHOWN + 1]]
    for ending, found in alike.items():
        shown += found[:_ALIKE]
        shown += [f"And {len(found) - _ALIKE} more that {_plural(ending)}" for _ in found[_ALIKE : _ALIKE + 1]]
    hints = ["Correct the datalist."] if others else []
    hints += [_HINTS[ending] for ending, found in alike.items() if found]
    count = len(problems)
    return InputError(f"{path} has {count} problem{'s' if count > 1 else ''}: {' '.join(shown)}", " ".join(hints))


def _plural(ending: str) -> str:
    return ending.replace("lies", "lie").replace("does", "do")


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON.", "Correct the file.") from error
    if not isinstance(content, dict) or not any(part in content for part in _PARTS):
        raise InputError(
            f"{path} is not a datalist: none of {', '.join(_PARTS)} is in it.",
            'Write {"training": [{"image": ..., "label": ...}], "validation": [...], "unlabelled": [{"image": ...}]}.',
        )
    return content


class _Reader:
    """Turns entries of a JSON datalist into cases and collects what is wrong with them."""

    def __init__(self, path: Path, allow_outside: bool) -> None:
        self.root, self.allow_outside = path.absolute().parent, allow_outside
        self.problems: list[str] = []

    def cases(self, content: Mapping[str, Any], part: str) -> list[Case]:
        entries = content.get(part, [])
        if not isinstance(entries, list):
            self.problems.append(f'"{part}" is no list.')
            return []
        cases = (self._case(entry, f"{part} {number}") for number, entry in enumerate(entries, 1))
        return [case for case in cases if case is not None]

    def _case(self, entry: Any, where: str) -> Case | None:
        if isinstance(entry, str):
            entry = {"image": entry}
        if not isinstance(entry, dict) or "image" not in entry:
            self.problems.append(f'{where}: "image" is missing.')
            return None
        image = self._path(entry["image"], f"{where}: image")
        label = entry.get("label", entry.get("labels"))
        labels = self._path(label, f"{where}: label") if label else None
        if image is None or (label and labels is None):
            return None
        patient = entry.get("patient")
        return make_case(image, labels, None if patient is None else one_line(patient))

    def _path(self, value: Any, where: str) -> Path | None:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]  # as MONAI's own lists sometimes write it
        if not isinstance(value, str) or not value:
            self.problems.append(f"{where} is no path.")
            return None
        shown = one_line(value)
        path = Path(os.path.normpath(self.root / value))  # without "..", links left as they are
        if not path.is_relative_to(self.root) and not self.allow_outside:
            self.problems.append(f"{where} {shown} {_OUTSIDE}")
            return None
        try:
            there = path.exists()
        except OSError:  # a name that no file can have
            there = False
        if not there:
            self.problems.append(f"{where} {shown} {_MISSING}")
            return None
        return path

"""Settings that check themselves: from a plain dictionary to a frozen dataclass, all problems told at once.

A field states its rule in its metadata (``field(..., metadata=rule(minimum=1))``); this module reads the
type and the rule, and collects every problem instead of stopping at the first one, because a person
who corrects a settings file wants to do it once.
"""

from __future__ import annotations

import dataclasses
import difflib
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from SwinSSLLib.errors import InputError, one_line

T = TypeVar("T")

#: Problems that a message lists.
_SHOWN = 40

#: What other tools call some of our settings.
_ELSEWHERE = {
    "learning_rate": "training.lr", "base_lr": "training.lr", "max_lr": "training.lr",
    "batch_size": "training.batch", "sw_batch_size": "training.batch",
    "epochs": "training.steps", "max_epochs": "training.steps", "num_epochs": "training.steps",
    "max_iter": "training.steps", "max_iterations": "training.steps", "max_steps": "training.steps",
    "num_steps": "training.steps", "iterations": "training.steps",
    "num_workers": "training.workers", "warmup_steps": "training.warmup", "warmup_epochs": "training.warmup",
    "accumulate_grad_batches": "training.accumulate", "grad_accum": "training.accumulate",
    "gradient_clip_val": "training.clip", "max_grad_norm": "training.clip", "reg_weight": "training.weight_decay",
    "lr_scheduler": "training.schedule", "lrschedule": "training.schedule", "amp": "training.precision",
    "num_gpus": "training.devices", "gpus": "training.devices", "random_seed": "training.seed",
    "patch_size": "input.roi", "roi_size": "input.roi", "crop_size": "input.roi", "img_size": "input.roi",
    "voxel_size": "input.spacing", "pixdim": "input.spacing", "target_spacing": "input.spacing",
    "window_size": "network.window", "num_classes": "network.out_channels", "val_fraction": "validation_share",
}  # fmt: skip


def rule(
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] | None = None,
    multiple_of: int | None = None,
    check: Callable[[Any], str | None] | None = None,
    help: str = "",
) -> dict[str, Any]:
    """Metadata of a field: what a value (or each entry of a tuple) must satisfy, and what it means."""
    return {key: value for key, value in locals().items() if value is not None and value != ""}


def build(
    cls: type[T],
    given: Mapping[str, Any],
    source: str = "the settings",
    hint: str = "Correct the values named above.",
) -> T:
    """Make a settings object from a dictionary.

    Args:
        cls: a dataclass whose fields carry :func:`rule` metadata; nested dataclasses are built too.
        given: the values; missing ones take their defaults.
        source: what to call the origin in messages, usually a file name.
        hint: what to do about problems.

    Raises:
        InputError: unknown keys or impossible values; the message lists all of them.
    """
    problems: list[str] = []
    result = _build(cls, given, "", problems)
    if result is not None and not problems:
        problems += _cross_checks(result)
    if problems or result is None:
        shown = problems[:_SHOWN] + ([f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else [])
        listing = "\n".join(f"  - {problem}" for problem in shown)
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{source} cannot be used ({count}):\n{listing}", hint)
    return result


def to_dict(settings: Any) -> dict[str, Any]:
    """Plain JSON-ready dictionary of a settings object (tuples become lists)."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        return [plain(entry) for entry in value] if isinstance(value, tuple | list) else value

    return plain(dataclasses.asdict(settings))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, section by section."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _build(cls: type[Any], given: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(given, Mapping):
        problems.append(f"{path.rstrip('.') or 'the file'} must be a section of named values, not {_shown(given)}")
        return None
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    for key in given:
        if key not in fields:
            meant = _meant(str(key), path, cls)
            problems.append(f"{path}{one_line(key, 80)} is not a setting{f'; did you mean {meant}?' if meant else ''}")
    values: dict[str, Any] = {}
    count = len(problems)
    for name, field in fields.items():
        if name not in given:
            continue
        if dataclasses.is_dataclass(hints[name]):
            values[name] = _build(typing.cast(type, hints[name]), given[name], f"{path}{name}.", problems)
        else:
            example = list(field.default) if isinstance(field.default, tuple) and field.default else None
            values[name] = _value(given[name], hints[name], field.metadata, f"{path}{name}", problems, example)
    return cls(**values) if len(problems) == count else None


def _meant(key: str, path: str, cls: type[Any]) -> str:
    """The setting that somebody has in mind, with its section; empty where nobody knows."""
    hints = typing.get_type_hints(cls)
    sections = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    there = _ELSEWHERE.get(key.casefold().replace("-", "_"), "")
    if there and (path or "." not in there or there.partition(".")[0] in sections):
        return there
    if near := difflib.get_close_matches(key, hints, n=1):
        return f"{path}{near[0]}"
    # A key of a section that stands outside of it.
    return next((f"{name}.{key}" for name, hint in sections.items() if key in typing.get_type_hints(hint)), "")


def _value(
    given: Any,
    hint: Any,
    metadata: Mapping[str, Any],
    path: str,
    problems: list[str],
    example: list[Any] | None = None,
) -> Any:
    converted, wanted = _convert(given, hint)
    if wanted:
        such = f", such as {example} (or {','.join(f'{value:g}' for value in example)} with --set)" if example else ""
        problems.append(f"{path} = {_shown(given)}: must be {wanted}{such}")
        return None
    for entry in converted if isinstance(converted, tuple) else (converted,):
        complaint = None if entry is None else _complaint(entry, metadata)
        if complaint:
            problems.append(f"{path} = {_shown(given)}: must be {complaint}")
            return None
    check = metadata.get("check")
    message = check(converted) if check else None
    if message:
        problems.append(f"{path} = {_shown(given)}: {message}")
    return converted


def _shown(value: Any) -> str:
    """A value in a message: what is wrong with it is seen at its beginning."""
    return one_line(reprlib.repr(value), 200)


def _complaint(value: Any, metadata: Mapping[str, Any]) -> str | None:
    if "choices" in metadata and value not in metadata["choices"]:
        return "one of " + ", ".join(map(repr, metadata["choices"]))
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if "minimum" in metadata and value < metadata["minimum"]:
        return f"at least {metadata['minimum']}"
    if "maximum" in metadata and value > metadata["maximum"]:
        return f"at most {metadata['maximum']}"
    if "above" in metadata and value <= metadata["above"]:
        return f"greater than {metadata['above']}"
    if "multiple_of" in metadata and value % metadata["multiple_of"]:
        return f"a multiple of {metadata['multiple_of']}"
    return None


def _convert(given: Any, hint: Any) -> tuple[Any, str]:
    """The value in the type of the field, or what the type wants, in words."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if given is None or given == "none":  # TOML and the command line know no null
            return None, ""
        inner = next(entry for entry in typing.get_args(hint) if entry is not type(None))
        value, wanted = _convert(given, inner)
        return value, f"{wanted} or none" if wanted else ""
    if origin is tuple:
        return _convert_tuple(given, typing.get_args(hint))
    if hint is bool:
        return given, "" if isinstance(given, bool) else "true or false"
    if hint is int:
        whole = isinstance(given, int) and not isinstance(given, bool)
        return given, "" if whole else "a whole number"
    if hint is float:
        number = isinstance(given, int | float) and not isinstance(given, bool) and given == given
        finite = number and abs(given) <= sys.float_info.max  # whole numbers may be larger than any of these
        return (float(given), "") if finite else (None, "a number")
    return given, "" if isinstance(given, str) else "text"


def _convert_tuple(given: Any, entries: tuple[Any, ...]) -> tuple[Any, str]:
    variable = len(entries) == 2 and entries[1] is Ellipsis
    kind = {int: "whole numbers", float: "numbers", str: "texts"}[entries[0]]
    wanted = f"a list of {kind}" if variable else f"a list of {len(entries)} {kind}"
    if not isinstance(given, list | tuple) or (not variable and len(given) != len(entries)):
        return None, wanted
    converted = [_convert(value, entries[0]) for value in given]
    return (None, wanted) if any(problem for _, problem in converted) else (tuple(v for v, _ in converted), "")


def _cross_checks(settings: Any) -> list[str]:
    """Problems that only show when settings are looked at together (method ``problems`` of a section)."""
    found: list[str] = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found += _cross_checks(value)
    own = getattr(settings, "problems", None)
    return found + (own() if own else [])

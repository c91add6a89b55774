"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from SwinSSLLib.errors import InputError
from SwinSSLLib.presets import PRESETS
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import read_settings_file
from SwinSSLLib.validation import merged

T = TypeVar("T")

#: Options that people change often, and the setting that each one is.
SHORT = {
    "steps": "training.steps",
    "batch": "training.batch",
    "lr": "training.lr",
    "seed": "training.seed",
    "device": "training.device",
    "devices": "training.devices",
    "precision": "training.precision",
}

#: Instead of a number: as much as the memory holds.
AUTO = "auto"


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Options of pretrain, finetune and compare."""
    parser.add_argument("-d", "--data", nargs="+", type=Path, metavar="PATH", help="a folder, files, or a dataset.json")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="RUN", help="run folder to make")
    add_settings_options(parser)
    parser.add_argument("-n", "--steps", type=int, help="training steps")
    parser.add_argument(
        "-b", "--batch", type=_batch, help="sub-volumes a step and process; 'auto' for the most that fit into memory"
    )
    parser.add_argument("--lr", type=float, help="learning rate")
    parser.add_argument("-s", "--seed", type=int, help="seed of everything random")
    parser.add_argument("--device", help="auto, cpu, cuda or mps")
    parser.add_argument("--devices", type=int, help="GPUs (or processes) of this machine; or use torchrun")
    parser.add_argument("--precision", help="32-true, bf16-mixed or 16-mixed")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where prepared CTs are kept")
    parser.add_argument("--skip-bad", action="store_true", help="leave unusable CTs out with a note")
    parser.add_argument("--allow-outside", action="store_true", help="follow a datalist out of its own folder")
    names = "files are called by their names, not by numbers, in log, events, report and model"
    parser.add_argument("--names", action="store_true", help=names)
    add_machine_options(parser)


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """A preset, a settings file, and single settings."""
    parser.add_argument("-p", "--preset", choices=PRESETS, help="settings to begin with (default: recommended)")
    parser.add_argument(
        "--settings", type=Path, metavar="FILE",
        help="settings file, .toml or .json; 'swinssl settings pretrain' (or finetune) prints one with all settings",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="any other setting, e.g. --set loss.contrast=0 --set input.spacing=1.5,1.5,2; none for nothing",
    )  # fmt: skip


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Options for programs that call us."""
    parser.add_argument("--json", action="store_true", help="events as JSON lines on standard output")
    parser.add_argument("--control", action="store_true", help="read 'stop' from standard input; its end stops too")


def add_shard(parser: argparse.ArgumentParser) -> None:
    """A share of the work, for the jobs of an array."""
    parser.add_argument(
        "--shard", type=_shard, default=(1, 1), metavar="I/N", help="only the I-th of N shares, for a job array"
    )


def make_settings(arguments: argparse.Namespace, build: Callable[..., T], run: RunFolder | None) -> T:
    """Settings of a job: preset, settings file, --set and short options, each over the one before.

    A run that is resumed begins with its own settings.

    Raises:
        InputError: all problems of the settings at once.
    """
    changes: dict[str, Any] = {}
    if run is not None:
        changes = run.job().get("settings", {})
        if not isinstance(changes, dict) or not changes:
            raise InputError(f"{run.job_file} is damaged: it holds no settings.", "Start a new run in another folder.")
    changes, source = given_settings(arguments, changes)
    settings = build(changes=changes, source=source)
    if arguments.batch != AUTO or run is not None:  # a run that is resumed keeps the batch that it has
        return settings
    from SwinSSLLib.jobs import rehearsal_of
    from SwinSSLLib.training_memory import largest_batch

    any_settings: Any = settings
    batch = largest_batch(rehearsal_of(any_settings), any_settings.training)
    return build(changes=merged(changes, {"training": {"batch": batch}}), source=source)


def given_settings(arguments: argparse.Namespace, base: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What the command line says of settings, laid over ``base``, and what to call it in messages.

    Raises:
        InputError: the settings file or an assignment cannot be read.
    """
    changes, source = dict(base), "the settings"
    if arguments.settings:
        changes = merged(changes, read_settings_file(arguments.settings))
        source = f"The settings file {arguments.settings}"
    for assignment in arguments.set:
        changes = merged(changes, _assigned(assignment))
    for option, name in SHORT.items():
        value = getattr(arguments, option, None)
        if value is not None and value != AUTO:
            changes = merged(changes, _nested(name, value))
    if arguments.preset:
        changes = {**changes, "preset": arguments.preset}
    return changes, source


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, such as 1/8")
    return int(found[1]), int(found[2])


def _batch(text: str) -> int | str:
    return text if text == AUTO else int(text)


def _assigned(assignment: str) -> Mapping[str, Any]:
    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise InputError(f"--set {assignment} is not NAME=VALUE.", "Write for example --set loss.contrast=0.")
    return _nested(name.strip(), _value(text.strip()))


def _value(text: str) -> Any:
    """JSON, several numbers as people write them (1.5,1.5,2 or 1.5 1.5 2 or 1.5x1.5x2), none, or the text itself."""
    if text == "none":
        return None
    numbers = re.split(r"\s*[,x\s]\s*", text.strip("()"))
    for form in (text, f"[{','.join(numbers)}]"):
        with contextlib.suppress(ValueError):
            if form == text or len(numbers) > 1:
                return json.loads(form)
    return text


def _nested(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)

"""``swinssl check``: can the data be used, what are they like, and what will they take?"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib.commands.console import Display, print_json
from SwinSSLLib.commands.options import add_settings_options, given_settings
from SwinSSLLib.errors import InputError
from SwinSSLLib.presets import finetune_settings, pretrain_settings

if TYPE_CHECKING:
    from rich.table import Table

    from SwinSSLLib.data.cases import Case, Datalist
    from SwinSSLLib.data.survey import Finding
    from SwinSSLLib.settings import FinetuneSettings, PretrainSettings


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = add(
        "check", check, "look at data and write nothing: what can be used, how it will be split, what it takes"
    )
    add_data_options(parser)
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where prepared CTs would be kept")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Which data, and with which settings they are read."""
    what = "a folder, files, or a dataset.json"
    parser.add_argument("-d", "--data", nargs="+", type=Path, required=True, metavar="PATH", help=what)
    add_settings_options(parser)
    parser.add_argument("--labels", action="store_true", help="for finetune, with labels (otherwise for pretrain)")
    parser.add_argument("--allow-outside", action="store_true", help="follow a datalist out of its own folder")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")


def asked_settings(arguments: argparse.Namespace) -> PretrainSettings | FinetuneSettings:
    """The settings of the job that the data are for."""
    changes, source = given_settings(arguments, {})
    build = finetune_settings if arguments.labels else pretrain_settings
    return build(changes=changes, source=source)


def asked_parts(arguments: argparse.Namespace, settings: PretrainSettings | FinetuneSettings) -> Datalist:
    """The cases that a job with these settings learns from and validates on, split as it splits them."""
    from SwinSSLLib.data.cases import Datalist
    from SwinSSLLib.preparing import Preparation, unlabelled_parts

    preparation = Preparation(tuple(arguments.data), allow_outside=arguments.allow_outside)
    seed, share = settings.training.seed, settings.validation_share
    listed = preparation.datalist(seed, share)
    if arguments.labels:
        return Datalist(listed.training, listed.validation, warnings=listed.warnings)
    training, validation = unlabelled_parts(listed, share, seed)
    return Datalist((), validation, training, listed.warnings)


def room(cases: Sequence[Case], settings: PretrainSettings | FinetuneSettings, cache: Path, *, labels: bool) -> Any:
    """What the cache will take and what is free there, in bytes."""
    from SwinSSLLib.data.survey import cache_bytes

    there = next(path for path in (cache.absolute(), *cache.absolute().parents) if path.is_dir())
    needed = cache_bytes(cases, settings.input.spacing, labels=labels)
    return {"cts": len(cases), "bytes": needed, "free": shutil.disk_usage(there).free, "cache": str(cache)}


def room_sentence(found: dict[str, Any]) -> str:
    """The same for a person."""
    these = "This CT takes" if found["cts"] == 1 else f"These {counted(found['cts'], 'CT')} take"
    sentence = f"{these} about {size(found['bytes'])} in {found['cache']}; {size(found['free'])} are free."
    short = found["bytes"] > found["free"]
    return sentence + (" That is too little, unless most of them are there already." if short else "")


def counted(number: int, what: str) -> str:
    """A number of things: 1 CT, 2 CTs."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def size(count: float) -> str:
    """Bytes as people say them."""
    return f"{count / 1e9:,.1f} GB" if count >= 5e7 else f"{count / 1e6:,.1f} MB"


def check(arguments: argparse.Namespace) -> int:
    """Run ``swinssl check``: exit code 2 when something cannot be used."""
    from SwinSSLLib.control import Control
    from SwinSSLLib.data.survey import look_at
    from SwinSSLLib.places import cache_folder
    from SwinSSLLib.preparing import StoppedWhilePreparing

    settings = asked_settings(arguments)
    parts = asked_parts(arguments, settings)
    cases = (*parts.training, *parts.unlabelled, *parts.validation)
    display = None if arguments.json else Display("Checking")
    findings: list[Finding] = []
    with display or nullcontext(), Control(signals=True) as control:
        for number, case in enumerate(cases):
            if control.stop:
                raise StoppedWhilePreparing("Stopped before all CTs were looked at.", "Nothing was written.")
            if display:
                display.advance("Checking", number, len(cases))
            findings.append(look_at(case, settings.input.spacing))
    refused = [finding for finding in findings if finding.problem]
    takes = room(cases, settings, arguments.cache or cache_folder(), labels=arguments.labels)
    notes = _notes(parts, findings, labels=arguments.labels)
    if display is None:
        rows = [_as_json(finding, parts, settings) for finding in findings]
        print_json(
            {"cts": rows, "split": _split(parts, refused), "room": takes, "notes": notes, "refused": len(refused)}
        )
        return InputError.exit_code if refused else 0
    if not display.console.is_terminal:
        display.console.width = 200  # nobody is to read names cut off in a file
    display.console.print(_table(findings, settings))
    for note in notes:
        display.console.print(f"Note: {note}", soft_wrap=True, markup=False)
    display.console.print(_split_sentence(_split(parts, refused), labels=arguments.labels), soft_wrap=True)
    display.console.print(room_sentence(takes), soft_wrap=True)
    if refused:
        listing = "\n".join(f"  - {finding.problem.message}" for finding in refused if finding.problem)
        raise InputError(
            f"{len(refused)} of {counted(len(findings), 'CT')} cannot be used:\n{listing}",
            "Correct or remove them, or leave them out with --skip-bad when you train.",
        )
    display.console.print("This CT can be used." if len(findings) == 1 else f"All {len(findings):,} CTs can be used.")
    return 0


def _notes(parts: Datalist, findings: Sequence[Finding], *, labels: bool) -> list[str]:
    """What a training would tell: warnings of the list and of the files, doubles, nothing kept aside."""
    from SwinSSLLib.data.datalists import Duplicate
    from SwinSSLLib.preparing import note_on

    notes = [*parts.warnings, *(note_on(f.case.image, text) for f in findings for text in f.warnings)]
    same: dict[str, list[Case]] = defaultdict(list)
    for finding in findings:
        if finding.content:
            same[finding.content].append(finding.case)
    for content, cases in same.items():
        if len(cases) > 1:
            notes.append(str(Duplicate(content, tuple(cases), tuple(_part(case, parts) for case in cases))))
    if labels and not any(case.labels for case in parts.training):
        notes.append("No CT to learn from has labels: fine-tuning needs a datalist that names them.")
    if not parts.validation:
        only = "No labelled CT is kept aside." if labels else "There is only one patient: validation uses its CT too."
        notes.append(only)
    return notes


def _part(case: Case, parts: Datalist) -> str:
    names = ("training", "validation", "unlabelled")
    return next(name for name in names if case in getattr(parts, name))


def _split(parts: Datalist, refused: Sequence[Finding]) -> dict[str, int]:
    """How many CTs and patients learn and validate, without those that cannot be used."""
    out = {finding.case for finding in refused}
    learned = [case for case in (*parts.training, *parts.unlabelled) if case not in out]
    aside = [case for case in parts.validation if case not in out]
    return {
        "training": len(learned),
        "training_patients": len({case.patient for case in learned}),
        "validation": len(aside),
        "validation_patients": len({case.patient for case in aside}),
    }


def _split_sentence(found: dict[str, int], *, labels: bool) -> str:
    job = "Fine-tuning" if labels else "Pre-training"
    return (
        f"{job} would learn from {counted(found['training'], 'CT')} of "
        f"{counted(found['training_patients'], 'patient')} and keep {counted(found['validation'], 'CT')} of "
        f"{counted(found['validation_patients'], 'patient')} aside."
    )


def _as_json(finding: Finding, parts: Datalist, settings: PretrainSettings | FinetuneSettings) -> dict[str, Any]:
    case, problem = finding.case, finding.problem
    own = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(case).items()}
    row = {**own, "part": _part(case, parts), "problem": problem.message if problem else None}
    if problem:
        return row
    names = ("shape", "spacing", "lowest", "highest", "labels", "content", "prepared", "warnings")
    values = {name: getattr(finding, name) for name in names}
    return {**row, **values, "label_file": row.pop("labels"), "sub_volumes": finding.sub_volumes(settings.input.roi)}


def _table(findings: Sequence[Finding], settings: PretrainSettings | FinetuneSettings) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("CT", "patient", "voxels", "spacing [mm]", "HU", "labels", "sub-volumes"):
        table.add_column(title, overflow="fold", justify="right" if title in ("labels", "sub-volumes") else "left")
    for found in findings:
        case = found.case
        patient = "" if case.patient == case.name else case.patient
        if found.problem:
            table.add_row(Text(case.name), Text(patient), "[red]refused[/], see below", "", "", "", "")
            continue
        table.add_row(
            Text(case.name),
            Text(patient),
            " × ".join(map(str, found.shape)),
            " × ".join(f"{step:.3g}" for step in found.spacing),
            f"{found.lowest} to {found.highest}",
            "–" if found.labels is None else f"{len(found.labels)}",
            f"{found.sub_volumes(settings.input.roi):,}",
        )
    return table

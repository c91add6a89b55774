"""``swinssl evaluate``: a segmentation against its reference, or a folder of them against a folder."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib.commands.console import Display, print_json
from SwinSSLLib.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from SwinSSLLib.evaluate.metrics import Evaluation, Means

_COLUMNS = ("case", "id", "name", "state", "dice", "hd95_mm", "nsd", "reference_ml", "prediction_ml")


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = add("evaluate", evaluate, "compare segmentations with references: Dice, HD95, surface distance")
    what = "label file, or a folder of them"
    parser.add_argument("-p", "--prediction", type=Path, required=True, metavar="PATH", help=what)
    parser.add_argument(
        "-r", "--reference", type=Path, required=True, metavar="PATH",
        help=f"{what}; on the same grid, and in a folder under the same name but for the ending",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="table to write, .csv: a row a case and organ")
    parser.add_argument("--tolerance", type=float, help="tolerance of the normalised surface distance in mm")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def evaluate(arguments: argparse.Namespace) -> int:
    """Run ``swinssl evaluate``: exit code 2 when a pair cannot be compared; the others are told before."""
    from SwinSSLLib.evaluate.metrics import TOLERANCE, evaluate_files

    tolerance = TOLERANCE if arguments.tolerance is None else arguments.tolerance
    if tolerance <= 0:
        raise InputError(f"A tolerance of {tolerance:g} mm is impossible.", "Choose one above 0.")
    if arguments.out and arguments.out.suffix.lower() != ".csv":
        raise InputError(f"{arguments.out} does not end with .csv.", "The table is written as CSV.")
    if arguments.prediction.is_dir() or arguments.reference.is_dir():
        return _evaluate_folders(arguments, tolerance)
    found = evaluate_files(arguments.prediction, arguments.reference, tolerance=tolerance)
    if arguments.out:
        _write_csv(arguments.out, [found])
    if arguments.json:
        print_json(found.to_dict())
        return 0
    console = Display("Evaluation").console
    for warning in found.warnings:
        console.print(f"[yellow]Note:[/] {warning}", soft_wrap=True)
    console.print(score_table(found))
    return 0


def _evaluate_folders(arguments: argparse.Namespace, tolerance: float) -> int:
    from SwinSSLLib.evaluate.metrics import evaluate_files, mean_over_cases

    pairs, alone = pairs_of(arguments.prediction, arguments.reference)
    display = None if arguments.json else Display("Comparing")
    found: list[Evaluation] = []
    problems: list[InputError] = []
    with display or nullcontext():
        for number, (name, prediction, reference) in enumerate(pairs):
            if display:
                display.advance("Comparing", number, len(pairs))
            try:
                found.append(replace(evaluate_files(prediction, reference, tolerance=tolerance), case=name))
            except InputError as error:
                problems.append(error)
    if arguments.out:
        _write_csv(arguments.out, found)
    overall, organs = mean_over_cases(found)
    if display is None:
        more = {"organs": {name: asdict(mean) for name, mean in organs.items()}, "without_partner": alone}
        print_json({"cases": [one.to_dict() for one in found], "mean": asdict(overall), **more})
    else:
        notes = [f"{one.case}: {warning}" for one in found for warning in one.warnings]
        notes += [f"{name} is in one of the folders only." for name in alone]
        for note in notes:
            display.console.print(f"Note: {note}", soft_wrap=True, markup=False)
        display.console.print(_table_of_cases(found, overall, organs, tolerance))
    if problems:
        listing = "\n".join(f"  - {problem.message}" for problem in problems)
        raise InputError(f"{len(problems)} of {len(pairs)} pairs cannot be compared:\n{listing}", problems[0].hint)
    return 0


def pairs_of(predictions: Path, references: Path) -> tuple[list[tuple[str, Path, Path]], list[str]]:
    """Label files of two folders that have one name but for the ending, and the names without a partner.

    Raises:
        InputError: one is no folder, a name comes twice in a folder, or no name is in both.
    """
    for folder in (predictions, references):
        if not folder.is_dir():
            kind = "a file" if folder.exists() else "not there"
            raise InputError(f"{folder} is {kind}, and the other one is a folder.", "Give two files or two folders.")
    ours, theirs = _labels_in(predictions), _labels_in(references)
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        raise InputError(
            f"No label file of {predictions} has the name of one in {references}.",
            "The names must be equal but for the ending, as `swinssl segment` writes them after the CTs'.",
        )
    return [(name, ours[name], theirs[name]) for name in both], sorted(ours.keys() ^ theirs.keys())


def _labels_in(folder: Path) -> dict[str, Path]:
    from SwinSSLLib.segment.results import label_suffix

    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        suffix = label_suffix(file)
        if suffix is None or file.name.startswith(".") or not file.is_file():
            continue
        name = file.name[: -len(suffix)]
        if name in found:
            raise InputError(f"{file} and {found[name].name} have one name.", "Keep one of them in the folder.")
        found[name] = file
    return found


def _write_csv(path: Path, evaluations: Sequence[Evaluation]) -> None:
    from SwinSSLLib import atomic

    text = io.StringIO(newline="")
    table = csv.DictWriter(text, _COLUMNS)
    table.writeheader()
    for one in evaluations:
        table.writerows({"case": one.case, **asdict(score)} for score in one.scores)
    with atomic.replacing(path) as file:
        file.write(text.getvalue().encode())


def score_table(evaluation: Evaluation) -> Table:
    """Scores of one case as a table."""
    from rich.table import Table

    table = Table("organ", title=evaluation.case)
    for column in ("Dice", "HD95 [mm]", f"NSD at {evaluation.tolerance_mm:g} mm", "reference [mL]", "found [mL]"):
        table.add_column(column, justify="right")
    for score in evaluation.scores:
        if score.state == "absent":
            table.add_row(score.name, "absent", "–", "–", "–", "–", style="dim")
            continue
        table.add_row(score.name, *_numbers(score), f"{score.reference_ml:,.1f}", f"{score.prediction_ml:,.1f}")
    mean = evaluation.mean
    table.add_section()
    table.add_row(f"mean of {mean.count}", *_numbers(mean), "", "")
    return table


def _table_of_cases(found: Sequence[Evaluation], overall: Means, organs: dict[str, Means], tolerance: float) -> Table:
    """A row a case, the mean over them, and the mean of each organ."""
    from rich.table import Table

    table = Table("case or organ")
    for column in ("organs", "Dice", "HD95 [mm]", f"NSD at {tolerance:g} mm"):
        table.add_column(column, justify="right")
    for one in found:
        table.add_row(one.case, str(one.mean.count), *_numbers(one.mean))
    table.add_section()
    table.add_row(f"mean over {overall.count} cases", "", *_numbers(overall))
    table.add_section()
    for name, mean in organs.items():
        table.add_row(name, f"in {mean.count}", *_numbers(mean))
    return table


def _numbers(scores: Any) -> tuple[str, str, str]:
    """Dice, HD95 and NSD as they are shown."""
    values = ((scores.dice, 3), (scores.hd95_mm, 1), (scores.nsd, 3))
    dice, hd95, nsd = ("–" if value is None else f"{value:.{digits}f}" for value, digits in values)
    return dice, hd95, nsd

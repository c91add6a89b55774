"""The report of a run: one HTML file with curves, pictures, tables and provenance, that needs nothing beside it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from SwinSSLLib import __version__, atomic
from SwinSSLLib.discretion import Discretion
from SwinSSLLib.evaluate.html import Html, flat, join, missing, number, page, section, table, tag
from SwinSSLLib.evaluate.record import Record
from SwinSSLLib.evaluate.report_finetune import finetune_sections
from SwinSSLLib.evaluate.report_parts import duration, tiles
from SwinSSLLib.evaluate.report_pretrain import pretrain_sections

_TITLES = {"pretrain": "Self-supervised pre-training", "finetune": "Fine-tuning for organ segmentation"}
#: What the table of inputs shows, where the run knows it.
_INPUT_COLUMNS = ("name", "role", "labels", "shape", "size", "spacing", "sha256", "content")
#: What the table of launches shows: how many processes made a step, and how large its batch was.
_LAUNCH_COLUMNS = {
    "step": "from step", "created": "started", "processes": "processes", "nodes": "nodes",
    "batch": "sub-volumes a step", "device": "device of each",
}  # fmt: skip


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run, finished or not. What the run does not have is left out with a sentence.

    Args:
        run: a run folder.
        out: where to write; ``report.html`` in the run if None.

    Returns:
        The file.

    Raises:
        InputError: this is no run folder, or the file cannot be written.
    """
    record = Record.read(run)
    sections = finetune_sections(record) if record.job.get("kind") == "finetune" else pretrain_sections(record)
    title = f"{_title(record)}: {record.run.path.absolute().name}"
    content = page(title, _header(record), _warnings(record), *sections, _provenance(record), _footer())
    file = out or record.run.report
    with atomic.replacing(file) as opened:
        opened.write(content.encode())
    return file


def _title(record: Record) -> str:
    kind = str(record.job.get("kind", "run"))
    return _TITLES.get(kind, kind.capitalize())


def _header(record: Record) -> Html:
    status, job = record.status, record.job
    total = status.get("total") or record.setting("training", "steps")
    state = str(status.get("state", "not started"))
    entries: list[tuple[str, object, object]] = [
        ("State", tag("span", state, class_="bad" if state == "failed" else None), _resumed(record)),
        ("Steps", f"{status.get('step', 0):,}", f"of {total:,}" if isinstance(total, int) else ""),
        ("Time", duration(record.seconds), _rate(record)),
        ("Device", str(record.started.get("device") or status.get("device") or "–"), status.get("host", "")),
        ("CTs", str(len(job.get("inputs", [])) or "–"), _split(record)),
        *_best(record),
    ]
    preset = record.setting("preset")
    eyebrow = " · ".join(filter(None, [_title(record), f"preset {preset}" if preset else "", _day(job.get("created"))]))
    return tag(
        "header",
        tag("p", eyebrow, class_="eyebrow"),
        tag("h1", record.run.path.absolute().name),
        tiles(entries),
    )


def _best(record: Record) -> list[tuple[str, object, object]]:
    """The result in one or two figures."""
    entries: list[tuple[str, object, object]] = []
    for name, title, percent in (
        ("rotation_accuracy", "Rotation, unseen", True),
        ("inpaint_masked", "Inpainting L1", False),
    ):
        points = record.metrics.get(f"validation/{name}")
        if points:
            last, level = points[max(points)], record.chance.get(name)
            small = "" if level is None else f"chance {level:.0%}" if percent else f"filling with the mean {level:.3f}"
            entries.append((title, f"{last:.0%}" if percent else number(last), small))
    dice = record.metrics.get("validation/dice")
    if dice:
        kept = record.card.get("metrics", {}).get("validation", {}).get("dice")
        small = "of the kept model, on CTs kept aside" if kept else "on CTs kept aside"
        entries.append(("Mean Dice", number(kept or dice[max(dice)]), small))
    return entries


def _warnings(record: Record) -> Html:
    told = record.warnings
    if not told:
        return Html("")
    return section("Warnings", tag("ul", *(tag("li", sentence) for sentence in told)))


def _provenance(record: Record) -> Html:
    job = _discreet(record)
    inputs = [entry for entry in job.get("inputs", []) if isinstance(entry, dict)]
    versions = job.get("versions", {})
    parts: list[Html] = []
    if inputs:
        columns = [key for key in _INPUT_COLUMNS if any(entry.get(key) not in (None, "") for entry in inputs)]
        rows = [[_cell(key, entry.get(key)) for key in columns] for entry in inputs]
        parts.append(_folded(f"Inputs ({len(inputs)})", table(columns, rows), open_=len(inputs) <= 20))
    else:
        parts.append(missing("The run does not say what it was made from."))
    if job.get("settings"):
        parts.append(_folded("Settings", table([], flat(job["settings"]), class_="names")))
    if job.get("launches"):
        rows = [[_cell(key, launch.get(key)) for key in _LAUNCH_COLUMNS] for launch in job["launches"]]
        parts.append(_folded("Launches", table([*_LAUNCH_COLUMNS.values()], rows), open_=len(rows) > 1))
    parts.append(_folded("Versions", table([], [(k, str(v)) for k, v in versions.items()], class_="names")))
    rest = {k: v for k, v in job.items() if k not in ("settings", "inputs", "versions", "chance", "launches")}
    if record.card.get("sha256"):
        rest["model sha256"] = record.card["sha256"]
    parts.append(_folded("Job", table([], flat(rest), class_="names")))
    lead = "Enough to run it again: the same settings, inputs and versions give the same result on one CPU."
    return section("Settings and provenance", *parts, lead=lead)


def _discreet(record: Record) -> dict[str, Any]:
    """The job without names and places of files, unless whoever started it wanted them told."""
    job, discretion = record.job, Discretion(record.run.path, on=not record.job.get("names"))
    if not discretion.on:
        return dict(job)
    paths = [entry["path"] for entry in job.get("inputs", []) if isinstance(entry, dict) and "path" in entry]
    discretion.learn((Path(path), None) for path in paths)
    told = {**job, "data": "see job.json"} if job.get("data") else job
    return {key: discretion.of(value) for key, value in told.items()}


def _folded(title: str, content: Html, *, open_: bool = False) -> Html:
    return tag("details", tag("summary", title), content, open="" if open_ else None)


def _cell(key: str, value: Any) -> object:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key in ("sha256", "content"):
        return tag("code", str(value)[:12], title=str(value))
    if isinstance(value, list | tuple):
        return " × ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return str(value)


def _footer() -> Html:
    words = f"SwinSSL {__version__}. For research only: nothing here is a medical device or a diagnosis."
    return tag("footer", join([words]))


def _resumed(record: Record) -> str:
    return f"resumed {record.starts - 1}×" if record.starts > 1 else ""


def _split(record: Record) -> str:
    """How the CTs were divided, where the first event tells."""
    training, validation = (record.started.get(key) for key in ("training", "validation"))
    if not isinstance(training, list) or not isinstance(validation, list):
        return ""
    return f"{len(training)} to learn from, {len(validation)} kept aside"


def _rate(record: Record) -> str:
    rate = record.status.get("rate")
    if not rate:
        return ""
    return f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / rate:.1f} s a step"


def _day(created: Any) -> str:
    try:
        return datetime.fromisoformat(str(created)).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return ""

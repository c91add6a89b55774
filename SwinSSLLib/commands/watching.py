"""``swinssl status`` and ``report``: what a run does, and what it did."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from SwinSSLLib.commands.console import Display, print_json, span
from SwinSSLLib.errors import InputError
from SwinSSLLib.runs import RunFolder

#: A run tells that it is alive every few seconds; after so many without a word something is wrong.
_SILENCE = 120.0
_AT_WORK = ("starting", "running", "stopping")


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe both commands."""
    parser = add("status", status, "say where a run stands, from any machine that sees its folder")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser = add("report", report, "write the report of a run anew, finished or not")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="HTML file (default: report.html in the run)")


def status(arguments: argparse.Namespace) -> int:
    """Run ``swinssl status``."""
    found = status_of(_run(arguments.run_folder))
    if arguments.json:
        print_json(found)
        return 0
    console = Display("").console
    state, step, total = found["state"], found["step"] or 0, found["total"]
    left = f", {span(found['seconds_left'])} left" if state == "running" and found["seconds_left"] else ""
    console.print(f"[bold]{state}[/]" + (f": step {step:,} of {total:,}{left}" if total else ""), highlight=False)
    if found["silent_seconds"]:
        words = f"no sign of life for {span(found['silent_seconds'])} (process {found['pid']} on {found['host']})"
        console.print(f"  {words}: it has ended, or its disk is not reached; go on with --resume", soft_wrap=True)
    for name, value in sorted(found["metrics"].items()):
        console.print(f"  {name:<34}{value:.4g}", highlight=False)
    for sentence in found["warnings"]:
        console.print(f"  {sentence}", soft_wrap=True, highlight=False)
    return 0


def status_of(run: RunFolder) -> dict[str, Any]:
    """Where a run stands.

    Returns:
        ``state``, ``step``, ``total``, ``rate`` (steps per second), ``seconds_left``, ``pid``, ``host``;
        ``silent_seconds`` where a run that should be at work has not been heard of; the last value of each ``metrics``
        of the validation; ``warnings`` and errors, each once.
    """
    status, metrics, told = run.status(), dict[str, float](), list[str]()
    for event in run.events():
        if event["event"] == "metric" and str(event.get("name")).startswith("validation/"):
            metrics[str(event["name"])] = float(event["value"])
        elif event["event"] in ("warning", "error"):
            told.append(str(event.get("message")))
    found = {key: status.get(key) for key in ("step", "total", "rate", "seconds_left", "pid", "host")}
    state = status.get("state", "starting")
    silence = _silence(status.get("heartbeat")) if state in _AT_WORK else None
    warnings = list(dict.fromkeys(told))
    return {"state": state, **found, "silent_seconds": silence, "metrics": metrics, "warnings": warnings}


def _silence(heartbeat: object) -> float | None:
    """Seconds since the last sign of life, where they are too many."""
    try:
        passed = (datetime.now(UTC) - datetime.fromisoformat(str(heartbeat))).total_seconds()
    except (ValueError, TypeError):
        return None
    return passed if passed > _SILENCE else None


def report(arguments: argparse.Namespace) -> int:
    """Run ``swinssl report``."""
    from SwinSSLLib.evaluate.report import write_report

    file = write_report(_run(arguments.run_folder).path, arguments.out)
    Display("").console.print(f"  report  {file}", soft_wrap=True)
    return 0


def _run(path: Path) -> RunFolder:
    if not RunFolder.is_run(path):
        raise InputError(f"{path} holds no run.", "Give the folder that a training was started with (--out).")
    return RunFolder(path)

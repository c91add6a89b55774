"""What a person sees while a job runs: a bar with rate and time left, and a line for each validation."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from SwinSSLLib.runs import Event

#: Without a terminal a line of progress is printed this often, in seconds.
_PLAIN_EVERY = 15.0


def print_json(event: Any) -> None:
    """One JSON object on one line of standard output, at once."""
    sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def span(seconds: float | None) -> str:
    """Seconds as people say them: 40 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


class Display:
    """A sink for events that draws a progress bar in a terminal and plain lines elsewhere."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title = title
        self.console = console or Console(highlight=False)
        self.chance: dict[str, float] = {}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None
        self._values: dict[str, float] = {}
        self._printed = 0.0

    def __enter__(self) -> Display:
        if not self._bar.disable:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._bar.disable:  # older Rich ends the line of a bar that it never drew
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler:
            handler(event)

    def advance(self, what: str, done: int, total: int, rate: float | None = None, left: float | None = None) -> None:
        """Move the bar."""
        speed = f"{_rate(rate)} · {span(left)} left" if rate else ""
        if self.console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task(what, total=total, speed="")
            self._bar.update(self._task, description=what, completed=done, total=total, speed=speed)
        elif time.monotonic() - self._printed >= _PLAIN_EVERY:
            self._printed = time.monotonic()
            self.console.print(f"{what}: {done:,} of {total:,}" + (f", {speed}" if speed else ""))

    def _on_run(self, event: Event) -> None:
        where = f"{event['arm']}, {event['labelled']} labelled, seed {event['seed']}"
        self.console.print(f"[bold]Run {event['number']} of {event['total']}[/]: {where}", highlight=False)

    def _on_started(self, event: Event) -> None:
        self.chance = event.get("chance", {})
        counts = f"{len(event.get('training', []))} CTs to learn from, {len(event.get('validation', []))} kept aside"
        processes, every = event.get("processes", 1), event.get("batch_of_all", event.get("batch"))
        where = event["device"] if processes == 1 else f"{processes} processes ({event['device']} each)"
        self.console.print(f"[bold]{self.title}[/] on {where}: {counts}")
        if "memory" in event:
            need, free = (event["memory"][name] / 2**30 for name in ("needed", "free"))
            together = "" if every == event["batch"] else f", {every} a step"
            self.console.print(
                f"  batches of {event['batch']}{together}: about {need:.1f} GiB of memory, {free:.1f} free"
            )
        if "coverage" in event:
            self.console.print(f"  {event['coverage']}")

    def _on_progress(self, event: Event) -> None:
        what = event.get("stage") or self.title
        self.advance(what, event["step"], event["total"], event.get("rate"), event.get("seconds_left"))

    def _on_metric(self, event: Event) -> None:
        name = event["name"]
        if not name.startswith("validation/") or name.count("/") > 1:
            return
        name = name.removeprefix("validation/")
        self._values[name] = event["value"]
        if name in ("rotation_accuracy", "dice"):  # the last of a validation
            self._print_validation(event["step"])

    def _print_validation(self, step: int) -> None:
        values, chance, parts = self._values, self.chance, []
        for name, title in (("inpaint_masked", "inpainting L1"), ("contrast", "contrast"), ("loss", "loss")):
            if name in values:
                line = f" (chance {chance[name]:.3f})" if name in chance else ""
                parts.append(f"{title} {values[name]:.3f}{line}")
        if "rotation_accuracy" in values:
            parts.append(f"rotation {values['rotation_accuracy']:.0%} right (chance 25%)")
        if "dice" in values:
            parts.append(f"mean Dice {values['dice']:.3f}")
        self.console.print(f"  step {step:>6,}   " + " · ".join(parts), soft_wrap=True)
        self._values = {}

    def _on_warning(self, event: Event) -> None:
        self.console.print(Text.assemble(("Note: ", "yellow"), event["message"]), soft_wrap=True)


def _rate(rate: float | None) -> str:
    if not rate:
        return ""
    return f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / rate:.1f} s a step"


class Transfer:
    """A bar for a file that is on its way, with rate and time left; JSON events for programs.

    Args:
        name: of the file.
        as_json: write events to standard output and nothing else.
    """

    def __init__(self, name: str, *, as_json: bool = False) -> None:
        self.name, self.as_json = name, as_json
        self.console = Console(highlight=False)
        columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            console=self.console,
            transient=True,
            disable=as_json or not self.console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=None)
        self._began = self._told = time.monotonic()
        self._first: int | None = None

    def __enter__(self) -> Transfer:
        if not self._bar.disable:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._bar.disable:  # older Rich ends the line of a bar that it never drew
            self._bar.stop()

    def advance(self, done: int, total: int | None) -> None:
        """Show that so many bytes are here."""
        self._bar.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if self._first is None:
            self._began, self._first = now, done
        if now - self._told < (2.0 if self.as_json else _PLAIN_EVERY) and done != total:
            return
        self._told = now
        rate = (done - self._first) / max(now - self._began, 1e-6)
        left = (total - done) / rate if total is not None and rate > 0 else None
        if self.as_json:
            event = {"event": "progress", "file": self.name, "step": done, "total": total}
            print_json({**event, "rate": rate, "seconds_left": left})
        elif not self.console.is_terminal:
            whole = f" of {total / 1e6:,.0f}" if total is not None else ""
            self.console.print(f"{self.name}: {done / 1e6:,.0f}{whole} MB, {rate / 1e6:.1f} MB/s, {span(left)} left")

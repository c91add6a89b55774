"""What a run folder tells, gathered once for the report; a part that is missing or damaged is empty."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from SwinSSLLib.errors import SwinSSLError
from SwinSSLLib.models import read_card
from SwinSSLLib.runs import Event, RunFolder

log = logging.getLogger(__name__)

Points = dict[int, float]

#: What a linear probe of the run's encoder found, where somebody asked (``swinssl probe``).
PROBE_FILE = "probe.json"


@dataclass(frozen=True)
class Record:
    """Everything that a report is made from.

    Attributes:
        run: the folder.
        job: content of job.json.
        status: content of status.json; empty if there is none.
        events: all whole events.
    """

    run: RunFolder
    job: dict[str, Any]
    status: dict[str, Any]
    events: list[Event]

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a run folder.

        Raises:
            InputError: it is none, or its job.json is damaged.
        """
        run = RunFolder(path)
        job = run.job()
        try:
            status = run.status()
        except SwinSSLError as error:
            log.warning("%s", error)
            status = {}
        return cls(run, job, status, list(run.events()))

    @cached_property
    def metrics(self) -> dict[str, Points]:
        """Value by step of every metric; a step that was done again after a resume counts as it came out last."""
        found: dict[str, Points] = {}
        for event in self._of("metric"):
            name, step, value = event.get("name"), event.get("step"), event.get("value")
            number = _number(value)
            if isinstance(name, str) and isinstance(step, int) and number is not None:
                found.setdefault(name, {})[step] = number
        return found

    @cached_property
    def probe(self) -> dict[str, Any]:
        """What the linear probe found; empty if nobody asked."""
        try:
            content = json.loads((self.run.path / PROBE_FILE).read_text(encoding="utf-8"))
            _ = content["model"]["recall"], content["random"]["recall"], content["sentence"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return dict(content)

    @cached_property
    def chance(self) -> dict[str, float]:
        """What chance alone would reach, by name of the metric without its prefix."""
        told: Any = self.job.get("chance") or {}
        for event in self._of("started"):
            told = event.get("chance") or told
        known = told.items() if isinstance(told, Mapping) else ()
        return {str(name): number for name, value in known if (number := _number(value)) is not None}

    @cached_property
    def started(self) -> Event:
        """The first event of the last start; empty if there is none."""
        return (self._of("started") or [{}])[-1]

    @cached_property
    def finished(self) -> Event:
        """The last event of a finished run; empty if there is none."""
        return (self._of("finished") or [{}])[-1]

    @cached_property
    def card(self) -> dict[str, Any]:
        """The card of the model that came out; empty if there is none."""
        try:
            return read_card(self.run.path)
        except SwinSSLError:
            return {}

    @property
    def warnings(self) -> list[str]:
        """Warnings and errors in order, each once."""
        told = [event for event in self.events if event["event"] in ("warning", "error")]
        return list(dict.fromkeys(str(event.get("message", "")) for event in told if event.get("message")))

    @property
    def starts(self) -> int:
        """How often the run was started or resumed."""
        return len(self._of("started"))

    @cached_property
    def seconds(self) -> float | None:
        """Time at work: between the first and the last event, without the pauses before a resume."""
        total, before = 0.0, None
        for event in self.events:
            try:
                moment = datetime.fromisoformat(str(event.get("time")))
            except ValueError:
                continue
            if moment.tzinfo is None:  # not written by us
                continue
            if before is not None and event["event"] != "started":
                total += max((moment - before).total_seconds(), 0.0)
            before = moment
        return None if before is None else total

    def setting(self, *keys: str) -> Any:
        """A value of the settings, or None."""
        value: Any = self.job.get("settings", {})
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def preview(self, file: Path) -> dict[str, np.ndarray]:
        """The arrays of a preview file; empty if it is damaged."""
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except Exception as error:  # zip, zlib, numpy and the disk each have their own kinds of damage
            log.warning("%s is damaged and left out: %s", file, error)
            return {}

    def _of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["event"] == kind]


def _number(value: object) -> float | None:
    """A finite number, or None: what stands in a file may be anything."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

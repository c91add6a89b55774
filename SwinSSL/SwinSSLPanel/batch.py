"""Segmenting many volumes with one worker: what becomes of each, and how results come into the scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SwinSSLPanel.jobs import Outcome
from SwinSSLPanel.modelCards import ModelEntry
from SwinSSLPanel.sections.section import span
from SwinSSLPanel.segmentations import Undo, loadResult, writeInto
from SwinSSLPanel.tables import OrganRow, cell, fitHeight, makeTableNode, organRows, setUpTable
from SwinSSLPanel.terminology import useOwnTerms
from SwinSSLPanel.verdicts import Verdict, rememberSpeed
from SwinSSLPanel.volumes import volumeFile
from SwinSSLPanel.wording import inPanelWords

QUEUED, RUNNING, DONE, FAILED, STOPPED = "queued", "running", "done", "failed", "stopped"


def stateWords() -> dict[str, str]:
    """The states of a row in words."""
    return {
        QUEUED: _("queued"),
        RUNNING: _("running"),
        DONE: _("done"),
        FAILED: _("failed"),
        STOPPED: _("stopped"),
    }


@dataclass
class Row:
    """One volume of a batch.

    Attributes:
        volumeID, name: of the volume.
        verdict: of the pre-flight.
        state: one of the five above.
        sentence: what there is to say: why it failed, or what the worker noted.
        source: the file that the worker reads.
        organs: the result in numbers.
        segmentationID, tableID: the result in the scene; empty if nothing was found.
        seconds: that the worker took.
        way: how the network was computed, in words.
    """

    volumeID: str
    name: str
    verdict: Verdict
    state: str = QUEUED
    sentence: str = ""
    source: Path | None = None
    organs: list[OrganRow] = field(default_factory=list)
    segmentationID: str = ""
    tableID: str = ""
    seconds: float = 0.0
    way: str = ""

    @property
    def found(self) -> list[OrganRow]:
        """The organs that are there."""
        return [organ for organ in self.organs if organ.voxels]

    def fail(self, sentence: str) -> None:
        """Nothing comes of it."""
        self.state, self.sentence = FAILED, sentence


class Batch:
    """Volumes on their way through one worker.

    Args:
        rows: the volumes; those whose verdict stops them fail at once.
        model: to segment with.
        folder: for copies of volumes and for results; it belongs to the batch.
        target: segmentation to write into, for a single volume; None for new ones.
        onChanged: called with a row when something has become of it.
    """

    def __init__(
        self, rows: Sequence[Row], model: ModelEntry, folder: Path, target: Any, onChanged: Callable[[Row], None]
    ) -> None:
        self.rows, self.model, self.folder, self.onChanged = list(rows), model, folder, onChanged
        self.targetID = target.GetID() if target is not None else ""
        self.undo: Undo | None = None
        self._description = ""
        self._seen: set[Path] = set()
        self._windows: dict[int, int] = {}
        for row in self.rows:
            if not row.verdict.good:
                row.fail(row.verdict.stops[0])

    @property
    def results(self) -> Path:
        """Where the worker writes."""
        return self.folder / "results"

    @property
    def sources(self) -> list[Path]:
        """Files for the worker; two volumes that were read from one file need it once."""
        return list(dict.fromkeys(row.source for row in self.rows if row.source is not None))

    @property
    def waiting(self) -> list[Row]:
        """Rows of which nothing has become yet."""
        return [row for row in self.rows if row.state in (QUEUED, RUNNING)]

    def prepareNext(self) -> bool:
        """Make a file of the next volume; False if all have one."""
        for row in self.waiting:
            if row.source is None:
                volume = slicer.mrmlScene.GetNodeByID(row.volumeID)
                try:
                    if volume is None:
                        raise ValueError(_("{name} is no longer in the scene.").format(name=row.name))
                    row.source = volumeFile(volume, self.folder / "volumes").path
                except (ValueError, OSError) as error:
                    row.fail(str(error))
                    self.onChanged(row)
                return True
        return False

    def arguments(self) -> list[str]:
        """The worker's command."""
        files = [str(source) for source in self.sources]
        return ["segment", *files, "--model", str(self.model.path), "--out", str(self.results), "--json", "--control"]

    def onProgress(self, event: Mapping[str, Any]) -> None:
        """The worker is at a volume: those before it have a result or never will."""
        number = int(event["number"])
        self._windows[number] = int(event["total"])
        self.collect()
        for row in self._rowsOf(self.sources[number]):
            if row.state == QUEUED:
                row.state = RUNNING
                self.onChanged(row)
        for source in self.sources[:number]:
            for row in self._rowsOf(source):
                if row.state in (QUEUED, RUNNING):
                    row.fail("")  # the worker tells why at its end
                    self.onChanged(row)

    def onError(self, event: Mapping[str, Any]) -> None:
        """The worker says why a volume has no result."""
        for row in self._rowsOf(Path(str(event.get("source", "")))):
            row.fail(inPanelWords(f"{event.get('message', '')} {event.get('hint') or ''}"))
            self.onChanged(row)

    def collect(self) -> None:
        """Bring the results that have come since into the scene."""
        # The record is written last, and whole or not at all.
        for file in sorted(set(self.results.glob("*.organs.json")) - self._seen):
            self._seen.add(file)
            record = json.loads(file.read_text(encoding="utf-8"))
            for row in self._rowsOf(Path(record["source"])):
                self._place(row, record)
                self.onChanged(row)

    def end(self, outcome: Outcome, stopped: bool) -> None:
        """The worker has ended: what has no result now will have none."""
        self.collect()
        for row in self.rows:
            if row.state in (QUEUED, RUNNING):
                if stopped or outcome.good:
                    row.state, row.sentence = STOPPED, ""
                else:
                    # The runner's hint for a sudden death speaks of checkpoints, which only training has.
                    hint = _("What is finished is kept. Was the memory too small?")
                    row.fail(inPanelWords(f"{outcome.message} {hint if outcome.exitCode == -1 else outcome.hint}"))
                self.onChanged(row)
            elif row.state == FAILED and not row.sentence:
                row.sentence = outcome.message or _("The worker did not say why.")
                self.onChanged(row)

    @property
    def undoable(self) -> bool:
        """Whether something was written into a segmentation that is still there."""
        return self.undo is not None and bool(slicer.mrmlScene.IsNodePresent(self.undo.segmentationNode))

    def restore(self) -> None:
        """Give the segmentation back as it was; the table of what is gone goes too."""
        if not self.undoable:
            return
        self.undo.restore()
        self.undo.segmentationNode.SetDescription(self._description)
        self.undo = None
        for row in self.rows:
            table = slicer.mrmlScene.GetNodeByID(row.tableID) if row.tableID else None
            if table is not None:
                slicer.mrmlScene.RemoveNode(table)
            row.organs, row.segmentationID, row.tableID = [], "", ""

    def summary(self, outcome: Outcome, stopped: bool) -> tuple[str, str, bool]:
        """How it ended: a sentence, a hint, and whether something went wrong."""
        done = sum(row.state == DONE for row in self.rows)
        failed = [row for row in self.rows if row.state == FAILED]
        if stopped:
            words = _("Stopped; {done} of {all} volumes are done.").format(done=done, all=len(self.rows))
            return words, outcome.message if outcome.exitCode else "", False
        if len(self.rows) > 1:
            words = _("{done} of {all} volumes are segmented.").format(done=done, all=len(self.rows))
            return words, f"{failed[0].name}: {failed[0].sentence}" if failed else "", bool(failed)
        row = self.rows[0]
        if failed or not row.found:
            return row.sentence, "", True
        one = len(row.found) == 1
        words = _("One organ found in {name} in {span}") if one else _("{count} organs found in {name} in {span}")
        words = words.format(count=len(row.found), name=row.name, span=span(max(1.0, row.seconds)))
        return f"{words} ({row.way})." if row.way else f"{words}.", row.sentence, False

    def _rowsOf(self, source: Path) -> list[Row]:
        return [row for row in self.rows if row.source == source]

    def _place(self, row: Row, record: Mapping[str, Any]) -> None:
        """Bring one result into the scene."""
        volume = slicer.mrmlScene.GetNodeByID(row.volumeID)
        if volume is None:
            row.fail(_("{name} is no longer in the scene.").format(name=row.name))
            return
        row.organs = organRows(record["organs"], self.model.card["labels"])
        row.seconds = float(record["seconds"])
        row.way = wayInWords(record.get("backend", ""))
        self._rememberSpeed(row)
        if not row.found:
            row.state, row.sentence = DONE, emptySentence(row)
            return
        try:
            segmentation = self._segmentation(volume, self.results / record["labels"])
        except ValueError as error:
            row.fail(str(error))
            return
        useOwnTerms(segmentation)
        words = provenance(self.model.name, record)
        segmentation.SetDescription("\n".join(filter(None, (segmentation.GetDescription(), words))))
        table = makeTableNode(row.organs, volume, _("{name} organ volumes").format(name=row.name), words)
        row.segmentationID, row.tableID = segmentation.GetID(), table.GetID()
        row.state, row.sentence = DONE, " ".join(record["warnings"])

    def _segmentation(self, volume: Any, file: Path) -> Any:
        target = slicer.mrmlScene.GetNodeByID(self.targetID) if self.targetID else None
        if target is None:
            return loadResult(file, volume, _("{name} organs").format(name=volume.GetName()))
        self._description = target.GetDescription() or ""
        self.undo = writeInto(target, file, volume)
        return target

    def _rememberSpeed(self, row: Row) -> None:
        windows = self._windows.get(self.sources.index(row.source), 0)
        if windows and row.seconds > 0:
            rememberSpeed(self.model.card, row.seconds / windows)


def emptySentence(row: Row) -> str:
    """That there are no organs, and why that may be."""
    reasons = " ".join(row.verdict.warnings)
    if not reasons:
        reasons = _(
            "Is it a CT of the abdomen in Hounsfield units, does it lie the right way up, and was the model trained "
            "to the end?"
        )
    return _("No organ was found in {name}.").format(name=row.name) + f" {reasons}"


def provenance(model: str, record: Mapping[str, Any]) -> str:
    """Where a segmentation comes from, for its description."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    sha256, version = record["model"].get("sha256"), record["swinssl"]
    how = ", ".join(filter(None, (record["device"], wayInWords(record.get("backend", "")))))
    return f"SwinSSL {version}, model {model} (sha256 {sha256}), {when}, {how}"


def wayInWords(backend: str) -> str:
    """What computed a network and in which precision: ``openvino-bf16`` is OpenVINO, bf16."""
    library, _dash, kind = backend.partition("-")
    names = {"torch": "PyTorch", "openvino": "OpenVINO", "fp32": _("32 bits")}
    return ", ".join(names.get(part, part) for part in (library, kind) if part)


def fillBatchTable(widget: Any, rows: Sequence[Row]) -> None:
    """Show the volumes of a batch; a single one needs no table."""
    widget.visible = len(rows) > 1
    setUpTable(widget, [_("Volume"), _("State"), _("Organs")])
    widget.setRowCount(len(rows))
    for number, row in enumerate(rows):
        paintBatchRow(widget, number, row)
    fitHeight(widget, 8)


def paintBatchRow(widget: Any, number: int, row: Row) -> None:
    """Show what has become of a volume."""
    organs = str(len(row.found)) if row.state == DONE else ""
    for column, text in enumerate((row.name, stateWords()[row.state], organs)):
        item = cell(text, isNumber=column == 2)
        item.setToolTip(row.sentence or text)
        widget.setItem(number, column, item)

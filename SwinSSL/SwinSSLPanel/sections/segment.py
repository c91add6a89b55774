"""Segment: volumes and a model become segmentations with names, colours, codes, and a table of the organs."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLPanel import dependencies, verdicts
from SwinSSLPanel.batch import DONE, FAILED, Batch, Row, fillBatchTable, paintBatchRow
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.jobs import Event, Listener, Outcome
from SwinSSLPanel.modelCards import ModelEntry
from SwinSSLPanel.modelList import cardText, segmenters
from SwinSSLPanel.sections.section import Section, span
from SwinSSLPanel.tables import fillOrganTable

#: The model that was used last, from one start of Slicer to the next.
LAST_MODEL = "SwinSSL/SegmentModel"


class SegmentSection(Section):
    """One click from volumes to organs."""

    name = "segment"

    def __init__(self, context: PanelContext) -> None:
        super().__init__(context)
        ui = self.ui
        self.models: list[ModelEntry] = []
        self.batch: Batch | None = None
        self.verdicts: list[verdicts.Verdict] = []
        self._busy = self._stopping = self._started = False
        self._began = 0.0
        self._shown: Row | None = None
        ui.segmentButton.connect("clicked()", self.onSegment)
        ui.stopButton.connect("clicked()", self.onStop)
        ui.undoButton.connect("clicked()", self.onUndo)
        ui.learnButton.connect("clicked()", self.onLearn)
        ui.volumesSelector.connect("checkedNodesChanged()", self.onUsersChoice)
        ui.targetSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onChoice)
        ui.modelSelector.connect("currentIndexChanged(int)", self.onUsersChoice)
        ui.batchTable.connect("currentCellChanged(int,int,int,int)", self.onRowChosen)
        self._status("")
        self.fillModels()

    # --- life

    def enter(self) -> None:
        """Models and volumes may have come from elsewhere."""
        self.fillModels()

    def onExpanded(self) -> None:
        """The user comes to this section."""
        self.warm()

    def close(self) -> None:
        """The panel goes away, and the job with it."""
        self._abandon()
        super().close()

    def onSceneClosing(self) -> None:
        """The volumes go away: there is nothing left to segment."""
        wasBusy = self._busy
        self._abandon()
        self.batch = self._shown = None
        self._showRow(None)
        self.ui.batchTable.visible = False
        self.tell(_("The scene was closed; the segmentation was ended.") if wasBusy else "")
        if wasBusy:
            self.context.announce("job")

    def onSceneReady(self) -> None:
        """There is another scene."""
        super().onSceneReady()
        self.onChoice()

    def onAnnounced(self, word: str) -> None:
        """Other models, or a job of another section."""
        if word == "models":
            self.fillModels()
        elif word == "job":
            self.updateButtons()

    # --- what can be chosen

    @property
    def model(self) -> ModelEntry | None:
        """The chosen model."""
        number = self.ui.modelSelector.currentIndex
        return self.models[number] if 0 <= number < len(self.models) else None

    def fillModels(self) -> None:
        """List the segmenters of this machine; keep the choice."""
        selector = self.ui.modelSelector
        chosen = str(self.model.path) if self.model else slicer.util.settingsValue(LAST_MODEL, "")
        wasBlocked = selector.blockSignals(True)
        self.models = segmenters(self.context.runsFolder)
        selector.clear()
        for entry in self.models:
            words = _("{name} (fine-tuned here)") if entry.fromRun else "{name}"
            selector.addItem(words.format(name=entry.name))
        paths = [str(entry.path) for entry in self.models]
        if paths:
            selector.setCurrentIndex(paths.index(chosen) if chosen in paths else 0)
        selector.enabled = bool(paths)
        selector.blockSignals(wasBlocked)
        self.onChoice()

    def onChoice(self) -> None:
        """Volumes, model or target were chosen: say whether they suit each other."""
        model = self.model
        words = _("There is no model yet: fine-tune one, or download or import one under Models.")
        self.ui.modelLabel.text = cardText(model) if model else words
        volumes = list(self.ui.volumesSelector.checkedNodes())
        weights = self._weights(model)
        self.verdicts = [verdicts.judge(volume, model.card, weights) for volume in volumes] if model else []
        text = verdicts.verdictText(self.verdicts)
        if self._targetProblem(volumes):
            text = f"✗ {self._targetProblem(volumes)}\n{text}".strip()
        self.ui.verdictLabel.text = text
        self.ui.verdictLabel.visible = bool(text)
        self.updateButtons()

    def onUsersChoice(self) -> None:
        """Volumes or model were chosen."""
        self.onChoice()
        self.warm()

    def warm(self) -> None:
        """Let the worker start and load the model while the user reads the verdict: the click then waits for neither.

        Only once everything is chosen, in a section that is open: opening the panel starts nothing.
        """
        ready = self.root.visible and not self.context.closed and not self.whyNotSegment()
        if ready and dependencies.torchIsInstalled():
            self.context.segmenter.warm(self.model.path)

    @staticmethod
    def _weights(model: ModelEntry | None) -> Path | None:
        if model is None:
            return None
        return (model.path / "model" if model.fromRun else model.path) / "weights.safetensors"

    def _targetProblem(self, volumes: list[Any]) -> str:
        target = self.ui.targetSelector.currentNode()
        if target is None or len(volumes) < 2:
            return ""
        return _("Only one volume can be written into a segmentation; tick one, or write new segmentations.")

    def whyNotSegment(self) -> str:
        """What is missing before it can begin; empty if nothing is."""
        volumes = list(self.ui.volumesSelector.checkedNodes())
        if self.context.busy or self._busy:
            return _("Another job is at work.")
        if self.model is None:
            return _("There is no model yet.")
        if not volumes:
            return _("Tick a volume.")
        if self.verdicts and not any(verdict.good for verdict in self.verdicts):
            return _("None of the ticked volumes can be segmented; see above.")
        return self._targetProblem(volumes)

    def updateButtons(self) -> None:
        """Enable what can be done now; a disabled button says why."""
        ui, missing, row = self.ui, self.whyNotSegment(), self._shown
        ui.segmentButton.enabled = not missing
        ui.segmentButton.toolTip = missing or _("Segments the ticked volumes.")
        ui.stopButton.enabled = self._busy
        segmentation = self._segmentationOf(row)
        ui.learnButton.enabled = segmentation is not None and not self._busy
        ui.undoButton.enabled = self.batch is not None and self.batch.undoable and not self._busy
        ui.show3DButton.setSegmentationNode(segmentation)
        ui.show3DButton.enabled = segmentation is not None

    # --- the job

    def onSegment(self) -> None:
        """Start: first every volume becomes a file, one at a time so that the window stays alive."""
        self.onChoice()
        if self.whyNotSegment():
            self.tell(self.whyNotSegment(), isError=True)
            return
        volumes = list(self.ui.volumesSelector.checkedNodes())
        rows = [Row(node.GetID(), node.GetName(), one) for node, one in zip(volumes, self.verdicts, strict=True)]
        folder = Path(tempfile.mkdtemp(prefix="segment-", dir=self.context.temporaryFolder))
        target = self.ui.targetSelector.currentNode()
        qt.QSettings().setValue(LAST_MODEL, str(self.model.path))
        self.startLog()
        self._busy, self._stopping, self._started, self._began = True, False, False, time.monotonic()
        self.batch = Batch(rows, self.model, folder, target, self._onRow)
        self._showRow(rows[0] if len(rows) == 1 else None)
        fillBatchTable(self.ui.batchTable, rows)
        self._showBar(0, 0)
        self._status(_("Preparing the volumes."))
        self.updateButtons()
        batch = self.batch
        qt.QTimer.singleShot(0, lambda: self._prepare(batch))

    def _prepare(self, batch: Batch) -> None:
        if batch is not self.batch or not self._busy:  # the scene was closed meanwhile
            return
        if not self._stopping and batch.prepareNext():
            qt.QTimer.singleShot(0, lambda: self._prepare(batch))
        elif self._stopping or not batch.sources:
            self.onEnded(Outcome(True))
        elif self.context.busy:
            self.onEnded(Outcome(False, _("Another job has begun meanwhile; start again when it has ended."), "", 1))
        else:
            self._status(_("Starting."))
            listener = Listener(self.onEvent, self.onLog, self.onStage, self.onEnded)
            self.context.segmenter.start(batch.arguments(), listener)
            self._started = True
            self.context.announce("job")

    def onStop(self) -> None:
        """Ask the worker to stop; pressed again, go on to the next stage."""
        self._stopping = True
        if self._busy and self._started:
            self.context.segmenter.requestStop()

    def onEvent(self, event: Event) -> None:
        """What the worker says."""
        if event["event"] == "progress":
            self.batch.onProgress(event)
            self._showProgress(event)
        elif event["event"] == "finished":
            self.batch.collect()
        elif event["event"] == "error":
            self.batch.onError(event)

    def onStage(self, stage: str) -> None:
        """How far stopping is."""
        words = {
            "asked": _("Asked to stop: it ends after this window. Press Stop again to end it by force."),
            "terminating": _("Ending the process. Press Stop again to kill it."),
            "killing": _("Killing the process."),
        }
        if stage in words:
            self._status(words[stage])

    def onEnded(self, outcome: Outcome) -> None:
        """The worker has ended: everything that is finished is in the scene."""
        batch, self._busy = self.batch, False
        batch.end(outcome, self._stopping)
        shutil.rmtree(batch.folder, ignore_errors=True)
        self.ui.progressBar.visible = False
        self._status("")
        sentence, hint, isError = batch.summary(outcome, self._stopping)
        self.tell(sentence, hint, isError=isError)
        if self._shown is None or self._shown.state != DONE:
            done = [row for row in batch.rows if row.segmentationID]
            self._showRow(done[-1] if done else None)
        self.context.announce("job")
        self.onChoice()

    def _abandon(self) -> None:
        """End the job now; nothing comes of it."""
        if not self._busy:
            return
        self._busy = False
        if self._started:  # else it is the job of another section
            self.context.segmenter.abandon()
        shutil.rmtree(self.batch.folder, ignore_errors=True)
        self.ui.progressBar.visible = False
        self._status("")

    # --- what is shown

    def _status(self, words: str) -> None:
        self.ui.statusLabel.text = words
        self.ui.statusLabel.visible = bool(words)

    def _showBar(self, value: int, most: int) -> None:
        self.ui.progressBar.visible = True
        self.ui.progressBar.maximum = most  # 0 of 0 is a bar that only moves
        self.ui.progressBar.value = value

    def _showProgress(self, event: Event) -> None:
        number, files, step, total = (int(event[key]) for key in ("number", "files", "step", "total"))
        share = (number + step / max(1, total)) / max(1, files)
        self._showBar(round(1000 * share), 1000)
        left = (time.monotonic() - self._began) * (1 - share) / share if share > 0 else None
        name = next((row.name for row in self.batch.rows if row.source == self.batch.sources[number]), "")
        words = _("{name}: window {step} of {total}").format(name=name, step=step, total=total)
        if files > 1:
            words += " · " + _("volume {number} of {files}").format(number=number + 1, files=files)
        if left is not None and not self._stopping:
            self._status(words + " · " + _("about {span} left").format(span=span(left)))

    def _onRow(self, row: Row) -> None:
        """Something has become of a volume."""
        paintBatchRow(self.ui.batchTable, self.batch.rows.index(row), row)
        if row.state == DONE and (self._shown is None or self._shown is row):
            self._showRow(row)

    def onRowChosen(self, number: int) -> None:
        """A row of the batch: show its result, or why there is none."""
        if self.batch is not None and 0 <= number < len(self.batch.rows):
            row = self.batch.rows[number]
            self._showRow(row)
            if not self._busy:
                self.tell(f"{row.name}: {row.sentence}" if row.sentence else "", isError=row.state == FAILED)

    def _showRow(self, row: Row | None) -> None:
        """Show the organs of one volume."""
        self._shown = row
        organs = row.organs if row is not None and row.found else []
        self.ui.organTable.visible = bool(organs)
        fillOrganTable(self.ui.organTable, organs)
        self.updateButtons()

    @staticmethod
    def _segmentationOf(row: Row | None) -> Any:
        return slicer.mrmlScene.GetNodeByID(row.segmentationID) if row is not None and row.segmentationID else None

    # --- afterwards

    def onUndo(self) -> None:
        """Give the segmentation back as it was."""
        if self.batch is not None and self.batch.undoable:
            self.batch.restore()
            self._showRow(None)
            self.tell(_("The segmentation is as it was before."))

    def onLearn(self) -> None:
        """Hand the segmentation, as it is now, to fine-tuning."""
        row = self._shown
        if row is not None and self._segmentationOf(row) is not None:
            self.context.announce(f"learn:{row.volumeID}:{row.segmentationID}")
            self.tell(_("{name} was handed to Fine-tune; see its list of cases.").format(name=row.name))

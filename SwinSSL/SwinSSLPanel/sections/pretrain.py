"""Pre-train: which volumes, Start and Stop, how far it is, and what the network sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLLib.runs import RunFolder
from SwinSSLPanel import engine
from SwinSSLPanel.charts import RunCharts, pretrainingCharts
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.jobs import Listener, Outcome
from SwinSSLPanel.live import LivePreview
from SwinSSLPanel.sections.section import Section, progressText
from SwinSSLPanel.volumes import volumeFile
from SwinSSLPanel.watching import ALIVE, RunWatch, Watcher, died

STATES = {
    "starting": "starting",
    "running": "running",
    "stopping": "stopping",
    "stopped": "stopped",
    "finished": "finished",
    "failed": "failed",
}


class PretrainSection(Section):
    """Starts runs and follows them: one's own, those of other places, and those of yesterday."""

    name = "pretrain"
    kind = "pretrain"

    def __init__(self, context: PanelContext) -> None:
        super().__init__(context)
        self.live = LivePreview(self.ui)
        self.watch: RunWatch | None = None
        self.mine: Path | None = None
        ui = self.ui
        ui.startButton.connect("clicked()", self.onStart)
        ui.stopButton.connect("clicked()", self.onStop)
        ui.resumeButton.connect("clicked()", self.onResume)
        ui.attachButton.connect("clicked()", self.onAttach)
        ui.runSelector.connect("activated(int)", self.onRunChosen)
        ui.volumesSelector.connect("checkedNodesChanged()", self.updateButtons)
        ui.dataPath.connect("currentPathChanged(QString)", lambda *_a: self.updateButtons())
        ui.runsButton.directory = str(context.runsFolder)
        ui.runsButton.connect("directoryChanged(QString)", self.onRunsFolder)
        self.fillRuns()
        self.updateButtons()

    # --- life

    def enter(self) -> None:
        """Runs may have come from elsewhere."""
        self.fillRuns()

    def close(self) -> None:
        """Take the preview back and look at no run any more."""
        self.live.close()
        self._unwatch()
        super().close()

    def onSceneClosing(self) -> None:
        """The nodes of preview and charts go away; the run goes on."""
        self.live.onSceneClosing()

    def onSceneReady(self) -> None:
        """Follow the run in the new scene."""
        if self.watch is not None:
            self.open(self.watch.folder)

    def onAnnounced(self, word: str) -> None:
        """A job of another section began or ended."""
        if word == "job":
            self.updateButtons()

    # --- what the user does

    def onStart(self) -> None:
        """Start a new run with the ticked volumes, the folder or datalist, and the settings."""
        folder = self.context.newRunFolder(self.kind)
        try:
            data = self.dataPaths(folder)
        except (ValueError, OSError) as error:
            self.tell(str(error), isError=True)
            return
        arguments = [self.kind, "--data", *data, "--out", str(folder), "--json", *self.settingArguments()]
        self._launch(arguments, folder)

    def onResume(self) -> None:
        """Go on with the run that is shown."""
        if self.watch is not None:
            self._launch([self.kind, "--out", str(self.watch.folder), "--resume", "--json"], self.watch.folder)

    def onStop(self) -> None:
        """Ask the run to save and end; pressed again, go on to the next stage."""
        if self.context.runner.running and self.mine is not None:
            self.context.runner.requestStop()
        elif self.watch is not None:
            try:
                self.watch.run.ask("stop")
                self.ui.statusLabel.text = _("Asked to stop; it ends after its step.")
            except OSError as error:
                self.tell(str(error), isError=True)

    def onAttach(self) -> None:
        """Follow a run of another place."""
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Open a run folder"), str(self.context.runsFolder)
        )
        if folder:
            self.attach(Path(folder))

    def attach(self, folder: Path) -> bool:
        """Follow the run in a folder; False, and a sentence, if there is none."""
        run = RunFolder(folder)
        if not RunFolder.is_run(folder):
            self.tell(_("{folder} holds no run.").format(folder=folder), isError=True)
            return False
        if run.job().get("kind") != self.kind:
            self.tell(_("{folder} holds a run of another kind.").format(folder=folder), isError=True)
            return False
        self.open(folder)
        self.fillRuns()
        return True

    def onRunChosen(self, number: int) -> None:
        """A run of the list."""
        path = self.ui.runSelector.itemData(number)
        if path:
            self.attach(Path(path))

    def onRunsFolder(self, folder: str) -> None:
        """Another place for runs."""
        self.context.runsFolder = Path(folder)
        self.fillRuns()

    # --- what a run is started with

    def dataPaths(self, folder: Path) -> list[str]:
        """Files of the ticked volumes, and the folder or datalist.

        Raises:
            ValueError: there is nothing, or a volume cannot be written.
        """
        nodes = list(self.ui.volumesSelector.checkedNodes())
        # Beside the run and not in a temporary folder: a run that is resumed reads them again.
        copies = folder.with_name(f"{folder.name}-volumes")
        paths = [str(volumeFile(node, copies).path) for node in nodes]
        if self.ui.dataPath.currentPath:
            paths.append(self.ui.dataPath.currentPath)
        if not paths:
            raise ValueError(_("Tick a volume, or choose a folder or a datalist."))
        return paths

    def settingArguments(self) -> list[str]:
        """Preset and the few settings that people change."""
        parameters = self.context.parameters
        arguments = ["--preset", parameters.pretrainPreset]
        if parameters.pretrainSteps:
            arguments += ["--steps", str(parameters.pretrainSteps)]
        if parameters.pretrainBatch:
            arguments += ["--batch", str(parameters.pretrainBatch)]
        return arguments

    def _launch(self, arguments: list[str], folder: Path) -> None:
        if self.context.runner.running:
            self.tell(_("Another job is at work; stop it first or wait for it."), isError=True)
            return
        self.startLog()
        if self.context.parameters.detached:
            if not qt.QProcess.startDetached(engine.pythonProgram(), engine.workerArguments(arguments)):
                self.tell(_("The run could not be started."), isError=True)
                return
            self.open(folder)
            return
        self.mine = folder
        listener = Listener(onLog=self.onLog, onStage=self.onStage, onEnded=self.onEnded)
        self.context.runner.start([*arguments, "--control"], listener)
        self.open(folder)
        self.context.announce("job")

    # --- what the run says

    def open(self, folder: Path) -> None:
        """Show a run from its beginning."""
        self._unwatch()
        charts = RunCharts(pretrainingCharts(), folder.name)
        watcher = Watcher(self.onEvents, self.onStatus, self.onProblem)
        self.live.charts = charts
        self.watch = RunWatch(folder, watcher)
        self.live.follow(self.watch.run, charts)
        self.watch.look()
        self.updateButtons()

    def onEvents(self, events: list[dict[str, Any]]) -> None:
        """New events of the run."""
        for event in events:
            if event["event"] == "warning":
                self.tell(str(event.get("message", "")))
            elif event["event"] == "error":
                log = self.watch.run.log_file if self.watch else None
                self.tell(str(event.get("message", "")), str(event.get("hint") or ""), isError=True, log=log)
        if self.live.charts is not None and self.live.charts.feed(events):
            self.live.drawCurves()
        if self.watch is not None:
            if self.live.charts is not None and RunFolder.is_run(self.watch.folder) and not self.live.files:
                self.live.follow(self.watch.run, self.live.charts)
            self.live.refresh(self.watch.run)

    def onStatus(self, status: dict[str, Any]) -> None:
        """Where the run stands."""
        state = _(STATES.get(str(status.get("state")), "unknown"))
        bar = self.ui.progressBar
        bar.visible = True
        bar.maximum = int(status.get("total") or 0)
        bar.value = int(status.get("step") or 0)
        where = str(status.get("device") or "")
        self.ui.statusLabel.text = " · ".join(part for part in (state, progressText(status), where) if part)
        self.updateButtons()

    def onProblem(self, sentence: str) -> None:
        """The folder is gone or the run is dead, or all is well again."""
        self.tell(sentence, isError=bool(sentence), log=self.watch.run.log_file if sentence and self.watch else None)
        self.updateButtons()

    def onStage(self, stage: str) -> None:
        """How far stopping is."""
        words = {
            "asked": _("Asked to stop: it finishes its step and saves. Press Stop again to end it by force."),
            "terminating": _("Ending the process. Press Stop again to kill it."),
            "killing": _("Killing the process."),
        }
        if stage in words:
            self.ui.statusLabel.text = words[stage]

    def onEnded(self, outcome: Outcome) -> None:
        """The worker has ended."""
        folder, self.mine = self.mine, None
        if self.watch is not None:
            self.watch.look()
        log = RunFolder(folder).log_file if folder else None
        if outcome.message:
            self.tellOutcome(outcome, log if log and log.is_file() else None)
        self.fillRuns()
        self.updateButtons()
        self.context.announce("job")
        self.context.announce("models")

    # --- widgets

    def fillRuns(self) -> None:
        """List the runs of the runs folder, newest first, and the one that is shown."""
        folder = self.context.runsFolder
        runs = sorted(folder.glob("*/job.json"), reverse=True) if folder.is_dir() else []
        paths = [file.parent for file in runs if _kindOf(file.parent) == self.kind]
        if self.watch is not None and self.watch.folder not in paths and RunFolder.is_run(self.watch.folder):
            paths.insert(0, self.watch.folder)
        selector = self.ui.runSelector
        selector.clear()
        for path in paths:
            selector.addItem(path.name, str(path))
        if self.watch is not None:
            selector.setCurrentIndex(selector.findData(str(self.watch.folder)))
        else:
            selector.setCurrentIndex(-1)

    def updateButtons(self) -> None:
        """Enable what can be done now; a disabled button says why."""
        ui, busy = self.ui, self.context.runner.running
        hasData = bool(list(ui.volumesSelector.checkedNodes())) or bool(ui.dataPath.currentPath)
        ui.startButton.enabled = hasData and not busy
        ui.startButton.toolTip = (
            _("Another job is at work.")
            if busy
            else _("Starts a new run with these volumes and settings.")
            if hasData
            else _("Tick a volume, or choose a folder or a datalist.")
        )
        status = self.watch.status if self.watch is not None else {}
        alive = status.get("state") in ALIVE and not died(status)
        ui.stopButton.enabled = (busy and self.mine is not None) or alive
        unfinished = bool(status) and status.get("state") != "finished"
        ui.resumeButton.enabled = unfinished and not alive and not busy

    def _unwatch(self) -> None:
        if self.watch is not None:
            self.watch.close()
            self.watch = None


def _kindOf(folder: Path) -> str:
    from SwinSSLLib.errors import InputError

    try:
        return str(RunFolder(folder).job().get("kind"))
    except InputError:
        return ""

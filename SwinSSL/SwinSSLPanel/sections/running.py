"""What sections have in common that start runs and follow them by their folders."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SwinSSLLib.discretion import revealed
from SwinSSLLib.errors import InputError
from SwinSSLLib.runs import RunFolder
from SwinSSLPanel.charts import Chart, RunCharts
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.jobs import Listener, Outcome, startDetached
from SwinSSLPanel.outside import notStarted, outsideArguments
from SwinSSLPanel.runList import RunList, dataOf, kindOf
from SwinSSLPanel.sections.section import Section, progressText
from SwinSSLPanel.volumes import removeCopies
from SwinSSLPanel.watching import ALIVE, RunWatch, Watcher, died

#: Endings of the folders beside a run that hold copies of what was in the scene.
COPIES = ("-volumes", "-cases")


def stateWords() -> dict[str, str]:
    """The states of a run in words."""
    return {
        "starting": _("starting"),
        "running": _("running"),
        "stopping": _("stopping"),
        "stopped": _("stopped"),
        "finished": _("finished"),
        "failed": _("failed"),
    }


class RunSection(Section):
    """Starts runs of one kind and follows them; what they show is up to the subclass."""

    #: Command of the engine, and ``kind`` in job.json.
    kind = ""

    def __init__(self, context: PanelContext) -> None:
        super().__init__(context)
        self.watch: RunWatch | None = None
        self.mine: Path | None = None
        self.charts: RunCharts | None = None
        self._memory = self._warning = ""
        self.ui.startButton.connect("clicked()", self.onStart)
        self.ui.stopButton.connect("clicked()", self.onStop)
        self.ui.resumeButton.connect("clicked()", self.onResume)
        self.ui.attachButton.connect("clicked()", self.onAttach)
        self.ui.runSelector.connect("activated(int)", self.onRunChosen)
        self.runList = RunList(self.ui.runSelector, context, self.kind)
        self.runList.fill(None)

    # --- what subclasses say

    def chartKinds(self) -> tuple[Chart, ...]:
        """Which charts a run has."""
        return ()

    def dataPaths(self, folder: Path) -> list[str]:
        """What ``--data`` is given.

        Raises:
            ValueError: there is nothing, or a node cannot be written.
        """
        raise NotImplementedError

    def settingArguments(self) -> list[str]:
        """Preset and the few settings that people change."""
        raise NotImplementedError

    def whyNotStart(self) -> str:
        """What is missing before a run can be started; empty if nothing is."""
        return ""

    def onOpened(self) -> None:
        """Another run is followed."""

    def onNews(self, events: list[dict[str, Any]]) -> None:
        """New events of the run."""

    # --- life

    def enter(self) -> None:
        """Runs may have come from elsewhere."""
        self.fillRuns()
        self.updateButtons()

    def close(self) -> None:
        """Look at no run any more."""
        self._unwatch()
        super().close()

    def onSceneClosing(self) -> None:
        """The charts go away with the scene; the run goes on."""
        self.charts = None

    def onSceneReady(self) -> None:
        """Follow the run in the new scene."""
        super().onSceneReady()
        if self.watch is not None:
            self.open(self.watch.folder)
        self.updateButtons()

    def onPathChanged(self, parameter: str) -> None:
        """There may be something to learn from now."""
        self.updateButtons()

    def onAnnounced(self, word: str) -> None:
        """A job of another section began or ended, or there are other runs."""
        if word == "job":
            self.updateButtons()
        elif word == "models":
            self.fillRuns()

    # --- what the user does

    def onStart(self) -> None:
        """Start a new run."""
        folder = self.context.newRunFolder(self.kind)
        try:
            data = self.dataPaths(folder)
        except (ValueError, OSError) as error:
            self.tell(str(error), isError=True)
            return
        outside = outsideArguments(data, folder)
        if outside is None:
            self._removeCopies(folder)
            self.tell(notStarted())
            return
        arguments = [self.kind, "--data", *data, "--out", str(folder), "--json", *self.settingArguments(), *outside]
        self.launch(arguments, folder)

    def onResume(self) -> None:
        """Go on with the run that is shown."""
        if self.watch is None:
            return
        folder = self.watch.folder
        outside = outsideArguments(dataOf(folder), folder)
        if outside is None:
            self.tell(notStarted())
            return
        self.launch([self.kind, "--out", str(folder), "--resume", "--json", *outside], folder)

    def onStop(self) -> None:
        """Ask the run to save and end; pressed again, go on to the next stage."""
        if self.context.runner.running and self.mine is not None:
            self.context.runner.requestStop()
        elif self.watch is not None:
            try:
                self.watch.run.ask("stop")
                self.ui.statusLabel.text = _("Asked to stop: it finishes its step and saves.")
            except InputError as error:
                self.tell(error.message, error.hint, isError=True)

    def onAttach(self) -> None:
        """Follow a run of another place."""
        if folder := self.runList.ask():
            self.attach(folder)

    def onRunChosen(self, number: int) -> None:
        """A run of the list."""
        if folder := self.runList.chosen(number):
            self.attach(folder)

    def fillRuns(self) -> None:
        """Bring the list of runs up to date."""
        self.runList.fill(self.watch.folder if self.watch is not None else None)

    def attach(self, folder: Path) -> bool:
        """Follow the run in a folder; False, and a sentence, if there is none of this kind."""
        if kindOf(folder) == self.kind:
            self.open(folder)
            return True
        words = _("{folder} holds a run of another kind.") if kindOf(folder) else _("{folder} holds no run.")
        self.tell(words.format(folder=folder), isError=True)
        self.fillRuns()  # the run that is shown is the chosen one again
        return False

    # --- worker and run

    def launch(self, arguments: list[str], folder: Path) -> None:
        """Start a worker and follow its folder."""
        if self.context.busy:
            self.tell(_("Another job is at work; stop it first or wait for it."), isError=True)
            return
        self.startLog()
        self.context.segmenter.release()  # training wants the memory
        if self.context.parameters.detached and self.kind == "pretrain":
            if not startDetached(arguments):
                self.tell(_("The run could not be started."), isError=True)
        else:
            self.mine = folder
            listener = Listener(onLog=self.onLog, onStage=self.onStage, onEnded=self.onEnded)
            self.context.runner.start([*arguments, "--control"], listener)
        self.open(folder)
        self.context.announce("job")

    def open(self, folder: Path) -> None:
        """Show a run from its beginning."""
        self._unwatch()
        self._memory = self._warning = ""
        self.charts = RunCharts(self.chartKinds(), folder.name)
        self.watch = RunWatch(folder, Watcher(self.onEvents, self.onStatus, self.onProblem))
        self.onOpened()
        self.fillRuns()
        self.watch.look()
        self.updateButtons()

    def onEvents(self, events: list[dict[str, Any]]) -> None:
        """New events of the run."""
        for event in events:
            if event["event"] == "warning":
                self._warning = self._named(event.get("message"))
                self.tell(self._warning)
            elif event["event"] == "error":
                log = self.watch.run.log_file if self.watch else None
                self.tell(self._named(event.get("message")), self._named(event.get("hint")), isError=True, log=log)
            elif event["event"] == "started":
                self._warning = ""
                self.tell("")
            elif event["event"] == "finished":
                self.tell(self._warning)  # whoever comes back after a night shall read it
                self._clearCopies()
            if event["event"] == "started" and "memory" in event:
                words = _("about {need:.1f} GiB of memory")
                self._memory = words.format(need=event["memory"]["needed"] / 2**30)
        self.onNews(events)

    def _clearCopies(self) -> None:
        """A finished run is not resumed: the copies of volumes and cases beside it have served."""
        if self.watch is not None:
            self._removeCopies(self.watch.folder)

    @staticmethod
    def _removeCopies(folder: Path) -> None:
        for ending in COPIES:
            removeCopies(folder.with_name(folder.name + ending))

    def _named(self, sentence: object) -> str:
        """A sentence of the run with the names of its files, which its folder keeps to itself."""
        text = str(sentence or "")
        with contextlib.suppress(InputError):
            return revealed(text, self.watch.run.job()) if self.watch else text
        return text

    def onStatus(self, status: dict[str, Any]) -> None:
        """Where the run stands."""
        bar = self.ui.progressBar
        bar.visible = True
        bar.maximum = int(status.get("total") or 0)
        bar.value = int(status.get("step") or 0)
        state = stateWords().get(str(status.get("state")), "")
        parts = (state, progressText(status), str(status.get("device") or ""), self._memory)
        self.ui.statusLabel.text = " · ".join(part for part in parts if part)
        self.updateButtons()

    def onProblem(self, sentence: str) -> None:
        """The folder is gone or the run is dead; or all is well again."""
        self.tell(sentence, isError=bool(sentence), log=self.watch.run.log_file if sentence and self.watch else None)
        self.updateButtons()

    def onStage(self, stage: str) -> None:
        """How far stopping is."""
        words = {
            "asked": _("Asked to stop: it finishes its step and saves. Press Stop again to end it by force."),
            "terminating": _("Ending the process. Press Stop again to kill it."),
            "killing": _("Killing the process."),
            "silent": _("Nothing was heard of the worker for a minute; it may be busy. Stop ends it."),
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
        self.updateButtons()
        self.context.announce("job")
        self.context.announce("models")

    def updateButtons(self) -> None:
        """Enable what can be done now; a disabled button says why."""
        ui, busy = self.ui, self.context.busy
        missing = _("Another job is at work.") if busy else self.whyNotStart()
        ui.startButton.enabled = not missing
        ui.startButton.toolTip = missing or _("Starts a new run with these data and settings.")
        status = self.watch.status if self.watch is not None else {}
        alive = status.get("state") in ALIVE and not died(status)
        ui.stopButton.enabled = (busy and self.mine is not None) or alive
        ui.resumeButton.enabled = bool(status) and status.get("state") != "finished" and not alive and not busy

    def _unwatch(self) -> None:
        if self.watch is not None:
            self.watch.close()
            self.watch = None

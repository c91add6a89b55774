"""Models: what is on this machine and what is published; import, download, export, delete; prepared CTs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLLib.places import cache_folder, library_folder
from SwinSSLPanel import modelDialogs
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.errands import Answer, Errand
from SwinSSLPanel.jobs import Event, Outcome
from SwinSSLPanel.modelList import Listed, listedText, listModels, sizeOf, sizeText
from SwinSSLPanel.sections.section import Section, span
from SwinSSLPanel.tables import cell, fitHeight, setUpTable


class ModelsSection(Section):
    """Everything is done by a worker of this section's own: a long download is in nobody's way."""

    name = "models"

    def __init__(self, context: PanelContext) -> None:
        super().__init__(context)
        ui = self.ui
        self.models: list[Listed] = []
        self.errand = Errand(context.makeRunner(), self._showProgress, self.onLog, self._onEnded)
        self._changes = False
        for name in ("download", "file", "export", "remove", "stop", "cache"):
            button = getattr(ui, f"{name}Button")
            button.connect("clicked()", getattr(self, f"on{name.capitalize()}"))
        menu = qt.QMenu(ui.importButton)
        for words, slot in ((_("File or .zip…"), self.onImportFile), (_("Folder…"), self.onImportFolder)):
            menu.addAction(words).connect("triggered()", slot)
        ui.importButton.setMenu(menu)
        ui.modelTable.connect("currentCellChanged(int,int,int,int)", self.onRowChosen)
        self._status("")
        self.fill()

    # --- life

    def enter(self) -> None:
        """Models may have come from elsewhere."""
        self.fill()

    def close(self) -> None:
        """The panel goes away; what a download has brought so far is kept."""
        self.errand.runner.abandon()
        super().close()

    def onAnnounced(self, word: str) -> None:
        """A run has left a model, or a job has prepared CTs."""
        if word in ("models", "job"):
            self.fill()

    # --- what is there

    @property
    def chosen(self) -> Listed | None:
        """The model of the chosen row."""
        number = self.ui.modelTable.currentRow()
        return self.models[number] if 0 <= number < len(self.models) else None

    def fill(self) -> None:
        """List the models again; keep the choice."""
        table, before = self.ui.modelTable, self.chosen
        self.models = listModels(self.context.runsFolder)
        wasBlocked = table.blockSignals(True)
        setUpTable(table, [_("Model"), _("Kind"), _("Merging"), _("Size"), _("Where")])
        table.setRowCount(len(self.models))
        for number, model in enumerate(self.models):
            self._paintRow(number, model)
        fitHeight(table, 12)
        same = [number for number, model in enumerate(self.models) if before and model.name == before.name]
        if same:
            table.setCurrentCell(same[0], 0)
        else:
            table.clearSelection()
            table.setCurrentCell(-1, -1)
        table.blockSignals(wasBlocked)
        self._showDisk()
        self.onRowChosen()

    def _paintRow(self, number: int, model: Listed) -> None:
        where = {"here": _("here"), "run": _("run"), "published": _("published")}[model.where]
        if model.where == "here" and model.entry is not None:
            where = _("here, published")
        if model.problem:
            where = _("⚠ damaged")
        texts = (model.name, model.kind, model.merging, sizeText(model.bytes), where)
        for column, text in enumerate(texts):
            item = cell(text, isNumber=column == 3)
            if model.problem:
                item.setToolTip(model.problem)
            self.ui.modelTable.setItem(number, column, item)

    def _showDisk(self) -> None:
        here = [model for model in self.models if model.where == "here"]
        words = _("Installed models: {count}, {size} in {folder}.")
        size = sizeText(sum(model.bytes for model in here))
        self.ui.diskLabel.text = words.format(count=len(here), size=size, folder=library_folder())
        prepared = sizeOf(cache_folder()) if cache_folder().is_dir() else 0
        words = _("Prepared CTs: {size} in {folder}.")
        self.ui.cacheLabel.text = words.format(size=sizeText(prepared), folder=cache_folder())
        self.ui.cacheButton.enabled = prepared > 0 and not self.errand.running

    def onRowChosen(self) -> None:
        """Show the card of a model, and what can be done with it."""
        model = self.chosen
        words = _("Choose a model to see what it is.")
        self.ui.cardLabel.text = listedText(model) if model is not None else words
        self.updateButtons()

    def updateButtons(self) -> None:
        """Enable what can be done now."""
        ui, model, busy = self.ui, self.chosen, self.errand.running
        away = model is not None and model.where == "published"
        ui.downloadButton.enabled = ui.fileButton.enabled = away and not busy
        ui.exportButton.enabled = model is not None and not away and not model.problem and not busy
        ui.removeButton.enabled = model is not None and model.where == "here" and not busy
        isRun = model is not None and model.where == "run"
        ui.removeButton.toolTip = (
            _("This model belongs to a run; it goes when the run's folder is deleted.")
            if isRun
            else _("Deletes the chosen model from this machine.")
        )
        ui.importButton.enabled = not busy
        ui.stopButton.enabled = False

    # --- what the user does

    def onDownload(self) -> None:
        """Fetch a published model, if its licence is accepted."""
        self._obtain(None)

    def onFile(self) -> None:
        """Take a published model from a file that was fetched elsewhere."""
        file = modelDialogs.askFile(_("The file, fetched elsewhere"))
        if file is not None:
            self._obtain(file)

    def _obtain(self, file: Path | None) -> None:
        entry = self.chosen.entry if self.chosen is not None else None
        if entry is None:
            return
        if not modelDialogs.licenceAccepted(entry):
            self.tell(_("The licence was not accepted; nothing was fetched."))
            return
        more = ["--file", str(file)] if file is not None else []
        command = ["models", "download", entry.name, "--accept-licence", "--json", *more]
        self._start(command, _("Fetching {name}.").format(name=entry.name), self._arrived, changes=True)

    def onImportFile(self) -> None:
        """Take weights of others in: a file or a zipped bundle."""
        self._import(modelDialogs.askFile(_("Import weights or a bundle")))

    def onImportFolder(self) -> None:
        """Take a bundle or a model folder in."""
        self._import(modelDialogs.askFolder(_("Import a bundle or a model folder")))

    def _import(self, source: Path | None) -> None:
        name = modelDialogs.askName(source, {model.name for model in self.models}) if source is not None else ""
        if name:
            command = ["models", "import", str(source), "--name", name, "--json"]
            self._start(command, _("Importing {name}.").format(name=source.name), self._arrived, changes=True)

    def onExport(self) -> None:
        """Write a model in a format that others read."""
        model = self.chosen
        chosen = modelDialogs.askFormat() if model is not None and model.path is not None else ""
        out = modelDialogs.askOut(model.name, chosen) if chosen else ""
        if out:
            command = ["models", "export", str(model.path), "--format", chosen, "--out", out, "--json"]
            self._start(command, _("Exporting {name}.").format(name=model.name), self._exported)

    def onRemove(self) -> None:
        """Delete a model, after asking."""
        model = self.chosen
        if model is None or model.where != "here":
            return
        words = _("Delete the model {name} ({size}) from this machine? This cannot be undone.")
        question = words.format(name=model.name, size=sizeText(model.bytes))
        if slicer.util.confirmOkCancelDisplay(question, _("Delete a model")):
            self.context.segmenter.release()  # Windows deletes no file that somebody has open
            command = ["models", "remove", model.name, "--json"]
            self._start(command, _("Deleting {name}.").format(name=model.name), self._removed, changes=True)

    def onCache(self) -> None:
        """Look what has been prepared, then ask whether to delete it."""
        self._start(["cache", "list", "--json"], _("Looking at the prepared CTs."), self._askCache)

    def onStop(self) -> None:
        """Stop; what a download has brought is kept."""
        self._status(_("Stopping."))
        self.errand.stop()

    # --- the worker

    def _start(self, command: list[str], words: str, after: Callable[[Answer], None], *, changes: bool = False) -> None:
        """Run a command of the engine; ``after`` gets its answer, and other sections hear of changes."""
        if self.errand.running:
            return
        self.startLog()
        self._changes = changes
        self._status(words)
        self.ui.progressBar.visible = True
        self.ui.progressBar.maximum = 0
        self.errand.start(command, after)
        self._showDisk()
        self.updateButtons()
        # Only a download can be cut off and taken up again; the others are done in seconds.
        self.ui.stopButton.enabled = "download" in command

    def _showProgress(self, event: Event) -> None:
        done, total, rate = event.get("step") or 0, event.get("total"), event.get("rate")
        bar = self.ui.progressBar
        bar.maximum = 1000 if total else 0  # bytes would not fit into the bar's numbers
        bar.value = round(1000 * done / total) if total else 0
        words = sizeText(done)
        if total:
            words = _("{done} of {total}").format(done=sizeText(done), total=sizeText(total))
        if rate:
            words += " · " + _("{rate} a second").format(rate=sizeText(rate))
        if event.get("seconds_left") is not None:
            words += " · " + _("{span} left").format(span=span(event["seconds_left"]))
        self._status(words)

    def _onEnded(self, outcome: Outcome, stopped: bool) -> None:
        self.ui.progressBar.visible = False
        self._status("")
        self.fill()
        if stopped:
            kept = outcome.message if outcome.exitCode != -1 else ""
            self.tell(kept or _("Stopped."))
        else:
            self.tellOutcome(outcome)
        if self._changes:
            self.context.announce("models")

    def _arrived(self, answer: Answer) -> None:
        folder = Path(str(answer.get("folder", "")))
        self.tell(_("The model {name} is here.").format(name=folder.name))
        names = [model.name for model in self.models]
        if folder.name in names:
            self.ui.modelTable.setCurrentCell(names.index(folder.name), 0)

    def _exported(self, answer: Answer) -> None:
        files = [Path(file) for file in answer.get("files", [])]
        self.tell(_("Written: {files}").format(files=", ".join(str(file) for file in files)))

    def _removed(self, answer: Answer) -> None:
        words = _("{name} is deleted; {size} are free again.")
        self.tell(words.format(name=answer.get("removed", ""), size=sizeText(answer.get("bytes", 0))))

    def _askCache(self, answer: Answer) -> None:
        names = [str(entry.get("name")) for entry in answer.get("entries", [])]
        words = _("Delete all prepared CTs ({count}: {names})? They are made again when they are needed.")
        shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        if names and slicer.util.confirmOkCancelDisplay(
            words.format(count=len(names), names=shown), _("Empty the cache")
        ):
            self._start(["cache", "delete", "--json"], _("Emptying the cache."), self._emptied)

    def _emptied(self, answer: Answer) -> None:
        self.tell(_("The prepared CTs are deleted."))

    def _status(self, words: str) -> None:
        self.ui.statusLabel.text = words
        self.ui.statusLabel.visible = bool(words)

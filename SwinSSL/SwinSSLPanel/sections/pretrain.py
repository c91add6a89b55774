"""Pre-train: which volumes, Start and Stop, how far it is, and what the network sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SwinSSLPanel.charts import Chart, pretrainingCharts
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.live import LivePreview
from SwinSSLPanel.sections.running import RunSection
from SwinSSLPanel.volumes import volumeFile


class PretrainSection(RunSection):
    """Starts runs and follows them: one's own, those of other places, and those of yesterday."""

    name = "pretrain"
    kind = "pretrain"

    def __init__(self, context: PanelContext) -> None:
        super().__init__(context)
        ui = self.ui
        self.live = LivePreview(ui)
        ui.volumesSelector.connect("checkedNodesChanged()", self.updateButtons)
        ui.largestBatchBox.connect("toggled(bool)", self.onLargestBatch)
        self.rememberPath(ui.dataPath, "pretrainData")
        self.rememberPath(ui.settingsPath, "pretrainSettings")
        ui.runsButton.directory = str(context.runsFolder)
        ui.runsButton.connect("directoryChanged(QString)", self.onRunsFolder)
        self.updateButtons()

    def chartKinds(self) -> tuple[Chart, ...]:
        """The three losses."""
        return pretrainingCharts()

    # --- life

    def close(self) -> None:
        """Take the preview back and look at no run any more."""
        self.live.close()
        super().close()

    def onSceneClosing(self) -> None:
        """The nodes of preview and charts go away; the run goes on."""
        self.live.onSceneClosing()
        super().onSceneClosing()

    # --- what the user does

    def onLargestBatch(self, checked: bool) -> None:
        """The number follows from the memory, or from the user."""
        self.ui.batchBox.enabled = not checked

    def onRunsFolder(self, folder: str) -> None:
        """Another place for runs."""
        self.context.runsFolder = Path(folder)
        self.context.announce("models")  # runs hold models, and other sections list runs

    # --- what a run is started with

    def whyNotStart(self) -> str:
        """There must be something to learn from."""
        hasData = bool(list(self.ui.volumesSelector.checkedNodes())) or bool(self.context.parameters.pretrainData)
        return "" if hasData else _("Tick a volume, or choose a folder or a datalist.")

    def dataPaths(self, folder: Path) -> list[str]:
        """Files of the ticked volumes, and the folder or datalist."""
        # Beside the run and not in a temporary folder: a run that is resumed reads them again.
        copies = folder.with_name(f"{folder.name}-volumes")
        paths = [str(volumeFile(node, copies).path) for node in self.ui.volumesSelector.checkedNodes()]
        if self.context.parameters.pretrainData:
            paths.append(self.context.parameters.pretrainData)
        if not paths:
            raise ValueError(self.whyNotStart())
        return paths

    def settingArguments(self) -> list[str]:
        """Preset and the few settings that people change."""
        parameters = self.context.parameters
        arguments = ["--preset", parameters.pretrainPreset]
        if parameters.pretrainSteps:
            arguments += ["--steps", str(parameters.pretrainSteps)]
        if parameters.pretrainLargestBatch:
            arguments += ["--batch", "auto"]
        elif parameters.pretrainBatch:
            arguments += ["--batch", str(parameters.pretrainBatch)]
        if parameters.pretrainSettings:
            arguments += ["--settings", parameters.pretrainSettings]
        return arguments

    # --- what the run says

    def onOpened(self) -> None:
        """Another run is followed."""
        self.live.follow(self.watch.run, self.charts)

    def onNews(self, events: list[dict[str, Any]]) -> None:
        """Curves and previews follow the events."""
        if self.charts is not None and self.charts.feed(events):
            self.live.drawCurves()
        if self.watch is not None:
            self.live.refresh(self.watch.run)

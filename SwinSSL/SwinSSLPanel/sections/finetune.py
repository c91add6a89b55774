"""Fine-tune: labelled cases of the scene or a datalist, what to start from, live Dice of each organ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLLib.organs import ORGANS
from SwinSSLPanel.cases import Case, problem, proposed, writeDatalist
from SwinSSLPanel.charts import Chart, finetuningCharts
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.modelCards import allModels, coverageLine, networkLine
from SwinSSLPanel.sections.running import RunSection
from SwinSSLPanel.segmentations import matches

SCRATCH = "scratch"
_DICE = "validation/dice/"


class FinetuneSection(RunSection):
    """Teaches a network to segment, from cases that somebody has labelled or corrected."""

    name = "finetune"
    kind = "finetune"

    def __init__(self, context: PanelContext) -> None:
        super().__init__(context)
        self.cases: list[Case] = []
        self.dice: dict[str, float] = {}
        ui = self.ui
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onPairChanged)
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onPairChanged)
        ui.addButton.connect("clicked()", self.onAdd)
        ui.removeButton.connect("clicked()", self.onRemove)
        ui.casesTable.connect("itemSelectionChanged()", self.updateButtons)
        self.rememberPath(ui.dataPath, "finetuneData")
        self.rememberPath(ui.settingsPath, "finetuneSettings")
        ui.initSelector.connect("currentIndexChanged(int)", self.onInitChanged)
        _columns(ui.casesTable, [_("Volume"), _("Segmentation"), _("Organs")])
        _columns(ui.matchTable, [_("Segment"), _("Organ")])
        _columns(ui.diceTable, [_("Organ"), _("Dice")])
        self.fillInits()
        self.fillCases()
        self.updateButtons()

    def chartKinds(self) -> tuple[Chart, ...]:
        """Loss and mean Dice."""
        return finetuningCharts()

    # --- life

    def enter(self) -> None:
        """Models and runs may have come from elsewhere."""
        super().enter()
        self.fillInits()

    def onSceneClosing(self) -> None:
        """The cases go away with the scene."""
        super().onSceneClosing()
        self.cases = []
        self.fillCases()

    def onAnnounced(self, word: str) -> None:
        """Other sections: a job, new models, a segmentation to learn from."""
        super().onAnnounced(word)
        if word == "models":
            self.fillInits()
        elif word.startswith("learn:"):
            _word, volumeID, segmentationID = word.split(":")
            volume, segmentation = (slicer.mrmlScene.GetNodeByID(node) for node in (volumeID, segmentationID))
            if volume is not None and segmentation is not None:
                self.add(proposed(volume, segmentation))

    # --- cases

    def onPairChanged(self, node: Any) -> None:
        """A volume and a segmentation are chosen: show which segment is which organ."""
        volume, segmentation = self.ui.volumeSelector.currentNode(), self.ui.segmentationSelector.currentNode()
        self._showMatches(proposed(volume, segmentation) if volume and segmentation else None)
        self.updateButtons()

    def onAdd(self) -> None:
        """Add the chosen pair, with the organs as they stand in the table."""
        volume, segmentation = self.ui.volumeSelector.currentNode(), self.ui.segmentationSelector.currentNode()
        if volume is None or segmentation is None:
            return
        table, organs = self.ui.matchTable, {}
        for row in range(table.rowCount):
            label = table.cellWidget(row, 1).currentIndex
            if label > 0:
                organs[str(table.item(row, 0).data(qt.Qt.UserRole))] = label
        self.add(Case(volume.GetID(), segmentation.GetID(), organs))

    def add(self, case: Case) -> None:
        """Add a case, or take it in place of the one with the same segmentation."""
        if reason := problem(case):
            self.tell(reason, isError=True)
            return
        self.tell("")
        self.cases = [other for other in self.cases if other.segmentationID != case.segmentationID] + [case]
        self.fillCases()
        self.updateButtons()

    def onRemove(self) -> None:
        """Take the chosen case out of the list."""
        row = self.ui.casesTable.currentRow()
        if 0 <= row < len(self.cases):
            del self.cases[row]
            self.fillCases()
            self.updateButtons()

    def fillCases(self) -> None:
        """Bring the list of cases up to date."""
        self.cases = [case for case in self.cases if case.alive]
        table = self.ui.casesTable
        table.setRowCount(len(self.cases))
        for row, case in enumerate(self.cases):
            texts = (case.volume.GetName(), case.segmentation.GetName(), str(len(case.organs)))
            for column, text in enumerate(texts):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        _fitHeight(table, most=6)

    def _showMatches(self, case: Case | None) -> None:
        table = self.ui.matchTable
        found = matches(case.segmentation) if case else []
        table.setRowCount(len(found))
        for row, match in enumerate(found):
            item = qt.QTableWidgetItem(match.segmentName)
            item.setData(qt.Qt.UserRole, match.segmentID)
            item.setFlags(item.flags() & ~qt.Qt.ItemIsEditable)
            table.setItem(row, 0, item)
            chooser = qt.QComboBox()
            chooser.addItems(["–", *[organ.name for organ in ORGANS]])
            chooser.currentIndex = case.organs.get(match.segmentID, 0)
            table.setCellWidget(row, 1, chooser)
        table.visible = bool(found)
        _fitHeight(table, most=8)

    # --- what to start from

    def fillInits(self) -> None:
        """Scratch, then runs and models whose encoder can be taken over."""
        selector = self.ui.initSelector
        chosen = selector.currentData
        selector.clear()
        selector.addItem(_("From scratch"), SCRATCH)
        for entry in allModels(self.context.runsFolder):
            words = _("{name} ({kind})").format(name=entry.name, kind=entry.kind)
            selector.addItem(words, str(entry.path))
        selector.currentIndex = max(0, selector.findData(chosen)) if chosen else 0
        self.onInitChanged(selector.currentIndex)

    def onInitChanged(self, number: int) -> None:
        """Show what the chosen start is, and how much of it arrived."""
        path = self.ui.initSelector.currentData
        entries = {str(entry.path): entry for entry in allModels(self.context.runsFolder)}
        entry = entries.get(str(path))
        lines = [networkLine(entry.card), coverageLine(entry.card)] if entry else []
        self.ui.coverageLabel.text = "\n".join(line for line in lines if line)

    # --- the run

    def whyNotStart(self) -> str:
        """There must be something to learn from."""
        if self.cases or self.context.parameters.finetuneData:
            return ""
        return _("Add a case, or choose a datalist.")

    def dataPaths(self, folder: Path) -> list[str]:
        """The datalist, or one that is made from the cases of the scene."""
        if self.context.parameters.finetuneData:
            return [self.context.parameters.finetuneData]
        self.fillCases()
        if not self.cases:
            raise ValueError(self.whyNotStart())
        # Beside the run and not in a temporary folder: a run that is resumed reads them again.
        return [str(writeDatalist(self.cases, folder.with_name(f"{folder.name}-cases")))]

    def settingArguments(self) -> list[str]:
        """Preset, steps, and what to start from."""
        parameters = self.context.parameters
        arguments = ["--preset", parameters.finetunePreset]
        if parameters.finetuneSteps:
            arguments += ["--steps", str(parameters.finetuneSteps)]
        if parameters.finetuneSettings:
            arguments += ["--settings", parameters.finetuneSettings]
        start = self.ui.initSelector.currentData
        return [*arguments, "--init", str(start or SCRATCH)]

    def onOpened(self) -> None:
        """Another run: forget the Dice of the last one."""
        self.dice = {}
        self.ui.diceTable.visible = False

    def onNews(self, events: list[dict[str, Any]]) -> None:
        """Curves and Dice follow the events; what arrived of the encoder is told."""
        for event in events:
            if event["event"] == "started" and event.get("coverage"):
                self.ui.coverageLabel.text = str(event["coverage"])
            elif event["event"] == "metric" and str(event.get("name", "")).startswith(_DICE):
                self.dice[str(event["name"])[len(_DICE) :]] = float(event["value"])
        if self.charts is not None and self.charts.feed(events):
            self.charts.draw()
        self._showDice()

    def _showDice(self) -> None:
        table = self.ui.diceTable
        table.visible = bool(self.dice)
        table.setRowCount(len(self.dice))
        for row, (name, value) in enumerate(self.dice.items()):
            table.setItem(row, 0, qt.QTableWidgetItem(name))
            item = qt.QTableWidgetItem(f"{value:.3f}")
            item.setTextAlignment(int(qt.Qt.AlignRight) | int(qt.Qt.AlignVCenter))
            table.setItem(row, 1, item)
        _fitHeight(table, most=13)

    def updateButtons(self) -> None:
        """Enable what can be done now."""
        super().updateButtons()
        chosen = (self.ui.volumeSelector.currentNode(), self.ui.segmentationSelector.currentNode())
        self.ui.addButton.enabled = None not in chosen
        self.ui.removeButton.enabled = 0 <= self.ui.casesTable.currentRow() < len(self.cases)


def _columns(table: Any, titles: list[str]) -> None:
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(titles)
    table.verticalHeader().visible = False
    table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)


def _fitHeight(table: Any, most: int) -> None:
    """As high as its rows, so that an empty table takes no room and a short one has no bar."""
    rows = min(max(table.rowCount, 1), most)
    header = table.horizontalHeader().sizeHint.height()
    table.setFixedHeight(header + rows * table.verticalHeader().defaultSectionSize + 4)

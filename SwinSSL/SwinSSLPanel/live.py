"""The live preview of a run: a slider over its history, boards in the panel, volumes and curves in the views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from SwinSSLLib.discretion import revealed
from SwinSSLLib.errors import InputError
from SwinSSLLib.runs import RunFolder
from SwinSSLPanel import boards
from SwinSSLPanel.charts import RunCharts
from SwinSSLPanel.layout import PreviewLayout
from SwinSSLPanel.previews import KINDS, Preview, PreviewNodes, readInPieces

#: Cards in a row of the board.
IN_A_ROW = 3
_END = object()


class LivePreview:
    """Shows the previews of one run at a time.

    Args:
        ui: the widgets of the section (``previewBox`` and what is in it).
    """

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self.nodes, self.layout = PreviewNodes(), PreviewLayout()
        self.charts: RunCharts | None = None
        self.preview: Preview | None = None
        self.files: list[Path] = []
        self.problem = ""
        self._plane = "axial"
        self._job: dict[str, Any] = {}
        self._updating = False
        self._steps: Iterator[None] | None = None
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._step)
        ui.stepSlider.connect("valueChanged(double)", self._onStep)
        ui.subVolumeSelector.connect("currentIndexChanged(int)", self._onSubVolume)
        ui.showButton.connect("toggled(bool)", self._onShow)

    def follow(self, run: RunFolder, charts: RunCharts) -> None:
        """Turn to another run."""
        self.charts, self.files, self.preview, self.problem = charts, [], None, ""
        self._clearBoards()
        self.ui.previewBox.enabled = False
        self.refresh(run)

    def refresh(self, run: RunFolder) -> None:
        """Look for new previews; go to the last one where the user wants to follow."""
        files = run.preview_files()
        if files == self.files:
            return
        atEnd = self.ui.followBox.checked or not self.files
        shown = self.files[int(self.ui.stepSlider.value)] if self.files else None
        self.files = files
        self.ui.previewBox.enabled = bool(files)
        if not files:
            return
        self._job = jobOf(run)
        self._plane = planeOf(self._job)
        self._updating = True
        self.ui.stepSlider.maximum = float(len(files) - 1)
        if atEnd:
            self.ui.stepSlider.value = float(len(files) - 1)
        elif shown in files:  # a long run drops some of its previews: the same one stays chosen
            self.ui.stepSlider.value = float(files.index(shown))
        self._updating = False
        if atEnd or self.preview is None:
            self.show(len(files) - 1 if atEnd else int(self.ui.stepSlider.value))

    def show(self, number: int) -> None:
        """Show one of the previews of the run; it is read and painted bit by bit, so that the window never waits."""
        if 0 <= number < len(self.files):
            self._steps = self._showing(self.files[number])
            self._timer.start(0)

    @property
    def busy(self) -> bool:
        """Whether a preview is on its way to the screen."""
        return self._steps is not None

    def _showing(self, path: Path) -> Iterator[None]:
        """Read a preview, then paint the boards, then fill the views; each yield lets the window breathe."""
        try:
            preview = yield from readInPieces(path)
            self.preview = replace(preview, source=tuple(revealed(name, self._job) for name in preview.source))
            self.problem = ""
        except ValueError as error:  # damaged or deleted meanwhile: the next one will be better
            self.problem = str(error)
            self.ui.verdictLabel.text = self.problem
            return
        self._fillSubVolumes()
        yield
        self._paintBoards()
        yield
        self._showInViews()

    def _step(self) -> None:
        """Do the next bit of what is to be shown."""
        if self._steps is None or next(self._steps, _END) is _END:
            self._steps = None
            self._timer.stop()

    def drawCurves(self) -> None:
        """New metrics have come: bring the charts up to date, and the views that show them."""
        if self.charts is None:
            return
        self.charts.draw()
        if self.layout.shown:
            self.layout.show({}, self._chartNodes())

    def close(self) -> None:
        """Take everything back that the preview has put into scene and layout; charts stay, they are results."""
        self._steps = None
        self._timer.stop()
        self.ui.showButton.checked = False
        self.layout.hide()
        self.nodes.remove()

    def onSceneClosing(self) -> None:
        """The scene goes away, and our nodes with it."""
        self.close()
        self.charts = None

    def _onShow(self, on: bool) -> None:
        if on:
            self._showInViews(first=True)
        else:
            self.layout.hide()
            self.nodes.remove()

    def _onStep(self, value: float) -> None:
        if not self._updating and self.files:
            if int(value) < len(self.files) - 1:
                self.ui.followBox.checked = False
            self.show(int(value))

    def _onSubVolume(self, number: int) -> None:
        if not self._updating and number >= 0:
            self._showInViews(first=True)

    def _fillSubVolumes(self) -> None:
        selector = self.ui.subVolumeSelector
        names = [f"{number + 1}: {name}" for number, name in enumerate(self.preview.source)]
        if [selector.itemText(number) for number in range(selector.count)] == names:
            return
        self._updating = True
        selector.clear()
        selector.addItems(names)
        self._updating = False

    def _showInViews(self, first: bool = False) -> None:
        if self.preview is None or not self.ui.showButton.checked:
            return
        number = max(0, min(self.ui.subVolumeSelector.currentIndex, self.preview.count - 1))
        first = first or not self.layout.shown
        self.nodes.show(self.preview, number, self._plane)
        nodes = {kind: self.nodes.node(kind) for kind in KINDS}
        self.layout.show(nodes, self._chartNodes())
        if first:
            self.layout.fit(nodes)
            self.layout.link()

    def _chartNodes(self) -> dict[str, Any]:
        return {chart.name: self.charts.chartNode(chart.name) for chart in self.charts.charts} if self.charts else {}

    def _paintBoards(self) -> None:
        preview, palette = self.preview, self.ui.cardsLabel.palette
        cards = [boards.card(preview, number, palette) for number in range(preview.count)]
        width, height = boards.CARD
        columns = min(IN_A_ROW, len(cards))
        rows = -(-len(cards) // IN_A_ROW)

        def paint(painter: qt.QPainter) -> None:
            for number, one in enumerate(cards):
                painter.drawPixmap(width * (number % IN_A_ROW), height * (number // IN_A_ROW), one)

        self.ui.cardsLabel.setPixmap(boards.painted(width * columns, height * rows, palette, paint))
        self.ui.cardsLabel.accessibleDescription = "; ".join(
            boards.cardWords(preview, number) for number in range(preview.count)
        )
        self.ui.similarityLabel.setPixmap(boards.similarityPicture(preview.similarity, palette))
        words = _("Step {step:,}").format(step=preview.step)
        if preview.confusion is not None:
            self.ui.confusionLabel.setPixmap(boards.confusionPicture(preview.confusion, palette))
            words += f" · {boards.confusionWords(preview.confusion)}"
        self.ui.verdictLabel.text = words

    def _clearBoards(self) -> None:
        for label in (self.ui.cardsLabel, self.ui.confusionLabel, self.ui.similarityLabel):
            label.clear()
        self.ui.verdictLabel.text = ""
        self._updating = True
        self.ui.subVolumeSelector.clear()
        self.ui.stepSlider.maximum = 0.0
        self._updating = False


def jobOf(run: RunFolder) -> dict[str, Any]:
    """What was asked of a run, and which files it reads; empty if that cannot be told."""
    try:
        return run.job()
    except InputError:
        return {}


def planeOf(job: dict[str, Any]) -> str:
    """The plane in which the views of a run are turned."""
    try:
        return str(job["settings"]["views"]["rotation"])
    except (KeyError, TypeError):
        return "axial"

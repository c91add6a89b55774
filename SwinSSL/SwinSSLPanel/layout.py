"""The layout of the live preview: original, masked and reconstructed side by side, the three curves below."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from SwinSSLPanel.previews import KINDS

#: Number of our layout among those of Slicer and of other extensions.
LAYOUT_ID = 78_419
ORIENTATIONS = ("Axial", "Coronal")
CHARTS = ("inpaint", "contrast", "rotation")
_COLOURS = {"original": "#4C9F70", "masked": "#C98B2B", "reconstructed": "#3E7CB1"}


def sliceTag(kind: str, orientation: str) -> str:
    """Singleton tag of a slice view, which is also the name of its widget."""
    return f"SwinSSL{kind.capitalize()}{orientation}"


def plotTag(chart: str) -> str:
    """Singleton tag of a plot view."""
    return f"SwinSSLPlot{chart.capitalize()}"


def description() -> str:
    """The layout in Slicer's XML."""
    rows = [_row([_sliceView(kind, orientation) for kind in KINDS], 400) for orientation in ORIENTATIONS]
    rows.append(_row([_plotView(chart) for chart in CHARTS], 260))
    return f'<layout type="vertical" split="true">{"".join(rows)}</layout>'


def _row(views: list[str], size: int) -> str:
    items = "".join(f"<item>{view}</item>" for view in views)
    return f'<item splitSize="{size}"><layout type="horizontal">{items}</layout></item>'


def _sliceView(kind: str, orientation: str) -> str:
    return (
        f'<view class="vtkMRMLSliceNode" singletontag="{sliceTag(kind, orientation)}">'
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewlabel" action="default">{kind[0].upper()}</property>'
        f'<property name="viewcolor" action="default">{_COLOURS[kind]}</property></view>'
    )


def _plotView(chart: str) -> str:
    return (
        f'<view class="vtkMRMLPlotViewNode" singletontag="{plotTag(chart)}">'
        f'<property name="viewlabel" action="default">{chart[0].upper()}</property></view>'
    )


class PreviewLayout:
    """Shows the layout, and gives the user's own back."""

    def __init__(self) -> None:
        self._before: int | None = None

    @property
    def shown(self) -> bool:
        """Whether the layout is the one on the screen."""
        return self._before is not None and self._layoutNode().GetViewArrangement() == LAYOUT_ID

    def show(self, nodes: dict[str, Any], charts: dict[str, Any]) -> None:
        """Show volumes by kind and charts by name; a second call changes only what is new."""
        layoutNode = self._layoutNode()
        if not layoutNode.IsLayoutDescription(LAYOUT_ID):
            layoutNode.AddLayoutDescription(LAYOUT_ID, description())
        first = not self.shown
        if first:
            self._before = layoutNode.GetViewArrangement()
            slicer.app.layoutManager().setLayout(LAYOUT_ID)
        for kind, node in nodes.items():
            for orientation in ORIENTATIONS:
                self._fill(sliceTag(kind, orientation), node, fit=first)
        for name, chartNode in charts.items():
            view = slicer.mrmlScene.GetSingletonNode(plotTag(name), "vtkMRMLPlotViewNode")
            if view is not None and chartNode is not None and view.GetPlotChartNodeID() != chartNode.GetID():
                view.SetPlotChartNodeID(chartNode.GetID())

    def fit(self, nodes: dict[str, Any]) -> None:
        """Let every view show the whole of its volume, cut through the middle."""
        for kind, node in nodes.items():
            for orientation in ORIENTATIONS:
                self._fill(sliceTag(kind, orientation), node, fit=True)

    def hide(self) -> None:
        """Give the layout back that was there before, unless the user has chosen another one meanwhile."""
        before, wasShown, self._before = self._before, self.shown, None
        for kind in KINDS:
            for orientation in ORIENTATIONS:
                composite = self._composite(sliceTag(kind, orientation))
                if composite is not None:
                    composite.SetBackgroundVolumeID(None)
        if wasShown and before is not None:
            slicer.app.layoutManager().setLayout(before)

    def _fill(self, tag: str, node: Any, *, fit: bool) -> None:
        composite = self._composite(tag)
        if composite is None:
            return
        if composite.GetBackgroundVolumeID() != node.GetID():
            composite.SetLinkedControl(False)  # or all views would get this volume
            composite.SetBackgroundVolumeID(node.GetID())
        widget = slicer.app.layoutManager().sliceWidget(tag)
        if fit and widget is not None:
            widget.sliceLogic().FitSliceToBackground()
            widget.mrmlSliceNode().UpdateMatrices()

    def link(self) -> None:
        """Let the views of one orientation move together; volumes were set before, each its own."""
        for kind in KINDS:
            for orientation in ORIENTATIONS:
                widget = slicer.app.layoutManager().sliceWidget(sliceTag(kind, orientation))
                if widget is not None:
                    widget.mrmlSliceCompositeNode().SetHotLinkedControl(True)
                    widget.mrmlSliceCompositeNode().SetLinkedControl(True)

    @staticmethod
    def _composite(tag: str) -> Any:
        widget = slicer.app.layoutManager().sliceWidget(tag)
        return widget.mrmlSliceCompositeNode() if widget is not None else None

    @staticmethod
    def _layoutNode() -> Any:
        return slicer.app.layoutManager().layoutLogic().GetLayoutNode()


def titles() -> dict[str, str]:
    """What the three kinds are called."""
    return {"original": _("original"), "masked": _("masked"), "reconstructed": _("reconstructed")}

"""Volume and mean HU of each organ: as a table node that is saved with the scene, and as a table in the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from SwinSSLPanel.segmentations import placeBeside

#: Names of the columns of a table node: what scripts ask for, so they are not translated.
ORGAN, VOLUME, DENSITY, VOXELS = "Organ", "Volume [mL]", "Mean HU", "Voxels"


@dataclass(frozen=True)
class OrganRow:
    """One organ of a result.

    Attributes:
        label: label id.
        name: of the organ.
        colour: red, green, blue, 0..255.
        voxels: 0 if it was not found.
        volumeMl: millilitres.
        meanHU: None if it was not found.
    """

    label: int
    name: str
    colour: tuple[int, int, int]
    voxels: int
    volumeMl: float
    meanHU: float | None


def organRows(organs: Sequence[Mapping[str, Any]], labels: Sequence[Mapping[str, Any]]) -> list[OrganRow]:
    """Rows from the ``organs`` of a worker's result and the ``labels`` of the model's card."""
    colours = {int(label["id"]): tuple(int(value) for value in label["colour"]) for label in labels}
    return [
        OrganRow(
            int(organ["id"]),
            str(organ["name"]),
            colours.get(int(organ["id"]), (128, 128, 128)),
            int(organ["voxels"]),
            float(organ["volume_ml"]),
            None if organ["mean_hu"] is None else float(organ["mean_hu"]),
        )
        for organ in organs
    ]


def makeTableNode(rows: Sequence[OrganRow], volumeNode: Any, name: str, description: str) -> Any:
    """A table node in the volume's study; organs that were not found have 0 mL and no number (NaN) as mean HU."""
    tableNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
    tableNode.SetDescription(description)
    table = tableNode.GetTable()
    columns = (
        (vtk.vtkStringArray(), ORGAN, [row.name for row in rows]),
        (vtk.vtkDoubleArray(), VOLUME, [row.volumeMl for row in rows]),
        (vtk.vtkDoubleArray(), DENSITY, [float("nan") if row.meanHU is None else row.meanHU for row in rows]),
        (vtk.vtkIntArray(), VOXELS, [row.voxels for row in rows]),
    )
    for array, title, values in columns:
        array.SetName(title)
        for value in values:
            array.InsertNextValue(value)
        table.AddColumn(array)
    tableNode.SetColumnUnitLabel(VOLUME, "mL")
    tableNode.SetColumnUnitLabel(DENSITY, "HU")
    tableNode.SetUseColumnTitleAsColumnHeader(True)
    tableNode.Modified()
    placeBeside(tableNode, volumeNode)
    return tableNode


def fillOrganTable(widget: Any, rows: Sequence[OrganRow]) -> None:
    """Show the rows in a ``QTableWidget`` that is just as high as they are; those found first."""
    setUpTable(widget, [_("Organ"), _("Volume [mL]"), _("Mean HU")])
    shown = sorted(rows, key=lambda row: row.voxels == 0)
    widget.setRowCount(len(shown))
    for number, row in enumerate(shown):
        name = cell(row.name)
        name.setIcon(qt.QIcon(swatch(row.colour)))
        digits = 1 if row.volumeMl >= 10 else 2  # an adrenal gland has 4 mL
        found = (f"{row.volumeMl:,.{digits}f}", f"{row.meanHU:,.0f}") if row.meanHU is not None else None
        texts = found or (_("not found"), "–")
        widget.setItem(number, 0, name)
        for column, text in enumerate(texts, 1):
            widget.setItem(number, column, cell(text, isNumber=True))
    fitHeight(widget)


def setUpTable(widget: Any, titles: Sequence[str]) -> None:
    """Columns of a table: the first one takes the room that there is, the others what they need."""
    widget.setColumnCount(len(titles))
    widget.setHorizontalHeaderLabels(list(titles))
    widget.verticalHeader().hide()
    widget.verticalHeader().setDefaultSectionSize(widget.fontMetrics().height() + 6)
    header = widget.horizontalHeader()
    for column in range(len(titles)):
        mode = qt.QHeaderView.Stretch if column == 0 else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, mode)


def cell(text: str, isNumber: bool = False) -> Any:
    """A cell of a table; its text is its tool tip too, should it be cut off."""
    item = qt.QTableWidgetItem(text)
    item.setToolTip(text)
    if isNumber:
        item.setTextAlignment(int(qt.Qt.AlignRight | qt.Qt.AlignVCenter))
    return item


def fitHeight(widget: Any, most: int = 14) -> None:
    """Make a table as high as its rows, at most so many."""
    rows = min(widget.rowCount, most)
    height = widget.horizontalHeader().sizeHint.height() + 2 * widget.frameWidth
    height += sum(widget.rowHeight(number) for number in range(rows))
    widget.setFixedHeight(height + 2)
    widget.setVerticalScrollBarPolicy(qt.Qt.ScrollBarAsNeeded if widget.rowCount > most else qt.Qt.ScrollBarAlwaysOff)


def swatch(colour: tuple[int, int, int], size: int = 12) -> Any:
    """A small square of one colour."""
    pixmap = qt.QPixmap(size, size)
    pixmap.fill(qt.QColor(*colour))
    return pixmap

"""Tables of organs: values, units, what is not found, and how high they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import qt
import slicer
from SwinSSLPanel.tables import DENSITY, VOLUME, OrganRow, fillOrganTable, fitHeight, makeTableNode, organRows

ORGANS = [
    {"id": 1, "name": "spleen", "voxels": 0, "volume_ml": 0.0, "mean_hu": None},
    {"id": 6, "name": "liver", "voxels": 1200, "volume_ml": 1482.4, "mean_hu": 61.4},
]
LABELS = [{"id": 1, "colour": [157, 108, 162]}]


@pytest.fixture
def a_table(a_bench):
    widget = qt.QTableWidget()
    yield widget
    widget.deleteLater()


def test_rows_take_their_colours_from_the_models_card():
    spleen, liver = organRows(ORGANS, LABELS)
    assert spleen == OrganRow(1, "spleen", (157, 108, 162), 0, 0.0, None)
    assert liver == OrganRow(6, "liver", (128, 128, 128), 1200, 1482.4, 61.4)


def test_a_table_node_holds_numbers_with_units_and_lies_in_the_study(a_bench):
    volume = slicer.util.addVolumeFromArray(np.zeros((4, 4, 4), np.int16))
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    node = makeTableNode(organRows(ORGANS, LABELS), volume, "CT organs", "from a test")
    table = node.GetTable()
    assert [table.GetColumnName(number) for number in range(4)] == ["Organ", "Volume [mL]", "Mean HU", "Voxels"]
    assert [table.GetValue(1, number).ToString() for number in (0, 3)] == ["liver", "1200"]
    assert table.GetValueByName(1, VOLUME).ToDouble() == 1482.4
    assert math.isnan(table.GetValueByName(0, DENSITY).ToDouble())
    assert (node.GetColumnUnitLabel(VOLUME), node.GetColumnUnitLabel(DENSITY)) == ("mL", "HU")
    assert node.GetDescription() == "from a test"
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    assert makeTableNode([], volume, "CT organs", "").GetName() != node.GetName()


def test_the_panels_table_shows_what_was_found_first(a_table):
    fillOrganTable(a_table, organRows(ORGANS, LABELS))
    texts = [[a_table.item(row, column).text() for column in range(3)] for row in range(2)]
    assert texts == [["liver", "1,482.4", "61"], ["spleen", "not found", "–"]]
    picture = a_table.item(1, 0).icon().pixmap(12, 12).toImage()
    colour = picture.pixelColor(6, 6)
    assert (colour.red(), colour.green(), colour.blue()) == (157, 108, 162)


@pytest.mark.parametrize("count", [0, 1, 13, 40])
def test_a_table_is_as_high_as_its_rows_up_to_a_limit(a_table, count):
    a_table.resize(400, 300)
    a_table.show()
    fillOrganTable(a_table, [OrganRow(n, "x", (0, 0, 0), 1, 1.0, 1.0) for n in range(count)])
    fitHeight(a_table, 14)
    slicer.app.processEvents()
    rows = sum(a_table.rowHeight(number) for number in range(min(count, 14)))
    assert rows <= a_table.viewport().height <= rows + 4

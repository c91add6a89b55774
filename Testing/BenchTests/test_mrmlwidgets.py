"""MRML's widgets on a real scene."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import vtk
from Bench import ctk as bench_ctk
from Bench import mrmlwidgets, pythonqt
from Bench import scene as bench_scene
from vtkmodules.util.numpy_support import numpy_to_vtk

qt = pythonqt.install()
bench_ctk.install()
app = pythonqt.application()

import slicer  # noqa: E402 - the widgets are put into it

mrmlwidgets.install(slicer)


@pytest.fixture(scope="module")
def the_scene():
    """One scene for all; its logics are made once."""
    return bench_scene.new_scene()


@pytest.fixture
def a_scene(the_scene):
    """An empty scene, whose observers are the same afterwards."""
    before = len(bench_scene.observers(the_scene))
    yield the_scene
    the_scene.Clear(False)
    app.sendPostedEvents(None, qt.QEvent.DeferredDelete)
    gc.collect()
    assert len(bench_scene.observers(the_scene)) <= before


@pytest.fixture
def a_segmentation(a_scene):
    """Two cubes as segments."""
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[5:15, 5:15, 5:15], labels[2:4, 2:4, 2:4] = 1, 2
    image = vtk.vtkImageData()
    image.SetDimensions(20, 20, 20)
    image.GetPointData().SetScalars(numpy_to_vtk(labels.ravel(), deep=True))
    map_node = a_scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    map_node.SetAndObserveImageData(image)
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    node.CreateDefaultDisplayNodes()
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(map_node, node)
    return node


def selector(scene: object, *kinds: str, **settings: object):
    """A combo box in a scene."""
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = list(kinds)
    for name, value in settings.items():
        setattr(box, name, value)
    box.setMRMLScene(scene)
    return box


def test_choosing_tells_the_node_its_id_and_whether_there_is_one(a_scene) -> None:
    told = []
    box = selector(a_scene, "vtkMRMLScalarVolumeNode", noneEnabled=True)
    box.currentNodeChanged.connect(lambda node: told.append(node))
    box.connect("currentNodeChanged(bool)", told.append)
    box.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: told.append("by string"))
    box.connect("currentNodeIDChanged(QString)", told.append)
    node = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    assert box.currentNode() is None and box.nodeCount() == 1 and told == []
    box.setCurrentNode(node)
    assert told == [node, "by string", True, node.GetID()]
    assert box.currentNode() is node and box.currentNodeID == node.GetID()
    box.setCurrentNode(node)
    assert len(told) == 4
    box.currentNodeID = ""
    assert box.currentNode() is None and told[4:] == [None, "by string", False, ""]


def test_what_is_chosen_by_itself(a_scene) -> None:
    adds = selector(a_scene, "vtkMRMLModelNode")
    bare = selector(a_scene, "vtkMRMLModelNode", addEnabled=False, removeEnabled=False)
    first = a_scene.AddNewNodeByClass("vtkMRMLModelNode", "first")
    assert adds.currentNode() is None, "its list had entries for actions"
    assert bare.currentNode() is first, "its list was empty"
    assert selector(a_scene, "vtkMRMLModelNode").currentNode() is first
    assert selector(a_scene, "vtkMRMLModelNode", noneEnabled=True).currentNode() is None
    second = a_scene.AddNewNodeByClass("vtkMRMLModelNode", "second")
    a_scene.RemoveNode(first)
    assert bare.currentNode() is second
    a_scene.RemoveNode(second)
    assert bare.currentNode() is None and bare.nodeCount() == 0


def test_filters(a_scene) -> None:
    volume = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    labels = a_scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    box = selector(a_scene, "vtkMRMLScalarVolumeNode", noneEnabled=True)
    assert box.nodeCount() == 2
    box.showChildNodeTypes = False
    assert box.nodeCount() == 1 and box.nodeFromIndex(0) is volume
    box.showChildNodeTypes = True
    box.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
    assert box.nodeCount() == 1
    box.hideChildNodeTypes = []
    box.addAttribute("vtkMRMLScalarVolumeNode", "role", "input")
    assert box.nodeCount() == 0
    labels.SetAttribute("role", "input")
    assert box.nodeCount() == 1 and box.nodeFromIndex(0) is labels
    box.setCurrentNode(labels)
    labels.RemoveAttribute("role")
    assert box.currentNode() is None
    box.removeAttribute("vtkMRMLScalarVolumeNode", "role")
    volume.SetHideFromEditors(True)
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert box.nodeCount() == 1
    box.showHidden = True
    assert box.nodeCount() == 2


def test_adding_renaming_and_deleting_by_the_menu(a_scene, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    box = selector(a_scene, "vtkMRMLSegmentationNode", renameEnabled=True, noneEnabled=True, noneDisplay="nothing")
    box.baseName = "Organs"
    box.nodeAddedByUser.connect(lambda node: told.append(node.GetName()))
    inner = box.findChild("QComboBox")

    def act(words: str) -> None:
        row = inner.findText(words)
        assert row >= 0, [inner.itemText(one) for one in range(inner.count)]
        inner.setCurrentIndex(row)
        inner.activated.emit(row)

    act("Create new Segmentation")
    assert box.currentNode().GetName() == "Organs" == told[0] == inner.currentText
    act("Create new Segmentation")
    assert box.currentNode().GetName() == "Organs_1"
    from PySide6 import QtWidgets

    monkeypatch.setattr(QtWidgets.QInputDialog, "getText", staticmethod(lambda *_: ("Liver", True)))
    box.currentNodeRenamed.connect(told.append)
    act("Rename current Segmentation")
    assert told[-1] == "Liver" == box.currentNode().GetName() == inner.currentText
    act("Delete current Segmentation")
    assert box.currentNode().GetName() == "Organs" and box.nodeCount() == 1
    act("nothing")
    assert box.currentNode() is None


def test_a_choice_before_there_is_a_scene(a_scene) -> None:
    node = a_scene.AddNewNodeByClass("vtkMRMLModelNode", "m")
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes, box.noneEnabled = ["vtkMRMLModelNode"], True
    assert not box.enabled
    box.setCurrentNodeID(node.GetID())
    box.setMRMLScene(a_scene)
    assert box.currentNode() is node and box.enabled
    box.setMRMLScene(None)
    assert box.currentNode() is None and not box.enabled


def test_base_name_before_node_types() -> None:
    with pytest.raises(AttributeError, match="baseName before nodeTypes is ignored by Slicer"):
        slicer.qMRMLNodeComboBox().baseName = "x"


def test_checkable_combo_box(a_scene) -> None:
    told = []
    nodes = [a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in "abc"]
    for node in nodes:
        node.SetSelected(False)
    box = slicer.qMRMLCheckableNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setMRMLScene(a_scene)
    box.checkedNodesChanged.connect(lambda: told.append(len(box.checkedNodes())))
    assert box.noneChecked()
    box.check(nodes[0])
    box.setCheckState(nodes[2], qt.Qt.Checked)
    assert box.checkedNodes() == (nodes[0], nodes[2]) and told == [1, 2]
    inner = box.findChild("ctkCheckableComboBox")
    inner.setCheckState(inner.model().index(1, 0), qt.Qt.Checked)
    assert box.allChecked() and nodes[1].GetSelected()
    box.uncheck(nodes[1])
    assert box.uncheckedNodes() == (nodes[1],)
    a_scene.RemoveNode(nodes[0])
    assert box.checkedNodes() == (nodes[2],)
    box.deleteLater()  # its own connection holds it, here as in PythonQt


def test_segments_table(a_segmentation) -> None:
    table, told = slicer.qMRMLSegmentsTableView(), []
    table.setSegmentationNode(a_segmentation)
    first, second = a_segmentation.GetSegmentation().GetSegmentIDs()
    display, model = a_segmentation.GetDisplayNode(), table.model()
    assert table.segmentCount == 2 and table.displayedSegmentIDs() == (first, second)
    table.selectionChanged.connect(lambda now, before: told.append(table.selectedSegmentIDs()))
    table.setSelectedSegmentIDs([second])
    assert table.selectedSegmentIDs() == (second,) and told == [(second,)]
    model.setData(model.index(0, 0), qt.Qt.Unchecked, qt.Qt.CheckStateRole)
    assert not display.GetSegmentVisibility(first)
    model.setData(model.index(1, 3), "liver")
    assert a_segmentation.GetSegmentation().GetSegment(second).GetName() == "liver"
    table.textFilter = "liv"
    assert table.displayedSegmentIDs() == (second,) == table.selectedSegmentIDs()
    table.textFilter = ""
    a_segmentation.GetSegmentation().RemoveSegment(first)
    assert table.displayedSegmentIDs() == (second,) and table.rowForSegmentID(second) == 0
    table.opacityColumnVisible = False
    assert table.tableWidget().isColumnHidden(2)
    table.setSegmentationNode(None)
    assert table.segmentCount == 0


def test_show_3d_makes_surfaces_and_shows_them(a_segmentation) -> None:
    button = slicer.qMRMLSegmentationShow3DButton()
    assert not button.enabled
    button.setSegmentationNode(a_segmentation)
    segmentation, display = a_segmentation.GetSegmentation(), a_segmentation.GetDisplayNode()
    assert button.enabled and not button.checked
    button.click()
    assert segmentation.ContainsRepresentation("Closed surface")
    assert display.GetPreferredDisplayRepresentationName3D() == "Closed surface"
    surface = a_segmentation.GetClosedSurfaceInternalRepresentation(segmentation.GetNthSegmentID(0))
    assert surface.GetNumberOfPoints() > 100
    button.click()
    assert not segmentation.ContainsRepresentation("Closed surface")
    segmentation.CreateRepresentation("Closed surface")
    assert button.checked, "it follows the segmentation"
    button.locked = True
    assert not button.enabled


def test_segment_selector(a_scene, a_segmentation) -> None:
    chooser, told = slicer.qMRMLSegmentSelectorWidget(), []
    chooser.connect("currentSegmentChanged(QString)", told.append)
    chooser.setMRMLScene(a_scene)
    chooser.setCurrentNode(a_segmentation)
    first, second = chooser.segmentIDs()
    chooser.setCurrentSegmentID(second)
    assert chooser.currentNode() is a_segmentation and told == [first, second] and chooser.currentSegmentID() == second


@pytest.mark.parametrize("name", ["qMRMLSubjectHierarchyComboBox", "qMRMLSubjectHierarchyTreeView"])
def test_subject_hierarchy(a_scene, name: str) -> None:
    view, told = getattr(slicer, name)(), []
    view.setMRMLScene(a_scene)
    hierarchy = view.subjectHierarchyNode()
    model = a_scene.AddNewNodeByClass("vtkMRMLModelNode", "m")
    volume = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "v")
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "folder")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(model), folder)
    view.currentItemChanged.connect(told.append)
    assert view.currentNode() is None
    view.setCurrentNode(model)
    assert view.currentNode() is model and told == [hierarchy.GetItemByDataNode(model)]
    hierarchy.SetItemName(folder, "renamed")
    assert view.currentNode() is model
    view.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert view.currentNode() is None
    view.setCurrentItem(hierarchy.GetItemByDataNode(volume))
    assert view.currentNode() is volume
    view.clearSelection()
    assert view.currentNode() is None and view.currentItem() == 0


def test_table_view(a_scene) -> None:
    node = a_scene.AddNewNodeByClass("vtkMRMLTableNode", "t")
    for name in "ab":
        node.AddColumn(vtk.vtkDoubleArray()).SetName(name)
    node.AddEmptyRow()
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(node)
    model = view.tableModel()
    assert (model.rowCount(), model.columnCount()) == (1, 2)
    model.setData(model.index(0, 1), "2.5")
    assert float(node.GetCellText(0, 1)) == 2.5
    view.transposed = True
    assert (model.rowCount(), model.columnCount()) == (2, 1)
    view.insertRow()
    assert model.columnCount() == 2


def test_a_widget_hands_its_scene_on(a_scene) -> None:
    widget, box = slicer.qMRMLWidget(), slicer.qMRMLNodeComboBox()
    assert widget.connect("mrmlSceneChanged(vtkMRMLScene*)", box, "setMRMLScene(vtkMRMLScene*)")
    widget.setMRMLScene(a_scene)
    assert box.mrmlScene() is a_scene is widget.mrmlScene()


@pytest.mark.parametrize("widget", mrmlwidgets.WIDGETS, ids=lambda one: one.__name__)
def test_nothing_is_left_of_200(widget: type, a_scene, a_segmentation) -> None:
    watched = (a_scene, a_segmentation, a_segmentation.GetSegmentation(), a_segmentation.GetDisplayNode())

    def count() -> tuple[int, ...]:
        app.sendPostedEvents(None, qt.QEvent.DeferredDelete)
        app.processEvents()
        gc.collect()
        return tuple(len(bench_scene.observers(thing)) for thing in watched)

    def make() -> None:
        panel = qt.QWidget()
        layout, child = qt.QVBoxLayout(panel), widget()
        layout.addWidget(child)
        for name, value in (("setMRMLScene", a_scene), ("setSegmentationNode", a_segmentation)):
            if hasattr(child, name):
                getattr(child, name)(value)
        panel.deleteLater()

    for _ in range(10):
        make()
    observers, objects = count(), len(gc.get_objects())
    for _ in range(200):
        make()
    assert count() == observers
    assert len(gc.get_objects()) - objects < 50


@pytest.mark.parametrize("order", ["pythonqt, mrmlwidgets", "mrmlwidgets, pythonqt"])
def test_widgets_do_not_depend_on_what_is_imported_first(order: str) -> None:
    """A signal that is named like a virtual function crashes Qt when C++ finds it in the place of an override."""
    code = f"""
from Bench import {order}
qt, app = pythonqt.install(), pythonqt.application()
told = []
view = next(one for one in mrmlwidgets.WIDGETS if one.__name__ == "qMRMLTableView")()
view.connect("selectionChanged()", lambda: told.append(1))
view.selectionChanged.connect(lambda: told.append(2))
view.tableModel().setRowCount(1)
view.tableModel().setColumnCount(1)
view.selectRow(0)
assert told == [1, 2], told
"""
    folder = str(Path(mrmlwidgets.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

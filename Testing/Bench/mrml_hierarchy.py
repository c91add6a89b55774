"""Subject hierarchy as a combo box and as a tree, and MRML tables."""
# ruff: noqa: N801, N815 - the names are Slicer's

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .ctk_choices import ctkComboBox
from .mrml_watch import Scened
from .standin import StandIn, unseen

ITEM = QtCore.Qt.UserRole


def _filters() -> str:
    """Declarations that combo box and tree share."""
    return """QStringList includeItemAttributeNamesFilter; QStringList includeNodeAttributeNamesFilter;
        QStringList excludeItemAttributeNamesFilter; QStringList excludeNodeAttributeNamesFilter;
        QString attributeNameFilter; QString attributeValueFilter; QStringList nodeTypes; bool showRootItem;
        bool highlightReferencedItems; bool noneEnabled; QString noneDisplay"""


@unseen
class _Hierarchy(Scened):
    """Watches the subject hierarchy of a scene and lists its items in a model."""

    def _begin(self: Any) -> None:
        super()._begin()
        self._d.update(item=0, noneDisplay="None", noneEnabled=False)

    def subjectHierarchyNode(self: Any) -> Any:
        scene = self._d["scene"]
        return None if scene is None else slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)

    def _scene_changed(self: Any, scene: Any) -> None:
        hierarchy = self.subjectHierarchyNode()
        events = () if hierarchy is None else (
            hierarchy.SubjectHierarchyItemAddedEvent,
            hierarchy.SubjectHierarchyItemRemovedEvent,
            hierarchy.SubjectHierarchyItemModifiedEvent,
            hierarchy.SubjectHierarchyItemReparentedEvent,
        )  # fmt: skip
        self._d["watch"].observe("hierarchy", hierarchy, events, "_items_changed")
        self._items_changed()

    def _listed(self: Any) -> list[tuple[int, int]]:
        """Items that pass the filters, parents first, with their depth among those listed."""
        hierarchy, found = self.subjectHierarchyNode(), []
        if hierarchy is None:
            return []

        def descend(item: int, depth: int) -> None:
            children: list[int] = []
            hierarchy.GetItemChildren(item, children, False)
            for child in children:
                shown = self._passes(hierarchy, child)
                if shown:
                    found.append((child, depth))
                descend(child, depth + shown)

        descend(self._d.get("root") or hierarchy.GetSceneItemID(), 0)
        return found

    def _passes(self: Any, hierarchy: Any, item: int) -> bool:
        node, kinds = hierarchy.GetItemDataNode(item), self._d.get("nodeTypes", ())
        if kinds and (node is None or not any(node.IsA(kind) for kind in kinds)):
            return False
        if node is not None and node.GetHideFromEditors():
            return False
        for name in self._d.get("includeNodeAttributeNamesFilter", ()):
            if node is None or node.GetAttribute(name) is None:
                return False
        return True

    def currentItem(self: Any) -> int:
        return self._d["item"]

    def currentNode(self: Any) -> Any:
        hierarchy = self.subjectHierarchyNode()
        return hierarchy.GetItemDataNode(self._d["item"]) if hierarchy is not None and self._d["item"] else None

    def setCurrentNode(self: Any, node: Any) -> None:
        hierarchy = self.subjectHierarchyNode()
        self.setCurrentItem(hierarchy.GetItemByDataNode(node) if hierarchy is not None and node is not None else 0)

    def rootItem(self: Any) -> int:
        return self._d.get("root", 0)

    def setRootItem(self: Any, item: int) -> None:
        self._d["root"] = item
        self._items_changed()

    def _set_nodeTypes(self: Any, kinds: list[str]) -> None:
        self._d["nodeTypes"] = tuple(kinds)
        self._items_changed()

    def _set_noneEnabled(self: Any, value: bool) -> None:
        self._d["noneEnabled"] = value
        self._items_changed()


class qMRMLSubjectHierarchyComboBox(_Hierarchy, ctkComboBox):
    """Chooses an item of the subject hierarchy."""

    _properties_ = (
        f"{_filters()}; int maximumNumberOfShownItems; bool alignPopupVertically; bool showCurrentItemParents"
    )
    _signals_ = "currentItemChanged(vtkIdType); currentItemModified(vtkIdType)"
    _slots_ = "setMRMLScene(vtkMRMLScene*); setCurrentItem(vtkIdType); setRootItem(vtkIdType)"
    _invokables_ = """mrmlScene(); subjectHierarchyNode(); clearSelection(); currentItem(); rootItem(); currentNode();
        setCurrentNode(vtkMRMLNode*); setNodeTypes(const QStringList&); model(); sortFilterProxyModel()"""

    def _build(self) -> None:
        super()._build()
        self._begin()
        self.currentIndexChanged.connect(self._chosen)

    def _items_changed(self, _node: Any = None) -> None:
        hierarchy, items = self.subjectHierarchyNode(), self._listed()
        with QtCore.QSignalBlocker(self):
            self.clear()
            if self._d["noneEnabled"]:
                self.addItem(self._d["noneDisplay"], 0)
            for item, depth in items:
                self.addItem("  " * depth + hierarchy.GetItemName(item), item)
            known = self._d["item"] in [item for item, _ in items]
            self.setCurrentIndex(self.findData(self._d["item"]) if known else int(self._d["noneEnabled"]) - 1)
        self.setCurrentItem(self._d["item"] if known else 0)

    def _chosen(self, row: int) -> None:
        self.setCurrentItem(self.itemData(row) or 0)

    def setCurrentItem(self, item: int) -> None:
        row = self.findData(item) if item else int(self._d["noneEnabled"]) - 1
        with QtCore.QSignalBlocker(self):
            self.setCurrentIndex(row)
        item = item if row >= 0 else 0
        if item != self._d["item"]:
            self._d["item"] = item
            self.currentItemChanged.emit(item)

    def clearSelection(self) -> None:
        self.setCurrentItem(0)

    def sortFilterProxyModel(self) -> QtCore.QAbstractItemModel:
        return self.model()


class qMRMLSubjectHierarchyTreeView(StandIn, _Hierarchy, QtWidgets.QTreeView):
    """Items of the subject hierarchy with their names, and an eye for each."""

    _properties_ = f"""{_filters()}; bool contextMenuEnabled; bool editMenuActionVisible; bool addNodeMenuActionVisible;
        bool selectRoleSubMenuVisible; bool multiSelection; QStringList levelFilter; QString nameFilter;
        QStringList hideChildNodeTypes; bool visibilityColumnVisible; bool idColumnVisible; bool colorColumnVisible;
        bool transformColumnVisible; bool descriptionColumnVisible; bool useTerminologySelector"""
    _signals_ = """currentItemChanged(vtkIdType); currentNodeChanged(vtkMRMLNode*); currentItemModified(vtkIdType);
        nodeAddedByUser(vtkMRMLNode*)"""
    _slots_ = """setMRMLScene(vtkMRMLScene*); setCurrentItem(vtkIdType); setCurrentNode(vtkMRMLNode*);
        setRootItem(vtkIdType); setMultiSelection(bool); expandItem(vtkIdType); collapseItem(vtkIdType);
        deleteSelectedItems(); setNoneEnabled(bool)"""
    _invokables_ = """mrmlScene(); subjectHierarchyNode(); currentItem(); currentNode(); rootItem(); model();
        sortFilterProxyModel(); displayedItemCount()"""

    def _build(self) -> None:
        self._begin()
        self._d["model"] = QtGui.QStandardItemModel(self)
        self.setModel(self._d["model"])
        self.setHeaderHidden(True)
        self.selectionModel().selectionChanged.connect(self._chosen)

    def _items_changed(self, _node: Any = None) -> None:
        hierarchy, model, parents = self.subjectHierarchyNode(), self._d["model"], {}
        current = self._d["item"]
        with QtCore.QSignalBlocker(self.selectionModel()):
            model.clear()
            for item, depth in self._listed():
                entry = QtGui.QStandardItem(hierarchy.GetItemName(item))
                entry.setData(item, ITEM)
                entry.setEditable(False)
                (parents[depth - 1] if depth else model.invisibleRootItem()).appendRow(entry)
                parents[depth] = entry
            self.expandAll()
        self.setCurrentItem(current)

    def _index(self, item: int) -> QtCore.QModelIndex:
        model, flags = self._d["model"], QtCore.Qt.MatchExactly | QtCore.Qt.MatchRecursive
        found = model.match(model.index(0, 0), ITEM, item, 1, flags) if model.rowCount() else []
        return found[0] if found else QtCore.QModelIndex()

    def _chosen(self, *_: Any) -> None:
        rows = self.selectionModel().selectedIndexes()
        self._tell(rows[0].data(ITEM) if rows else 0)

    def _tell(self, item: int) -> None:
        if item != self._d["item"]:
            self._d["item"] = item
            self.currentItemChanged.emit(item)
            self.currentNodeChanged.emit(self.currentNode())

    def setCurrentItem(self, item: int) -> None:
        index = self._index(item)
        with QtCore.QSignalBlocker(self.selectionModel()):
            self.selectionModel().clear()
            if index.isValid():
                self.setCurrentIndex(index)
        self._tell(item if index.isValid() else 0)

    def expandItem(self, item: int) -> None:
        self.expand(self._index(item))

    def collapseItem(self, item: int) -> None:
        self.collapse(self._index(item))

    def deleteSelectedItems(self) -> None:
        if self._d["item"]:
            self.subjectHierarchyNode().RemoveItem(self._d["item"])

    def displayedItemCount(self) -> int:
        return len(self._listed())

    def model(self) -> QtCore.QAbstractItemModel:
        return self._d["model"]

    sortFilterProxyModel = model

    def _set_multiSelection(self, value: bool) -> None:
        mode = QtWidgets.QAbstractItemView
        self.setSelectionMode(mode.ExtendedSelection if value else mode.SingleSelection)


WIDGETS = (qMRMLSubjectHierarchyComboBox, qMRMLSubjectHierarchyTreeView)

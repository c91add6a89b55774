"""``qMRMLWidget`` and the combo box that chooses a node."""
# ruff: noqa: N801, N815 - the names are Slicer's

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .ctk_choices import ctkComboBox
from .mrml_filters import NodeFilters
from .mrml_watch import Scened
from .standin import StandIn

NODE_ID = QtCore.Qt.UserRole
ACTION = QtCore.Qt.UserRole + 1


class qMRMLWidget(StandIn, Scened, QtWidgets.QWidget):
    """A widget that hands its scene on through connections."""

    _properties_ = ""
    _signals_ = "mrmlSceneChanged(vtkMRMLScene*)"
    _slots_ = "setMRMLScene(vtkMRMLScene*)"
    _invokables_ = "mrmlScene()"

    def _build(self) -> None:
        self._begin()


class qSlicerWidget(StandIn, Scened, QtWidgets.QWidget):
    """What panels of modules are made of."""

    _properties_ = ""
    _signals_ = "mrmlSceneChanged(vtkMRMLScene*)"
    _slots_ = "setMRMLScene(vtkMRMLScene*)"
    _invokables_ = "mrmlScene()"

    def _build(self) -> None:
        self._begin()


class qMRMLNodeComboBox(StandIn, NodeFilters, Scened, QtWidgets.QWidget):
    """Chooses a node of the scene; adds, renames and deletes nodes where that is enabled."""

    _properties_ = """QString currentNodeID; QString currentNodeId; QStringList nodeTypes; bool showHidden;
        bool showChildNodeTypes; QStringList hideChildNodeTypes; QString baseName; bool noneEnabled; bool addEnabled;
        bool removeEnabled; bool editEnabled; bool renameEnabled; QString interactionNodeSingletonTag;
        bool selectNodeUponCreation; QString noneDisplay; QComboBox::SizeAdjustPolicy sizeAdjustPolicy"""
    _signals_ = """currentNodeChanged(vtkMRMLNode*); currentNodeIDChanged(const QString&); nodeActivated(vtkMRMLNode*);
        currentNodeChanged(bool); nodeAdded(vtkMRMLNode*); nodeAddedByUser(vtkMRMLNode*);
        nodeAddedByUserAction(vtkMRMLNode*); nodeAboutToBeRemoved(vtkMRMLNode*); currentNodeRenamed(const QString&);
        nodeAboutToBeEdited(vtkMRMLNode*)"""
    _slots_ = """setMRMLScene(vtkMRMLScene*); setCurrentNode(vtkMRMLNode*); setCurrentNode(const QString&);
        setCurrentNodeID(const QString&); setCurrentNodeIndex(int); addNode(QString); addNode(); removeCurrentNode();
        editCurrentNode(); renameCurrentNode()"""
    _invokables_ = """mrmlScene(); addAttribute(const QString&, const QString&, const QVariant&);
        removeAttribute(const QString&, const QString&); setNodeTypeLabel(const QString&, const QString&);
        nodeTypeLabel(const QString&); nodeCount(); nodeFromIndex(int); currentNode();
        sortFilterProxyModel(); addMenuAction(QAction*)"""
    _through_ = "combo: sizeAdjustPolicy"

    def _build(self) -> None:
        self._begin()
        self._d.update(nodes=[], current="", wanted="", types=(), hidden_children=())
        self._d.update(names={}, labels={}, attributes={}, actions=[])
        self._d.update(showHidden=False, showChildNodeTypes=True, noneEnabled=False, noneDisplay="None")
        self._d.update(addEnabled=True, removeEnabled=True, selectNodeUponCreation=True)
        self._d["interactionNodeSingletonTag"] = "Singleton"
        combo = self._d["combo"] = self._inner()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(combo)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Fixed)
        combo.currentIndexChanged.connect(self._chosen)
        combo.activated.connect(self._activated)
        self.setEnabled(False)
        self._refresh()

    def _inner(self) -> QtWidgets.QComboBox:
        return ctkComboBox(self)

    # The list

    def _refresh(self) -> None:
        """List nodes and actions anew; the choice stays where it can."""
        scene, watch = self._d["scene"], self._d["watch"]
        nodes = [] if scene is None else [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
        typed = {node.GetID(): node for node in nodes if node is not None and node.GetID() and self._of_type(node)}
        for key in watch.watched():
            if not key.startswith("scene") and key not in typed:
                watch.forget(key)
        for key in typed.keys() - set(watch.watched()):
            watch.observe(key, typed[key], ("ModifiedEvent",), "_node_modified")
        self._d["nodes"] = [key for key, node in typed.items() if self._accepts(node)]
        combo = self._d["combo"]
        with QtCore.QSignalBlocker(combo):
            combo.clear()
            if self._d["noneEnabled"]:
                combo.addItem(self._d["noneDisplay"], "")
            for key in self._d["nodes"]:
                combo.addItem(typed[key].GetName() or "", key)
                self._dress(combo.count() - 1, typed[key])
            for label, action in self._actions():
                if action:
                    combo.addItem(label)
                    combo.setItemData(combo.count() - 1, action, ACTION)
                else:
                    combo.insertSeparator(combo.count())
            combo.setPlaceholderText(f"Select a {self._label()}")
            self._show_current()

    def _dress(self, row: int, node: Any) -> None:
        """Finish the entry of a node."""

    def _show_current(self) -> None:
        combo, nodes = self._d["combo"], self._d["nodes"]
        none = int(self._d["noneEnabled"])
        row = nodes.index(self._d["current"]) + none if self._d["current"] in nodes else none - 1
        with QtCore.QSignalBlocker(combo):
            combo.setCurrentIndex(row)

    def _actions(self) -> list[tuple[str, str]]:
        """Entries below the nodes: text and what they do; a pair of empty texts is a line."""
        label, found = self._label(), []
        if self._d["scene"] is not None:
            found += [(f"Rename current {label}", "rename")] * self._d.get("renameEnabled", False)
            found += [(f"Edit current {label}", "edit")] * self._d.get("editEnabled", False)
            if self._d["addEnabled"]:
                found += [(f"Create new {self.nodeTypeLabel(kind)}", f"create {kind}") for kind in self._d["types"]]
            found += [(f"Delete current {label}", "delete")] * self._d["removeEnabled"]
            found += [(action.text(), f"own {place}") for place, action in enumerate(self._d["actions"])]
        return [("", ""), *found] if found else []

    # What happens in the scene

    def _scene_changed(self, scene: Any) -> None:
        watch = self._d["watch"]
        watch.clear()
        if scene is not None:
            watch.observe("scene", scene, (scene.NodeAddedEvent,), "_node_added")
            watch.observe("scene removal", scene, (scene.NodeRemovedEvent,), "_node_removed")
            watch.observe("scene warning", scene, (scene.NodeAboutToBeRemovedEvent,), "_node_leaves")
        wanted = self._d["wanted"] or self._d["current"]
        self._d["wanted"] = ""
        self._refresh()
        if wanted not in self._d["nodes"]:
            # Qt's combo box is on its first row by now, which is a node unless there is an entry for none.
            wanted = self._d["nodes"][0] if self._d["nodes"] and not self._d["noneEnabled"] else ""
        self._select(wanted)
        self.setEnabled(scene is not None)

    def _node_added(self, node: Any) -> None:
        was_empty = self._d["combo"].count() == 0
        self._refresh()
        if node is not None and node.GetID() in self._d["nodes"]:
            self.nodeAdded.emit(node)
            if was_empty and not self._d["current"]:
                # Qt's combo box goes to the first row that an empty one gets; with entries for actions it has some.
                self._select(node.GetID())

    def _node_leaves(self, node: Any) -> None:
        if node is not None and node.GetID() in self._d["nodes"]:
            self.nodeAboutToBeRemoved.emit(node)

    def _node_removed(self, _node: Any) -> None:
        before, current = self._d["nodes"], self._d["current"]
        self._refresh()
        if current and current not in self._d["nodes"]:
            after, row = self._d["nodes"], before.index(current) if current in before else 0
            self._select((after[row] if row < len(after) else after[-1]) if after else "")

    def _node_modified(self, _node: Any) -> None:
        self._refresh()
        if self._d["current"] and self._d["current"] not in self._d["nodes"]:
            self._select("")

    # Choosing

    def _select(self, key: str) -> None:
        """Make a node of the list the current one, or none."""
        key = key if key in self._d["nodes"] else ""
        changed = key != self._d["current"]
        self._d["current"] = key
        self._show_current()
        if changed:
            node = self.currentNode()
            self.currentNodeChanged[object].emit(node)
            self.currentNodeChanged[bool].emit(node is not None)
            self.currentNodeIDChanged.emit(key)

    def _chosen(self, row: int) -> None:
        key = self._d["combo"].itemData(row, NODE_ID)
        if key is not None or row < 0:
            self._select(key or "")
        else:
            self._show_current()

    def _activated(self, row: int) -> None:
        """The user chose an entry."""
        action = self._d["combo"].itemData(row, ACTION)
        if not action:
            self.nodeActivated.emit(self.currentNode())
            return
        self._show_current()
        verb, _, what = action.partition(" ")
        if verb == "create":
            node = self.addNode(what)
            self._select(node.GetID())
            self.nodeAddedByUserAction.emit(node)
        elif verb == "own":
            self._d["actions"][int(what)].trigger()
        else:
            {"rename": self.renameCurrentNode, "edit": self.editCurrentNode, "delete": self.removeCurrentNode}[verb]()

    def currentNode(self) -> Any:
        scene = self._d["scene"]
        return scene.GetNodeByID(self._d["current"]) if scene is not None and self._d["current"] else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else (node.GetID() or "") if node is not None else "")

    def setCurrentNodeID(self, key: str) -> None:
        if self._d["scene"] is None:
            self._d["wanted"] = key
        self._select(key)

    def _get_currentNodeID(self) -> str:
        return self._d["current"]

    _get_currentNodeId = _get_currentNodeID
    _set_currentNodeID = _set_currentNodeId = setCurrentNodeID

    def setCurrentNodeIndex(self, row: int) -> None:
        self._select(self._d["nodes"][row] if 0 <= row < len(self._d["nodes"]) else "")

    def nodeCount(self) -> int:
        return len(self._d["nodes"])

    def nodeFromIndex(self, row: int) -> Any:
        known = 0 <= row < len(self._d["nodes"])
        return self._d["scene"].GetNodeByID(self._d["nodes"][row]) if known else None

    # Adding, renaming, deleting

    def addNode(self, kind: str = "") -> Any:
        kind = kind or (self._d["types"][0] if self._d["types"] else "")
        scene = self._d["scene"]
        if kind not in self._d["types"] or scene is None:
            return None
        node = scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        base = self._d["names"].get(kind) or node.GetName() or node.GetDefaultNodeNamePrefix()
        node.SetName(scene.GetUniqueNameByString(base))
        for wanted in self._d["attributes"].values():
            for name, value in wanted.items():
                node.SetAttribute(name, value or "")
        node = scene.AddNode(node)
        if self._d["selectNodeUponCreation"]:
            self._select(node.GetID())
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self._d["scene"].RemoveNode(self.currentNode())

    def editCurrentNode(self) -> None:
        node, scene = self.currentNode(), self._d["scene"]
        self.nodeAboutToBeEdited.emit(node)
        tag = self._d["interactionNodeSingletonTag"]
        interaction = scene.GetSingletonNode(tag, "vtkMRMLInteractionNode") if tag else None
        if interaction is not None and node is not None:
            interaction.EditNode(node)

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is None:
            return
        label = self.nodeTypeLabel(node.GetClassName())
        name, answered = QtWidgets.QInputDialog.getText(
            self, f"Rename {label}", "New name:", QtWidgets.QLineEdit.Normal, node.GetName() or ""
        )
        if answered and name:
            node.SetName(name)
            self.currentNodeRenamed.emit(name)


WIDGETS = (qMRMLWidget, qSlicerWidget, qMRMLNodeComboBox)

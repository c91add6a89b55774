"""What a node combo box lists: filters by type and attribute, and the settings that change the list."""
# ruff: noqa: N815 - the names are Slicer's

from __future__ import annotations

from typing import Any

from .standin import unseen


def _refreshing(name: str) -> Any:
    """Setter of a switch after which the list is made anew."""

    def switch(self: Any, value: Any) -> None:
        self._d[name] = value
        self._node_modified(None)

    return switch


@unseen
class NodeFilters:
    """Settings of a node combo box, kept in ``_d``."""

    def _accepts(self: Any, node: Any) -> bool:
        """Whether a node passes type, hidden and attribute filters."""
        if node.GetHideFromEditors() and not self._d["showHidden"]:
            return False
        for kind, wanted in self._d["attributes"].items():
            for name, value in wanted.items() if node.IsA(kind) else ():
                has = node.GetAttribute(name)
                if has is None or (value is not None and has != value):
                    return False
        return True

    def _of_type(self: Any, node: Any) -> bool:
        """Whether a node is of a type that is asked for."""
        if any(node.IsA(kind) for kind in self._d["hidden_children"]):
            return False
        if not self._d["types"]:
            return True
        if self._d["showChildNodeTypes"]:
            return any(node.IsA(kind) for kind in self._d["types"])
        return node.GetClassName() in self._d["types"]

    def _label(self: Any) -> str:
        return self.nodeTypeLabel(self._d["types"][0]) if len(self._d["types"]) == 1 else "node"

    def nodeTypeLabel(self: Any, kind: str) -> str:
        scene = self._d["scene"]
        known = "" if scene is None or not kind else scene.GetTypeDisplayNameByClassName(kind)
        return self._d["labels"].get(kind) or known or "node"

    def setNodeTypeLabel(self: Any, label: str, kind: str) -> None:
        self._d["labels"][kind] = label
        self._refresh()

    def addAttribute(self: Any, kind: str, name: str, value: Any = None) -> None:
        self._d["attributes"].setdefault(kind, {})[name] = None if value is None else str(value)
        self._node_modified(None)

    def removeAttribute(self: Any, kind: str, name: str) -> None:
        self._d["attributes"].get(kind, {}).pop(name, None)
        self._refresh()

    def addMenuAction(self: Any, action: Any) -> None:
        self._d["actions"].append(action)
        self._refresh()

    def sortFilterProxyModel(self: Any) -> Any:
        return self._d["combo"].model()

    def _get_baseName(self: Any) -> str:
        return self._d["names"].get(self._d["types"][0], "") if self._d["types"] else ""

    def _set_baseName(self: Any, name: str) -> None:
        if not self._d["types"]:
            raise AttributeError(
                "qMRMLNodeComboBox.baseName before nodeTypes is ignored by Slicer: set nodeTypes first"
            )
        self._d["names"].update(dict.fromkeys(self._d["types"], name))

    def _get_nodeTypes(self: Any) -> list[str]:
        return list(self._d["types"])

    def _set_nodeTypes(self: Any, kinds: list[str]) -> None:
        self._d["types"] = tuple(kind for kind in kinds if kind)
        self._node_modified(None)

    def _get_hideChildNodeTypes(self: Any) -> list[str]:
        return list(self._d["hidden_children"])

    def _set_hideChildNodeTypes(self: Any, kinds: list[str]) -> None:
        self._d["hidden_children"] = tuple(kinds)
        self._node_modified(None)

    _set_showHidden = _refreshing("showHidden")
    _set_showChildNodeTypes = _refreshing("showChildNodeTypes")
    _set_noneEnabled = _refreshing("noneEnabled")
    _set_noneDisplay = _refreshing("noneDisplay")
    _set_addEnabled = _refreshing("addEnabled")
    _set_removeEnabled = _refreshing("removeEnabled")
    _set_editEnabled = _refreshing("editEnabled")
    _set_renameEnabled = _refreshing("renameEnabled")

"""MRML and widgets without cycles: observers that die with their widget, and the scene that a widget is given."""

from __future__ import annotations

import weakref
from typing import Any

import shiboken6
import slicer
import vtk

from .standin import unseen


class Watch:
    """Observers of one widget. They hold it weakly, and none outlives it."""

    def __init__(self, widget: Any) -> None:
        self._widget = weakref.ref(widget)
        self._tags: dict[str, tuple[Any, list[int]]] = {}
        widget.destroyed.connect(lambda *_: self.clear())

    def observe(self, key: str, thing: Any, events: tuple, method: str) -> None:
        """Call ``widget.method(node)`` at events of ``thing`` instead of what was watched under ``key`` before."""
        self.forget(key)
        if thing is None:
            return
        widget = self._widget

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def with_node(_caller: Any, _event: str, node: Any = None) -> None:
            target = widget()
            if target is not None and shiboken6.isValid(target):
                getattr(target, method)(node)

        def alone(_caller: Any, _event: str) -> None:
            with_node(None, "", None)

        tags = [thing.AddObserver(event, with_node if _carries_node(thing, event) else alone) for event in events]
        self._tags[key] = thing, tags

    def forget(self, key: str) -> None:
        """Stop watching."""
        thing, tags = self._tags.pop(key, (None, []))
        for tag in tags:
            thing.RemoveObserver(tag)

    def watched(self) -> list[str]:
        """What is watched."""
        return list(self._tags)

    def clear(self) -> None:
        """Stop watching everything."""
        for key in self.watched():
            self.forget(key)


def _carries_node(thing: Any, event: Any) -> bool:
    """Whether an event of the scene brings the node that it is about."""
    return thing.IsA("vtkMRMLScene") and event in (thing.NodeAddedEvent, thing.NodeRemovedEvent, _about(thing))


def _about(scene: Any) -> int:
    return int(scene.NodeAboutToBeRemovedEvent)


@unseen
class Scened:
    """What all MRML widgets share: a scene that they are given, and watch through ``_d["watch"]``."""

    def _begin(self: Any) -> None:
        self._d.update(scene=None, watch=Watch(self))

    def mrmlScene(self: Any) -> Any:
        return self._d["scene"]

    def setMRMLScene(self: Any, scene: Any) -> None:
        if scene is not self._d["scene"]:
            self._d["scene"] = scene
            self._scene_changed(scene)
            if hasattr(self, "mrmlSceneChanged"):
                self.mrmlSceneChanged.emit(scene)

    def _scene_changed(self: Any, scene: Any) -> None:
        """Look at the new scene."""


def segment_events() -> tuple:
    """Events of a segmentation that change what tables and buttons show."""
    kind = slicer.vtkSegmentation
    return (
        "ModifiedEvent",
        kind.SegmentAdded,
        kind.SegmentRemoved,
        kind.SegmentModified,
        kind.SegmentsOrderModified,
        kind.ContainedRepresentationNamesModified,
    )


@unseen
class Segmented(Scened):
    """What shows a segmentation: watches it, its display node and its segments."""

    def _watch_segmentation(self: Any, node: Any) -> None:
        if node is not None and not node.IsA("vtkMRMLSegmentationNode"):
            node = None
        if node is self._d["node"]:
            return
        self._d["node"] = node
        self._d["watch"].observe("node", node, segment_events(), "_segmentation_changed")
        self._segmentation_changed()

    def segmentationNode(self: Any) -> Any:
        return self._d["node"]

    def _segmentation(self: Any) -> Any:
        return None if self._d["node"] is None else self._d["node"].GetSegmentation()

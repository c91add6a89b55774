"""The real MRML scene with the nodes, logics and file access that Slicer gives it before any module is opened."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import slicer
import vtk

from Bench import anatomy

#: Module name in ``slicer.modules`` and the class of its logic.
LOGICS = {
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Colors": "vtkSlicerColorLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Reformat": "vtkSlicerReformatLogic",
    "SceneViews": "vtkSlicerSceneViewsModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Units": "vtkSlicerUnitsLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Volumes": "vtkSlicerVolumesLogic",
}
#: Node classes that Slicer's subject hierarchy plugins claim; others get no item.
CLAIMED = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLModelNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLTransformNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
    "vtkMRMLSequenceNode",
)


class SubjectHierarchyItems:
    """Gives nodes their items in the subject hierarchy, as Slicer's Qt plugins do; MRML alone makes none."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._added)
        scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._removed)
        # Before the views hear of it: they follow an item's parents, without end while these are not resolved.
        for event in (slicer.vtkMRMLScene.EndImportEvent, slicer.vtkMRMLScene.EndBatchProcessEvent):
            scene.AddObserver(event, self._imported, 10.0)
        scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, self._closed, 10.0)

    def _hierarchy(self) -> Any:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)

    def _claims(self, node: Any) -> bool:
        return not node.GetHideFromEditors() and any(node.IsA(name) for name in CLAIMED)

    def _add(self, node: Any) -> None:
        hierarchy = self._hierarchy()
        if hierarchy and self._claims(node) and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _added(self, _scene: Any, _event: str, node: Any) -> None:
        # While a scene is read its hierarchy comes with it; what is still missing is made at the end.
        if not self.scene.IsImporting():
            self._add(node)

    def _closed(self, *_: Any) -> None:
        hierarchy = self._hierarchy()
        if hierarchy:
            hierarchy.RemoveAllItems(False)
        self._imported()

    def _imported(self, *_: Any) -> None:
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self.scene)
        for index in range(self.scene.GetNumberOfNodes()):
            self._add(self.scene.GetNthNode(index))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _removed(self, _scene: Any, _event: str, node: Any) -> None:
        # While the scene closes or is read, asking for the hierarchy would make another one.
        if self.scene.IsClosing() or self.scene.IsImporting() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchy = self._hierarchy()
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)


class Scene:
    """A MRML scene and all that has to live as long as it."""

    def __init__(self, temporary: str | None = None) -> None:
        self.temporary = temporary or tempfile.mkdtemp(prefix="bench-")
        self.share = Path(self.temporary) / "share"
        anatomy.write_share(self.share)
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetHomeDirectory(self.temporary)
        self.application_logic.SetShareDirectory("share")
        self.application_logic.SetTemporaryPath(self.temporary)
        self.node = slicer.vtkMRMLScene()
        self._give_file_access()
        for kind in ("ThreeDView", "SliceView"):
            factory = getattr(slicer, f"vtkMRML{kind}DisplayableManagerFactory").GetInstance()
            if factory.GetMRMLApplicationLogic() is None:  # the views belong to the first scene
                factory.SetMRMLApplicationLogic(self.application_logic)
        self.node.SetRootDirectory(self.temporary)
        self.node.RegisterNodeClass(slicer.vtkMRMLCommandLineModuleNode())
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.node.AddNode(crosshair)
        self.application_logic.SetMRMLScene(self.node)
        self.application_logic.SetMRMLSceneDataIO(self.node, self.remote_io, self.data_io)
        # Asking for the hierarchy makes it; it must exist before the first node that wants an item.
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.node)
        self.items = SubjectHierarchyItems(self.node)
        self.logics = self._module_logics()
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.node)

    def _give_file_access(self) -> None:
        """Storage nodes read and write only through these; without them every load fails."""
        self.remote_io = slicer.vtkMRMLRemoteIOLogic()
        cache = Path(self.temporary) / "cache"
        cache.mkdir(exist_ok=True)
        (cache / ".slicer-cache").touch()  # says that this folder may be emptied
        self.remote_io.GetCacheManager().SetRemoteCacheDirectory(str(cache))
        self.data_io = slicer.vtkDataIOManagerLogic()
        self.data_io.SetMRMLApplicationLogic(self.application_logic)

    def _module_logics(self) -> dict[str, Any]:
        logics: dict[str, Any] = {}
        for name, classname in LOGICS.items():
            logic = getattr(slicer, classname)()
            logics[name] = logic
            if logic.IsA("vtkSlicerModuleLogic"):
                logic.SetModuleShareDirectory(str(self.share / name))
            if name == "Colors":
                self.application_logic.SetColorLogic(logic)
            logic.SetMRMLApplicationLogic(self.application_logic)
            self.application_logic.SetModuleLogic(name, logic)
            if name == "VolumeRendering":
                self._register_volume_rendering(logic)
            logic.SetMRMLScene(self.node)
        return logics

    @staticmethod
    def _register_volume_rendering(logic: Any) -> None:
        for label, node in (
            ("VTK CPU Ray Casting", "vtkMRMLCPURayCastVolumeRenderingDisplayNode"),
            ("VTK GPU Ray Casting", "vtkMRMLGPURayCastVolumeRenderingDisplayNode"),
        ):
            logic.RegisterRenderingMethod(label, node)

    def clear(self) -> None:
        """Close the scene as File > Close Scene does, and give back what closing takes away."""
        self.node.Clear(False)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.node)
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.node)


def new_scene() -> Any:
    """A ``vtkMRMLScene`` ready for use; its logics live as long as the scene does."""
    scene = Scene()
    _KEPT.append(scene)
    return scene.node


_KEPT: list[Scene] = []


def observers(thing: Any) -> dict[int, str]:
    """Tag and event of everything that observes a VTK object, read from its own report (Python has no other way).

    The scene reports its observers; MRML nodes do not.
    """
    found: dict[int, str] = {}
    name = number = ""
    for line in str(thing).splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "Event":
            number = value
        elif key == "EventName":
            name = value
        elif key == "Tag":
            found[int(value)] = _EVENTS.get(int(number), name if name != "NoEvent" else f"event {number}")
    return found


_EVENTS = {
    getattr(owner, name): name
    for owner in (slicer.vtkMRMLScene, slicer.vtkMRMLNode, slicer.vtkMRMLVolumeNode, slicer.vtkMRMLDisplayableNode)
    for name in dir(owner)
    if name.endswith("Event") and isinstance(getattr(owner, name), int)
}

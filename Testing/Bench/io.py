# ruff: noqa: N803 - the names are those of Slicer
"""Reading and writing files as Slicer's IO manager does, over the real logics and storage nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
import vtk

from Bench import dicom
from Bench.file_types import TYPES, WRITERS, kind_of_nrrd, kind_of_text, stem

_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}


class IOManager:
    """``slicer.app.coreIOManager()``."""

    def __init__(self, scene: Any, logics: dict[str, Any], application_logic: Any) -> None:
        self._scene = scene
        self._logics = logics
        self._application_logic = application_logic
        self.defaultSceneFileType = "MRML Scene (.mrml)"
        self._readers: dict[str, Callable[[str, dict[str, Any], Any], Sequence[Any]]] = {
            "VolumeFile": self._volume,
            "DICOMFolder": self._dicom,
            "SegmentationFile": self._segmentation,
            "ModelFile": self._model,
            "TransformFile": self._transform,
            "MarkupsFile": self._markups,
            "TableFile": self._table,
            "TextFile": self._text,
            "ColorTableFile": self._colours,
            "SequenceFile": self._sequence,
            "TerminologyFile": self._terminology,
            "SceneFile": self._scene_file,
        }

    # What a file is

    def fileType(self, fileName: str) -> str:
        """Type of the reader that would read a file."""
        path = Path(fileName)
        if path.is_dir():
            return "DICOMFolder"
        name = path.name.lower()
        kind = next((TYPES[end] for end in TYPES if name.endswith(end)), "VolumeFile" if not path.suffix else "NoFile")
        if name.endswith((".nrrd", ".nhdr")) and kind == "VolumeFile" and path.exists():
            return kind_of_nrrd(path)
        if kind == "TextFile" and path.exists():
            return kind_of_text(path)
        return kind

    def fileWriterFileType(self, node: Any, extension: str = "") -> str:
        """Type of the writer for a node."""
        return next((kind for classname, kind in WRITERS.items() if node.IsA(classname)), "NoFile")

    def registeredFileReaderCount(self, fileType: str) -> int:
        """How many readers know a type: one or none here."""
        return int(fileType in self._readers)

    def registeredFileWriterCount(self, fileType: str) -> int:
        """How many writers know a type: one or none here."""
        return int(fileType in {*WRITERS.values(), "SceneFile"})

    def fileWriterExtensions(self, node: Any) -> tuple[str, ...]:
        """Formats that a node can be written in, such as ``NRRD (.nrrd)``."""
        storage = _storage_for(node)  # the list dies with its storage node
        types = storage.GetSupportedWriteFileTypes()
        return tuple(types.GetValue(i) for i in range(types.GetNumberOfValues()))

    def extractKnownExtension(self, fileName: str, node: Any) -> str:
        """Extension of a file name that a node's storage knows, compound ones whole."""
        return _storage_for(node).GetSupportedFileExtension(str(fileName))

    def stripKnownExtension(self, fileName: str, node: Any) -> str:
        """File name without the extension that a node's storage knows."""
        return str(fileName).removesuffix(self.extractKnownExtension(fileName, node))

    # Reading

    def loadNodes(
        self, fileType: str, properties: dict[str, Any], loaded: Any = None, userMessages: Any = None
    ) -> bool:
        """Read a file; what it held is appended to ``loaded`` (a ``vtkCollection``)."""
        properties = dict(properties)
        name = str(properties.get("fileName", ""))
        messages = userMessages or slicer.vtkMRMLMessageCollection()
        if fileType not in self._readers:
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"No reader for {fileType!r}: {name}")
            return False
        if not Path(name).exists():
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"File does not exist: {name}")
            return False
        nodes = self._readers[fileType](name, properties, messages)
        # A terminology and a scene are read without a node of their own to hand back.
        if not nodes and fileType not in ("TerminologyFile", "SceneFile"):
            return False
        if None in nodes:
            return False
        for node in nodes:
            if properties.get("name") and len(nodes) == 1 and node.GetName() != properties["name"]:
                node.SetName(self._scene.GetUniqueNameByString(properties["name"]))
            if loaded is not None:
                loaded.AddItem(node)
        return True

    def loadScene(self, fileName: str, clear: bool = True, userMessages: Any = None) -> bool:
        """Read a scene file or bundle."""
        return self.loadNodes("SceneFile", {"fileName": str(fileName), "clear": clear}, None, userMessages)

    def loadFile(self, fileName: str, userMessages: Any = None) -> bool:
        """Read a file with the reader that fits."""
        return self.loadNodes(self.fileType(fileName), {"fileName": str(fileName)}, None, userMessages)

    def _volume(self, name: str, properties: dict[str, Any], messages: Any) -> Sequence[Any]:
        options = sum(bit for key, bit in _OPTIONS.items() if properties.get(key, key == "autoWindowLevel"))
        files = vtk.vtkStringArray()
        for file in properties.get("fileNames") or ():
            files.InsertNextValue(str(file))
        title = properties.get("name") or stem(name)
        node = self._logics["Volumes"].AddArchetypeVolume(
            name, title, options, files if files.GetNumberOfValues() else None, messages
        )
        if node is None:
            return ()
        if properties.get("colorNodeID"):
            node.GetDisplayNode().SetAndObserveColorNodeID(properties["colorNodeID"])
        if properties.get("show", True):
            self._show(node)
        return (node,)

    def _show(self, node: Any) -> None:
        selection = self._application_logic.GetSelectionNode()
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            selection.SetActiveLabelVolumeID(node.GetID())
            self._application_logic.PropagateLabelVolumeSelection()
        else:
            selection.SetActiveVolumeID(node.GetID())
            self._application_logic.PropagateVolumeSelection(1)

    def _dicom(self, name: str, properties: dict[str, Any], messages: Any) -> Sequence[Any]:
        """Every series of a folder as a volume."""
        nodes = []
        for files in dicom.series_of(Path(name)):
            found = self._volume(str(files[0]), {**properties, "fileNames": files, "singleFile": False}, messages)
            if not found:
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"Not readable as DICOM: {files[0]}")
                return ()
            nodes += found
        return tuple(nodes)

    def _segmentation(self, name: str, properties: dict[str, Any], messages: Any) -> Sequence[Any]:
        colours = self._scene.GetNodeByID(properties["colorNodeID"]) if properties.get("colorNodeID") else None
        title = properties.get("name") or stem(name)
        node = self._logics["Segmentations"].LoadSegmentationFromFile(
            name, properties.get("autoOpacities", True), title, colours, messages
        )
        return (node,) if node else ()

    def _model(self, name: str, properties: dict[str, Any], messages: Any) -> Sequence[Any]:
        system = properties.get("coordinateSystem", slicer.vtkMRMLStorageNode.CoordinateSystemLPS)
        return (self._logics["Models"].AddModel(name, system, messages),)

    def _transform(self, name: str, _: dict[str, Any], messages: Any) -> Sequence[Any]:
        return (self._logics["Transforms"].AddTransform(name, self._scene, messages),)

    def _markups(self, name: str, _: dict[str, Any], messages: Any) -> Sequence[Any]:
        found = self._logics["Markups"].LoadMarkups(name, stem(name), messages)
        return tuple(self._scene.GetNodeByID(each) for each in (found or "").split(",") if each)

    def _table(self, name: str, properties: dict[str, Any], messages: Any) -> Sequence[Any]:
        title = properties.get("name") or stem(name)
        return (self._logics["Tables"].AddTable(name, title, True, properties.get("password", ""), messages),)

    def _text(self, name: str, _: dict[str, Any], messages: Any) -> Sequence[Any]:
        return self._by_storage("vtkMRMLTextNode", name, messages)

    def _colours(self, name: str, _: dict[str, Any], messages: Any) -> Sequence[Any]:
        return (self._logics["Colors"].LoadColorFile(name, stem(name), messages),)

    def _sequence(self, name: str, _: dict[str, Any], messages: Any) -> Sequence[Any]:
        return (self._logics["Sequences"].AddSequence(name, messages),)

    def _terminology(self, name: str, _: dict[str, Any], messages: Any) -> Sequence[Any]:
        return () if self._logics["Terminologies"].LoadTerminologyFromFile(name) else (None,)

    def _scene_file(self, name: str, properties: dict[str, Any], messages: Any) -> Sequence[Any]:
        clear = bool(properties.get("clear", False))
        if name.lower().endswith(".mrb"):
            return () if self._scene.ReadFromMRB(name, clear, messages) else (None,)
        self._scene.SetURL(name)
        return () if (self._scene.Connect(messages) if clear else self._scene.Import(messages)) else (None,)

    def _by_storage(self, classname: str, name: str, messages: Any) -> Sequence[Any]:
        node = self._scene.AddNewNodeByClass(classname, self._scene.GetUniqueNameByString(stem(name)))
        if hasattr(node, "SetForceCreateStorageNode"):  # a short text would get none
            node.SetForceCreateStorageNode(True)
        node.AddDefaultStorageNode(name)
        if node.GetStorageNode().ReadData(node):
            return (node,)
        messages.AddMessages(node.GetStorageNode().GetUserMessages())
        self._scene.RemoveNode(node)
        return ()

    # Writing

    def saveNodes(self, fileType: str, properties: dict[str, Any], userMessages: Any = None) -> bool:
        """Write one node, or the scene when the type is ``SceneFile``."""
        if fileType == "SceneFile":
            return self.saveScene(properties["fileName"], None, userMessages)
        node = self._scene.GetNodeByID(properties["nodeID"])
        if node is None or not node.IsA("vtkMRMLStorableNode"):
            return False
        name = str(properties["fileName"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(name)
        if node.GetStorageNode() is None:  # a short text is kept in the scene file, without a storage node
            _say(userMessages, f"{node.GetName()} has no storage node, and is saved with the scene only")
            return False
        return _write(node, node.GetStorageNode(), name, properties, userMessages)

    def saveScene(self, fileName: str, screenShot: Any = None, userMessages: Any = None) -> bool:
        """Write the scene as ``.mrml``, as a bundle ``.mrb``, or as a folder with its data."""
        name = str(fileName)
        if name.lower().endswith(".mrml"):
            self._scene.SetURL(name)
            self._scene.SetRootDirectory(str(Path(name).parent))
            return bool(self._scene.Commit(name))
        self.addDefaultStorageNodes()
        if name.lower().endswith(".mrb"):
            return self._scene.WriteToMRB(name, None, userMessages)
        Path(name).mkdir(parents=True, exist_ok=True)
        return self._scene.SaveSceneToSlicerDataBundleDirectory(name, None, userMessages)

    def exportNodes(
        self,
        nodeIDs: Sequence[str],
        fileNames: Sequence[str],
        properties: dict[str, Any],
        hardenTransforms: bool,
        userMessages: Any = None,
    ) -> bool:
        """Write nodes without touching the storage node that the scene is saved with."""
        done = True
        for identity, name in zip(nodeIDs, fileNames, strict=True):
            node = self._scene.GetNodeByID(identity)
            storage = _storage_for(node)
            if hardenTransforms and node.GetParentTransformNode() is not None:
                node = _hardened(node)
            done = _write(node, storage, str(name), properties, userMessages) and done
        return done

    def addDefaultStorageNodes(self) -> None:
        """Give every node that will be saved its storage node."""
        for index in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(index)
            if node.IsA("vtkMRMLStorableNode") and node.GetSaveWithScene() and not node.GetHideFromEditors():
                node.AddDefaultStorageNode()


def _say(messages: Any, text: str) -> None:
    if messages is not None:
        messages.AddMessage(vtk.vtkCommand.ErrorEvent, text)


def _storage_for(node: Any) -> Any:
    """A storage node of the default kind that belongs to nobody."""
    storage = node.CreateDefaultStorageNode()
    storage.UnRegister(None)
    storage.SetScene(node.GetScene())  # it asks the scene which formats ITK has
    return storage


def _write(node: Any, storage: Any, name: str, properties: dict[str, Any], messages: Any) -> bool:
    storage.SetFileName(name)
    if "useCompression" in properties:
        storage.SetUseCompression(bool(properties["useCompression"]))
    if properties.get("compressionParameter"):
        storage.SetCompressionParameter(properties["compressionParameter"])
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    done = bool(storage.WriteData(node))
    if messages is not None and storage.GetUserMessages():
        messages.AddMessages(storage.GetUserMessages())
    return done


def _hardened(node: Any) -> Any:
    """A copy of a node, in no scene, where its transform has been applied."""
    copy = node.CreateNodeInstance()
    copy.UnRegister(None)
    copy.CopyContent(node, True)
    parent = node.GetParentTransformNode()
    if parent.IsTransformToWorldLinear():
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformToWorld(matrix)
        copy.ApplyTransformMatrix(matrix)
    else:
        transform = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(parent, None, transform)
        copy.ApplyTransform(transform)
    return copy

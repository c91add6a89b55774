"""Volumes of the scene as files that the engine can read: in their own geometry, read only, copied only if needed."""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

#: Files that the engine reads as they are.
READABLE = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

#: In a folder that holds nothing but copies of what is in the scene.
MARK = ".copies-of-the-scene"


@dataclass(frozen=True)
class VolumeFile:
    """A file that stands for a volume node.

    Attributes:
        nodeID: of the volume.
        name: of the volume.
        path: the file.
        copied: whether the file was written for this purpose.
    """

    nodeID: str
    name: str
    path: Path
    copied: bool


def volumeFile(volumeNode: Any, folder: Path) -> VolumeFile:
    """The file of a volume: its own where that still says the same, else a copy in ``folder``.

    A copy is an uncompressed NRRD with the volume's voxels, and with its parent transforms applied; neither the
    volume nor anything else in the scene is changed.

    Raises:
        ValueError: the volume has no voxels, or cannot be written.
    """
    if volumeNode.GetImageData() is None or volumeNode.GetImageData().GetNumberOfPoints() == 0:
        raise ValueError(f"{volumeNode.GetName()} has no voxels.")
    own = unchangedFile(volumeNode)
    if own is not None:
        return VolumeFile(volumeNode.GetID(), volumeNode.GetName(), own, copied=False)
    path = folder / f"{safeName(volumeNode.GetName())}-{volumeNode.GetID().rpartition('Node')[2]}.nrrd"
    makePrivate(folder)
    writeCopy(volumeNode, path)
    path.chmod(0o600)
    return VolumeFile(volumeNode.GetID(), volumeNode.GetName(), path, copied=True)


def makePrivate(folder: Path) -> None:
    """Make a folder for copies of CTs that only this user can look into; one that is there stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        (folder / MARK).touch(mode=0o600)


def isOurs(folder: Path) -> bool:
    """Whether :func:`makePrivate` made a folder."""
    return (folder / MARK).is_file()


def removeCopies(folder: Path) -> None:
    """Remove a folder that :func:`makePrivate` made; one of anybody else stays."""
    if isOurs(folder):
        shutil.rmtree(folder, ignore_errors=True)


def unchangedFile(volumeNode: Any) -> Path | None:
    """The file that a volume was read from, if the engine can read it and nothing was changed since."""
    storageNode = volumeNode.GetStorageNode()
    if storageNode is None or storageNode.GetFileName() is None or volumeNode.GetParentTransformNode() is not None:
        return None
    path = Path(storageNode.GetFullNameFromFileName())
    # Several files are a DICOM series or slices; which of them belong together is known to the scene only.
    if storageNode.GetNumberOfFileNames() > 1 or not path.name.lower().endswith(READABLE):
        return None
    return path if path.is_file() and not volumeNode.GetModifiedSinceRead() else None


def writeCopy(volumeNode: Any, path: Path) -> None:
    """Write a volume's voxels with its parent transforms applied.

    Raises:
        ValueError: the file could not be written.
    """
    copy = slicer.vtkMRMLScalarVolumeNode()
    copy.SetHideFromEditors(True)
    copy.SetSaveWithScene(False)
    copy.CopyOrientation(volumeNode)
    copy.SetAndObserveImageData(volumeNode.GetImageData())  # shared, not copied; hardening makes a new one if needed
    storageNode = slicer.vtkMRMLNRRDStorageNode()
    storageNode.SetUseCompression(False)
    storageNode.SetFileName(str(path))
    try:
        if volumeNode.GetParentTransformNode() is not None:
            slicer.mrmlScene.AddNode(copy)  # a transform is found through the scene only
            copy.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
            copy.HardenTransform()
        if not storageNode.WriteData(copy):
            raise ValueError(f"{volumeNode.GetName()} could not be written to {path}. Is the disk full?")
    finally:
        if copy.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(copy)


def safeName(name: str) -> str:
    """A node's name as a part of a file name on every system."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "volume"

"""Previews of a pre-training run: read from the run folder, turned back, and put into the scene in patient space."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

#: What is shown side by side, in this order.
KINDS = ("original", "masked", "reconstructed")
#: Axes (of I, J, K) of the plane in which a view was turned, by the setting ``views.rotation``.
PLANES = {"axial": (0, 1), "sagittal": (1, 2)}
#: Bytes that are unpacked at a time (some milliseconds), and the most that one array may have.
PIECE, MOST = 1 << 20, 1 << 31
#: Attribute of the nodes that the preview makes, by which they are found and removed again.
MARK = "SwinSSL.Preview"


@dataclass(frozen=True)
class Preview:
    """One preview file.

    Attributes:
        step: of the run.
        volumes: by kind: (N, I, J, K), 0..1, half precision, as the network saw them, so turned.
        rotationTrue: (N,) quarter turns.
        rotationProbability: (N, 4).
        similarity: (2N, 2N), first views first.
        confusion: (4, 4) over all fixed views, true angle by row; None in files that lack it.
        ijkToRas: (N, 4, 4) of the sub-volumes before they were turned.
        source: names of the CTs.
        huWindow: Hounsfield units that are 0 and 1.
    """

    step: int
    volumes: dict[str, np.ndarray]
    rotationTrue: np.ndarray
    rotationProbability: np.ndarray
    similarity: np.ndarray
    confusion: np.ndarray | None
    ijkToRas: np.ndarray
    source: tuple[str, ...]
    huWindow: tuple[float, float]

    @property
    def count(self) -> int:
        """How many sub-volumes there are."""
        return len(self.rotationTrue)


def readPreview(path: Path) -> Preview:
    """Read a preview file; nothing in it is executed.

    Raises:
        ValueError: damaged, half written, or not a preview.
    """
    pieces = readInPieces(path)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value


def readInPieces(path: Path) -> Generator[None, None, Preview]:
    """Read a preview file piece by piece, so that whoever reads it can do other things in between.

    Yields:
        nothing, after some milliseconds of work each.

    Returns:
        the preview.

    Raises:
        ValueError: damaged, half written, or not a preview.
    """
    try:
        content: dict[str, np.ndarray] = {}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                content[name.removesuffix(".npy")] = yield from _member(archive, name)
        preview = Preview(
            int(content["step"]),
            {kind: content[kind] for kind in KINDS},
            content["rotation_true"].astype(int),
            content["rotation_probability"].astype(float),
            content["similarity"].astype(float),
            content["confusion"].astype(int) if "confusion" in content else None,
            content["ijk_to_ras"].astype(float),
            tuple(str(name) for name in content["source"]),
            (float(content["hu_window"][0]), float(content["hu_window"][1])),
        )
    except GeneratorExit:  # nobody reads on
        raise
    except Exception as error:  # numpy, tokenize, zipfile and zlib each have their own kinds of damage
        raise ValueError(f"{path} cannot be read as a preview: {error}.") from error
    _check(preview, path)
    return preview


def _member(archive: zipfile.ZipFile, name: str) -> Generator[None, None, np.ndarray]:
    """One array of the file, unpacked in pieces.

    Raises:
        ValueError: it holds objects, or less than it says.
    """
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        readHeader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = readHeader(stream)
        if dtype.hasobject or fortran:
            raise ValueError(f"{name} is not plain numbers")
        size = dtype.itemsize * math.prod(shape)
        if size > MOST:
            raise ValueError(f"{name} says that it is {size:,} bytes large")
        data = bytearray()
        while len(data) < size:
            piece = stream.read(min(PIECE, size - len(data)))
            if not piece:
                raise ValueError(f"{name} ends too early")
            data += piece
            yield
    return np.frombuffer(data, dtype).reshape(shape)


def _check(preview: Preview, path: Path) -> None:
    if preview.rotationTrue.ndim != 1 or preview.volumes["original"].ndim != 4:
        raise ValueError(f"{path} cannot be read as a preview: it shows nothing.")
    count, shape = preview.count, preview.volumes["original"].shape
    fits = len(shape) == 4 and all(volume.shape == shape for volume in preview.volumes.values())
    fits &= shape[0] == count == len(preview.source) and preview.ijkToRas.shape == (count, 4, 4)
    fits &= preview.rotationProbability.shape == (count, 4) and preview.similarity.shape == (2 * count, 2 * count)
    if not fits:
        raise ValueError(f"{path} cannot be read as a preview: its parts do not fit each other.")


def inPatientSpace(preview: Preview, number: int, kind: str, plane: str) -> tuple[np.ndarray, np.ndarray]:
    """One sub-volume turned back as the patient lies, and its index to RAS matrix.

    A view whose plane is not square was cut from a square block about the same centre, so that the matrix of the
    block is moved to the first voxel of what is left of it.
    """
    axes = PLANES[plane]
    seen = preview.volumes[kind][number].astype(np.float32)
    array = np.ascontiguousarray(np.rot90(seen, -int(preview.rotationTrue[number]), axes))
    block = list(array.shape)
    block[axes[0]] = block[axes[1]] = max(seen.shape[axes[0]], seen.shape[axes[1]])
    first = [(whole - have) // 2 for whole, have in zip(block, array.shape, strict=True)]
    matrix = preview.ijkToRas[number].copy()
    matrix[:3, 3] = (matrix @ [*first, 1.0])[:3]
    return array, matrix


class PreviewNodes:
    """Three volumes of the scene that show one sub-volume of one preview; the same nodes for every step.

    They are hidden from selectors, are not saved with the scene, and are gone after :meth:`remove`.
    """

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def node(self, kind: str) -> Any:
        """The volume of a kind, or None."""
        return slicer.mrmlScene.GetNodeByID(self._ids[kind]) if kind in self._ids else None

    def show(self, preview: Preview, number: int, plane: str) -> None:
        """Bring the three volumes up to date: voxels in Hounsfield units, place, and one common window."""
        low, high = preview.huWindow
        for kind in KINDS:
            array, matrix = inPatientSpace(preview, number, kind, plane)
            node = self.node(kind) or self._make(kind)
            wasModifying = node.StartModify()
            node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
            slicer.util.updateVolumeFromArray(node, (low + array * (high - low)).transpose(2, 1, 0))
            node.SetName(f"{kind} · step {preview.step:,} · {preview.source[number]}")
            node.EndModify(wasModifying)
            display = node.GetDisplayNode()
            display.SetAutoWindowLevel(False)
            display.SetWindowLevelMinMax(low, high)

    def remove(self) -> None:
        """Take the volumes out of the scene."""
        for kind in KINDS:
            node = self.node(kind)
            if node is not None:
                display = node.GetDisplayNode()
                slicer.mrmlScene.RemoveNode(node)
                if display is not None:
                    slicer.mrmlScene.RemoveNode(display)
        self._ids = {}

    def _make(self, kind: str) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", kind)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAttribute(MARK, kind)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetHideFromEditors(True)
        display.SetSaveWithScene(False)
        display.SetInterpolate(False)
        self._ids[kind] = node.GetID()
        return node


def midpoint(node: Any) -> tuple[float, float, float]:
    """The middle of a volume in RAS."""
    box = [0.0] * 6
    node.GetRASBounds(box)
    return (box[0] + box[1]) / 2, (box[2] + box[3]) / 2, (box[4] + box[5]) / 2


def jumpTo(node: Any) -> None:
    """Let all slice views cut through the middle of a volume."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *midpoint(node), slicer.vtkMRMLSliceNode.OffsetJumpSlice)

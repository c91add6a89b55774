"""Which kind of file is which: by its ending, and where that says little, by its first words."""

from __future__ import annotations

from pathlib import Path

#: Longest first: ``.seg.nrrd`` is no ``.nrrd``.
TYPES = {
    ".seg.nrrd": "SegmentationFile",
    ".seg.nhdr": "SegmentationFile",
    ".seg.vtm": "SegmentationFile",
    ".seq.nrrd": "SequenceFile",
    ".seq.mrb": "SequenceFile",
    ".term.json": "TerminologyFile",
    ".mrk.json": "MarkupsFile",
    ".fcsv": "MarkupsFile",
    ".nii.gz": "VolumeFile",
    **dict.fromkeys((".nrrd", ".nhdr", ".nii", ".mha", ".mhd", ".hdr", ".img", ".tif", ".png", ".jpg"), "VolumeFile"),
    **dict.fromkeys((".dcm", ".dicom"), "VolumeFile"),
    **dict.fromkeys((".vtp", ".vtk", ".stl", ".obj", ".ply", ".vtu"), "ModelFile"),
    **dict.fromkeys((".tfm", ".h5", ".mat"), "TransformFile"),
    **dict.fromkeys((".csv", ".tsv"), "TableFile"),
    **dict.fromkeys((".txt", ".xml", ".json"), "TextFile"),
    ".ctbl": "ColorTableFile",
    ".mrml": "SceneFile",
    ".mrb": "SceneFile",
}
WRITERS = {
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLTextNode": "TextFile",
    "vtkMRMLColorNode": "ColorTableFile",
    "vtkMRMLSequenceNode": "SequenceFile",
}


def stem(name: str) -> str:
    """Name of the node that is made from a file."""
    base = Path(name).name
    end = next((end for end in TYPES if base.lower().endswith(end)), Path(base).suffix)
    return base[: len(base) - len(end)] or base


def kind_of_nrrd(path: Path) -> str:
    with path.open("rb") as file:
        header = file.read(64 * 1024).partition(b"\n\n")[0]
    if b"Segment0_ID" in header or b"Segmentation_" in header:
        return "SegmentationFile"
    return "SequenceFile" if b"DataNodeClassName:=" in header else "VolumeFile"


def kind_of_text(path: Path) -> str:
    """A ``.txt`` may be a colour table, a ``.json`` a terminology or markups: their own words say so."""
    with path.open(errors="replace") as file:
        head = file.read(2000)
    if "SegmentationCategoryTypeContextName" in head:
        return "TerminologyFile"
    if "markups-schema" in head:
        return "MarkupsFile"
    return "ColorTableFile" if path.suffix.lower() == ".txt" and "color" in head.lower()[:200] else "TextFile"

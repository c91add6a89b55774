"""DICOM folders: which series are there, and which files make up one. ITK's GDCM reads their headers."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - the name that its manual uses

from SwinSSLLib.data.dicom_lengths import lengths_fit
from SwinSSLLib.data.formats import bytes_of
from SwinSSLLib.errors import InputError, one_line

SERIES_UID, STUDY_UID, INSTANCE_UID = "0020|000e", "0020|000d", "0008|0018"
DESCRIPTION, MODALITY, PATIENT = "0008|103e", "0008|0060", "0010|0020"
POSITION, ORIENTATION, PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"


@dataclass(frozen=True)
class Slice:
    """What is needed from one DICOM file to put it in its place."""

    path: Path
    instance: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    bytes: int


@dataclass(frozen=True)
class Series:
    """One series of a DICOM folder.

    Attributes:
        uid: Series Instance UID.
        description: Series Description, may be empty.
        modality: such as CT, MR, PT.
        slices: number of image files, or of frames of a multi-frame file.
        patient: a digest of the Patient ID, never the ID itself; empty when there is none.
        parts: its files, unsorted.
    """

    uid: str
    description: str
    modality: str
    slices: int
    patient: str = ""
    parts: tuple[Slice, ...] = field(default=(), repr=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the series."""
        return tuple(part.path for part in self.parts)

    def __str__(self) -> str:
        return f"{self.description or 'no description'} ({self.modality}, {self.slices} slices, {self.uid})"


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM preamble, or is taken for DICOM by GDCM without it."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    # very old files have no preamble; they start with a small group number
    return len(start) > 8 and start[0] in (2, 8) and start[1] == 0 and _tags(path) is not None


def list_series(folder: Path) -> list[Series]:
    """The image series in a folder and the folders below it, most slices first.

    Args:
        folder: a folder, or one DICOM file (then the series of the files beside it).

    Raises:
        InputError: there is no DICOM image.
    """
    root = folder if folder.is_dir() else folder.parent
    candidates = root.rglob("*") if folder.is_dir() else root.iterdir()
    grouped: dict[str, list[tuple[Slice, dict[str, str]]]] = defaultdict(list)
    for path in sorted(candidates):
        if path.is_file() and not path.name.startswith(".") and path.name.upper() != "DICOMDIR" and is_dicom(path):
            tags = _tags(path)
            if tags is not None:
                grouped[tags[1].get(SERIES_UID, "")].append(tags)
    if not grouped:
        raise InputError(f"{folder} holds no DICOM image and no volume file.", "Choose a CT file or a DICOM folder.")
    found = [_series(uid, members) for uid, members in grouped.items()]
    return sorted(found, key=lambda series: (series.modality != "CT", -series.slices, series.uid))


def first_image(folder: Path) -> Series | None:
    """A quick look: a series made of the first DICOM image found in a folder; None when there is none."""
    for path in sorted(folder.iterdir() if folder.is_dir() else [folder]):
        if path.is_file() and not path.name.startswith(".") and path.name.upper() != "DICOMDIR" and is_dicom(path):
            tags = _tags(path)
            if tags is not None:
                return _series(tags[1].get(SERIES_UID, ""), [tags])
    return None


def choose_series(path: Path, wanted: str | None) -> tuple[Series, tuple[str, ...]]:
    """Pick one series of a folder.

    Args:
        path: a DICOM folder, or one DICOM file, which means its series.
        wanted: series UID, or (a part of) the description; None takes the CT series with most slices.

    Returns:
        The series, and a warning that lists the others where there was a choice.

    Raises:
        InputError: no series, or none or several fit ``wanted``.
    """
    every = list_series(path)
    listing = "; ".join(str(series) for series in every)
    if wanted is None and path.is_file():
        mine = [series for series in every if path in series.files]
        return (mine or every)[0], ()
    if wanted is None:
        if len(every) == 1:
            return every[0], ()
        return every[0], (f"{path.name} holds {len(every)} series; read: {every[0]}. All of them: {listing}.",)
    text = wanted.strip().lower()
    for fits in (
        [s for s in every if s.uid == wanted.strip()],
        [s for s in every if s.description.lower() == text],
        [s for s in every if text and text in s.description.lower()],
    ):
        if len(fits) == 1:
            return fits[0], ()
        if fits:
            break
    raise InputError(
        f"{path} holds {'several series' if fits else 'no series'} that fit{'' if fits else 's'} {wanted!r}.",
        f"Name one of these by its UID: {listing}.",
    )


def _tags(path: Path) -> tuple[Slice, dict[str, str]] | None:
    """Place and tags of one DICOM image file; None when it is no image."""
    if not lengths_fit(path):
        return None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    tags = {
        key: _one_line(reader.GetMetaData(key))
        for key in (SERIES_UID, INSTANCE_UID, DESCRIPTION, MODALITY, PATIENT, POSITION, ORIENTATION)
        if reader.HasMetaDataKey(key)
    }
    size = tuple(n for n in reader.GetSize())
    return (
        Slice(
            path=path,
            instance=tags.get(INSTANCE_UID, ""),
            position=_floats(tags.get(POSITION, "")),
            orientation=_floats(tags.get(ORIENTATION, "")),
            size=size,
            spacing=reader.GetSpacing()[:2],
            bytes=bytes_of(reader),
        ),
        tags,
    )


def _series(uid: str, members: list[tuple[Slice, dict[str, str]]]) -> Series:
    parts = tuple(part for part, _ in members)
    tags = members[0][1]
    patient = tags.get(PATIENT, "")
    return Series(
        uid=uid,
        description=tags.get(DESCRIPTION, ""),
        modality=tags.get(MODALITY, ""),
        slices=sum(part.size[2] if len(part.size) > 2 else 1 for part in parts),
        patient=hashlib.sha256(patient.encode()).hexdigest()[:16] if patient else "",
        parts=parts,
    )


def _one_line(text: str) -> str:
    """A value as it can be shown and stored: decoded, without signs that no one can read, in one line."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # what most scanners write, whatever the file says
    return " ".join(one_line(text, len(text)).split())


def _floats(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split("\\")) if text else ()
    except ValueError:
        return ()

"""Cases: one CT with what belongs to it, and how folders of files become cases.

The rule by which two files belong to one patient: an entry's own ``"patient"`` decides; for DICOM it is
the Patient ID (as a digest); otherwise it is the file name without ending and without a trailing
time point or series mark (``_t2``, ``-visit3``, ``_fu1``, ``_day10``, ``_20190312``, ``_0000``). Where
every file has a folder of its own and they share a name (``A/ct.nii.gz``, ``B/ct.nii.gz``), the folder is
the patient.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from SwinSSLLib.data.dicom import first_image
from SwinSSLLib.data.volumes import is_volume_file, volume_name
from SwinSSLLib.errors import InputError

_TIME_POINT = re.compile(
    r"[ _.-]+(?:(?:t|tp|time|timepoint|visit|v|scan|series|session|ses|fu|followup|day|week|month|year|phase)"
    r"[ _.-]?\d{1,4}|baseline|\d{4}[-_]?\d{2}[-_]?\d{2}|0000)$",
    re.IGNORECASE,
)
_LABEL_FOLDERS = {"label", "labels", "labelstr", "labelsts", "labelsval", "mask", "masks"}
_LABEL_FILE = re.compile(r"(?:^|[ _.-])(?:label|labels|mask|seg|segmentation)$", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One CT and what belongs to it.

    Attributes:
        image: volume file or DICOM folder.
        labels: its label map, or None.
        patient: cases of one patient are never split between training and validation.
        name: for tables and messages.
    """

    image: Path
    labels: Path | None
    patient: str
    name: str


@dataclass(frozen=True)
class Datalist:
    """Cases by their use.

    Attributes:
        training: with labels where the list has them.
        validation: never trained on.
        unlabelled: for pre-training only.
        warnings: sentences for the user.
    """

    training: tuple[Case, ...] = ()
    validation: tuple[Case, ...] = ()
    unlabelled: tuple[Case, ...] = ()
    warnings: tuple[str, ...] = ()


def patient_of(path: Path) -> str:
    """The patient that a file name stands for: the name without ending, time point and series marks."""
    stem = volume_name(path)
    while (shorter := _TIME_POINT.sub("", stem)) and shorter != stem:
        stem = shorter
    return stem


def make_case(image: Path, labels: Path | None = None, patient: str | None = None) -> Case:
    """A case with the patient that the rule above gives."""
    if patient is None and image.is_dir():
        series = first_image(image)
        patient = f"dicom-{series.patient}" if series is not None and series.patient else None
    return Case(image, labels, patient_of(image) if patient is None else patient, volume_name(image))


def settle_names(cases: Sequence[Case]) -> list[Case]:
    """Make names unique and correct the patients that the names alone got wrong.

    Files of one name, each alone in its folder, belong to the patients that the folders are named
    after. When every file looks like a time point of one patient, the marks are no time points.
    """
    names = Counter(case.name for case in cases)
    volumes = Counter(case.image.parent for case in cases)
    crowded = {case.name for case in cases if volumes[case.image.parent] > 1}
    settled = []
    for case in cases:
        if names[case.name] > 1:
            folder = case.image.absolute().parent
            if case.name in crowded:
                case = replace(case, name=f"{folder.name}-{case.name}")
            else:
                by_name = case.patient == patient_of(case.image)
                case = replace(case, name=folder.name, patient=patient_of(folder) if by_name else case.patient)
        settled.append(case)
    if len(settled) > 1 and len({case.patient for case in settled}) == 1:
        settled = [
            replace(case, patient=case.name) if case.patient == patient_of(case.image) else case for case in settled
        ]
    return _numbered(settled)


def _numbered(cases: list[Case]) -> list[Case]:
    """The same with a number at names that come again: one file that is listed twice, or equal folders."""
    taken: set[str] = set()
    found = []
    for case in cases:
        number, name = 1, case.name
        while name in taken:
            number += 1
            name = f"{case.name}-{number}"
        taken.add(name)
        found.append(case if name == case.name else replace(case, name=name))
    return found


def folder_cases(folder: Path) -> list[Case]:
    """The CTs in a folder and the folders below it; label maps beside them are passed over.

    Raises:
        InputError: there is none.
    """
    inside = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _hidden(path, folder)]
    files = [path for path in inside if is_volume_file(path) and not _is_label_file(path, folder)]
    if files:
        return [make_case(path) for path in files]
    holders = sorted({path.parent for path in inside})
    if not holders:
        raise InputError(f"{folder} is empty.", "Choose a folder with CT volumes.")
    cases = []
    for holder in holders:
        first = first_image(holder)
        # a folder with one single-frame file is a scout or a dose report
        if first is not None and (first.slices > 1 or sum(path.parent == holder for path in inside) > 1):
            cases.append(make_case(holder))
    if not cases:
        raise InputError(f"{folder} holds no DICOM image and no volume file.", "Choose a folder with CT volumes.")
    return cases


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _is_label_file(path: Path, root: Path) -> bool:
    folders = {part.lower() for part in path.relative_to(root).parts[:-1]}
    return bool(folders & _LABEL_FOLDERS) or _LABEL_FILE.search(volume_name(path)) is not None

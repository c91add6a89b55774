"""Datalists: which volumes train, which validate, which come without labels; and which come twice.

Three sources are understood: a folder (searched with the folders below it), a list of files and
folders, and a JSON file in the style of the Medical Segmentation Decathlon. ``cases.py`` states by
which rule two files belong to one patient.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from SwinSSLLib.data.cases import Case, Datalist, folder_cases, make_case, patient_of, settle_names
from SwinSSLLib.data.decathlon import read_json
from SwinSSLLib.data.fingerprints import content_of
from SwinSSLLib.data.volumes import read_volume
from SwinSSLLib.errors import InputError

__all__ = ["Case", "Datalist", "Duplicate", "audit", "check_there", "patient_of", "read_datalist", "split_by_patient"]

#: Share of the patients that validates when a source does not say which.
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Duplicate:
    """One volume that is listed more than once.

    Attributes:
        content: digest of its voxels, see ``content_of``.
        cases: the cases that hold it, two or more.
        lists: for each case, "training", "validation" or "unlabelled".
    """

    content: str
    cases: tuple[Case, ...]
    lists: tuple[str, ...]

    @property
    def leak(self) -> bool:
        """Whether a volume validates that is also trained or pre-trained on."""
        return "validation" in self.lists and len(set(self.lists)) > 1

    def __str__(self) -> str:
        where = ", ".join(f"{case.image} ({part})" for case, part in zip(self.cases, self.lists, strict=True))
        what = "Validation is not independent: one" if self.leak else "One"
        return f"{what} volume is listed {len(self.cases)} times: {where}."


def read_datalist(
    source: Path | Sequence[Path],
    *,
    seed: int = 0,
    validation_share: float = VALIDATION_SHARE,
    allow_outside: bool = False,
) -> Datalist:
    """Read a datalist.

    Args:
        source: a folder, a volume file, a JSON file, or several files and folders. A folder with a
            ``dataset.json`` is that list.
        seed: for the split, where the source does not say what validates.
        validation_share: share of the patients that validates then; 0 for none.
        allow_outside: take JSON entries whose path leaves the folder of the JSON file.

    Returns:
        Folders and lists of files give cases without labels, in ``training`` and ``validation``.

    Raises:
        InputError: all problems of the list at once.
    """
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    if not paths:
        raise InputError("The list of volumes is empty.", "Name a folder, files or a datalist.")
    check_there(paths)
    single = paths[0] / "dataset.json" if (paths[0] / "dataset.json").is_file() else paths[0]
    if len(paths) == 1 and single.suffix.lower() == ".json":
        datalist, complete = read_json(single, allow_outside)
        if complete:
            return datalist
    else:
        cases: list[Case] = []
        for path in paths:
            cases += folder_cases(path) if path.is_dir() else [make_case(path)]
        settled = tuple(settle_names(list({case.image.absolute(): case for case in cases}.values())))
        datalist = Datalist(settled, warnings=_one_patient(settled))
    training, validation = split_by_patient(datalist.training, validation_share, seed)
    return replace(datalist, training=training, validation=validation)


def _one_patient(cases: Sequence[Case]) -> tuple[str, ...]:
    """Say which CTs were taken for one patient's: names decide that, and nobody has checked it."""
    patients = Counter(case.patient for case in cases)
    if len(patients) == len(cases):
        return ()
    most, count = patients.most_common(1)[0]
    some = " and ".join(case.name for case in [case for case in cases if case.patient == most][:2])
    return (
        f"{len(cases)} CTs are of {len(patients)} patients, by file names and DICOM headers: {some}, for example, are "
        f"of one ({count} CTs) and never split between training and validation. If that is wrong, name each "
        '"patient" in a datalist.',
    )


def check_there(paths: Sequence[Path]) -> None:
    """Whether all paths are there.

    Raises:
        InputError: some are not; names them.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        some = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        hint = "Check the path." if len(missing) == 1 else "Check the paths; put paths with blanks in quotes."
        raise InputError(f"{some} {'does' if len(missing) == 1 else 'do'} not exist.", hint)


def split_by_patient(cases: Sequence[Case], share: float, seed: int) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Split cases into training and validation; a patient's cases stay together.

    Args:
        cases: in any order; the result depends on the set of patients and the seed only.
        share: share of the patients that validates, 0..1. When it is above 0 and there are two
            patients or more, at least one validates and at least one trains.
        seed: equal seeds, equal splits.

    Raises:
        InputError: ``share`` is not in 0..1.
    """
    if not 0 <= share < 1:
        raise InputError(f"A validation share of {share:g} is impossible.", "Choose one from 0 to below 1.")
    patients = sorted({case.patient for case in cases})
    count = 0
    if share > 0 and len(patients) > 1:
        count = min(max(1, round(share * len(patients))), len(patients) - 1)
    order = np.random.default_rng([seed, 7]).permutation(len(patients))
    chosen = {patients[n] for n in order[:count]}
    training = tuple(case for case in cases if case.patient not in chosen)
    return training, tuple(case for case in cases if case.patient in chosen)


def audit(datalist: Datalist, contents: Mapping[Path, str] | None = None) -> list[Duplicate]:
    """Find volumes that are listed twice, by their voxels and not by their names.

    A NIfTI and an NRRD of one scan, or a copy with flipped axes, count as the same volume.

    Args:
        datalist: what to look through.
        contents: digests already known, by absolute path of the image (entries of the store have them);
            the other volumes are read.

    Returns:
        Leaks first.

    Raises:
        InputError: a volume cannot be read.
    """
    known = contents or {}
    places: dict[str, list[tuple[Case, str]]] = defaultdict(list)
    for part in ("training", "validation", "unlabelled"):
        for case in getattr(datalist, part):
            digest = known.get(case.image.absolute()) or content_of(read_volume(case.image))
            places[digest].append((case, part))
    found = [
        Duplicate(digest, tuple(case for case, _ in members), tuple(part for _, part in members))
        for digest, members in places.items()
        if len(members) > 1
    ]
    return sorted(found, key=lambda duplicate: not duplicate.leak)

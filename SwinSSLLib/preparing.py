"""From what a user names (folders, files, a datalist) to entries of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from SwinSSLLib.control import Control
from SwinSSLLib.data.datalists import Case, Datalist, audit, read_datalist, split_by_patient
from SwinSSLLib.data.store import Entry, Recipe, Store
from SwinSSLLib.data.volumes import volume_name
from SwinSSLLib.errors import InputError, SwinSSLError
from SwinSSLLib.peers import Peers
from SwinSSLLib.places import cache_folder
from SwinSSLLib.reporting import Reporter

#: How many unusable files an error message lists before it only counts them.
_LISTED = 10


class StoppedWhilePreparing(SwinSSLError):
    """A stop was asked for before the first step; what was read is kept in the cache."""

    exit_code = 0


@dataclass(frozen=True)
class Preparation:
    """How the CTs of a job are read.

    Args:
        data: a folder, files, or one datalist.
        cache: folder of the store; None for the user's own.
        skip_bad: leave unusable files out with a warning instead of refusing the job.
        allow_outside: follow a datalist out of its folder.
        labelled: learn from so many of the labelled training cases only; None for all. Which ones depends on the seed;
            with one seed, fewer are always some of more.
    """

    data: tuple[Path, ...]
    cache: Path | None = None
    skip_bad: bool = False
    allow_outside: bool = False
    labelled: int | None = None

    def datalist(self, seed: int, validation_share: float) -> Datalist:
        """Read and split what was named.

        Raises:
            InputError: nothing usable is there.
        """
        source = self.data[0] if len(self.data) == 1 else self.data
        listed = read_datalist(source, seed=seed, validation_share=validation_share, allow_outside=self.allow_outside)
        return listed if self.labelled is None else replace(listed, training=_some(listed, self.labelled, seed))

    def store(self) -> Store:
        """The store to use."""
        return Store(self.cache or cache_folder())


def _some(listed: Datalist, count: int, seed: int) -> tuple[Case, ...]:
    """Labelled training cases of ``count`` patients, in the order that the seed gives.

    Raises:
        InputError: there are not so many.
    """
    patients = sorted({case.patient for case in listed.training if case.labels})
    if not 1 <= count <= len(patients):
        raise InputError(
            f"{count} labelled cases to learn from were asked for, but there are {len(patients)}.",
            "Ask for fewer, or name more in the datalist.",
        )
    chosen = {patients[number] for number in np.random.default_rng([seed, 11]).permutation(len(patients))[:count]}
    return tuple(case for case in listed.training if case.labels and case.patient in chosen)


def unlabelled_parts(datalist: Datalist, share: float, seed: int) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Training and validation cases of pre-training: labels are not used, so training cases count in.

    A datalist's own validation part is kept aside; without one, ``share`` of the patients is.
    """
    training = (*datalist.unlabelled, *datalist.training)
    if datalist.validation and training:
        return training, datalist.validation
    return split_by_patient((*training, *datalist.validation), share, seed)


def read_cases(
    cases: Sequence[Case],
    preparation: Preparation,
    spacing: tuple[float, float, float] | None,
    peers: Peers,
    reporter: Reporter,
    control: Control,
    *,
    labels: bool,
) -> dict[Case, Entry]:
    """Bring cases into the store, each process of a run its share, and return the entries of all.

    Raises:
        InputError: unusable files, all of them listed (unless they are to be skipped).
        StoppedWhilePreparing: on request.
    """
    store, recipe = preparation.store(), Recipe(spacing)
    mine = [case for number, case in enumerate(cases) if number % peers.world == peers.rank]
    problems: dict[Case, InputError] = {}
    known: dict[Case, Entry] = {}
    stopping = False
    for number, case in enumerate(mine):
        stopping = control.stop
        if stopping:
            peers.tell_stop()
            break
        reporter.stage("reading CTs", number, len(mine))
        try:
            known[case] = store.add(case.image, recipe, labels=case.labels if labels else None)
        except InputError as error:
            problems[case] = error
    else:
        reporter.stage("reading CTs", len(mine), len(mine))
    # Shares take unequally long: nobody is given up for it, and whoever is asked to stop lets the others know.
    if peers.barrier("reading CTs", stopping):
        raise StoppedWhilePreparing("Stopped while the CTs were being read.", "What was read is kept in the cache.")
    if problems and not preparation.skip_bad:
        raise _unusable(list(problems.values()))
    entries: dict[Case, Entry] = {}
    for case in cases:
        try:
            if case in problems:
                raise problems[case]
            # Those of the other processes are there by now.
            entries[case] = known.get(case) or store.add(case.image, recipe, labels=case.labels if labels else None)
        except InputError as error:
            if not preparation.skip_bad:
                raise
            reporter.emit("warning", message=f"Left out: {error.message}")
    for entry in entries.values():
        for sentence in entry.warnings:
            reporter.emit("warning", message=note_on(entry.source, sentence))
    return entries


def note_on(source: Path, sentence: str) -> str:
    """A sentence about a file, with its path; a sentence that begins with the file's name does not say it twice."""
    for name in (source.name, volume_name(source)):
        if sentence.startswith(f"{name} "):
            return f"{source}{sentence.removeprefix(name)}"
    return f"{source}: {sentence}"


def warn_of_duplicates(datalist: Datalist, entries: dict[Case, Entry], reporter: Reporter) -> None:
    """Tell of CTs that are listed twice under different names, by their voxels."""
    contents = {case.image.absolute(): entry.content for case, entry in entries.items()}
    training, validation, unlabelled = (
        tuple(case for case in part if case in entries)
        for part in (datalist.training, datalist.validation, datalist.unlabelled)
    )
    for duplicate in audit(Datalist(training, validation, unlabelled), contents):
        reporter.emit("warning", message=str(duplicate), leak=duplicate.leak)


def inputs_record(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """What job.json says about the CTs."""
    return [
        {
            "name": entry.name,
            "path": str(entry.source),
            "content": entry.content,
            "shape": list(entry.shape),
            "spacing": list(entry.spacing),
            "labels": entry.labels,
        }
        for entry in entries
    ]


def _unusable(problems: list[InputError]) -> InputError:
    if len(problems) == 1:
        return problems[0]
    listing = "\n".join(f"  - {problem.message}" for problem in problems[:_LISTED])
    more = f"\n  and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    return InputError(
        f"{len(problems)} files cannot be used:\n{listing}{more}",
        "Correct or remove them, or leave them out with --skip-bad; what was read is kept.",
    )

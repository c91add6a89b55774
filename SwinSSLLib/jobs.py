"""Whole jobs: a run folder is made, the CTs are read, the network learns, the model is written.

The command line, the panel's worker and the comparison all start jobs here. Whatever goes wrong ends as one
sentence in the events, a state in status.json, a traceback in log.txt and a :class:`SwinSSLError` for the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from SwinSSLLib import atomic
from SwinSSLLib.control import Control
from SwinSSLLib.data.datalists import Case, Datalist
from SwinSSLLib.data.store import Entry
from SwinSSLLib.devices import make_fabric
from SwinSSLLib.discretion import alias
from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.library import find_model
from SwinSSLLib.finetune.trainer import LabelledSources, finetune
from SwinSSLLib.finetune.trainer import rehearsal as finetuning
from SwinSSLLib.fitting import Progress
from SwinSSLLib.models import Model, weights_sha256
from SwinSSLLib.nets.weights import Init
from SwinSSLLib.preparing import inputs_record, read_cases, unlabelled_parts, warn_of_duplicates
from SwinSSLLib.pretrain.trainer import Sources, pretrain
from SwinSSLLib.pretrain.trainer import rehearsal as pretraining
from SwinSSLLib.reporting import Reporter, Sink
from SwinSSLLib.running import Job, running
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import FinetuneSettings, PretrainSettings
from SwinSSLLib.training_memory import Rehearsal
from SwinSSLLib.validation import to_dict

__all__ = ["Job", "finetune_job", "pretrain_job", "rehearsal_of"]

#: A model's card names each CT up to so many; beyond, it holds their number and one digest, and job.json names them.
_LISTED_IN_CARD = 1000


def pretrain_job(
    job: Job, settings: PretrainSettings, sinks: Sequence[Sink] = (), control: Control | None = None
) -> Progress:
    """Pre-train; the result is in ``job.out``.

    Raises:
        SwinSSLError: with the exit code and the sentence for the user.
    """
    model = find_model(job.init) if job.init else None
    listed = job.preparation.datalist(settings.training.seed, settings.validation_share)
    training, validation = unlabelled_parts(listed, settings.validation_share, settings.training.seed)
    control = control or Control()
    cases = (*training, *validation)
    with running("pretrain", job, to_dict(settings), sinks, control, cases) as (run, reporter, peers):
        fabric = make_fabric(settings.training, peers)
        entries = read_cases(cases, job.preparation, settings.input.spacing, peers, reporter, control, labels=False)
        entries = _called(entries, cases, reporter)
        _tell_warnings(listed, reporter)
        warn_of_duplicates(Datalist((), validation, training), entries, reporter)
        sources = Sources(
            [entries[case] for case in training if case in entries],
            [entries[case] for case in validation if case in entries],
        )
        if not sources.validation:
            reporter.emit("warning", message="There is only one patient: validation uses its CT too, at other places.")
            sources = replace(sources, validation=sources.training)
        _record(run, reporter, inputs=inputs_record(list(entries.values())))
        return pretrain(
            fabric,
            sources,
            settings,
            run,
            reporter,
            control,
            init=Init(str(job.init), model.state, job.force) if model else None,
            resume=fabric.broadcast(job.resume),
            provenance=_provenance(run, model),
        )


def finetune_job(
    job: Job, settings: FinetuneSettings, sinks: Sequence[Sink] = (), control: Control | None = None
) -> Progress:
    """Fine-tune; the result is in ``job.out``.

    Raises:
        SwinSSLError: with the exit code and the sentence for the user.
    """
    model = find_model(job.init) if job.init else None
    listed = job.preparation.datalist(settings.training.seed, settings.validation_share)
    if not any(case.labels for case in listed.training):
        raise InputError(
            f"{', '.join(map(str, job.preparation.data))} names no CT with labels.",
            'Give a datalist, a JSON file with "training": [{"image": "...", "label": "..."}].',
        )
    control = control or Control()
    cases = (*listed.training, *listed.validation)
    with running("finetune", job, to_dict(settings), sinks, control, cases) as (run, reporter, peers):
        fabric = make_fabric(settings.training, peers)
        entries = read_cases(cases, job.preparation, settings.input.spacing, peers, reporter, control, labels=True)
        entries = _called(entries, cases, reporter)
        _tell_warnings(listed, reporter)
        warn_of_duplicates(replace(listed, unlabelled=()), entries, reporter)
        if not listed.validation:
            reporter.emit("warning", message="No labelled CT is kept aside: the last model is kept, not the best one.")
        _record(run, reporter, inputs=inputs_record(list(entries.values())))
        sources = LabelledSources(
            [entries[case] for case in listed.training if case in entries],
            [entries[case] for case in listed.validation if case in entries],
        )
        return finetune(
            fabric,
            sources,
            settings,
            run,
            reporter,
            control,
            init=Init(str(job.init), model.state, job.force) if model else None,
            resume=fabric.broadcast(job.resume),
            provenance=_provenance(run, model),
        )


def _called(entries: dict[Case, Entry], cases: Sequence[Case], reporter: Reporter) -> dict[Case, Entry]:
    """The entries under the names that may stand in the run folder."""
    if reporter.discretion is None or not reporter.discretion.on:
        return entries
    numbers = {case: number for number, case in enumerate(cases, start=1)}
    return {case: replace(entry, name=alias(numbers[case])) for case, entry in entries.items()}


def rehearsal_of(settings: PretrainSettings | FinetuneSettings) -> Rehearsal:
    """What a step of a job is like, to count its memory."""
    return pretraining(settings) if isinstance(settings, PretrainSettings) else finetuning(settings)


def _record(run: RunFolder, reporter: Reporter, **more: Any) -> None:
    """Add to job.json what is only known once the CTs are read."""
    if reporter.run:
        atomic.write_json(run.job_file, {**run.job(), **more})


def _tell_warnings(datalist: Datalist, reporter: Reporter) -> None:
    for sentence in datalist.warnings:
        reporter.emit("warning", message=sentence)


def _provenance(run: RunFolder, start: Model | None = None) -> dict[str, Any]:
    """Where a model comes from, for its card; ``start`` is what its encoder started from."""
    job = run.job()
    own = ("name", "content") if job.get("names") else ("content",)
    data: Any = [{key: entry[key] for key in own} for entry in job["inputs"]]
    if len(data) > _LISTED_IN_CARD:
        together = hashlib.sha256("\n".join(sorted(entry["content"] for entry in data)).encode()).hexdigest()
        data = {"volumes": len(data), "content": together}
    return {
        "created": job["created"],
        "data": data,
        "init": Path(job.get("init", "scratch")).name,
        **({"init_sha256": weights_sha256(start.card)} if start else {}),
        "versions": job["versions"],
    }

"""Whole jobs: a run folder is made, the CTs are read, the network learns, the model is written.

The command line, the panel's worker and the comparison all start jobs here. Whatever goes wrong ends as one
sentence in the events, a state in status.json, a traceback in log.txt and a :class:`SwinSSLError` for the caller.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from SwinSSLLib import atomic
from SwinSSLLib.control import Control
from SwinSSLLib.data.datalists import Datalist
from SwinSSLLib.devices import make_fabric
from SwinSSLLib.errors import InputError, MemoryShortage, SwinSSLError, is_shortage
from SwinSSLLib.exchange.library import find_model
from SwinSSLLib.finetune.trainer import LabelledSources, finetune
from SwinSSLLib.finetune.trainer import rehearsal as finetuning
from SwinSSLLib.fitting import Progress
from SwinSSLLib.nets.weights import Init
from SwinSSLLib.preparing import (
    Preparation,
    StoppedWhilePreparing,
    inputs_record,
    read_cases,
    unlabelled_parts,
    warn_of_duplicates,
)
from SwinSSLLib.pretrain.trainer import Sources, pretrain
from SwinSSLLib.pretrain.trainer import rehearsal as pretraining
from SwinSSLLib.ranks import process_rank
from SwinSSLLib.reporting import Reporter, Sink
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import FinetuneSettings, PretrainSettings
from SwinSSLLib.training_memory import Rehearsal
from SwinSSLLib.validation import to_dict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What every training job is asked with.

    Attributes:
        out: run folder.
        preparation: which CTs and how to read them.
        init: model, run, file of weights or name in the library to start from; None for scratch.
        force: accept an encoder that does not arrive whole.
        resume: continue the run that is in ``out``.
    """

    out: Path
    preparation: Preparation
    init: Path | None = None
    force: bool = False
    resume: bool = False


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
    with _running("pretrain", job, to_dict(settings), sinks) as (run, reporter):
        fabric = make_fabric(settings.training)
        entries = read_cases(
            (*training, *validation), job.preparation, settings.input.spacing, fabric, reporter, control, labels=False
        )
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
            resume=job.resume,
            provenance=_provenance(run),
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
    with _running("finetune", job, to_dict(settings), sinks) as (run, reporter):
        fabric = make_fabric(settings.training)
        cases = (*listed.training, *listed.validation)
        entries = read_cases(cases, job.preparation, settings.input.spacing, fabric, reporter, control, labels=True)
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
            resume=job.resume,
            provenance=_provenance(run),
        )


@contextmanager
def _running(
    kind: str, job: Job, settings: dict[str, Any], sinks: Sequence[Sink]
) -> Iterator[tuple[RunFolder, Reporter]]:
    """Make or open the run folder, keep its log, and turn every ending into a state and an event."""
    run, first = RunFolder(job.out), process_rank() == 0
    with ExitStack() as stack:
        if job.resume:
            run.check_same(kind, settings)
        if first:
            stack.enter_context(run.writing(new=not job.resume))
        if first and not job.resume:
            data = [str(path.absolute()) for path in job.preparation.data]
            init = str(job.init.absolute() if job.init.exists() else job.init) if job.init else "scratch"
            run.create(kind, settings, [], data=data, init=init)
        stack.enter_context(_logging_to(run, first))
        reporter = stack.enter_context(Reporter(run if first else None, tuple(sinks) if first else ()))
        reporter.state("starting")
        try:
            yield run, reporter
        except StoppedWhilePreparing as stopped:
            reporter.state("stopped")
            reporter.emit("stopped", message=stopped.message)
            stopped.told = True
            raise
        except BaseException as error:
            problem = as_user_error(error, run)
            log.exception("The %s job ended with an error.", kind)
            reporter.emit("error", message=problem.message, hint=problem.hint, exit_code=problem.exit_code)
            reporter.state("failed", error=problem.message)
            problem.told = True
            raise problem from error
        finished = run.status().get("step") == run.status().get("total") if first else True
        reporter.state("finished" if finished else "stopped")
        reporter.emit("finished" if finished else "stopped", model="model", report="report.html")


def rehearsal_of(settings: PretrainSettings | FinetuneSettings) -> Rehearsal:
    """What a step of a job is like, to count its memory."""
    return pretraining(settings) if isinstance(settings, PretrainSettings) else finetuning(settings)


def as_user_error(error: BaseException, run: RunFolder | None = None) -> SwinSSLError:
    """The sentence for any error; what is not foreseen points to the log."""
    if isinstance(error, SwinSSLError):
        return error
    if is_shortage(error):
        return MemoryShortage(
            "The memory is too small for this job.",
            "Use a smaller batch (--batch), a smaller input.roi, or a smaller network.feature_size; "
            "then resume or start again.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
        return atomic.cannot_write(Path(error.filename or (run.path if run else ".")), error)
    if isinstance(error, KeyboardInterrupt):
        return SwinSSLError("Interrupted; the last checkpoint is kept.", "Continue with --resume.")
    where = f"The details are in {run.log_file}." if run else "Run it again with --debug to see the details."
    return SwinSSLError(
        f"Something went wrong inside: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        where,
    )


@contextmanager
def _logging_to(run: RunFolder, first: bool) -> Iterator[None]:
    """Everything that is logged goes to log.txt; warnings of libraries too."""
    file = run.log_file if first else run.log_file.with_name(f"log-rank{process_rank()}.txt")
    # Opened at the first line: the other processes may be here before the first one has made the folder.
    handler = logging.FileHandler(file, encoding="utf-8", delay=not first)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def _record(run: RunFolder, reporter: Reporter, **more: Any) -> None:
    """Add to job.json what is only known once the CTs are read."""
    if reporter.run:
        atomic.write_json(run.job_file, {**run.job(), **more})


def _tell_warnings(datalist: Datalist, reporter: Reporter) -> None:
    for sentence in datalist.warnings:
        reporter.emit("warning", message=sentence)


def _provenance(run: RunFolder) -> dict[str, Any]:
    """Where a model comes from, for its card."""
    job = run.job()
    return {
        "created": job["created"],
        "data": [{"name": Path(entry["path"]).name, "content": entry["content"]} for entry in job["inputs"]],
        "init": job.get("init", "scratch"),
        "versions": job["versions"],
    }

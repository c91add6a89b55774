"""What surrounds a job: its run folder and lock, its log, the processes beside it, and how every ending is told."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from SwinSSLLib import atomic
from SwinSSLLib.control import Control
from SwinSSLLib.data.datalists import Case
from SwinSSLLib.discretion import Discretion, alias
from SwinSSLLib.errors import InputError, MemoryShortage, SwinSSLError, is_shortage
from SwinSSLLib.peers import Peers
from SwinSSLLib.preparing import Preparation, StoppedWhilePreparing
from SwinSSLLib.ranks import launch, process_rank
from SwinSSLLib.reporting import Reporter, Sink
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.validation import merged

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
        names: the names of the files may stand in events, log, report and model card; otherwise they are numbered.
    """

    out: Path
    preparation: Preparation
    init: Path | None = None
    force: bool = False
    resume: bool = False
    names: bool = False


@contextmanager
def running(
    kind: str, job: Job, settings: dict[str, Any], sinks: Sequence[Sink], control: Control, cases: Sequence[Case]
) -> Iterator[tuple[RunFolder, Reporter, Peers]]:
    """Make or open the run folder, keep its log, and turn every ending into a state and an event."""
    run, first = RunFolder(job.out), process_rank() == 0
    with ExitStack() as stack:
        if job.resume:
            run.check_same(kind, _with_devices_of(run, settings))
        if first:
            stack.enter_context(run.writing(new=not job.resume))
        if first and not job.resume:
            data = [str(path.absolute()) for path in job.preparation.data]
            init = str(job.init.absolute() if job.init.exists() else job.init) if job.init else "scratch"
            inputs = [{"name": alias(number), "path": str(case.image)} for number, case in enumerate(cases, start=1)]
            run.create(kind, settings, inputs, data=data, init=init, launch=launch(), names=job.names)
        discretion = Discretion(run.path, on=not (run.job().get("names") if job.resume else job.names))
        discretion.learn((case.image, case.labels) for case in cases)
        stack.enter_context(_logging_to(run, first, discretion))
        heard = tuple(sinks) if first else ()
        reporter = stack.enter_context(Reporter(run if first else None, heard, discretion))
        peers = Peers(partial(_last_words, reporter), control.request_stop, partial(_tell_warning, reporter))
        reporter.state("starting")
        try:
            yield run, reporter, peers
        except StoppedWhilePreparing as stopped:
            peers.leave()
            reporter.state("stopped")
            reporter.emit("stopped", message=stopped.message)
            stopped.told, stopped.quiet = True, not first
            raise
        except BaseException as error:
            problem = peers.farewell(error, partial(as_user_error, error, run))
            log.exception("The %s job ended with an error.", kind)
            _tell_failure(reporter, problem)
            raise problem from error
        peers.leave()
        finished = run.status().get("step") == run.status().get("total") if first else True
        reporter.state("finished" if finished else "stopped")
        reporter.emit("finished" if finished else "stopped", model="model", report="report.html")


def _with_devices_of(run: RunFolder, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings to compare with those of a run: how many processes go on with it, and who starts them, is free."""
    training = run.job().get("settings", {}).get("training", {})
    return merged(settings, {"training": {"devices": training["devices"]}}) if "devices" in training else settings


def _tell_failure(reporter: Reporter, problem: SwinSSLError) -> None:
    reporter.emit("error", message=problem.message, hint=problem.hint, exit_code=problem.exit_code)
    reporter.state("failed", error=problem.message)
    problem.told = reporter.run is not None


def _tell_warning(reporter: Reporter, sentence: str) -> None:
    reporter.emit("warning", message=sentence)


def _last_words(reporter: Reporter, problem: SwinSSLError) -> NoReturn:
    """End the process from another thread: the main one hangs and will never come to it."""
    with contextlib.suppress(InputError):  # a full disk; there is nothing left to do about it
        if problem.exit_code:
            _tell_failure(reporter, problem)
        else:  # a wish, and no failure
            reporter.state("stopped")
            reporter.emit("stopped", message=problem.message)
    if not problem.quiet:
        shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the bar hid the cursor
        sys.stderr.write(f"{shown}{problem.message}\n{problem.hint}\n")
        sys.stderr.flush()
    os._exit(problem.exit_code)


def as_user_error(error: BaseException, run: RunFolder | None = None) -> SwinSSLError:
    """The sentence for any error; what is not foreseen points to the log."""
    if isinstance(error, SwinSSLError):
        return error
    if is_shortage(error):
        return MemoryShortage(
            f"The memory is too small for this job: {_memory_now()}.",
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


def _memory_now() -> str:
    """Numbers for whoever ran out of memory outside of a training step, whose needs are known beforehand."""
    try:
        import psutil
        import torch

        from SwinSSLLib.training_memory import free_memory

        used, free = psutil.Process().memory_info().rss, free_memory(torch.device("cpu"))
    except (MemoryError, ImportError, OSError):  # not even room for that
        return "nothing more was to be had"
    words = f"the process holds {used / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free"
    if torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        words += f"; on the GPU {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free"
    return words


class _LogOfAnother(logging.FileHandler):
    """The log of a process that is not the first one, and may be here before that has made the folder."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(run.log_file.with_name(f"log-rank{process_rank()}.txt"), encoding="utf-8", delay=True)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if RunFolder.is_run(self._run.path):
            super().emit(record)


class _Discreet(logging.Formatter):
    """Lines without names and places of the user's files."""

    def __init__(self, discretion: Discretion) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._discretion = discretion

    def format(self, record: logging.LogRecord) -> str:
        return self._discretion.text(super().format(record))


@contextmanager
def _logging_to(run: RunFolder, first: bool, discretion: Discretion) -> Iterator[None]:
    """Everything that is logged goes to log.txt; warnings of libraries too."""
    handler = logging.FileHandler(run.log_file, encoding="utf-8") if first else _LogOfAnother(run)
    handler.setFormatter(_Discreet(discretion))
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

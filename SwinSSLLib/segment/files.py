"""Segmenting files: one CT or a whole folder, with label files and tables as the result."""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from SwinSSLLib import __version__, leftovers
from SwinSSLLib.atomic import cannot_write
from SwinSSLLib.data.volumes import is_volume_file, read_volume, volume_name
from SwinSSLLib.errors import InputError, SwinSSLError
from SwinSSLLib.models import Model, load_model
from SwinSSLLib.segment.pipeline import Options, Result, load_network, organs_of, segment_volume
from SwinSSLLib.segment.results import SUFFIXES, is_complete, label_suffix, tables_of, write_labels, write_tables
from SwinSSLLib.segment.scoring import Network
from SwinSSLLib.segment.windows import Progress, Stop, Stopped

log = logging.getLogger(__name__)

#: Called with the number of the file (from 0), the number of files, the name, windows done and windows in all.
FileProgress = Callable[[int, int, str, int, int], None]


@dataclass(frozen=True)
class FileResult:
    """What became of one input of :func:`segment_files`.

    Attributes:
        source: the input.
        files: what was written: label file, JSON, CSV; empty after an error.
        result: measures, time and warnings; None after an error. The voxels are in the label file.
        error: what went wrong, or None.
        skipped: it was there already; ``files`` are those that were there.
        timings: seconds by part: ``read``, ``prepare`` (resampling), ``network``, ``paint`` (blending, painting,
            measuring) and ``write``.
    """

    source: Path
    files: tuple[Path, ...] = ()
    result: Result | None = None
    error: SwinSSLError | None = None
    skipped: bool = False
    timings: dict[str, float] = field(default_factory=dict)


def segment_files(
    inputs: Sequence[Path],
    model: Path | Model | Callable[[Options], Segmenter],
    out: Path,
    options: Options | None = None,
    *,
    suffix: str = SUFFIXES[0],
    series: str | None = None,
    skip_existing: bool = False,
    shard: tuple[int, int] = (1, 1),
    progress: FileProgress | None = None,
    stop: Stop | None = None,
    finished: Callable[[FileResult], None] | None = None,
) -> list[FileResult]:
    """Segment CT files, DICOM folders or folders of CT files; the model is loaded once.

    Beside every label file stand ``<name>.organs.json`` and ``<name>.organs.csv``. Every file is written whole or
    not at all. With one input an error is raised; with several it is kept in its result and the others go on.

    Args:
        inputs: CT files, DICOM folders, or folders of CT files.
        model: model or run folder, a loaded model, or what gives a segmenter once the inputs are known to be there.
        out: a label file (its ending chooses the format) for one CT, or a folder.
        options: see :class:`Options`.
        suffix: format of the label files if ``out`` is a folder.
        series: DICOM series to read where a folder holds several.
        skip_existing: leave out what has its label file and its tables.
        shard: (I, N): only the I-th of N shares of the inputs; the names of the files are those of the whole.
        progress: see :data:`FileProgress`.
        stop: asked before every call of the network.
        finished: called with each result as soon as it is there.

    Raises:
        InputError: an input, the model or the output cannot be used; told before anything is computed if possible.
        Stopped: on request; what was written before stays.
    """
    sources = list_inputs(inputs)
    share = list(zip(sources, _targets(sources, out, suffix), strict=True))[shard[0] - 1 :: shard[1]]
    load = partial(Segmenter.load, model) if isinstance(model, Path | Model) else model
    there = [skip_existing and is_complete(target) for _, target in share]
    segmenter = None if all(there) else load(options or Options())
    results: list[FileResult] = []
    for number, (source, target) in enumerate(share):
        if there[number] or segmenter is None:
            results.append(FileResult(source, (target, *tables_of(target)), skipped=True))
        else:
            advance = _of_file(progress, number, len(share), source.name)
            work = partial(segmenter, source, target, series=series, progress=advance, stop=stop)
            results.append(work() if len(sources) == 1 else _kept(work, source))
        if finished:
            finished(results[-1])
    return results


def _kept(work: Callable[[], FileResult], source: Path) -> FileResult:
    """The result, or the error of one input in its place."""
    try:
        return work()
    except Stopped:
        raise
    except SwinSSLError as error:
        log.warning("%s: %s", source, error)
        return FileResult(source, error=error)


def list_inputs(inputs: Sequence[Path]) -> list[Path]:
    """Replace folders of volume files by these files; other folders stay and are read as DICOM.

    Raises:
        InputError: something is missing, or there is nothing to do.
    """
    found: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path} does not exist.", "Check the path.")
        files = sorted(file for file in path.iterdir() if is_volume_file(file)) if path.is_dir() else []
        found += files or [path]
    if not found:
        raise InputError("No CT was given.", "Name a CT file, a DICOM folder or a folder of CT files.")
    return found


@dataclass(frozen=True)
class Segmenter:
    """A loaded model that turns one input into files.

    Attributes:
        model: with its card.
        network: on its device.
        options: that the network was loaded for.
    """

    model: Model
    network: Network
    options: Options

    @classmethod
    def load(cls, model: Path | Model, options: Options) -> Segmenter:
        """Read a model and build its network.

        Raises:
            InputError: the model cannot be used.
        """
        model = load_model(model) if isinstance(model, Path) else model
        return cls(model, load_network(model, options), options)

    def __call__(
        self,
        source: Path,
        target: Path,
        *,
        series: str | None = None,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> FileResult:
        """Segment one input; the label file and its tables are written.

        Raises:
            SwinSSLError: as :func:`segment_files`.
        """
        began = time.perf_counter()
        volume = read_volume(source, series=series)
        read, clock = time.perf_counter(), _Clock(self.network)
        result = segment_volume(volume, self.model.card, clock, self.options, progress=progress, stop=stop)
        computed = time.perf_counter()
        write_labels(result.labels, organs_of(self.model.card), target)
        record = {
            "source": str(source),
            "model": {"folder": str(self.model.folder), "sha256": self.model.card.get("sha256")},
            "device": result.device,
            "backend": result.backend,
            "seconds": round(result.seconds, 2),
            "warnings": list(result.warnings),
            "swinssl": __version__,
        }
        files = (target, *write_tables(target, result.organs, record))
        timings = {"read": read - began, **clock.parts(read, computed), "write": time.perf_counter() - computed}
        return FileResult(source, files, result, timings=timings)


class _Clock:
    """A network that counts its own time; on a GPU, whose work is queued, waiting for it counts as ``paint``."""

    def __init__(self, network: Network) -> None:
        self.network, self.first, self.seconds = network, 0.0, 0.0

    def __call__(self, windows: Any) -> Any:
        began = time.perf_counter()
        self.first = self.first or began
        scores = self.network(windows)
        self.seconds += time.perf_counter() - began
        return scores

    def parts(self, began: float, ended: float) -> dict[str, float]:
        """What came before the first window, the network, and the rest."""
        first = self.first or ended
        return {"prepare": first - began, "network": self.seconds, "paint": ended - first - self.seconds}


def _targets(sources: Sequence[Path], out: Path, suffix: str) -> list[Path]:
    """The label file of every input; checks now what would otherwise fail after the computation."""
    if label_suffix(Path(suffix)) != suffix:
        raise InputError(f"{suffix!r} is no label format.", f"Use one of {', '.join(SUFFIXES)}.")
    if label_suffix(out) and not out.is_dir():
        if len(sources) > 1:
            raise InputError(
                f"{out} is one file, but {len(sources)} CTs are to be segmented.", "Name a folder with --out."
            )
        targets = [out]
    else:
        targets = [out / f"{name}{suffix}" for name in _unique_names(sources)]
    for source, target in zip(sources, targets, strict=True):
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(f"{target} is the CT itself and would be overwritten.", "Choose another output.")
    folder = targets[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        leftovers.clear(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise cannot_write(folder, error) from error
    return targets


def _unique_names(sources: Sequence[Path]) -> list[str]:
    """File names without endings; inputs of equal names get their folder's name in front, then a number."""
    names = [volume_name(source) for source in sources]
    counts = Counter(names)
    names = [
        f"{source.absolute().parent.name}-{name}" if counts[name] > 1 else name
        for source, name in zip(sources, names, strict=True)
    ]
    unique: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in unique:
            number += 1
            candidate = f"{name}-{number}"
        unique.append(candidate)
    return unique


def _of_file(progress: FileProgress | None, number: int, files: int, name: str) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total: progress(number, files, name, done, total)

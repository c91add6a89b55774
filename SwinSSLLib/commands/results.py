"""``swinssl segment``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib.commands.console import Display, print_json, span
from SwinSSLLib.commands.options import add_machine_options, add_shard
from SwinSSLLib.errors import InputError
from SwinSSLLib.settings import BACKENDS

if TYPE_CHECKING:
    from rich.table import Table

    from SwinSSLLib.control import Control
    from SwinSSLLib.segment.files import FileResult, Segmenter
    from SwinSSLLib.segment.kept import Keeper
    from SwinSSLLib.segment.pipeline import Options
    from SwinSSLLib.segment.results import OrganMeasure


@dataclass(frozen=True)
class Host:
    """What a process that lives longer than one command lends it.

    Attributes:
        control: through which this command is stopped.
        keeper: of the model that the last command used.
    """

    control: Control
    keeper: Keeper


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = add("segment", segment, "segment abdominal organs in CTs")
    parser.add_argument("ct", nargs="+", type=Path, metavar="CT", help="CT files, DICOM folders, or folders of CTs")
    parser.add_argument(
        "-m",
        "--model",
        type=Path,
        required=True,
        help="model or run folder, file of weights, or a name of 'swinssl models list'",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="FILE.seg.nrrd, .nii.gz, .nrrd, or a folder")
    parser.add_argument("--format", default=".seg.nrrd", metavar="SUFFIX", help="format of the files in a folder")
    parser.add_argument("--skip-existing", action="store_true", help="leave out CTs whose results are there")
    add_shard(parser)
    parser.add_argument("--series", help="DICOM series, by UID or description")
    parser.add_argument("--overlap", type=float, default=0.5, help="overlap of the windows (default 0.5)")
    parser.add_argument("--batch", type=int, default=1, help="windows at a time")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", help="auto, 32-true, bf16-mixed or 16-mixed")
    parser.add_argument(
        "--backend", choices=BACKENDS, default="auto", help="what computes the network (default: the fastest)"
    )
    parser.add_argument("--exact", action="store_true", help="32 bits by torch, whatever is faster")
    add_machine_options(parser)


def segment(arguments: argparse.Namespace) -> int:
    """Run ``swinssl segment``; ``arguments.host`` is there if a resident worker runs it."""
    from SwinSSLLib.control import Control
    from SwinSSLLib.segment.files import segment_files
    from SwinSSLLib.segment.kept import Keeper
    from SwinSSLLib.segment.results import label_suffix

    host: Host | None = getattr(arguments, "host", None)
    options = options_of(arguments)
    display = None if arguments.json else Display("Segmenting")
    keeper = host.keeper if host else Keeper(None if display else tell_loaded)

    def advance(number: int, files: int, name: str, done: int, total: int) -> None:
        if display:
            display.advance(f"{name} ({number + 1} of {files})" if files > 1 else name, done, total)
        else:
            event = {"event": "progress", "file": name, "number": number, "files": files, "step": done, "total": total}
            print_json(event)

    listening = nullcontext(host.control) if host else Control(stdin=arguments.control, signals=True)
    with display or nullcontext(), listening as control:
        results = segment_files(
            arguments.ct,
            lambda chosen: keeper.get(arguments.model, chosen),
            arguments.out,
            options,
            suffix=arguments.format,
            series=arguments.series,
            skip_existing=arguments.skip_existing,
            shard=arguments.shard,
            progress=advance,
            stop=lambda: control.stop,
            finished=lambda result: _tell_segmentation(result, display),
        )
    if host is None and label_suffix(arguments.out) is None:
        _tell_overview(results, arguments.out, display)
    return max((result.error.exit_code for result in results if result.error), default=0)


def _tell_overview(results: Sequence[FileResult], folder: Path, display: Display | None) -> None:
    """Write one table of all cases in the folder, and say what became of the inputs."""
    from SwinSSLLib.segment.results import write_overview

    failed, skipped = sum(r.error is not None for r in results), sum(r.skipped for r in results)
    done, table = len(results) - failed - skipped, write_overview(folder)
    if display is None:
        counts = {"done": done, "failed": failed, "skipped": skipped, "cts": len(results)}
        print_json({"event": "done", **counts, "table": str(table)})
        return
    words = f"{done} of {len(results)} done, {failed} failed, {skipped} skipped. All cases in one table: {table}"
    display.console.print(words, soft_wrap=True)


def options_of(arguments: argparse.Namespace) -> Options:
    """How to run the network, from the command line.

    Raises:
        EnvironmentProblem: a device was named that is not there.
        InputError: options exclude each other.
    """
    from SwinSSLLib.devices import available_device
    from SwinSSLLib.segment.pipeline import Options

    precision, backend = arguments.precision, arguments.backend
    if arguments.exact:
        if precision not in ("auto", "32-true") or backend not in ("auto", "torch"):
            raise InputError("--exact excludes other values of --precision and --backend.", "Leave them out.")
        precision, backend = "32-true", "torch"
    return Options(arguments.overlap, arguments.batch, available_device(arguments.device), precision, backend)


def tell_loaded(segmenter: Segmenter) -> None:
    """Say that a model was read."""
    print_json({"event": "loaded", "model": str(segmenter.model.folder)})


def _tell_segmentation(result: FileResult, display: Display | None) -> None:
    if display is None:
        print_json(_as_event(result))
        return
    if result.error:
        display.console.print(f"[red]{result.error.message}[/] {result.error.hint}", soft_wrap=True)
        return
    if result.result is None:
        display.console.print(f"{result.source.name} is done already.", soft_wrap=True, markup=False)
        return
    for warning in result.result.warnings:
        display.console.print(f"[yellow]Note:[/] {warning}", soft_wrap=True)
    if not display.console.is_terminal and len(result.files) > 3:
        return
    display.console.print(_organ_table(str(result.source.name), result.result.organs))
    display.console.print("  ".join(map(str, result.files)), soft_wrap=True)
    how = f"{result.result.backend} on {result.result.device}"
    display.console.print(f"Computed by {how} in {span(result.result.seconds)}.", soft_wrap=True)


def _as_event(result: FileResult) -> dict[str, Any]:
    from dataclasses import asdict

    if result.error:
        error = result.error
        return {
            "event": "error",
            "source": str(result.source),
            "message": error.message,
            "hint": error.hint,
            "exit_code": error.exit_code,
        }
    if result.result is None:
        return {"event": "skipped", "source": str(result.source), "files": [str(file) for file in result.files]}
    return {
        "event": "finished",
        "source": str(result.source),
        "files": [str(file) for file in result.files],
        "organs": [asdict(organ) for organ in result.result.organs],
        "seconds": result.result.seconds,
        "timings": {part: round(seconds, 4) for part, seconds in result.timings.items()},
        "warnings": list(result.result.warnings),
        "backend": result.result.backend,
    }


def _organ_table(title: str, organs: Sequence[OrganMeasure]) -> Table:
    from rich.table import Table

    table = Table("organ", title=title)
    table.add_column("volume [mL]", justify="right")
    table.add_column("mean HU", justify="right")
    for organ in organs:
        hu = "–" if organ.mean_hu is None else f"{organ.mean_hu:.0f}"
        table.add_row(organ.name, f"{organ.volume_ml:,.1f}" if organ.present else "not found", hu)
    return table

"""``swinssl pretrain`` and ``swinssl finetune``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib.commands.console import Display, print_json
from SwinSSLLib.commands.options import add_training_options, given_settings, make_settings
from SwinSSLLib.errors import InputError
from SwinSSLLib.presets import finetune_settings, pretrain_settings
from SwinSSLLib.ranks import launch, process_rank, started_again
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.validation import merged

if TYPE_CHECKING:
    from SwinSSLLib.fitting import Progress


_INIT = "take the encoder from this model or run, file of weights, or a name of 'swinssl models list'"


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the two commands."""
    parser = add("pretrain", pretrain, "learn from unlabelled CTs: inpainting, contrast and rotation")
    add_training_options(parser)
    parser.add_argument("--init", type=Path, metavar="MODEL", help=_INIT)
    _add_resume(parser)
    parser = add("finetune", finetune, "learn to segment organs from labelled CTs")
    add_training_options(parser)
    parser.add_argument("-i", "--init", metavar="MODEL", help=f"'scratch', or: {_INIT}")
    _add_resume(parser)


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument(
        "--start-or-resume", action="store_true", help="continue the run in --out, or begin it where there is none"
    )
    parser.add_argument("--force", action="store_true", help="accept an encoder that does not fit whole")
    parser.add_argument("--no-report", action="store_true", help="do not write report.html")


def pretrain(arguments: argparse.Namespace) -> int:
    """Run ``swinssl pretrain``."""
    run = _resumed(arguments)
    build: Callable[..., Any] = pretrain_settings
    init = _init(arguments, run)
    if init is not None and run is None:
        build = partial(with_network_of, model_card(init), pretrain_settings)
    settings = make_settings(arguments, build, run)
    from SwinSSLLib.jobs import pretrain_job  # and torch with it: what is wrong with the words is told before

    return _run(arguments, run, init, "Pre-training", partial(pretrain_job, settings=settings))


def finetune(arguments: argparse.Namespace) -> int:
    """Run ``swinssl finetune``."""
    run = _resumed(arguments)
    init = _init(arguments, run)
    build: Callable[..., Any] = finetune_settings
    if init is not None and run is None:
        build = partial(with_network_of, finetune_card(init), finetune_settings)
    settings = make_settings(arguments, build, run)
    from SwinSSLLib.jobs import finetune_job

    return _run(arguments, run, init, "Fine-tuning", partial(finetune_job, settings=settings))


def with_network_of(card: dict[str, Any], build: Callable[..., Any], changes: dict[str, Any], source: str) -> Any:
    """Settings that fit a model: its network, spacing and HU window, unless somebody says otherwise."""
    # Neither the classes nor the input channels are the encoder's: a CT has one, and the first layer is adapted.
    network = {key: value for key, value in card["network"].items() if key not in ("out_channels", "in_channels")}
    own = {key: card["input"][key] for key in ("spacing", "hu_window") if key in card["input"]}
    stated = changes.get("network", {})
    merging = stated.get("merging", network["merging"]) if isinstance(stated, dict) else network["merging"]
    if merging != network["merging"]:  # the tensors fit either way, and mean something else
        raise InputError(
            f"{source} cannot be used: network.merging = {merging!r}, but the encoder to start from was trained with "
            f"{network['merging']!r}.",
            "Leave network.merging out. Where the model's card is wrong, import the weights again with --merging.",
        )
    return build(changes=merged({"network": network, "input": own}, changes), source=source)


def finetune_card(init: Path) -> dict[str, Any]:
    """The card of a model to fine-tune, with the input that fine-tuning it wants."""
    card = model_card(init)
    # Published encoders saw a wider window at other spacings than their publishers fine-tune them with.
    return {**card, "input": {**card["input"], **(card.get("finetune_input") or {})}}


def model_card(init: Path) -> dict[str, Any]:
    """The card of a model that somebody names."""
    from SwinSSLLib.exchange.library import find_model
    from SwinSSLLib.models import CARD, read_card

    if (init / CARD).is_file() or RunFolder.is_run(init):
        return read_card(init)  # without the weights, which the job reads
    return find_model(init).card


def _resumed(arguments: argparse.Namespace) -> RunFolder | None:
    """The run to continue, or None to begin one; what is wrong with the words is told before torch is imported."""
    given_settings(arguments, {})
    if arguments.data:
        from SwinSSLLib.data.datalists import check_there

        check_there(arguments.data)
    run = RunFolder(arguments.out)
    if RunFolder.is_run(run.path):
        # A launcher that starts its command again (torchrun --max-restarts, sbatch --requeue) means its own run only.
        again = started_again() and run.job().get("launch") == launch()
        return run if arguments.resume or arguments.start_or_resume or again else None
    if arguments.resume:
        raise InputError(f"{run.path} holds no run that could be resumed.", "Check --out, or start without --resume.")
    return None


def _init(arguments: argparse.Namespace, run: RunFolder | None) -> Path | None:
    """What to start from; a run that is resumed from a checkpoint starts from that and nothing else."""
    given = arguments.init or (run.job().get("init") if run else None)
    if given in (None, "scratch") or (run is not None and run.has_checkpoint()):
        return None
    return Path(given)


def _run(
    arguments: argparse.Namespace, run: RunFolder | None, init: Path | None, title: str, start: Callable[..., Progress]
) -> int:
    from SwinSSLLib.control import Control
    from SwinSSLLib.jobs import Job
    from SwinSSLLib.preparing import Preparation

    data: Sequence[Path] = arguments.data or [Path(path) for path in (run.job().get("data", []) if run else [])]
    if not data:
        raise InputError("There is no --data.", "Name a folder of CTs, CT files, or a dataset.json.")
    preparation = Preparation(tuple(data), arguments.cache, arguments.skip_bad, arguments.allow_outside)
    job = Job(arguments.out, preparation, init, arguments.force, run is not None, arguments.names)
    first = process_rank() == 0
    display = None if arguments.json else Display(title)
    with (
        display if display and first else nullcontext(),
        # Who started the run, or sees its folder, talks to the first process; it tells the others.
        Control(
            stdin=arguments.control and first, signals=True, run=RunFolder(arguments.out) if first else None
        ) as control,
    ):
        progress = start(job, sinks=(print_json if display is None else display,), control=control)
    if first:
        _finish(arguments, RunFolder(arguments.out), progress, display)
    return 0


def _finish(arguments: argparse.Namespace, run: RunFolder, progress: Progress, display: Display | None) -> None:
    """Write the report and say where everything is."""
    if not arguments.no_report:
        from SwinSSLLib.evaluate.report import write_report

        write_report(run.path)
    if display is None:
        return
    total = run.status().get("total")
    done = "Finished" if progress.step == total else f"Stopped after {progress.step:,} of {total:,} steps"
    again = "" if progress.step == total else f"; continue with --resume --out {run.path}"
    display.console.print(f"[bold]{done}[/]{again}")
    display.console.print(f"  model   {run.model}", soft_wrap=True)
    if not arguments.no_report:
        display.console.print(f"  report  {run.report}", soft_wrap=True)

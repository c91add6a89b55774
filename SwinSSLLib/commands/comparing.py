"""``swinssl compare``: does pre-training help, on these data?"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from SwinSSLLib.commands.console import Display, print_json
from SwinSSLLib.commands.options import add_training_options, make_settings
from SwinSSLLib.errors import InputError
from SwinSSLLib.presets import finetune_settings


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = add("compare", compare, "fine-tune from scratch and from a pre-trained model and compare them")
    add_training_options(parser)
    parser.add_argument("-i", "--init", type=Path, required=True, metavar="MODEL", help="the pre-trained model or run")
    parser.add_argument("--seeds", type=int, default=3, help="how many pairs of runs (default 3)")
    parser.add_argument(
        "--test", type=Path, metavar="PATH", help="datalist of labelled cases that nothing is chosen by"
    )


def compare(arguments: argparse.Namespace) -> int:
    """Run ``swinssl compare``."""
    from functools import partial

    from SwinSSLLib.commands.training import finetune_card, with_network_of
    from SwinSSLLib.control import Control
    from SwinSSLLib.evaluate.compare import compare as run_comparison
    from SwinSSLLib.preparing import Preparation

    if not arguments.data:
        raise InputError("There is no --data.", "Name a dataset.json with labelled cases.")
    if arguments.seeds < 1:
        raise InputError(f"--seeds {arguments.seeds} is impossible.", "Choose 1 or more; 3 is a sensible start.")
    settings = make_settings(
        arguments, partial(with_network_of, finetune_card(arguments.init), finetune_settings), None
    )
    preparation = Preparation(tuple(arguments.data), arguments.cache, arguments.skip_bad, arguments.allow_outside)
    display = Display("Fine-tuning")
    with Control(stdin=arguments.control, signals=True) as control, display:
        comparison = run_comparison(
            preparation,
            settings,
            arguments.init,
            arguments.out,
            seeds=arguments.seeds,
            test=arguments.test,
            names=arguments.names,
            sinks=(print_json if arguments.json else display,),
            control=control,
        )
    if arguments.json:
        print_json({"event": "finished", **comparison.to_dict()})
        return 0
    console = display.console
    console.print(comparison.sentence(), soft_wrap=True)
    console.print(f"  report  {arguments.out / 'report.html'}", soft_wrap=True)
    return 0

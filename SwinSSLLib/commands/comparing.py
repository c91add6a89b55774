"""``swinssl compare`` and ``swinssl probe``: does pre-training help, on these data?"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib.commands.console import Display, print_json
from SwinSSLLib.commands.options import add_training_options, make_settings
from SwinSSLLib.errors import InputError
from SwinSSLLib.presets import finetune_settings

if TYPE_CHECKING:
    from SwinSSLLib.evaluate.probing import Probing

_NAMED = re.compile(r"(?P<name>[\w.+ -]+)=(?P<path>.+)")
_DATA = "dataset.json with labelled cases"


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the two commands."""
    parser = add("compare", compare, "fine-tune from scratch and from pre-trained models and compare them")
    add_training_options(parser)
    parser.add_argument(
        "-i", "--init", action="append", required=True, metavar="[NAME=]MODEL",
        help="a pre-trained model or run; again for another one; {seed} in its path stands for the seed of the pair",
    )  # fmt: skip
    parser.add_argument(
        "--labelled", type=int, nargs="+", default=[], metavar="N",
        help="learn from so many labelled cases only, chosen by the seed; several numbers give a curve",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="how many pairs of runs (default 3)")
    parser.add_argument(
        "--test", type=Path, metavar="PATH", help="datalist of labelled cases that nothing is chosen by"
    )
    parser.add_argument("--no-probe", action="store_true", help="do not ask the encoders by a linear probe")
    parser = add("probe", probe, "ask an encoder, without fine-tuning it, in which organ its tokens lie")
    parser.add_argument("-i", "--init", required=True, type=Path, metavar="MODEL", help="a model, run, file or name")
    parser.add_argument("-d", "--data", required=True, nargs="+", type=Path, metavar="PATH", help=_DATA)
    parser.add_argument("--test", type=Path, metavar="PATH", help="other labelled cases to test on")
    parser.add_argument("-s", "--seed", type=int, default=0, help="seed of split, tokens and random encoder")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="JSON; a run folder keeps it in its report")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where prepared CTs are kept")
    parser.add_argument("--allow-outside", action="store_true", help="follow a datalist out of its own folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def compare(arguments: argparse.Namespace) -> int:
    """Run ``swinssl compare``."""
    from functools import partial

    from SwinSSLLib.commands.training import finetune_card, with_network_of
    from SwinSSLLib.control import Control
    from SwinSSLLib.evaluate.compare import SEED, Question
    from SwinSSLLib.evaluate.compare import compare as run_comparison
    from SwinSSLLib.preparing import Preparation

    if not arguments.data:
        raise InputError("There is no --data.", f"Name a {_DATA}.")
    if arguments.seeds < 1:
        raise InputError(f"--seeds {arguments.seeds} is impossible.", "Choose 1 or more; 3 is a sensible start.")
    inits = _inits(arguments.init)
    first = Path(str(next(iter(inits.values()))).replace(SEED, str(arguments.seed or 0)))
    settings = make_settings(arguments, partial(with_network_of, finetune_card(first), finetune_settings), None)
    question = Question(
        inits,
        tuple(dict.fromkeys(arguments.labelled)),
        arguments.seeds,
        arguments.test,
        not arguments.no_probe,
        arguments.names,
    )
    preparation = Preparation(tuple(arguments.data), arguments.cache, arguments.skip_bad, arguments.allow_outside)
    display = Display("Fine-tuning")
    with Control(stdin=arguments.control, signals=True) as control, display:
        sinks = (print_json if arguments.json else display,)
        study = run_comparison(preparation, settings, question, arguments.out, sinks=sinks, control=control)
    if arguments.json:
        print_json({"event": "finished", **study.to_dict()})
        return 0
    for sentence in study.sentences():
        display.console.print(sentence, soft_wrap=True)
    display.console.print(f"  report  {arguments.out / 'report.html'}", soft_wrap=True)
    return 0


def _inits(words: Sequence[str]) -> dict[str, Path]:
    """Models by name of their arm; a single one without name is called "pretrained"."""
    from SwinSSLLib.evaluate.compare import PRETRAINED
    from SwinSSLLib.evaluate.comparison import SCRATCH

    found: dict[str, Path] = {}
    for word in words:
        named = None if Path(word).exists() else _NAMED.fullmatch(word)
        path = Path(named["path"] if named else word)
        name = named["name"].strip() if named else PRETRAINED if len(words) == 1 else path.name
        if name in found or name == SCRATCH:
            raise InputError(
                f"Two starts are called {name}." if name in found else f"No model may be called {SCRATCH}.",
                f"Give each a name of its own: --init NAME={path}",
            )
        found[name] = path
    return found


def probe(arguments: argparse.Namespace) -> int:
    """Run ``swinssl probe``."""
    from SwinSSLLib.evaluate.probing import probe_model
    from SwinSSLLib.preparing import Preparation

    preparation = Preparation(tuple(arguments.data), arguments.cache, allow_outside=arguments.allow_outside)
    found = probe_model(arguments.init, preparation, test=arguments.test, seed=arguments.seed, out=arguments.out)
    if arguments.json:
        print_json(found.to_dict())
        return 0
    _print_table(Display("").console, found)
    return 0


def _print_table(console: Any, found: Probing) -> None:
    for organ, value in found.model.recall.items():
        console.print(f"  {organ:<26}{found.random.recall[organ]:>8.3f}{value:>8.3f}")
    console.print(found.sentence(), soft_wrap=True)
    if found.report:
        console.print(f"  report  {found.report}", soft_wrap=True)

"""``swinssl settings``: every setting with its meaning, as a file that ``--settings`` takes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from SwinSSLLib.commands.console import print_json
from SwinSSLLib.commands.options import add_settings_options, given_settings
from SwinSSLLib.commands.training import finetune_card, model_card, with_network_of
from SwinSSLLib.presets import finetune_settings, pretrain_settings
from SwinSSLLib.settings_text import settings_text
from SwinSSLLib.validation import to_dict

_BUILD: dict[str, Callable[..., Any]] = {"pretrain": pretrain_settings, "finetune": finetune_settings}


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = add("settings", settings, "print all settings of pretrain or finetune, explained, as TOML for --settings")
    parser.add_argument("job", choices=tuple(_BUILD), help="which command's settings")
    parser.add_argument("-i", "--init", metavar="MODEL", help="with the network and the input of this model")
    add_settings_options(parser)
    parser.add_argument("--json", action="store_true", help="JSON instead of TOML; --settings takes that too")


def settings(arguments: argparse.Namespace) -> int:
    """Run ``swinssl settings``."""
    build = make = _BUILD[arguments.job]
    init = None if arguments.init in (None, "scratch") else Path(arguments.init)
    if init is not None:
        card = model_card(init) if arguments.job == "pretrain" else finetune_card(init)
        make = partial(with_network_of, card, build)
    changes, source = given_settings(arguments, {})
    found = make(changes=changes, source=source)
    if arguments.json:
        print_json(to_dict(found))
    else:
        sys.stdout.write(settings_text(found, build(found.preset), init=str(init or "")))
    return 0

"""The command line: ``swinssl COMMAND ...``, and the same as ``python -m SwinSSLLib COMMAND ...``."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from SwinSSLLib import __version__
from SwinSSLLib.allocator import keep_large_buffers
from SwinSSLLib.errors import InputError, SwinSSLError

if TYPE_CHECKING:
    from SwinSSLLib.commands.results import Host

_DESCRIPTION = """\
Self-supervised pre-training of Swin UNETR on unlabelled CT, and segmentation of 13 abdominal organs.

  swinssl demo --out DIR                                      see everything once, in minutes, without data
  swinssl pretrain --data CTS/ --out RUN                      learn from unlabelled CTs
  swinssl finetune --data dataset.json --init RUN --out RUN2  learn to segment from labelled ones
  swinssl segment CT.nii.gz --model RUN2 --out CT.seg.nrrd    segment a CT
  swinssl models list                                         published weights, and those on this machine
"""
_EPILOG = "Exit codes: 0 done or stopped on request, 2 bad input or settings, 3 out of memory, 4 environment, 1 other."

#: Commands whose process may keep the memory that it once had.
_TRAINING = ("pretrain", "finetune", "compare", "demo")


class _Parser(argparse.ArgumentParser):
    """argparse with our sentence and our exit code for misuse."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}.", f"See `{self.prog} --help`.")


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from SwinSSLLib.commands import (
        caching,
        comparing,
        demo,
        evaluating,
        explaining,
        models,
        results,
        surveying,
        tools,
        training,
        watching,
    )

    parser = _Parser(
        prog="swinssl",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"swinssl {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name, help=help, description=f"{help[:1].upper()}{help[1:]}.", epilog=_EPILOG
        )
        command.set_defaults(run=run)
        return command

    rooms = (tools, models, surveying, caching, explaining, training, watching, results, evaluating, comparing, demo)
    for room in rooms:
        room.add_parsers(add)
    _add_serve(add)
    return parser


def _add_serve(add: Callable[..., argparse.ArgumentParser]) -> None:
    parser = add("serve", _serve, "segment for a program that asks again and again, by JSON lines")
    parser.add_argument("--model", type=Path, help="load this model before it is asked for")
    parser.add_argument("--idle", type=float, default=10.0, metavar="MINUTES", help="end after so long unasked (10)")
    parser.add_argument("--json", action="store_true", help="understood; it always writes JSON lines")


def _serve(arguments: argparse.Namespace) -> int:
    from SwinSSLLib.imports import left_out

    with left_out():
        from SwinSSLLib.serving import serve

    return serve(arguments)


def main(arguments: Sequence[str] | None = None, host: Host | None = None) -> int:
    """Run a command; returns the exit code. No traceback reaches the user unless ``--debug`` asks for it.

    Args:
        arguments: words of the command line; those of this process unless given.
        host: the resident worker that runs the command, if there is one.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    as_json = "--json" in given
    try:
        parsed = make_parser().parse_args(given, argparse.Namespace(host=host))
        if parsed.command in _TRAINING:
            keep_large_buffers()
        return int(parsed.run(parsed))
    except BrokenPipeError:  # `swinssl ... | head` closes the pipe; that is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _complain(error, as_json)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 1


def _complain(error: Exception, as_json: bool) -> int:
    if not isinstance(error, SwinSSLError):
        from SwinSSLLib.running import as_user_error

        error = as_user_error(error)
    assert isinstance(error, SwinSSLError)
    if error.quiet:
        return error.exit_code
    if as_json and not error.told:
        from SwinSSLLib.commands.console import print_json

        print_json({"event": "error", "message": error.message, "hint": error.hint, "exit_code": error.exit_code})
    elif not as_json:
        sys.stderr.write(f"{error.message}\n" + (f"{error.hint}\n" if error.hint else ""))
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

"""``swinssl models``: list, show, download, import, export and remove."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib.commands.cards import input_words, print_card, print_lines, stated_lines
from SwinSSLLib.commands.console import Display, Transfer, print_json
from SwinSSLLib.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from SwinSSLLib.exchange.about import About
    from SwinSSLLib.exchange.catalogue import Entry
    from SwinSSLLib.exchange.library import Installed


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command and its six actions."""
    parser = add("models", show, "published weights and the models of this machine")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=type(parser))

    def action(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        one: argparse.ArgumentParser = actions.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.")
        one.set_defaults(run=run)
        one.add_argument("--library", type=Path, metavar="DIR", help="where models are kept (default: of the user)")
        one.add_argument("--json", action="store_true", help="JSON on standard output")
        return one

    action("list", list_, "list published models and those of this machine")
    one = action("show", show, "show what a model is")
    one.add_argument("model", type=Path, help="model or run folder, file of weights, bundle, or a name")
    one = action("download", download, "fetch a published model, after its licence was accepted")
    one.add_argument("name", help="a name of 'models list'")
    one.add_argument("--accept-licence", action="store_true", help="I have read the licence and accept it")
    one.add_argument("--file", type=Path, help="take this file, fetched elsewhere, instead of the network")
    one = action("import", import_, "take weights of others in: a file, a bundle, or a model folder")
    one.add_argument("source", type=Path, help="file of weights, bundle (folder or zip), or model folder")
    one.add_argument("--name", help="name in the library (default: that of the file)")
    _add_statements(one)
    one = action("export", export, "write a model in a format that others read")
    one.add_argument("model", type=Path, help="model or run folder, file of weights, bundle, or a name")
    formats = {
        "folder": "model folder: safetensors and card",
        "monai": "state dict for MONAI's SwinUNETR",
        "swinvit": "encoder for SwinUNETR.load_from of stock MONAI",
        "sslhead": "encoder and heads for the public pre-training code",
        "bundle": "bundle of the model zoo, for monai.bundle and MONAI Label",
    }
    words = "; ".join(f"{name}: {text}" for name, text in formats.items())
    one.add_argument("-f", "--format", choices=tuple(formats), required=True, help=words)
    one.add_argument("-o", "--out", type=Path, required=True, help="file (.pt), or folder for folder and bundle")
    one = action("remove", remove, "delete a model of this machine")
    one.add_argument("name", help="a name of 'models list'")


def _add_statements(parser: argparse.ArgumentParser) -> None:
    """What a user may state about weights that do not say it themselves."""
    parser.add_argument(
        "--merging", choices=("legacy", "fixed", "v2"), help="patch merging (default: legacy, as published)"
    )
    parser.add_argument("--spacing", type=float, nargs=3, metavar="MM", help="voxel size that it was trained with")
    parser.add_argument("--window", type=float, nargs=2, metavar="HU", help="HU window that it was trained with")
    parser.add_argument("--roi", type=int, nargs=3, metavar="N", help="sub-volume that it was trained with")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE",
        help='JSON file with the labels, such as {"1": "spleen", "2": "right kidney"}; or a list of names from '
        'background on, such as ["background", "spleen", "right kidney"]',
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="accept less than the whole encoder")


def list_(arguments: argparse.Namespace) -> int:
    """Run ``swinssl models list``."""
    from SwinSSLLib.exchange.catalogue import published
    from SwinSSLLib.exchange.library import Library

    library = Library(arguments.library)
    installed = {model.name: model for model in library.models()}
    if arguments.json:
        here = [_as_json(model) for model in installed.values()]
        print_json({"library": str(library.root), "installed": here, "published": list(published())})
        return 0
    console = Display("").console
    if installed:
        console.print(_installed_table(installed, str(library.root)))
    console.print(_published_table(published(), installed))
    console.print("Fetch one with [bold]swinssl models download NAME[/]; nothing is fetched without asking.")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Run ``swinssl models show``."""
    from SwinSSLLib.exchange.catalogue import published
    from SwinSSLLib.exchange.library import Library, find_model

    library = Library(arguments.library)
    name = str(arguments.model)
    if name in published() and not arguments.model.exists() and not library.folder(name).exists():
        return _show_entry(published()[name], arguments.json)
    model = find_model(arguments.model, library)
    if arguments.json:
        print_json(model.card)
        return 0
    print_card(model)
    return 0


def download(arguments: argparse.Namespace) -> int:
    """Run ``swinssl models download``."""
    from SwinSSLLib.control import Control
    from SwinSSLLib.exchange.library import Library
    from SwinSSLLib.exchange.obtaining import entry_of, not_accepted, obtain

    entry = entry_of(arguments.name)
    if not (arguments.accept_licence or _asked(entry)):
        raise not_accepted(entry)
    transfer = Transfer(entry.file, as_json=arguments.json)
    with transfer, Control(signals=True) as control:
        folder = obtain(
            entry,
            Library(arguments.library),
            accepted=True,
            file=arguments.file,
            progress=transfer.advance,
            stop=lambda: control.stop,
        )
    return _arrived(folder, arguments.json)


def import_(arguments: argparse.Namespace) -> int:
    """Run ``swinssl models import``."""
    from SwinSSLLib.exchange.importing import import_model
    from SwinSSLLib.exchange.library import Library

    library = Library(arguments.library)
    name = arguments.name or arguments.source.name.partition(".")[0]
    library.folder(name)  # a bad name is told before a large file is read
    model = import_model(arguments.source, _stated(arguments), force=arguments.force)
    code = _arrived(library.add(name, model), arguments.json)
    assumed = " ".join(model.card["provenance"].get("assumed", []))
    advice = {
        "merging = ": "weights trained with MONAI 1.5 or newer need --merging fixed",
        "labels: ": "other classes need --labels FILE",
        "input.": "another input needs --spacing, --window and --roi",
    }
    wrong = "; ".join(words for sign, words in advice.items() if sign in assumed)
    if wrong and not arguments.json:
        Display("").console.print(f"Check what is assumed above: {wrong}.", soft_wrap=True)
    return code


def export(arguments: argparse.Namespace) -> int:
    """Run ``swinssl models export``."""
    from SwinSSLLib.exchange.exporting import export_model
    from SwinSSLLib.exchange.library import Library, find_model

    model = find_model(arguments.model, Library(arguments.library))
    files = export_model(model, arguments.format, arguments.out)
    if arguments.json:
        print_json({"files": [str(file) for file in files]})
        return 0
    console = Display("").console
    if arguments.format == "swinvit" and model.card["kind"] == "segmenter":
        console.print("[yellow]Note:[/] this layout holds the encoder only; the decoder is not in it.")
    if arguments.format == "swinvit" and model.card["network"]["use_v2"]:
        console.print(
            "[yellow]Note:[/] stock MONAI's load_from leaves the convolutions of version 2 out without a word."
        )
    if arguments.format in ("monai", "swinvit", "sslhead") and model.card["network"]["merging"] == "legacy":
        console.print(
            "[yellow]Note:[/] these weights need the patch merging of MONAI up to 1.4; MONAI 1.5 and later give other "
            "outputs without a word. The format bundle brings the right merging along.",
            soft_wrap=True,
        )
    for file in files:
        console.print(str(file), soft_wrap=True)
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Run ``swinssl models remove``."""
    from SwinSSLLib.exchange.library import Library

    freed = Library(arguments.library).remove(arguments.name)
    if arguments.json:
        print_json({"removed": arguments.name, "bytes": freed})
    else:
        Display("").console.print(f"{arguments.name} removed, {freed / 2**20:,.1f} MiB freed.")
    return 0


def _stated(arguments: argparse.Namespace) -> About:
    from SwinSSLLib.exchange.about import About
    from SwinSSLLib.exchange.labels import read_label_names

    given = {"spacing": arguments.spacing, "hu_window": arguments.window, "roi": arguments.roi}
    return About(
        merging=arguments.merging,
        input={name: value for name, value in given.items() if value is not None},
        labels=read_label_names(arguments.labels) if arguments.labels else None,
    )


def _asked(entry: Entry) -> bool:
    """Show the licence and ask; without a terminal nobody can answer."""
    console = Display("").console
    if not sys.stdin.isatty():
        raise InputError(
            f"{entry.name} comes under a licence that must be accepted first: {entry.licence['name']}, "
            f"{entry.licence['url']}.",
            f"Read `swinssl models show {entry.name}`, then add --accept-licence.",
        )
    console.print(f"[bold]{entry.title}[/], about {entry.bytes / 1e6:,.0f} MB from {entry.address}", soft_wrap=True)
    text = textwrap.fill(entry.licence["text"], 100, break_long_words=False, break_on_hyphens=False)
    console.print(text, markup=False, soft_wrap=True)
    console.print(entry.licence["url"], soft_wrap=True)
    return input("Accept this licence and fetch the file? [y/N] ").strip().lower() in ("y", "yes")


def _arrived(folder: Path, as_json: bool) -> int:
    from SwinSSLLib.models import load_model

    model = load_model(folder)
    if as_json:
        print_json({"event": "finished", "name": folder.name, "folder": str(folder), "card": model.card})
        return 0
    print_card(model)
    Display("").console.print(f"Use it as [bold]--model {folder.name}[/] or [bold]--init {folder.name}[/].")
    return 0


def _as_json(model: Installed) -> dict[str, Any]:
    kind = model.card["kind"] if model.card else None
    return {
        "name": model.name,
        "folder": str(model.folder),
        "kind": kind,
        "bytes": model.bytes,
        "problem": model.problem or None,
    }


def _installed_table(installed: Mapping[str, Installed], root: str) -> Table:
    from rich.table import Table

    table = Table("name", "what it is", "merging", title=f"On this machine ({root})", title_justify="left")
    table.add_column("MiB", justify="right")
    for model in installed.values():
        if model.card is None:
            table.add_row(model.name, f"[red]{model.problem}[/]", "", f"{model.bytes / 2**20:,.0f}")
            continue
        network = model.card["network"]
        what = f"{model.card['kind']}, feature size {network['feature_size']}"
        table.add_row(model.name, what, network["merging"], f"{model.bytes / 2**20:,.0f}")
    return table


def _published_table(entries: Mapping[str, Entry], installed: Mapping[str, Installed]) -> Table:
    from rich.table import Table

    table = Table("name", "what it is", "licence", title="Published", title_justify="left")
    table.add_column("MB", justify="right")
    table.add_column("stated Dice", justify="right")
    for entry in entries.values():
        name = f"{entry.name} [green](here)[/]" if entry.name in installed else entry.name
        dice = f"{entry.dice[0]['value']:.3f}" if entry.dice else "–"
        table.add_row(name, entry.title, entry.licence["name"], f"{entry.bytes / 1e6:,.0f}", dice)
    return table


def _show_entry(entry: Entry, as_json: bool) -> int:
    from dataclasses import asdict

    if as_json:
        print_json(asdict(entry))
        return 0
    exact = "" if entry.bytes_exact else "about "
    lines = {
        "what": entry.description,
        "state": f"published, not on this machine: swinssl models download {entry.name}",
        "address": f"{entry.address} ({exact}{entry.bytes / 1e6:,.0f} MB)",
        "input": input_words(entry.input),
        "merging": entry.merging,
        "licence": f"{entry.licence['name']}. {entry.licence['text']}",
        "terms": entry.licence["url"],
    }
    lines |= stated_lines(entry.dice)
    print_lines(lines | {f"cite {n + 1}": text for n, text in enumerate(entry.citation)})
    return 0

"""``swinssl cache``: prepare CTs beforehand, and list, check or empty the store of prepared ones."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib.commands.console import Display, print_json
from SwinSSLLib.commands.options import add_shard
from SwinSSLLib.commands.surveying import (
    add_data_options,
    asked_parts,
    asked_settings,
    counted,
    room,
    room_sentence,
    size,
)
from SwinSSLLib.errors import InputError

if TYPE_CHECKING:
    from SwinSSLLib.data.store import Entry, Store


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command and its four actions."""
    parser = add("cache", list_, "build, list, check or empty the store of prepared CTs")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=type(parser))

    def action(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        one: argparse.ArgumentParser = actions.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.")
        one.set_defaults(run=run)
        one.add_argument(
            "--cache", type=Path, metavar="DIR", help="which store (default: SWINSSL_CACHE, or the user's)"
        )
        return one

    one = action(
        "build", build, "prepare CTs, so that no training waits for it; what is there already is not read anew"
    )
    add_data_options(one)
    one.add_argument("--skip-bad", action="store_true", help="leave unusable CTs out with a note")
    add_shard(one)
    for one in (
        action("list", list_, "list what is prepared"),
        action("verify", verify, "compare prepared CTs with their checksums; exit code 2 when one is damaged"),
        action("delete", delete, "delete prepared CTs; without KEY all of them"),
    ):
        one.add_argument("keys", nargs="*", metavar="KEY", help="entries, by the key that 'list' shows")
        one.add_argument("--json", action="store_true", help="one JSON object on standard output")


def build(arguments: argparse.Namespace) -> int:
    """Run ``swinssl cache build``."""
    from SwinSSLLib.control import Control
    from SwinSSLLib.peers import Peers
    from SwinSSLLib.preparing import Preparation, read_cases
    from SwinSSLLib.reporting import Reporter

    settings = asked_settings(arguments)
    parts = asked_parts(arguments, settings)
    share, shares = arguments.shard
    cases = (*parts.training, *parts.unlabelled, *parts.validation)[share - 1 :: shares]
    preparation = Preparation(tuple(arguments.data), arguments.cache, arguments.skip_bad, arguments.allow_outside)
    store = preparation.store()
    display = None if arguments.json else Display("Preparing")
    takes = room(cases, settings, store.root, labels=arguments.labels)
    if display:
        display.console.print(room_sentence(takes), soft_wrap=True)
    else:
        print_json({"event": "started", **takes})
    before = {entry.key for entry in store.entries()}
    alone = Peers(lambda error: None, lambda: None)
    alone.rank = 0  # a task of Slurm's step has a number, but its share is what --shard says
    reporter = Reporter(None, (display or print_json,))
    with display or nullcontext(), Control(signals=True) as control:
        entries = read_cases(
            cases, preparation, settings.input.spacing, alone, reporter, control, labels=arguments.labels
        )
    keys = {entry.key for entry in entries.values()}
    new, taken = len(keys - before), _taken(store, keys)
    if display:
        words = (
            f"Prepared in {store.root}: {counted(len(keys), 'CT')}, {size(taken)}; {new} now, {len(keys) - new} before."
        )
        display.console.print(words, soft_wrap=True)
    else:
        print_json({"event": "finished", "prepared": len(keys), "new": new, "bytes": taken, "cache": str(store.root)})
    return 0


def list_(arguments: argparse.Namespace) -> int:
    """Run ``swinssl cache list``."""
    store, chosen = _chosen(arguments)
    rows = [_row(store, entry) for entry in chosen]
    message = f"{_count(rows)} in {store.root}, {size(sum(row['bytes'] for row in rows))}."
    _show(rows, message, as_json=arguments.json)
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Run ``swinssl cache verify``: exit code 2 when entries are damaged."""
    store, chosen = _chosen(arguments)
    rows = [{**_row(store, entry), "good": store.verify(entry)} for entry in chosen]
    damaged = [row["key"] for row in rows if not row["good"]]
    message = f"{len(rows) - len(damaged)} of {_count(rows)} are whole."
    _show(rows, message, as_json=arguments.json)
    if damaged and arguments.json:
        return InputError.exit_code
    if damaged:
        raise InputError(
            f"{len(damaged)} of {len(rows)} entries of the cache {store.root} are damaged.",
            f"Delete them with `swinssl cache delete {' '.join(damaged)}`; the next run makes them again.",
        )
    return 0


def delete(arguments: argparse.Namespace) -> int:
    """Run ``swinssl cache delete``."""
    store, chosen = _chosen(arguments)
    freed = store.delete([entry.key for entry in chosen])
    _show([], f"{_count(chosen)} deleted, {size(freed)} freed.", as_json=arguments.json)
    return 0


def _chosen(arguments: argparse.Namespace) -> tuple[Store, list[Entry]]:
    from SwinSSLLib.data.store import Store
    from SwinSSLLib.places import cache_folder

    store = Store(arguments.cache or cache_folder())
    entries = {entry.key: entry for entry in store.entries()}
    unknown = [key for key in arguments.keys if key not in entries]
    if unknown:
        raise InputError(f"The cache {store.root} has no entry {unknown[0]}.", "See `swinssl cache list`.")
    return store, [entries[key] for key in arguments.keys] or list(entries.values())


def _row(store: Store, entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "name": entry.name,
        "shape": list(entry.shape),
        "spacing": list(entry.spacing),
        "labels": entry.labels,
        "bytes": _taken(store, {entry.key}),
        "source": str(entry.source),
    }


def _taken(store: Store, keys: set[str]) -> int:
    """Bytes of entries on the disk."""
    return sum(file.stat().st_size for key in keys for file in (store.root / key).glob("*"))


def _count(entries: Sequence[Any]) -> str:
    return "1 entry" if len(entries) == 1 else f"{len(entries):,} entries"


def _show(rows: Sequence[dict[str, Any]], message: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"entries": rows, "message": message})
        return
    console = Display("").console
    for row in rows:
        mark = "" if row.get("good", True) else "[red]damaged[/] "
        shape, spacing = (" × ".join(f"{value:.4g}" for value in row[name]) for name in ("shape", "spacing"))
        line = f"{row['key']}  {shape:>15}  {spacing:>13} mm  {size(row['bytes']):>9}  {mark}"
        console.print(line, row["name"], soft_wrap=True)
    console.print(message, soft_wrap=True)

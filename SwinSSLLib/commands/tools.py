"""``swinssl doctor``, ``stop``, ``phantoms`` and ``cache``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from SwinSSLLib.commands.console import Display, print_json
from SwinSSLLib.errors import InputError


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the four commands."""
    parser = add("doctor", doctor, "check what is installed and run the network once on every device")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser = add("stop", stop, "ask a run to save a checkpoint and end, from any machine that sees its folder")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder")
    parser = add("phantoms", phantoms, "make synthetic abdominal CTs with exact labels")
    parser.add_argument("-c", "--count", type=int, required=True, help="how many")
    parser.add_argument("-s", "--seed", type=int, default=0, help="other seeds, other patients")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for images/, labels/ and dataset.json")
    parser.add_argument("--spacing", type=float, nargs=3, metavar="MM", help="voxel size (default 3 3 3)")
    parser.add_argument(
        "--split", type=int, nargs=3, metavar="N", help="how many for training, validation and unlabelled"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser = add("cache", cache, "list, check or empty the store of prepared CTs")
    parser.add_argument("action", choices=("list", "verify", "delete"), help="delete without KEY empties it")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="entries, by the key that 'list' shows")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="which store")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def doctor(arguments: argparse.Namespace) -> int:
    """Run ``swinssl doctor``: exit code 4 when something that is needed does not work."""
    from SwinSSLLib.checkup import checkup

    found = checkup()
    if arguments.json:
        print_json(found)
        return 0 if found["works"] else 4
    console = Display("").console
    for name, version in found["packages"].items():
        console.print(f"  {name:<18}{version or '[red]missing[/]'}")
    for device in found["devices"]:
        mark = "[green]works[/]" if device["works"] else f"[red]fails[/]: {device['problem']}"
        memory = f", {device['free_gib']:.1f} of {device['total_gib']:.1f} GiB free" if device["total_gib"] else ""
        console.print(f"  {device['name']}{memory}: {mark}", soft_wrap=True)
    console.print(f"  cache: {found['cache']} ({found['cache_free_gib']:.0f} GiB free)", soft_wrap=True)
    console.print("[green]Ready.[/]" if found["works"] else "[red]Not ready, see above.[/]")
    return 0 if found["works"] else 4


def stop(arguments: argparse.Namespace) -> int:
    """Run ``swinssl stop``."""
    from SwinSSLLib.runs import RunFolder

    run = RunFolder(arguments.run_folder)
    if not RunFolder.is_run(run.path):
        raise InputError(f"{run.path} holds no run.", "Check the path.")
    state = run.status().get("state", "starting")
    if state not in ("starting", "running", "stopping"):
        raise InputError(f"The run {run.path} is not running: it is {state}.", "There is nothing to stop.")
    run.ask("stop")
    Display("").console.print(f"{run.path} was asked to stop; it ends after its step.", soft_wrap=True)
    return 0


def phantoms(arguments: argparse.Namespace) -> int:
    """Run ``swinssl phantoms``."""
    from SwinSSLLib.data.phantom import SPACING, write_cohort

    display = Display("Phantoms")
    spacing = tuple(arguments.spacing) if arguments.spacing else SPACING
    if min(spacing) <= 0 or max(spacing) > 20:
        raise InputError(f"A spacing of {spacing} mm is impossible.", "Choose values above 0 and up to 20.")
    options: dict[str, Any] = {"spacing": spacing, "shape": same_field(spacing)}
    if arguments.split:
        options["split"] = tuple(arguments.split)

    def advance(done: int, total: int) -> None:
        if not arguments.json:
            display.advance("Phantoms", done, total)

    with display:
        datalist = write_cohort(arguments.count, arguments.seed, arguments.out, progress=advance, **options)
    if arguments.json:
        print_json({"datalist": str(datalist), "count": arguments.count})
    else:
        display.console.print(f"{arguments.count} phantoms: {datalist}", soft_wrap=True)
    return 0


def same_field(spacing: tuple[float, ...]) -> tuple[int, int, int]:
    """Voxels that give the default field of view at another spacing."""
    from SwinSSLLib.data.phantom import SHAPE, SPACING

    i, j, k = (
        max(2, round(count * default / wanted)) for count, default, wanted in zip(SHAPE, SPACING, spacing, strict=True)
    )
    return i, j, k


def cache(arguments: argparse.Namespace) -> int:
    """Run ``swinssl cache``: exit code 2 when ``verify`` found damaged entries."""
    from SwinSSLLib.data.store import Store
    from SwinSSLLib.places import cache_folder

    store = Store(arguments.cache or cache_folder())
    entries = {entry.key: entry for entry in store.entries()}
    unknown = [key for key in arguments.keys if key not in entries]
    if unknown:
        raise InputError(f"The cache {store.root} has no entry {unknown[0]}.", "See `swinssl cache list`.")
    chosen = [entries[key] for key in arguments.keys] or list(entries.values())
    rows: list[dict[str, Any]] = []
    if arguments.action == "delete":
        freed = store.delete([entry.key for entry in chosen])
        message = f"{len(chosen)} entries deleted, {freed / 2**20:,.1f} MiB freed."
    else:
        for entry in chosen:
            row = {"key": entry.key, "name": entry.name, "shape": list(entry.shape), "source": str(entry.source)}
            rows.append({**row, "good": store.verify(entry)} if arguments.action == "verify" else row)
        message = f"{len(rows)} entries in {store.root}, {store.size / 2**20:,.1f} MiB"
    damaged = [row["key"] for row in rows if not row.get("good", True)]
    message += f"; {len(damaged)} damaged" if damaged else ""
    if arguments.json:
        print_json({"entries": rows, "message": message})
        return InputError.exit_code if damaged else 0
    console = Display("").console
    for row in rows:
        mark = "" if row.get("good", True) else "[red]damaged[/] "
        console.print(f"{row['key']}  {' × '.join(map(str, row['shape'])):>15}  {mark}{row['name']}", soft_wrap=True)
    console.print(message, soft_wrap=True)
    if damaged:
        raise InputError(
            f"{len(damaged)} of {len(rows)} entries of the cache {store.root} are damaged.",
            f"Delete them with `swinssl cache delete {' '.join(damaged)}`; the next run makes them again.",
        )
    return 0

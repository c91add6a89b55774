"""``swinssl doctor``, ``stop`` and ``phantoms``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from SwinSSLLib.commands.console import Display, print_json
from SwinSSLLib.errors import InputError


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the three commands."""
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

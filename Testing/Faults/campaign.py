"""Faults on purpose: ``python3 Testing/run.py faults [kills disk damage others] [--trials N] [--seed N] [--out DIR]``.

Runs are killed, disks are full, files are damaged; afterwards the same command must come to the same result, to the
bit. Prints a table of faults, trials and losses; ends with exit code 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import forks  # noqa: E402
from work import Place  # noqa: E402

Trials = Iterator[tuple[str, list[str]]]


def main() -> int:
    """Run the chosen campaigns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = campaigns()
    parser.add_argument("what", nargs="*", choices=[*known, []], help="all of them unless named")
    parser.add_argument("--trials", type=int, default=200, help="kills; the others have their own numbers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "faults", help="folder for faults.json")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    arguments = parser.parse_args()
    forks.preload()
    work = arguments.keep or Path(tempfile.mkdtemp(prefix="faults-"))
    results: dict[str, list[list[str]]] = {}
    began = time.monotonic()
    try:
        place = Place(work)
        place.make()
        for name in arguments.what or known:
            for number, (kind, problems) in enumerate(known[name](place, arguments.trials, arguments.seed), start=1):
                results.setdefault(kind, []).append(problems)
                for problem in problems:
                    print(f"  LOST  {kind}: {problem}", flush=True)
                print(f"\r{name}: {number} trials, {time.monotonic() - began:.0f} s  ", end="", flush=True)
            print()
    finally:
        if not arguments.keep:
            shutil.rmtree(work, ignore_errors=True)
    return tell(results, arguments.out, vars(arguments))


def campaigns() -> dict[str, Callable[[Place, int, int], Trials]]:
    """All campaigns by name."""
    from damage import damage_campaign
    from disks import disk_campaign
    from kills import kill_campaign
    from others import other_campaign

    return {"kills": kill_campaign, "disk": disk_campaign, "damage": damage_campaign, "others": other_campaign}


def tell(results: dict[str, list[list[str]]], out: Path, asked: dict[str, object]) -> int:
    """Print the table and write it; the exit code."""
    width = max((len(kind) for kind in results), default=0)
    print(f"\n{'fault':{width}}  trials  losses")
    lost = 0
    for kind, trials in results.items():
        losses = sum(bool(problems) for problems in trials)
        lost += losses
        print(f"{kind:{width}}  {len(trials):6}  {losses:6}")
    print(f"{'all':{width}}  {sum(map(len, results.values())):6}  {lost:6}")
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        {"fault": kind, "trials": len(trials), "problems": [one for found in trials for one in found]}
        for kind, trials in results.items()
    ]
    record = {"asked": {key: str(value) for key, value in asked.items()}, "faults": rows}
    (out / "faults.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

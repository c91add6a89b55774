"""Real CT: quick pre-training over every CT of a folder; prints the validation curves beside their chance lines.

    python3 Testing/run.py study real_ct --data FOLDER --out study [--steps N]

Every tenth patient is kept aside by the settings; with few CTs the figures are rough and say no more than that real
volumes (slabs of 40 mm, 5 mm slices, chests) go through and that the losses fall below chance.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from SwinSSLLib.cli import main as swinssl
from SwinSSLLib.runs import RunFolder


def main() -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=120)
    arguments = parser.parse_args()
    volumes = sorted(arguments.data.glob("*/ct.nii.gz"))
    if not volumes:
        print(f"{arguments.data} holds no */ct.nii.gz.")
        return 2
    run = arguments.out / "run"
    command = ["pretrain", "-o", run, "-p", "quick", "-n", arguments.steps, "--cache", arguments.out / "cache", "-d"]
    code = swinssl([str(argument) for argument in (*command, *volumes)])
    if code:
        return code
    events = list(RunFolder(run).events())
    chance = next(event["chance"] for event in events if event["event"] == "started")
    print(f"\n{len(volumes)} CTs. Chance: {json.dumps({name: round(value, 3) for name, value in chance.items()})}")
    metrics = [event for event in events if event["event"] == "metric" and event["name"].startswith("validation/")]
    for step in sorted({event["step"] for event in metrics}):
        row = {event["name"].removeprefix("validation/"): event["value"] for event in metrics if event["step"] == step}
        shown = ("inpaint", "inpaint_masked", "contrast", "rotation_loss", "rotation_accuracy")
        print(f"step {step:>5}  " + "  ".join(f"{name} {row[name]:.3f}" for name in shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())

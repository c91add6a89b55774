"""Forty phantoms: does quick pre-training learn, and does it help? Prints figures; writes reports to --out.

    python3 Testing/run.py study forty_phantoms --out study [--seeds 3]

24 phantoms without labels, 8 with labels to learn from and 8 to validate on; 8 more, of another seed, are only tested.
Rotation accuracy and inpainting are measured on the 8 validation phantoms, which pre-training does not see; Dice is
measured on the 8 test phantoms, which nothing is chosen by. Whichever way it comes out, it is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from SwinSSLLib.cli import main as swinssl

SPACING = ("--spacing", "4", "4", "4")


def main() -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    out: Path = arguments.out
    cohort, tests, run = out / "cohort", out / "tests", out / "pretraining"
    run_of(swinssl, "phantoms", "-c", 40, "-s", 1, "-o", cohort, *SPACING, "--split", 8, 8, 24)
    run_of(swinssl, "phantoms", "-c", 8, "-s", 2, "-o", tests, *SPACING, "--split", 8, 0, 0)
    cache = ("--cache", out / "cache")
    run_of(swinssl, "pretrain", "-d", cohort, "-o", run, "-p", "quick", *cache)
    card = json.loads((run / "model" / "model.json").read_text())
    compared = ("--test", tests, "-o", out / "comparison", "--seeds", arguments.seeds)
    run_of(swinssl, "compare", "-d", cohort, "-i", run, "-p", "quick", *compared, *cache)
    result = json.loads((out / "comparison" / "comparison.json").read_text())
    found = card["metrics"]["validation"]
    print(f"\nRotation of {found['sub_volumes']} unseen sub-volumes told right: {found['rotation_accuracy']:.1%}")
    print(f"Masked L1 {found['inpaint_masked']:.3f}, contrast {found['contrast']:.3f}")
    print(result["sentence"])
    for organ in result["organs"]["scratch"]:
        print(f"  {organ:<26}{result['organs']['scratch'][organ]:.3f}  {result['organs']['pretrained'][organ]:.3f}")
    return 0


def run_of(command, *arguments: object) -> None:
    """Run a command line and stop the study when it fails."""
    code = command([str(argument) for argument in arguments])
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())

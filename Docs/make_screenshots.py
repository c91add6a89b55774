"""The pictures of the tutorials, made by the real panel with real workers: ``python3 Testing/run.py screenshots``.

The panel opens in the bench (Testing/Bench) in place of Slicer. Everything is learned on the spot from phantoms and
from the sample CT, in a folder that is deleted at the end; nothing is fetched from anywhere. Takes about 20 minutes on
two CPU cores. Look at every picture afterwards: no test can tell whether it shows what it should.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for folder in ("Testing/Screenshots", "Testing/Panel", "Testing", "SwinSSL", ""):
    sys.path.insert(0, str(ROOT / folder))

#: Pictures of Sample Data, then tutorials in the order in which one leaves to the next what it has learned.
TUTORIALS = ("thumbnails", "pretraining", "finetuning", "segmentation", "models", "cluster")


def main() -> int:
    """Open the panel, go through the tutorials, close it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TUTORIALS, default=TUTORIALS, help="these tutorials only")
    parser.add_argument("--out", type=Path, default=ROOT / "Docs" / "images", help="folder of the pictures")
    parser.add_argument(
        "--work", type=Path, help="folder for runs and models, which is kept (default: a temporary one)"
    )
    options = parser.parse_args()
    work = options.work or Path(tempfile.gettempdir()) / "swinssl"
    if options.work is None and work.exists():
        print(
            f"{work} exists already; it is the folder that the pictures show. Delete it, or name another with --work."
        )
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        return _shoot(options.only, work.resolve(), options.out)
    finally:
        if options.work is None:
            shutil.rmtree(work, ignore_errors=True)


def _shoot(names: list[str], work: Path, images: Path) -> int:
    """Everything that needs the application."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from Bench import application

    application.start(testing=False)
    import slicer
    from stage import Stage

    stage = Stage(work, images)
    try:
        for name in names:
            began = time.monotonic()
            print(f"{name} ...", flush=True)
            __import__(name).shoot(stage)
            print(f"  {time.monotonic() - began:.0f} s", flush=True)
        slicer.mrmlScene.Clear(0)
    finally:
        application.close_panel("SwinSSL")
    size = sum(path.stat().st_size for path in images.glob("*.png"))
    print(f"{len(stage.camera.taken)} pictures in {images}, {size / 1e6:.1f} MB in the folder")
    return 0


if __name__ == "__main__":
    sys.exit(main())

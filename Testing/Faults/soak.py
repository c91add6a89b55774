"""A long pre-training with an attached panel: does anything grow? ``python3 Testing/run.py soak [--minutes 120]``.

A worker pre-trains at quick size on phantoms, with a preview every ten steps; the panel follows it in the bench and
shows every preview in the slice views. Every ten seconds the memory, the open files and the threads of both, and what
the run folder weighs, are noted; at the end slopes are told (over the second half, where everything has been loaded
once), and a chart and a table (JSON) are written. Ends with exit code 1 where a slope or a count is over its bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "Testing", ROOT / "Testing" / "Panel", ROOT / "SwinSSL", ROOT):
    sys.path.insert(0, str(folder))

import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402

from SwinSSLLib.thinning import MOST_PREVIEWS  # noqa: E402

#: Seconds between two looks.
EVERY = 10.0
#: MiB an hour that a process may grow in the second half: 1 GiB in four days.
GROWTH = 10.0


@dataclass(frozen=True)
class Look:
    """What was seen at one moment; sizes in MiB."""

    minute: float
    step: int
    worker: float
    panel: float
    worker_files: int
    panel_files: int
    worker_threads: int
    panel_threads: int
    events: float
    previews: int
    run: float


def main() -> int:
    """Run worker and panel side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--out", type=Path, default=ROOT / "faults")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="soak-") as folder:
        worker, run = _worker(Path(folder))
        try:
            looks = _follow(run, psutil.Process(worker.pid), options.minutes)
        finally:
            worker.terminate()
            worker.wait(120)
    return _tell(looks, options.out)


def _worker(folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    program = [sys.executable, "-m", "SwinSSLLib"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "SWINSSL_CACHE": str(folder / "cache")}
    words = ["phantoms", "--count", "8", "--out", folder / "data", "--spacing", "4", "4", "4"]
    subprocess.run([*program, *words], check=True, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL)
    settings = ("training.preview_every=10", "training.validate_every=50", "training.checkpoint_every=50")
    words = ["pretrain", "--data", folder / "data" / "images", "--out", folder / "run", "--preset", "quick"]
    words += ["--steps", "1000000", "--no-report", "--json", *(word for one in settings for word in ("--set", one))]
    with (folder / "out.txt").open("wb") as output:
        worker = subprocess.Popen([*program, *map(str, words)], cwd=ROOT, env=variables, stdout=output, stderr=output)
    while not (folder / "run" / "previews").is_dir() or not list((folder / "run" / "previews").iterdir()):
        if worker.poll() is not None:
            raise RuntimeError((folder / "out.txt").read_text())
        time.sleep(0.5)
    return worker, folder / "run"


def _follow(run: Path, worker: psutil.Process, minutes: float) -> list[Look]:
    from Bench import application

    application.start(testing=True)
    import slicer
    from opening import following

    looks: list[Look] = []
    began = time.monotonic()
    with following(run) as section:
        while (passed := time.monotonic() - began) < 60 * minutes:
            slicer.app.processEvents()
            time.sleep(0.02)
            if passed >= EVERY * len(looks):
                looks.append(_look(passed / 60, run, worker, section))
                if len(looks) % 30 == 0:
                    print(json.dumps(asdict(looks[-1])), flush=True)
    return looks


def _look(minute: float, run: Path, worker: psutil.Process, section: object) -> Look:
    panel = psutil.Process()
    status = section.watch.status  # type: ignore[attr-defined]
    return Look(
        round(minute, 2),
        int(status.get("step") or 0),
        worker.memory_info().rss / 2**20,
        panel.memory_info().rss / 2**20,
        worker.num_fds(),
        panel.num_fds(),
        worker.num_threads(),
        panel.num_threads(),
        (run / "events.jsonl").stat().st_size / 2**20,
        len(list((run / "previews").glob("step-*.npz"))),
        sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) / 2**20,
    )


def _tell(looks: list[Look], out: Path) -> int:
    half = looks[len(looks) // 2 :]
    hours = np.array([look.minute / 60 for look in half])
    slopes = {
        name: float(np.polyfit(hours, [getattr(look, name) for look in half], 1)[0])
        for name in (
            "worker",
            "panel",
            "worker_files",
            "panel_files",
            "worker_threads",
            "panel_threads",
            "events",
            "run",
        )
    }
    last = half[-1]
    print(f"{last.minute:.0f} minutes, {last.step:,} steps, {last.previews} previews kept, {len(looks)} looks")
    for name, slope in slopes.items():
        first, end = getattr(half[0], name), getattr(last, name)
        unit = "" if "files" in name or "threads" in name else "MiB "
        print(f"  {name:15} {first:10.1f} -> {end:10.1f}   {slope:+8.2f} {unit}an hour in the second half")
    bounds = {
        "memory of the worker": slopes["worker"] <= GROWTH,
        "memory of the panel": slopes["panel"] <= GROWTH,
        "open files": last.worker_files <= half[0].worker_files + 2 and last.panel_files <= half[0].panel_files + 2,
        "threads": last.worker_threads <= half[0].worker_threads + 2,
        "previews": last.previews <= MOST_PREVIEWS,
    }
    for name, fine in bounds.items():
        print(f"  {name}: {'flat' if fine else 'GROWS'}")
    out.mkdir(parents=True, exist_ok=True)
    record = {"slopes_per_hour": slopes, "bounds": bounds, "looks": [asdict(look) for look in looks]}
    (out / "soak.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    _draw(looks, out / "soak.png")
    return 0 if all(bounds.values()) else 1


def _draw(looks: list[Look], file: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 6), layout="constrained")
    minutes = [look.minute for look in looks]
    panes = (
        ("Memory of the processes, MiB", ("worker", "panel")),
        ("Open files", ("worker_files", "panel_files")),
        ("Run folder, MiB", ("run", "events")),
        ("Previews kept", ("previews",)),
    )
    for axis, (title, names) in zip(axes.flat, panes, strict=True):
        for name in names:
            axis.plot(minutes, [getattr(look, name) for look in looks], label=name.replace("_", " "))
        axis.set(title=title, xlabel="minutes", ylim=(0, None))
        axis.legend(loc="lower right")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    sys.exit(main())

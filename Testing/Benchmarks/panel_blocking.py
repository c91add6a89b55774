"""How long the panel holds the window up while it follows a run with previews.

Two figures: the longest call of our own code (processor time), and the longest gap of a 5 ms timer, which also holds
the rendering of nine views by the bench's software renderer and whatever else the machine does.

    python3 Testing/run.py benchmark panel_blocking [--size 96] [--count 8] [--previews 10]

A run folder grows as a worker would let it grow: events in hundreds, and previews of ``count`` sub-volumes of ``size``
voxels a side, which are shown in the slice views as they come. Nothing is asserted; the figures are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "Testing", ROOT / "Testing" / "Panel", ROOT / "SwinSSL", ROOT):
    sys.path.insert(0, str(folder))

import numpy as np  # noqa: E402
from Bench import application  # noqa: E402


class Gaps:
    """Times between the ticks of a timer that should tick every 5 ms; also whose code ran in the longest."""

    def __init__(self) -> None:
        import qt

        self.times: list[float] = []
        self._last = time.perf_counter()
        self.timer = qt.QTimer()
        self.timer.connect("timeout()", self._tick)
        self.timer.start(5)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.times.append(now - self._last)
        self._last = now


def watched(kind: type, name: str, calls: dict[str, list[float]]) -> None:
    """Record how long each call of a method keeps the processor busy: other programs do not count."""
    plain = getattr(kind, name)

    def call(self: object, *arguments: object) -> object:
        began = time.thread_time()
        try:
            return plain(self, *arguments)
        finally:
            calls.setdefault(f"{kind.__name__}.{name}", []).append(1000 * (time.thread_time() - began))

    setattr(kind, name, call)


def write_preview(folder: Path, step: int, size: int, count: int) -> None:
    """A preview as large as the real ones, and as hard to unpack."""
    generator = np.random.default_rng(step)
    smooth = generator.random((count, size // 8, size // 8, size // 8)).repeat(8, 1).repeat(8, 2).repeat(8, 3)
    volumes = np.clip(smooth + 0.05 * generator.standard_normal(smooth.shape), 0, 1).astype(np.float16)
    matrices = np.tile(np.diag([1.5, 1.5, 2.0, 1.0]), (count, 1, 1))
    temporary = folder / "writing.npz"
    np.savez_compressed(
        temporary,
        original=volumes,
        masked=volumes,
        reconstructed=volumes,
        rotation_true=np.arange(count) % 4,
        rotation_probability=np.full((count, 4), 0.25),
        similarity=np.eye(2 * count),
        confusion=np.diag([4, 3, 2, 1]),
        ijk_to_ras=matrices,
        source=np.array([f"CT {number}" for number in range(count)]),
        hu_window=np.array([-175.0, 250.0]),
        step=np.int64(step),
    )
    temporary.rename(folder / f"step-{step:06d}.npz")


def write_events(run: Path, first: int, count: int) -> None:
    """Metrics of so many steps."""
    with (run / "events.jsonl").open("a") as file:
        for step in range(first, first + count):
            for name in ("inpaint", "contrast", "rotation", "total"):
                file.write(
                    json.dumps({"event": "metric", "name": f"train/{name}", "value": 1 / (step + 1), "step": step})
                )
                file.write("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--previews", type=int, default=10)
    options = parser.parse_args()
    application.start(testing=True)
    import slicer
    from opening import following
    from SwinSSLPanel.live import LivePreview
    from SwinSSLPanel.watching import RunWatch

    calls: dict[str, list[float]] = {}
    for kind, name in ((RunWatch, "look"), (LivePreview, "_step")):
        watched(kind, name, calls)
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        (run / "previews").mkdir(parents=True)
        (run / "job.json").write_text(json.dumps({"kind": "pretrain", "settings": {"views": {"rotation": "axial"}}}))
        status = {"state": "running", "pid": os.getpid(), "step": 0, "total": 1000, "heartbeat": ""}
        (run / "status.json").write_text(json.dumps(status))
        write_preview(run / "previews", 0, options.size, options.count)
        with following(run):
            for _ in range(50):
                slicer.app.processEvents()
            gaps = Gaps()
            # The files are written before, so that writing them is not what is measured.
            for number in range(1, options.previews + 1):
                waiting = run / "waiting"
                waiting.mkdir(exist_ok=True)
                write_preview(waiting, number, options.size, options.count)
                write_events(run, 100 * number, 100)
                gaps._last = time.perf_counter()
                next(waiting.glob("*.npz")).rename(run / "previews" / f"step-{number:06d}.npz")
                end = time.perf_counter() + 2.0
                while time.perf_counter() < end:
                    slicer.app.processEvents()
            gaps.timer.stop()
    for name, spent in calls.items():
        print(f"{name}: {len(spent)} calls, longest {max(spent):.0f} ms of processor time")
    times = sorted(1000 * value for value in gaps.times)
    print(f"{options.count} sub-volumes of {options.size}^3, {options.previews} previews, {len(times)} ticks")
    print(f"longest gap {times[-1]:.0f} ms; next {', '.join(f'{value:.0f}' for value in times[-6:-1][::-1])} ms")
    print(f"median {statistics.median(times):.1f} ms; {sum(value > 100 for value in times)} gaps above 100 ms")


if __name__ == "__main__":
    main()

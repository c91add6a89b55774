"""What a click on "Segment organs" costs beside the network, part by part, in the real panel.

    python3 Testing/run.py benchmark panel [--rounds 5] [--feature 12] [--out benchmarks]

A CT of 512 x 512 x 150 voxels lies in the scene, so that it must be handed to the worker as a file; the network is
small so that the rest can be seen. Four clicks take turns, each in a process of its own:

    one-shot       a worker for this click alone, as a panel without a worker that stays would start it
    first, at once the worker that stays, when the click comes in the instant in which the choice is complete
    first          the worker that stays, when the user looked at the verdict until it was ready
    second         the next click
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "Testing", ROOT / "Testing" / "Panel", ROOT / "SwinSSL", ROOT):
    sys.path.insert(0, str(folder))

import numpy as np  # noqa: E402
import sides  # noqa: E402

VARIANTS = ("one-shot", "first, at once", "first", "second")
SHAPE = (512, 512, 150)
SPACING = (0.8, 0.8, 3.0)
#: What a click consists of, in this order; the engine tells of read to write.
PARTS = (
    "export", "start and imports", "model", "read", "prepare", "network", "paint", "write", "into the scene", "table",
    "rest",
)  # fmt: skip


class Clock:
    """Adds up the seconds of functions, and remembers when events came."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.moments: dict[str, float] = {}
        self.told: dict[str, Any] = {}

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Count the time of a function as a part."""
        plain = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*arguments, **options)
            finally:
                self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began

        setattr(owner, name, call)

    def hear(self, kind: type, parsed: Callable[[str], dict[str, Any] | None]) -> None:
        """Remember when a worker said what, and what it took."""
        plain = kind._onLine

        def onLine(runner: Any, line: str) -> None:
            event = parsed(line)
            if event is not None:
                self.moments.setdefault(event["event"], time.perf_counter())
                if event["event"] == "finished":
                    self.told = event["timings"]
            plain(runner, line)

        kind._onLine = onLine

    def reset(self) -> None:
        """Begin a new click."""
        self.seconds, self.moments, self.told = {}, {}, {}


def measure(variant: str, feature: int) -> dict[str, float]:
    """One click."""
    from Bench import application
    from model_files import PUBLISHED, makeSegmenter

    application.start(testing=True)
    with TemporaryDirectory() as folder:
        os.environ["SWINSSL_MODELS"] = folder
        # Weights are random, and organs that are noise take longer to write and to show: so there is not much of them.
        makeSegmenter(Path(folder) / "model", background=7.0, network={**PUBLISHED, "feature_size": feature})
        try:
            return _clicks(variant)
        finally:
            application.close_panel("SwinSSL")


def _clicks(variant: str) -> dict[str, float]:
    import slicer
    from Bench import application
    from SwinSSLPanel import batch, jobs, resident
    from SwinSSLPanel.sections import segment as module
    from waiting import waitFor

    name = application.load_module(ROOT / "SwinSSL" / "SwinSSL.py").name
    panel = application.open_panel(name, window=True)
    clock = Clock()
    clock.watch(batch.Batch, "prepareNext", "export")
    clock.watch(batch, "loadResult", "into the scene")
    clock.watch(batch, "makeTableNode", "table")
    clock.watch(module, "fillOrganTable", "table")
    clock.hear(jobs.ProcessRunner if variant == "one-shot" else resident.ResidentRunner, jobs.parsed)
    if variant == "one-shot":
        panel.context.segmenter = OneShot(panel.context.runner)
    window = application.start().main_window()
    window.resize(1300, 900)
    window.show()
    section = next(one for one in panel.sections if one.name == "segment")
    makeVolume().SetSelected(True)
    assert waitFor(lambda: section.ui.segmentButton.enabled, 30)
    if variant in ("first", "second"):
        assert waitFor(lambda: "ready" in clock.moments, 120)

    def click() -> dict[str, float]:
        clock.reset()
        began = time.perf_counter()
        section.ui.segmentButton.click()
        while section._busy:
            slicer.app.processEvents()
        slicer.app.processEvents()
        ended = time.perf_counter()
        assert section.batch.rows[0].state == "done", section.ui.messageLabel.text
        return _parts(clock, began, ended)

    found = click()
    return click() if variant == "second" else found


def _parts(clock: Clock, began: float, ended: float) -> dict[str, float]:
    """The parts of a click; what is in none of them is the rest: messages, events, drawing."""
    parts = {"export": clock.seconds["export"]}
    ready = clock.moments.get("ready", began)
    loaded = clock.moments.get("loaded", ready)
    if loaded > began:
        # A worker for one click does not say when its imports are done: they count together with the model.
        parts["start and imports"] = max(0.0, (ready if ready > began else loaded) - began - parts["export"])
        parts["model"] = max(0.0, loaded - ready) if ready > began else 0.0
    parts |= clock.told
    parts |= {name: clock.seconds.get(name, 0.0) for name in ("into the scene", "table")}
    total = ended - began
    parts["rest"] = total - sum(parts.values())
    beside = total - sum(parts[name] for name in ("prepare", "network", "paint"))
    return {**dict.fromkeys(PARTS, 0.0), **parts, "seconds": beside, "total": total}


class OneShot:
    """A worker for each click, in the place of the one that stays."""

    alive = False

    def __init__(self, runner: Any) -> None:
        self.runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    def warm(self, model: Path) -> None:
        """There is nothing to start ahead."""

    def release(self) -> None:
        """Nothing stays."""


def makeVolume() -> Any:
    """A CT in the scene that no file holds: the embedded one, side by side until it is large enough."""
    import slicer

    small = slicer.util.loadVolume(str(ROOT / "Testing" / "Data" / "lidc-idri-0001-ct.nii.gz"))
    array = slicer.util.arrayFromVolume(small).astype(np.int16)
    slicer.mrmlScene.RemoveNode(small)
    counts = [-(-want // have) for want, have in zip(SHAPE[::-1], array.shape, strict=True)]
    tiled = np.tile(array, counts)[: SHAPE[2], : SHAPE[1], : SHAPE[0]]
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(tiled), name="CT")
    node.SetSpacing(*SPACING)
    return node


def chart(path: Path, found: sides.Results) -> None:
    """Bars of the parts, one on the other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    left = np.zeros(len(found))
    colours = plt.get_cmap("tab20").colors
    for colour, part in zip(colours, PARTS, strict=False):
        widths = np.array([max(0.0, sides.median(runs, part)) for runs in found.values()])
        axes.barh(list(found), widths, left=left, label=part, color=colour)
        left += widths
    for row, runs in enumerate(found.values()):
        words = f"{sides.median(runs, 'total'):.2f} s, beside the computing {sides.median(runs):.2f} s"
        axes.text(left[row], row, f" {words}", va="center", fontsize=8)
    axes.set_xlim(0, left.max() * 1.45)
    axes.invert_yaxis()
    axes.set_xlabel("s")
    axes.set_title("A click on Segment organs, CT of 512 x 512 x 150 in the scene", fontsize=11, loc="left")
    axes.legend(fontsize=7, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    figure.supxlabel(sides.machine_words(), fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides.add_options(parser)
    parser.add_argument("--feature", type=int, default=12, help="feature size of the network (default 12)")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    if options.variant:
        sides.tell(measure(options.variant, options.feature))
        return 0
    more = ["--threads", str(options.threads), "--feature", str(options.feature)]
    found = sides.take_turns(Path(__file__), VARIANTS, options.rounds, more)
    print("Seconds of a click beside resampling, network and painting:")
    print(sides.table(found))
    print(f"\n  {'seconds of each part':<20}" + "".join(f"{name:>16}" for name in found))
    for part in (*PARTS, "total"):
        print(f"  {part:<20}" + "".join(f"{sides.median(runs, part):>16.3f}" for runs in found.values()))
    sides.save(options.out / "panel.json", found, threads=options.threads, feature=options.feature, shape=SHAPE)
    chart(options.out / "panel.png", found)
    print(f"\n{options.out / 'panel.json'}, {options.out / 'panel.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How a run grows with the number of CTs: start-up, memory, files, disk; and with processes: gradients on the network.

    python Testing/Benchmarks/scaling.py                        10, 1,000, 5,000 and 160,000 CTs; some minutes
    python Testing/Benchmarks/scaling.py --counts 10 1000       smaller
    python Testing/Benchmarks/scaling.py --network              also counts bytes between two nodes (root, Linux)
    python Testing/Benchmarks/scaling.py --network --docs       writes table and chart into Docs/ too

The CTs are files of one byte, already in the store: entries with cards and notes as the store writes them, arrays of
the size of an abdominal CT at 1.5 x 1.5 x 2 mm that are holes on the disk. What is timed is our own code on them, every
size in a process of its own: reading the datalist (Decathlon's format), looking every CT up in the store, looking for
CTs that are listed twice, and drawing sub-volumes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import sides

sys.path.insert(0, str(sides.ROOT / "Testing" / "Processes"))

from SwinSSLLib.data.entries import CARD, IMAGE, Recipe
from SwinSSLLib.data.geometry import RAS_DIRECTION

SHAPE = (224, 192, 144)
SPACING = (1.5, 1.5, 2.0)
SAMPLE = sides.ROOT / "Testing" / "Data" / "lidc-idri-0001-ct.nii.gz"
DOCS = sides.ROOT / "Docs"
MARKS = ("<!-- measured: Testing/Benchmarks/scaling.py --network --docs -->", "<!-- end -->")


def make_cohort(folder: Path, count: int) -> Path:
    """Sources, datalist, and a store that has all of them; returns the datalist."""
    from SwinSSLLib.data.fingerprints import _hash, _signature

    images, cache = folder / "images", folder / "cache"
    images.mkdir()
    (cache / "sources").mkdir(parents=True)
    recipe = json.dumps(asdict(Recipe(SPACING)), sort_keys=True)
    header = _header()
    size = len(header) + 2 * int(np.prod(SHAPE))
    for number in range(count):
        source = images / f"ct_{number:06d}.nii.gz"
        source.write_bytes(b"x")
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        note = {"source": str(source), "signature": _signature(source, False), "digest": digest}
        (cache / "sources" / f"{_hash(f'{source}|None')}.json").write_text(json.dumps(note))
        key = hashlib.sha256("\n".join([digest, "", recipe]).encode()).hexdigest()[:32]
        (cache / key).mkdir()
        with (cache / key / IMAGE).open("wb") as file:
            file.write(header)
            file.truncate(size)
        card = {
            "format": 1, "key": key, "name": source.stem, "source": str(source), "recipe": asdict(Recipe(SPACING)),
            "shape": SHAPE, "spacing": SPACING, "origin": [0.0, 0.0, 0.0], "direction": RAS_DIRECTION,
            "content": digest, "labels": False, "warnings": [], "files": {IMAGE: {"bytes": size, "sha256": digest}},
        }  # fmt: skip
        (cache / key / CARD).write_text(json.dumps(card, indent=1))
    listed = {"unlabelled": [{"image": f"images/ct_{number:06d}.nii.gz"} for number in range(count)]}
    (folder / "dataset.json").write_text(json.dumps(listed))
    return folder / "dataset.json"


def start_up(datalist: Path) -> sides.Run:
    """What a job does with its CTs before the first step, and the first draws."""
    from SwinSSLLib.control import Control
    from SwinSSLLib.data.datalists import Datalist
    from SwinSSLLib.data.sampling import SubVolumeSampler
    from SwinSSLLib.peers import Peers
    from SwinSSLLib.preparing import Preparation, inputs_record, read_cases, unlabelled_parts, warn_of_duplicates
    from SwinSSLLib.reporting import Reporter

    before = sides.peak_mib()
    clock, began = [time.perf_counter()], time.process_time()
    preparation = Preparation((datalist,), datalist.parent / "cache")
    training, validation = unlabelled_parts(preparation.datalist(0, 0.1), 0.1, 0)
    clock.append(time.perf_counter())
    cases, silent = (*training, *validation), Reporter(None)
    alone = Peers(lambda problem: sys.exit(problem.message), lambda: None)
    entries = read_cases(cases, preparation, SPACING, alone, silent, Control(), labels=False)
    clock.append(time.perf_counter())
    warn_of_duplicates(Datalist((), validation, training), entries, silent)
    clock.append(time.perf_counter())
    used = time.process_time() - began
    record = len(json.dumps({"inputs": inputs_record(list(entries.values()))}, indent=1))
    sampler = SubVolumeSampler([entries[case] for case in training], (96, 96, 96), seed=0)
    clock.append(time.perf_counter())
    for number in range(500):
        sampler.draw(number)
    seconds = [round(after - first, 3) for first, after in zip(clock, [*clock[1:], time.perf_counter()], strict=True)]
    names = ("datalist", "look_up", "duplicates", "record", "draws_500")
    peak = sides.peak_mib()
    return {
        **dict(zip(names, seconds, strict=True)),
        "seconds": round(sum(seconds[:3]), 3),
        "cpu_seconds": round(used, 3),
        "start_mib": before,
        "peak_mib": peak,
        "job_mb": record / 1e6,
    }


def cache_bytes() -> list[dict[str, Any]]:
    """Bytes of an entry of the store for CTs that we have, at 1.5 x 1.5 x 2 mm."""
    from SwinSSLLib.data.phantom import write_cohort
    from SwinSSLLib.data.store import Store

    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_cohort(1, 1, folder / "phantom", spacing=(1.5, 1.5, 2.0), split=(0, 0, 1))
        phantom = next((folder / "phantom" / "images").iterdir())
        for name, file in (("embedded CT", SAMPLE), ("phantom", phantom)):
            entry = Store(folder / "cache").add(file, Recipe(SPACING))
            size = sum(part.stat().st_size for part in entry.folder.iterdir())
            rows.append(
                {"name": name, "shape": list(entry.shape), "mb": size / 1e6, "file_mb": file.stat().st_size / 1e6}
            )
    return rows


def gradients() -> dict[str, float]:
    """Bytes of gradients, weights and checkpoints of the recommended pre-training."""
    from SwinSSLLib.nets.heads import SSLNet
    from SwinSSLLib.presets import pretrain_settings

    settings = pretrain_settings("recommended")
    count = sum(value.numel() for value in SSLNet(settings.network, settings.heads).parameters())
    return {"parameters": count, "gradient_mb": 4 * count / 1e6, "checkpoint_mb": 12 * count / 1e6}


def on_the_cable(short: int = 3, long: int = 9) -> dict[str, float]:
    """Bytes that a process sends in a step of two nodes, counted on the cable, and the gradient's bytes beside it."""
    import two_nodes

    if reason := two_nodes.impossible():
        raise SystemExit(f"Two nodes cannot be made here: {reason}.")
    with tempfile.TemporaryDirectory() as place:
        few = two_nodes.traffic(Path(place) / "few", short)
        many = two_nodes.traffic(Path(place) / "many", long)
    return {"sent_mb": (many["bytes"] - few["bytes"]) / (long - short) / 2 / 1e6, "gradient_mb": many["gradient"] / 1e6}


def _header() -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": SHAPE})
        file.seek(0)
        return file.read()


def table(found: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    rows = [
        "| CTs | datalist | look-up in the cache | listed twice? | start-up | peak memory | job.json | 500 draws |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for count, run in found["start_up"].items():
        rows.append(
            f"| {int(count):,} | {run['datalist']:.2f} s | {run['look_up']:.2f} s | {run['duplicates']:.2f} s "
            f"| **{run['seconds']:.2f} s**{_of_processor(run)} | {run['peak_mib']:,.0f} MiB | {run['job_mb']:.2f} MB "
            f"| {run['draws_500']:.2f} s |"
        )
    rows += ["", "| CT in the cache | voxels | bytes | its file |", "|---|---|---|---|"]
    for row in found["cache"]:
        shape = " × ".join(map(str, row["shape"]))
        rows.append(f"| {row['name']} | {shape} | {row['mb']:.1f} MB | {row['file_mb']:.1f} MB |")
    size = found["gradients"]
    rows += ["", f"{size['parameters']:,} parameters (recommended): {size['gradient_mb']:.1f} MB of gradients a step, "
             f"checkpoints of {size['checkpoint_mb']:.0f} MB."]  # fmt: skip
    if cable := found.get("cable"):
        rows.append(
            f"Counted between two nodes with a network of {cable['gradient_mb']:.2f} MB of gradients: "
            f"{cable['sent_mb']:.2f} MB sent by each process in a step, "
            f"{cable['sent_mb'] / cable['gradient_mb']:.2f} times that."
        )
    return "\n".join([*rows, "", f"Machine: {sides.machine_words()}."])


def _of_processor(run: sides.Run) -> str:
    """What it took of the processor, where that says more than the clock of a busy machine."""
    return f" ({run['cpu_seconds']:.2f} s of processor)" if "cpu_seconds" in run else ""


def draw_chart(path: Path, found: dict[str, Any]) -> None:
    """Four panels over the number of CTs and of processes; returns nothing, writes a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    counts = [int(count) for count in found["start_up"]]
    runs = list(found["start_up"].values())
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
    lines = (
        (axes[0, 0], "Start-up with everything in the cache (measured)", "seconds", [run["seconds"] for run in runs]),
        (axes[0, 1], "Peak memory of that process (measured)", "MiB", [run["peak_mib"] for run in runs]),
    )
    for axis, title, unit, values in lines:
        axis.plot(counts, values, "o-", color="#4477aa")
        axis.set(xscale="log", title=title, ylabel=unit, xlabel="CTs")
    axes[0, 0].set_yscale("log")
    axes[0, 1].set_ylim(0)
    for row, colour in zip(found["cache"], ("#4477aa", "#cc6677"), strict=False):
        axes[1, 0].plot(counts, [count * row["mb"] / 1e6 for count in counts], "o-", label=row["name"], color=colour)
    axes[1, 0].set(xscale="log", yscale="log", title="Cache (computed from measured CTs)", ylabel="TB", xlabel="CTs")
    axes[1, 0].legend(fontsize=8)
    worlds = [1, 2, 4, 8, 16, 32, 64]
    sent = [2 * (world - 1) / world * found["gradients"]["gradient_mb"] for world in worlds]
    axes[1, 1].plot(worlds, sent, "o-", color="#4477aa")
    axes[1, 1].set(
        xscale="log", title="Gradients sent by each process a step (computed)", ylabel="MB", xlabel="processes"
    )
    axes[1, 1].set_xticks(worlds, [str(world) for world in worlds])
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.title.set_fontsize(10)
    figure.supxlabel(sides.machine_words(), fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write_docs(found: dict[str, Any]) -> None:
    """Chart and table into Docs/, the table between its marks."""
    draw_chart(DOCS / "scaling.png", found)
    page = DOCS / "scaling.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    page.write_text(f"{before}{MARKS[0]}\n\n{table(found)}\n\n{MARKS[1]}{after}", encoding="utf-8")


def measure_start_up(counts: Sequence[int], rounds: int) -> dict[str, sides.Run]:
    """The run of median time for each number of CTs."""
    found = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{count:,} CTs ...", file=sys.stderr, flush=True)
            datalist = make_cohort(Path(folder), count)
            command = [sys.executable, __file__, "--one", str(datalist)]
            runs = [
                json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                for _ in range(rounds)
            ]
        found[str(count)] = {**sorted(runs, key=lambda run: run["seconds"])[rounds // 2], "spread": sides.spread(runs)}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 1000, 5000, 160_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", action="store_true", help="count bytes between two nodes")
    parser.add_argument("--docs", action="store_true", help="write table and chart into Docs/")
    parser.add_argument("--out", type=Path, default=sides.OUT)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        sides.tell(start_up(given.one))
        return 0
    found: dict[str, Any] = {"start_up": measure_start_up(given.counts, given.rounds)}
    found |= {"cache": cache_bytes(), "gradients": gradients()}
    if given.network:
        found["cable"] = on_the_cable()
    print(table(found))
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"machine": sides.machine(), **found}
    (given.out / "scaling.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw_chart(given.out / "scaling.png", found)
    if given.docs:
        write_docs(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())

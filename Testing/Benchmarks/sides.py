"""Measuring side by side: variants take turns in processes of their own, and ratios are what is told.

A benchmark is a script that measures one variant when it is called with ``--variant NAME`` and prints what it found
as one JSON object in its last line; called without, it lets its variants take turns (A B A B ...):

    parser = argparse.ArgumentParser(...)
    sides.add_options(parser)
    arguments = parser.parse_args()
    if arguments.variant:
        sides.tell(measure(arguments))                      # {"seconds": 1.2, "peak_mib": sides.peak_mib(), ...}
        return 0
    found = sides.take_turns(Path(__file__), VARIANTS, arguments.rounds, ["--threads", str(arguments.threads)])
    print(sides.table(found))
    sides.save(arguments.out / "name.json", found, threads=arguments.threads)
    sides.chart(arguments.out / "name.png", found, title="A step", unit="s")

Times of one machine say nothing about another; ratios of one run do, as far as the spread allows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: Where charts and JSON go unless ``--out`` names another folder; git ignores it.
OUT = ROOT / "benchmarks"

#: What one process found: numbers by name, and whatever else fits into JSON.
Run = dict[str, Any]
#: Runs by variant, in the order of the rounds.
Results = Mapping[str, Sequence[Run]]


def add_options(parser: argparse.ArgumentParser, *, rounds: int = 5, threads: int = 2) -> None:
    """The options that all benchmarks have: --rounds, --threads, --out, and --variant for the processes."""
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of each variant (default {rounds})")
    parser.add_argument("--threads", type=int, default=threads, help=f"of all variants (default {threads})")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the JSON and the chart")
    parser.add_argument("--variant", help=argparse.SUPPRESS)


def take_turns(
    script: Path, variants: Sequence[str], rounds: int, arguments: Sequence[str] = (), *, quiet: bool = False
) -> dict[str, list[Run]]:
    """Run ``script --variant NAME *arguments`` for each variant in turn, ``rounds`` times.

    Args:
        script: prints one JSON object in its last line when called with ``--variant``.
        variants: names, in the order in which they take turns.
        rounds: how often each is run.
        arguments: handed on to every process.
        quiet: do not tell on standard error which one is running.

    Raises:
        SystemExit: a variant failed; with the end of what it said.
    """
    found: dict[str, list[Run]] = {name: [] for name in variants}
    for number in range(rounds):
        for name in variants:
            if not quiet:
                print(f"round {number + 1} of {rounds}: {name} ...", file=sys.stderr, flush=True)
            command = [sys.executable, str(script), "--variant", name, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
            if done.returncode:
                raise SystemExit(f"The variant {name!r} failed:\n{done.stderr[-2000:]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def tell(run: Run) -> None:
    """Print what a process found, for the one that waits for it."""
    print(json.dumps(run), flush=True)


def repeat(action: Callable[[], Any], times: int, *, warm_up: int = 1) -> list[float]:
    """Seconds of each call of ``action`` after some that do not count."""
    for _ in range(warm_up):
        action()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return seconds


def median(runs: Sequence[Run], key: str = "seconds") -> float:
    """The middle one of the values of a variant."""
    return statistics.median(float(run[key]) for run in runs)


def spread(runs: Sequence[Run], key: str = "seconds") -> float:
    """Largest minus smallest value, as a share of the median."""
    values = [float(run[key]) for run in runs]
    return (max(values) - min(values)) / max(statistics.median(values), 1e-12)


def ratio(results: Results, variant: str, key: str = "seconds", first: str | None = None) -> float:
    """How many times the value of ``variant`` fits into that of ``first`` (the first variant unless named)."""
    return median(results[first or next(iter(results))], key) / max(median(results[variant], key), 1e-12)


def summary(results: Results, key: str = "seconds", first: str | None = None) -> dict[str, dict[str, float]]:
    """Median, spread, ratio to ``first`` and the number of runs of each variant that has the key."""
    having = {name: runs for name, runs in results.items() if runs and all(key in run for run in runs)}
    first = first or next(iter(having))
    return {
        name: {
            "median": median(runs, key),
            "spread": spread(runs, key),
            "ratio": ratio(having, name, key, first),
            "runs": len(runs),
        }
        for name, runs in having.items()
    }


def table(
    results: Results,
    key: str = "seconds",
    first: str | None = None,
    *,
    unit: str = "s",
    memory: str = "peak_mib",
    more: Mapping[str, Callable[[Sequence[Run]], str]] | None = None,
) -> str:
    """The variants as lines of text: median, spread, ratio to ``first``, peak memory where it was told.

    Args:
        results: of :func:`take_turns`.
        key: the value that is compared; smaller is better.
        first: the variant that ratios refer to; the first one unless named.
        unit: of the value.
        memory: key of the peak memory in MiB.
        more: further columns: title, and what makes the text out of a variant's runs.
    """
    lines, width = [], max(len(name) for name in results)
    head = f"  {'':<{width}}  {'median':>10}  {'spread':>7}  {'ratio':>7}  {'peak':>10}"
    lines.append(head + "".join(f"  {title}" for title in more or {}))
    for name, values in summary(results, key, first).items():
        runs = results[name]
        peak = f"{max(run[memory] for run in runs):6.0f} MiB" if memory in runs[0] else ""
        numbers = f"{values['median']:8.4g} {unit}  {values['spread']:7.0%}  x{values['ratio']:6.2f}  {peak:>10}"
        texts = "".join(f"  {make(runs):>{len(title)}}" for title, make in (more or {}).items())
        lines.append(f"  {name:<{width}}  {numbers}{texts}")
    return "\n".join(lines)


def save(path: Path, results: Results, **more: Any) -> Path:
    """Write everything as JSON: all runs, the machine, and what else is given; returns the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), **more, "results": {name: list(runs) for name, runs in results.items()}}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def chart(
    path: Path,
    results: Results,
    key: str = "seconds",
    *,
    title: str,
    unit: str = "s",
    first: str | None = None,
    note: str = "",
) -> Path:
    """Draw a bar for the median of each variant, with every single run as a dot; returns the PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    values = summary(results, key, first)
    names = list(values)
    figure, axes = plt.subplots(figsize=(9, 1.4 + 0.5 * len(names)), layout="constrained")
    axes.barh(names, [values[name]["median"] for name in names], color="#4477aa", height=0.6)
    longest = max(float(run[key]) for name in names for run in results[name])
    for row, name in enumerate(names):
        runs = [float(run[key]) for run in results[name]]
        axes.plot(runs, [row] * len(runs), "o", color="#222222", markersize=3, alpha=0.6)
        text = f"{values[name]['median']:.3g} {unit}   x{values[name]['ratio']:.2f}   ± {values[name]['spread']:.0%}"
        axes.text(max(runs) + 0.01 * longest, row, text, va="center", fontsize=9)
    axes.set_xlim(0, longest * 1.35)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title, fontsize=11, loc="left")
    figure.supxlabel(" · ".join(filter(None, (machine_words(), note))), fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins with the memory of the process that started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import psutil

    memory = psutil.Process().memory_info()
    return float(getattr(memory, "peak_wset", memory.rss)) / 2**20


def machine() -> dict[str, Any]:
    """What is measured on: processor, what it computes in bf16 with, threads, memory, versions."""
    import psutil
    import torch

    model, flags = _processor()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "avx512": "avx512f" in flags,
        "avx512_bf16": "avx512_bf16" in flags,
        "amx_bf16": "amx_bf16" in flags,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def machine_words() -> str:
    """The machine in one line."""
    found = machine()
    bf16 = next((name for name in ("amx_bf16", "avx512_bf16") if found[name]), "no bf16")
    return f"{found['gpu'] or found['processor']}, {found['cores']} cores, {bf16}, torch {found['torch']}"


def peaks(size: int = 2048, times: int = 7) -> dict[str, float]:
    """What this machine can do, with the threads of this process: best of some matrix products and copies.

    Returns:
        ``fp32_gflops`` and ``bf16_gflops`` of torch.mm of ``size`` x ``size``, and ``copy_gb_s`` read and written.
    """
    import torch

    found: dict[str, float] = {}
    for name, dtype in (("fp32_gflops", torch.float32), ("bf16_gflops", torch.bfloat16)):
        a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
        out = torch.empty(size, size, dtype=dtype)
        best = min(repeat(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), times, warm_up=2))
        found[name] = round(2 * size**3 / best / 1e9, 1)
    source = torch.ones(64 * 2**20)
    target = torch.empty_like(source)
    found["copy_gb_s"] = round(2 * source.nbytes / min(repeat(lambda: target.copy_(source), times)) / 1e9, 1)
    return found


def _processor() -> tuple[str, set[str]]:
    """Name and flags of the processor, as far as the system tells."""
    name, flags, file = platform.processor() or platform.machine(), set(), Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text().splitlines():
            title, _, value = line.partition(":")
            if title.strip() == "model name":
                name = value.strip()
            elif title.strip() == "flags":
                return name, set(value.split())
    return name, flags

"""What the quick preset and the allocator settings are worth: a pre-training step, measured side by side.

    python3 Testing/run.py benchmark quick_step [--rounds 3] [--threads 2]

Variants take turns in processes of their own (A B C A B C ...). Printed are the median step, its spread over the
rounds, the ratio to the first variant and the peak memory. Times of one machine say nothing about another; ratios do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

#: Name, keep large buffers, changes of the quick preset. The first one is what ratios refer to.
VARIANTS: dict[str, tuple[bool, dict[str, Any]]] = {
    "window 7, heads 3-6-12-24, default allocator": (False, {"network": {"window": 7, "num_heads": [3, 6, 12, 24]}}),
    "window 4, heads 3-6-12-24, default allocator": (False, {"network": {"window": 4, "num_heads": [3, 6, 12, 24]}}),
    "window 4, heads 1-2-4-8, default allocator": (False, {}),
    "window 4, heads 1-2-4-8, large buffers kept (quick)": (True, {}),
}


def main() -> int:
    """Measure all variants, or one of them for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measure(arguments.variant, arguments.steps, arguments.threads)))
        return 0
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.rounds):
        for name in VARIANTS:
            own = ["--variant", name, "--steps", str(arguments.steps), "--threads", str(arguments.threads)]
            done = subprocess.run([sys.executable, __file__, *own], capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    first = statistics.median(run["seconds"] for run in next(iter(found.values())))
    print(f"A step of 4 sub-volumes of 64^3 in two views, {arguments.threads} threads, {arguments.rounds} rounds")
    for name, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        middle = statistics.median(seconds)
        spread = (max(seconds) - min(seconds)) / middle
        memory = max(run["peak_mib"] for run in runs)
        print(f"  {name:<54}{middle:6.2f} s ± {spread:4.0%}   x{first / middle:5.2f}   {memory:6.0f} MiB")
    return 0


def measure(variant: str, steps: int, threads: int) -> dict[str, float]:
    """Median time of a step and peak memory of one variant, in this process."""
    keep, changes = VARIANTS[variant]
    if keep:
        from SwinSSLLib.allocator import keep_large_buffers

        keep_large_buffers()
    import resource

    import torch

    from SwinSSLLib.nets.heads import SSLNet
    from SwinSSLLib.presets import pretrain_settings
    from SwinSSLLib.pretrain.batches import two_views
    from SwinSSLLib.pretrain.draws import Draws
    from SwinSSLLib.pretrain.objectives import ssl_objectives

    torch.set_num_threads(threads)
    settings = pretrain_settings("quick", changes)
    network = SSLNet(settings.network, settings.heads)
    optimizer = torch.optim.AdamW(network.parameters())
    sub_volumes = torch.rand(settings.training.batch, 1, *settings.input.roi)
    times = []
    for step in range(steps + 1):
        started = time.perf_counter()
        views = two_views(sub_volumes, settings, Draws(step))
        ssl_objectives(network(views.corrupted), views, settings.loss).total.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": statistics.median(times[1:]), "peak_mib": peak}


if __name__ == "__main__":
    sys.exit(main())

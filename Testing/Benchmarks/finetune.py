"""A fine-tuning step, ours beside MONAI's SwinUNETR with the same weights, patch, loss and optimiser.

    python3 Testing/run.py benchmark finetune [--rounds 5] [--preset quick] [--batch 1] [--roi 64 32 32] [--device cuda]

All sides have the same allocator, threads and layout of memory (channels last). A last process computes one gradient
both ways from the very same patch.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import sides
from pretrain import error, gradient

MONAI, OURS, AGREEMENT = "MONAI", "SwinSSL", "agreement"
FORWARDED = ("steps", "preset", "batch", "device", "threads")
WARM_UP = 6


def main() -> int:
    """Measure both sides, or one of them for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides.add_options(parser)
    parser.add_argument("--steps", type=int, default=15, help="measured steps of each process")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--batch", type=int, default=1, help="patches per step")
    parser.add_argument("--roi", type=int, nargs=3, help="of the preset unless named")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    if arguments.variant:
        sides.tell(agree(arguments) if arguments.variant == AGREEMENT else measure(arguments))
        return 0
    own = [f"--{name}={getattr(arguments, name)}" for name in FORWARDED]
    own += ["--roi", *map(str, arguments.roi)] if arguments.roi else []
    found = sides.take_turns(Path(__file__), (MONAI, OURS), arguments.rounds, own)
    agreement = sides.take_turns(Path(__file__), (AGREEMENT,), 1, own)[AGREEMENT][0]
    roi = " x ".join(map(str, arguments.roi)) if arguments.roi else "its patches"
    size = f"{arguments.batch} at a time, {arguments.threads} thread(s)"
    title = f"A fine-tuning step: preset {arguments.preset}, {roi}, {size}"
    print(title, sides.machine_words(), sides.table(found), sep="\n")
    print(f"  relative difference of the loss {agreement['loss']:.0e}, of the gradient {agreement['gradient']:.1e}")
    name = f"finetune-{arguments.preset}-{arguments.device}"
    told = {name: getattr(arguments, name) for name in (*FORWARDED, "roi")}
    sides.save(arguments.out / f"{name}.json", found, **told, agreement=agreement)
    sides.chart(arguments.out / f"{name}.png", found, title=title)
    print(f"  {arguments.out / name}.json, .png")
    return 0


def prepared(arguments: argparse.Namespace, variant: str) -> tuple[Any, Any, Any, Any, Any]:
    """Settings, network, loss, patches and labels; equal for all but for how the network computes."""
    import torch

    from SwinSSLLib.allocator import keep_large_buffers
    from SwinSSLLib.finetune.validation import make_loss
    from SwinSSLLib.nets.fast import accelerate
    from SwinSSLLib.nets.swin import build_segmenter
    from SwinSSLLib.presets import finetune_settings

    keep_large_buffers()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    settings = finetune_settings(arguments.preset, {"input": {"roi": arguments.roi}} if arguments.roi else {})
    network = build_segmenter(settings.network)
    network = (accelerate(network) if variant == OURS else network).to(arguments.device)
    shape = (arguments.batch, 1, *settings.input.roi)
    images = torch.rand(shape, device=arguments.device)
    labels = torch.randint(0, settings.network.out_channels, shape, device=arguments.device)
    return settings, network.to(memory_format=torch.channels_last_3d), make_loss(settings), images, labels


def measure(arguments: argparse.Namespace) -> sides.Run:
    """What one process finds."""
    import torch

    _, network, loss, images, labels = prepared(arguments, arguments.variant)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    cuda, times = arguments.device == "cuda", []
    for _ in range(WARM_UP + arguments.steps):
        started = time.perf_counter()
        with torch.autocast(arguments.device, torch.bfloat16, enabled=cuda):
            found = loss(network(images), labels)
        found.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else sides.peak_mib()
    return {"seconds": sorted(times[WARM_UP:])[arguments.steps // 2], "peak_mib": peak}


def agree(arguments: argparse.Namespace) -> sides.Run:
    """Loss and gradient of both networks from the same weights and patches."""
    found = []
    for variant in (MONAI, OURS):
        _, network, loss, images, labels = prepared(arguments, variant)
        found.append(gradient(network, loss(network(images), labels)))
    (expected, theirs), (value, ours) = found
    return {"loss": abs(value - expected) / abs(expected), "gradient": error(ours, theirs)}


if __name__ == "__main__":
    sys.exit(main())

"""A pre-training step, ours beside the public code's on unmodified MONAI modules.

    python3 Testing/run.py benchmark pretrain [--rounds 5] [--batch 1] [--feature 48] [--roi 96] [--device cuda]

Both sides start from the same weights, see the same kind of views and have the same allocator, threads and precision.
``as shipped`` is with autograd's anomaly mode, which the public main.py switches on. A last process computes one
gradient both ways from the very same views. The share of the roofline is the counted arithmetic of the public step over
the time taken and this machine's measured matrix product in the same precision; it does not credit what is computed
again, and padding that we do not compute counts as if we did.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sides

AS_SHIPPED, OFFICIAL, OURS = "public code, as shipped", "public code", "SwinSSL"
AGREEMENT = "agreement"


def main() -> int:
    """Measure all variants, or one of them for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides.add_options(parser)
    parser.add_argument("--steps", type=int, default=3, help="measured steps of each process, after six that warm up")
    parser.add_argument("--batch", type=int, default=1, help="sub-volumes per step, in two views each")
    parser.add_argument("--feature", type=int, default=48)
    parser.add_argument("--roi", type=int, default=96)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="", help="32-true or bf16-mixed; bf16-mixed on a GPU unless named")
    parser.add_argument("--allocator", default="kept", choices=("kept", "default"), help="of all variants")
    arguments = parser.parse_args()
    arguments.precision = arguments.precision or ("32-true" if arguments.device == "cpu" else "bf16-mixed")
    if arguments.variant:
        sides.tell(measure(arguments))
        return 0
    own = [f"--{name}={getattr(arguments, name)}" for name in FORWARDED]
    found = sides.take_turns(Path(__file__), (AS_SHIPPED, OFFICIAL, OURS), arguments.rounds, own)
    agreement = sides.take_turns(Path(__file__), (AGREEMENT,), 1, own)[AGREEMENT][0]
    report(arguments, found, agreement)
    return 0


#: Steps before those that are measured: until then the heap grows, and the kernel clears its pages.
WARM_UP = 6
FORWARDED = ("steps", "batch", "feature", "roi", "device", "precision", "allocator", "threads")


def report(arguments: argparse.Namespace, found: dict[str, list[sides.Run]], agreement: sides.Run) -> None:
    """Print the table; write JSON and chart."""
    title = (
        f"A pre-training step: {arguments.batch} sub-volume(s) of {arguments.roi}³ in two views, feature size "
        f"{arguments.feature}, {arguments.precision}, {arguments.device}, {arguments.threads} threads, "
        f"allocator {arguments.allocator}"
    )
    print(title, sides.machine_words(), sep="\n")
    flops = agreement["flops"]
    peak = 1e9 * agreement["fp32_gflops" if arguments.precision == "32-true" else "bf16_gflops"]

    def roofline(runs: Any) -> str:
        return f"{flops / sides.median(runs) / peak:.0%}"

    def memory(runs: Any) -> str:
        return f"{max(run['peak_mib'] for run in runs) / max(run['peak_mib'] for run in found[OFFICIAL]):.0%}"

    print(sides.table(found, first=OFFICIAL, more={"of roofline": roofline, "of the peak memory": memory}))
    print(
        f"  One step from the same views, relative difference of the loss {agreement['loss']:.0e}, of the gradient "
        f"{agreement['gradient']:.1e};\n  against float64: ours {agreement['ours_float64']:.1e}, the public code "
        f"{agreement['official_float64']:.1e}. That is\n  with LeakyReLU made a straight line and no voxel that is all "
        f"but right: there L1 and LeakyReLU have steps in\n  their gradients, and rounding decides. With the steps "
        f"{agreement['gradient_with_steps']:.1e}, {agreement['ours_float64_with_steps']:.1e} and "
        f"{agreement['official_float64_with_steps']:.1e}."
    )
    more = {name: getattr(arguments, name) for name in FORWARDED} | {"agreement": agreement}
    name = f"pretrain-{arguments.device}"
    sides.save(arguments.out / f"{name}.json", found, **more)
    sides.chart(arguments.out / f"{name}.png", found, title=title, first=OFFICIAL)
    print(f"  {arguments.out / name}.json, .png")


def measure(arguments: argparse.Namespace) -> sides.Run:
    """What one process finds."""
    if arguments.allocator == "kept":
        from SwinSSLLib.allocator import keep_large_buffers

        keep_large_buffers()
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.variant == AGREEMENT:
        return compare(arguments)
    settings, step, network = STEPS[arguments.variant](arguments)
    device = torch.device(arguments.device)
    sub_volumes = sample(settings, device)
    # The public code's optimiser is torch's default; ours is the one that the product makes.
    fused = None if arguments.variant in (OFFICIAL, AS_SHIPPED) else True
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=fused)
    cuda = device.type == "cuda"

    def whole(number: int) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.precision == "bf16-mixed"):
            loss = step(sub_volumes, number)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.synchronize()

    before = sides.peak_mib()
    # Twice as slow as the others and steady: fewer steps of it tell as much.
    warm_up, steps = (2, 2) if arguments.variant == AS_SHIPPED else (WARM_UP, arguments.steps)
    for number in range(warm_up):
        whole(number)
    times = []
    for number in range(warm_up, warm_up + steps):
        started = time.perf_counter()
        whole(number)
        times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else sides.peak_mib()
    return {"seconds": sorted(times)[len(times) // 2], "peak_mib": peak, "over_start_mib": peak - before}


def settings_of(arguments: argparse.Namespace) -> Any:
    """The preset ``official`` at the size that is asked for."""
    from SwinSSLLib.presets import pretrain_settings

    changes = {
        "network": {"feature_size": arguments.feature},
        "input": {"roi": [arguments.roi] * 3},
        "training": {"batch": arguments.batch},
    }
    return pretrain_settings("official", changes)


def sample(settings: Any, device: Any) -> Any:
    """Sub-volumes 0..1 out of the middle of the embedded CT, (N, 1, I, J, K)."""
    import numpy as np
    import SimpleITK as sitk
    import torch

    from SwinSSLLib.data.scaling import scale_window

    image = sitk.GetArrayFromImage(sitk.ReadImage(str(sides.ROOT / "Testing" / "Data" / "lidc-idri-0001-ct.nii.gz"))).T
    blocks = []
    for number in range(settings.training.batch):
        block = np.full(settings.input.roi, -1000, np.float32)  # air where the CT ends
        low = [max(0, (have - want) // 2 + 5 * number) for have, want in zip(image.shape, block.shape, strict=True)]
        part = image[tuple(slice(start, start + want) for start, want in zip(low, block.shape, strict=True))]
        block[tuple(slice(0, size) for size in part.shape)] = part
        blocks.append(torch.from_numpy(block))
    return scale_window(torch.stack(blocks), settings.input.hu_window).unsqueeze(1).to(device)


def official(arguments: argparse.Namespace) -> tuple[Any, Callable[[Any, int], Any], Any]:
    """The public code's step."""
    import torch
    from official_step import OfficialHead, official_step

    torch.autograd.set_detect_anomaly(arguments.variant == AS_SHIPPED, check_nan=True)
    settings = settings_of(arguments)
    network = OfficialHead(settings).to(arguments.device)
    return settings, lambda x, number: official_step(network, x, settings, number), network


def ours(arguments: argparse.Namespace) -> tuple[Any, Callable[[Any, int], Any], Any]:
    """Our step, as :mod:`SwinSSLLib.pretrain.trainer` makes it."""

    from SwinSSLLib.nets.fast import accelerate
    from SwinSSLLib.nets.heads import SSLNet
    from SwinSSLLib.pretrain.batches import two_views
    from SwinSSLLib.pretrain.draws import Draws
    from SwinSSLLib.pretrain.objectives import ssl_objectives

    settings = settings_of(arguments)
    network = accelerate(SSLNet(settings.network, settings.heads)).to(arguments.device)

    def step(x: Any, number: int) -> Any:
        views = two_views(x, settings, Draws(number, device=arguments.device))
        return ssl_objectives(network(views.corrupted), views, settings.loss).total

    return settings, step, network


STEPS = {AS_SHIPPED: official, OFFICIAL: official, OURS: ours}


def compare(arguments: argparse.Namespace) -> sides.Run:
    """Loss and gradient of both networks from the same weights and views, the public step's arithmetic, and peaks."""
    import torch
    from official_step import official_loss
    from torch.utils.flop_counter import FlopCounterMode

    from SwinSSLLib.pretrain.batches import two_views
    from SwinSSLLib.pretrain.draws import Draws
    from SwinSSLLib.pretrain.objectives import ssl_objectives

    settings, _, fast = ours(arguments)
    _, _, slow = official(arguments)
    slow.load_state_dict(fast.state_dict())
    device = torch.device(arguments.device)
    views = two_views(sample(settings, device), settings, Draws(0, device=device))

    def public(views: Any) -> tuple[float, Any]:
        first, second = (slow(part) for part in views.corrupted.chunk(2))
        loss = official_loss(first, second, views.target.chunk(2), views.rotation, settings.loss.temperature)
        return gradient(slow, loss)

    def own(views: Any) -> tuple[float, Any]:
        return gradient(fast, ssl_objectives(fast(views.corrupted), views, settings.loss).total)

    def exactly(views: Any) -> tuple[float, Any]:
        # The tests show that in float64 both are one function; ours needs less memory for it.
        fast.double()
        exact = own(replace(views, corrupted=views.corrupted.double(), target=views.target.double()))
        fast.float()
        return exact

    with FlopCounterMode(display=False) as counter:
        expected = public(views)
    found, exact = own(views), exactly(views)
    with torch.no_grad():
        views = replace(views, target=off_the_step(fast(views.corrupted).reconstruction, views.target))
    straighten(fast)
    straighten(slow)
    smooth, expected_smooth, exact_smooth = own(views), public(views), exactly(views)
    return {
        "gradient": error(smooth[1], expected_smooth[1]),
        "ours_float64": error(smooth[1], exact_smooth[1]),
        "official_float64": error(expected_smooth[1], exact_smooth[1]),
        "gradient_with_steps": error(found[1], expected[1]),
        "ours_float64_with_steps": error(found[1], exact[1]),
        "official_float64_with_steps": error(expected[1], exact[1]),
        "loss": abs(found[0] - expected[0]) / abs(expected[0]),
        "flops": counter.get_total_flops(),
        **(sides.peaks() if device.type == "cpu" else gpu_peaks()),
    }


#: Reconstructions that are nearer to their target than this are taken off it; rounding moves them by less.
NEAR = 1e-3


def off_the_step(reconstruction: Any, target: Any) -> Any:
    """Targets that no voxel meets, so that rounding does not decide about the sign of the gradient of L1."""
    difference = reconstruction - target
    aside = target - 2 * NEAR * difference.sign().where(difference != 0, difference.new_ones(()))
    return target.where(difference.abs() > NEAR, aside)


def straighten(network: Any) -> None:
    """Let LeakyReLU be a straight line: where its input is all but 0, rounding decides about its gradient."""
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 1.0


def gradient(network: Any, loss: Any) -> tuple[float, Any]:
    """Loss, and its gradient in one row; parameters without one count as 0."""
    import torch

    network.zero_grad(set_to_none=True)
    loss.backward()
    values = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
    return float(loss.detach()), torch.cat([value.flatten().double() for value in values])


def error(found: Any, expected: Any) -> float:
    """Norm of the difference over the norm."""
    return float((found - expected).norm() / expected.norm())


def gpu_peaks(size: int = 8192) -> dict[str, float]:
    """Matrix products of the GPU."""
    import torch

    found = {}
    for name, dtype in (("fp32_gflops", torch.float32), ("bf16_gflops", torch.bfloat16)):
        a = torch.randn(size, size, device="cuda", dtype=dtype)

        def product(a: Any = a) -> None:
            torch.mm(a, a)
            torch.cuda.synchronize()

        found[name] = 2 * size**3 / min(sides.repeat(product, 10, warm_up=3)) / 1e9
    return found


if __name__ == "__main__":
    sys.exit(main())

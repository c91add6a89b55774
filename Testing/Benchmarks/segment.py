"""Segmenting a real CT: ours beside MONAI's own network and sliding window, by window and by volume.

    python3 Testing/run.py benchmark segment [--rounds 5] [--windows 3] [--model FOLDER] [--whole]
    python3 Testing/run.py benchmark segment --feature 24 --rounds 3      smaller and sooner

The peer is MONAI's unmodified ``SwinUNETR`` with ``SlidingWindowInferer(mode="gaussian")`` in float32. Both sides have
the same weights (patch merging of the published weights included), allocator, threads and windows, a sample spread
over the embedded CT. ``--whole`` also takes the time from the resampled volume to the blended scores of all windows.
OpenVINO's network is converted and kept before the rounds begin; what that takes is printed on its own.

Without ``--model`` the weights are random: good for times only, for the scores of a random network lie so close to each
other that rounding decides about its organs. Agreement and Dice then say nothing about a trained model.
The share of the roofline is the arithmetic counted in MONAI's network over the time and this machine's matrix product
in the same precision, measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sides

PEER, FACTS = "MONAI", "facts"
#: An organ of fewer voxels loses more than a hundredth of its Dice with a handful of them.
LARGE = 500
OURS = ("torch-fp32", "torch-bf16", "openvino-fp32", "openvino-bf16")
FORWARDED = ("windows", "feature", "roi", "threads", "model", "keep", "device")


def main() -> int:
    """Measure all variants, or one of them for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides.add_options(parser)
    parser.add_argument("--windows", type=int, default=3, help="of the CT, measured in each process")
    parser.add_argument("--model", default="", help="segmenter that was trained: a model or run folder")
    parser.add_argument("--feature", type=int, default=48, help="of the network with random weights")
    parser.add_argument("--roi", type=int, default=96, help="of the network with random weights")
    parser.add_argument("--whole", action="store_true", help="also the whole volume: minutes for each process")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--variants", nargs="+", choices=OURS, default=OURS, help="to measure beside the peer")
    parser.add_argument("--keep", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        sides.tell(measure(arguments))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SWINSSL_CACHE"] = folder
        arguments.keep = folder
        run_all(arguments)
    return 0


def run_all(arguments: argparse.Namespace) -> None:
    """Let the variants take turns; print, and write JSON and chart."""
    from SwinSSLLib.segment import openvino_net

    own = [f"--{name}={getattr(arguments, name)}" for name in FORWARDED] + ["--whole"] * arguments.whole
    variants = [name for name in arguments.variants if arguments.device == "cpu" or name.startswith("torch")]
    if not openvino_net.is_installed():
        print("OpenVINO is not installed and is left out.")
        variants = [name for name in variants if name.startswith("torch")]
    facts = sides.take_turns(Path(__file__), (FACTS,), 1, own)[FACTS][0]
    first = sides.take_turns(Path(__file__), [v for v in variants if v.startswith("openvino")], 1, own)
    found = sides.take_turns(Path(__file__), [PEER, *variants], arguments.rounds, own)
    agreement = {name: compare(Path(arguments.keep), name, facts["organs"]) for name in variants}

    def roofline(runs: list[sides.Run]) -> str:
        kind = "bf16" if "bf16" in runs[0]["variant"] else "fp32"
        return f"{facts['flops'] / sides.median(runs) / facts[f'{kind}_gflops'] / 1e9:.0%}"

    title = f"A window of {facts['roi']}, {facts['words']}, {arguments.threads} threads, {arguments.device}"
    print(title, sides.machine_words(), sep="\n")
    print(f"large buffers kept on all sides: {all(run['kept'] for runs in found.values() for run in runs)}")
    print(f"{facts['flops'] / 1e9:.0f} GFLOP a window; peak {facts['fp32_gflops']} (fp32) and ", end="")
    print(f"{facts['bf16_gflops']} (bf16) GFLOP/s, copies {facts['copy_gb_s']} GB/s")
    print(sides.table(found, more={"of roofline": roofline}))
    if arguments.whole:
        print(f"The whole volume, {facts['count']} windows, from the resampled volume to its scores:")
        print(sides.table(found, "whole_seconds"))
    for name, runs in first.items():
        print(f"{name}: converted and compiled in {runs[0]['start']:.0f} s; kept, ready in ", end="")
        print(f"{sides.median(found[name], 'start'):.1f} s")
    tell_agreement(agreement, trained=bool(arguments.model), whole=arguments.whole)
    more = {"title": title, "facts": facts, "first_start": first, "agreement": agreement, "threads": arguments.threads}
    sides.save(arguments.out / "segment.json", found, **more)
    sides.chart(arguments.out / "segment.png", found, title=title)
    if arguments.whole:
        sides.chart(arguments.out / "segment-whole.png", found, "whole_seconds", title=f"{facts['count']} windows")


def tell_agreement(agreement: dict[str, Any], *, trained: bool, whole: bool) -> None:
    """Print how alike the organs are."""
    where = "the whole volume" if whole else "the sample"
    print(f"Organs of {where} beside MONAI's" + ("" if trained else " (RANDOM weights: these say nothing)") + ":")
    for name, values in agreement.items():
        dice, size = values["dice"], values["voxels_of"]
        large = [organ for organ in dice if size[organ] >= LARGE]
        words = [f"{name:<14} same on {values['voxels']:.4%} of voxels, {values['organs']:.3%} of organs"]
        for among, which in ((dice, f"{len(dice)} organs"), (large, f"the {len(large)} of {LARGE} voxels or more")):
            if among:
                lowest = min(among, key=dice.__getitem__)
                words.append(f"lowest Dice of {which} {dice[lowest]:.4f} ({lowest}, {size[lowest]} voxels)")
        print("  " + "; ".join(words if dice else [*words, "no organ was found"]))


def measure(arguments: argparse.Namespace) -> sides.Run:
    """Times, memory and label maps of one variant, in this process."""
    from SwinSSLLib.allocator import keep_large_buffers

    kept = keep_large_buffers()
    import numpy as np
    import torch

    torch.set_num_threads(arguments.threads)
    model = the_model(arguments)
    if arguments.variant == FACTS:
        return facts_of(arguments, model)
    device = torch.device(arguments.device)
    image, windows, roi = the_windows(arguments, model)
    started = time.perf_counter()
    run = the_network(arguments.variant, model, device, roi)
    run(windows[0].to(device))
    ready = time.perf_counter() - started
    labels: list[Any] = []

    def once(window: torch.Tensor) -> float:
        began = time.perf_counter()
        scores = run(window.to(device))
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        labels.append(scores.argmax(1).to("cpu", torch.uint8).numpy())
        return seconds

    times = [once(window) for window in windows]
    found = {"variant": arguments.variant, "kept": kept, "start": ready, "times": times}
    found["seconds"] = float(np.median(times))
    if arguments.whole:
        began = time.perf_counter()
        labels = [whole(arguments.variant, image, run, model, device)]
        found["whole_seconds"] = time.perf_counter() - began
    np.save(Path(arguments.keep) / f"{arguments.variant}.npy", np.stack(labels))
    return {**found, "peak_mib": sides.peak_mib()}


def the_model(arguments: argparse.Namespace) -> Any:
    """The model that was named, or one with random weights, the same in every process."""
    import torch

    from SwinSSLLib.models import Model, load_model, make_card
    from SwinSSLLib.nets.swin import build_segmenter
    from SwinSSLLib.settings import InputSettings, NetworkSettings

    if arguments.model:
        return load_model(Path(arguments.model))
    network = NetworkSettings(feature_size=arguments.feature, merging="legacy")
    torch.manual_seed(0)
    state = build_segmenter(network).state_dict()
    inputs = InputSettings(roi=(arguments.roi,) * 3)
    return Model(Path(), make_card("segmenter", network, inputs, {}, sha256="random weights"), state)


def the_windows(arguments: argparse.Namespace, model: Any) -> tuple[Any, list[Any], tuple[int, int, int]]:
    """The resampled CT in HU, some windows of it from its feet to its head as the network gets them, and their size."""
    import torch

    from SwinSSLLib.data.scaling import scale_window
    from SwinSSLLib.data.volumes import read_volume, resample_to_ras
    from SwinSSLLib.models import input_of
    from SwinSSLLib.segment.windows import window_starts

    inputs = input_of(model.card, "the model")
    volume = read_volume(sides.ROOT / "Testing" / "Data" / "lidc-idri-0001-ct.nii.gz")
    image = resample_to_ras(volume, inputs.spacing).array
    missing = [max(r - s, 0) for r, s in zip(inputs.roi, image.shape, strict=True)]
    padding = [side for m in reversed(missing) for side in (m // 2, m - m // 2)]
    hu = torch.from_numpy(image.astype("float32"))
    scaled = scale_window(torch.nn.functional.pad(hu, padding, value=inputs.hu_window[0]), inputs.hu_window)
    starts = window_starts(tuple(scaled.shape), inputs.roi, 0.5)
    chosen = [starts[(2 * n + 1) * len(starts) // (2 * arguments.windows)] for n in range(arguments.windows)]
    crops = [scaled[tuple(slice(c, c + r) for c, r in zip(corner, inputs.roi, strict=True))] for corner in chosen]
    return image, [crop[None, None].contiguous() for crop in crops], inputs.roi


def the_network(variant: str, model: Any, device: Any, roi: tuple[int, int, int]) -> Callable[[Any], Any]:
    """What turns a window into scores."""
    import torch

    from SwinSSLLib.nets.fast import accelerate
    from SwinSSLLib.nets.swin import build_segmenter
    from SwinSSLLib.segment.backends import Runner

    network = build_segmenter(model.network)
    network.load_state_dict(model.state)
    network.eval().requires_grad_(False).to(device)
    if variant == PEER:
        return torch.no_grad()(network)
    runner = Runner(accelerate(network), device, [variant], roi, sha256=model.card["sha256"])
    if not runner.use(variant):
        raise SystemExit(" ".join(runner.notes))
    return runner


def whole(variant: str, image: Any, run: Callable[[Any], Any], model: Any, device: Any) -> Any:
    """The label map of all windows: MONAI's inferer over all scores at once, or our band after band."""
    import numpy as np
    import torch
    from monai.inferers import SlidingWindowInferer

    from SwinSSLLib.data.scaling import scale_window
    from SwinSSLLib.models import input_of
    from SwinSSLLib.segment.windows import sliding_scores

    inputs = input_of(model.card, "the model")
    if variant == PEER:
        scaled = scale_window(torch.from_numpy(image.astype(np.float32)), inputs.hu_window)[None, None].to(device)
        scores = SlidingWindowInferer(inputs.roi, overlap=0.5, mode="gaussian")(scaled, run)
        return scores[0].argmax(0).to("cpu", torch.uint8).numpy()
    slabs = sliding_scores(image, run, inputs.roi, hu_window=inputs.hu_window, device=device)
    return np.concatenate([slab.scores.argmax(0).to("cpu", torch.uint8).numpy() for slab in slabs], axis=2)


def facts_of(arguments: argparse.Namespace, model: Any) -> sides.Run:
    """What does not depend on the variant: arithmetic of a window, peaks of the machine, names of the organs."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from SwinSSLLib.segment.windows import count_windows

    image, windows, roi = the_windows(arguments, model)
    network = the_network(PEER, model, torch.device("cpu"), roi)
    with FlopCounterMode(display=False) as counter:
        network(windows[0])
    weights = f"weights of {Path(arguments.model).name}" if arguments.model else "random weights"
    return {
        "flops": counter.get_total_flops(),
        **sides.peaks(),
        "roi": " x ".join(map(str, roi)),
        "count": count_windows(tuple(image.shape), roi, 0.5),
        "words": f"feature size {model.network.feature_size}, {model.network.out_channels} classes, {weights}",
        "organs": {str(label["id"]): label["name"] for label in model.card["labels"]},
    }


def compare(folder: Path, variant: str, organs: dict[str, str]) -> dict[str, Any]:
    """Agreement of a variant's label maps with the peer's: of all voxels, of organs, and the Dice of each organ."""
    import numpy as np
    import torch

    from SwinSSLLib.segment.backends import agree

    peer, ours = (np.load(folder / f"{name}.npy") for name in (PEER, variant))
    dice, sizes = {}, {}
    for label, name in organs.items():
        a, b = peer == int(label), ours == int(label)
        if a.any() or b.any():
            dice[name], sizes[name] = float(2 * (a & b).sum() / (a.sum() + b.sum())), int(a.sum())
    both = agree(torch.from_numpy(ours), torch.from_numpy(peer))
    return {"voxels": float((peer == ours).mean()), "organs": both, "dice": dice, "voxels_of": sizes}


if __name__ == "__main__":
    sys.exit(main())

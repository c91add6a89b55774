"""The memory of training that is estimated before it starts, beside the peak that is measured.

    python3 Testing/run.py benchmark training_memory [--steps 4] [--only quick]

Every row is a process of its own that takes some steps as a run does, with the allocator settings of the worker.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import sides

#: Name: kind, changes to the preset ``recommended``, whether the encoder is checkpointed.
ROWS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "pre-training, recommended, batch 1": ("pretrain", {"training": {"batch": 1}}, False),
    "pre-training, recommended, batch 2": ("pretrain", {"training": {"batch": 2}}, False),
    "pre-training, recommended, batch 1, checkpointed": ("pretrain", {"training": {"batch": 1}}, True),
    "pre-training, paper's head, batch 1": (
        "pretrain",
        {"training": {"batch": 1}, "heads": {"reconstruction": "transposed"}},
        False,
    ),
    "pre-training, feature size 24, 64³, batch 4": (
        "pretrain",
        {"training": {"batch": 4}, "network": {"feature_size": 24}, "input": {"roi": [64, 64, 64]}},
        False,
    ),
    "pre-training, quick": ("pretrain", {"preset": "quick"}, False),
    "fine-tuning, recommended, batch 1": ("finetune", {"training": {"batch": 1}}, False),
    "fine-tuning, feature size 24, 64³, batch 4": (
        "finetune",
        {"training": {"batch": 4}, "network": {"feature_size": 24}, "input": {"roi": [64, 64, 64]}},
        False,
    ),
    "fine-tuning, quick": ("finetune", {"preset": "quick"}, False),
}


def main() -> int:
    """Measure all rows, or one of them for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides.add_options(parser, rounds=1)
    parser.add_argument("--steps", type=int, default=4, help="after which the peak is read")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    arguments = parser.parse_args()
    if arguments.variant:
        sides.tell(measure(arguments))
        return 0
    names = [name for name in ROWS if arguments.only in name]
    own = ["--steps", str(arguments.steps), "--threads", str(arguments.threads)]
    found = sides.take_turns(Path(__file__), names, arguments.rounds, own)
    print(sides.machine_words())
    print(f"  {'':<50}  {'estimated':>10}  {'measured':>10}  {'off by':>7}")
    for name, runs in found.items():
        estimated, peak = runs[0]["estimated_mib"], max(run["peak_mib"] for run in runs)
        print(f"  {name:<50}  {estimated:6.0f} MiB  {peak:6.0f} MiB  {estimated / peak - 1:+7.0%}")
    sides.save(arguments.out / "training_memory.json", found, steps=arguments.steps)
    return 0


def measure(arguments: argparse.Namespace) -> sides.Run:
    """What one process finds."""
    from SwinSSLLib.allocator import keep_large_buffers

    keep_large_buffers()
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    from SwinSSLLib.jobs import rehearsal_of
    from SwinSSLLib.optimizing import make_optimizer
    from SwinSSLLib.presets import finetune_settings, pretrain_settings
    from SwinSSLLib.training_memory import Thrift, set_checkpointing, training_memory

    kind, changes, checkpointed = ROWS[arguments.variant]
    settings: Any = (pretrain_settings if kind == "pretrain" else finetune_settings)(changes=changes)
    estimated = training_memory(rehearsal_of(settings), settings.training, Thrift(checkpointing=checkpointed))
    network, loss_of = STEPS[kind](settings)
    set_checkpointing(network, checkpointed)
    optimizer = make_optimizer([{"params": list(network.parameters())}], settings.training)
    for step in range(arguments.steps):
        loss_of(step).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    peak = sides.peak_mib()
    return {"estimated_mib": estimated / 2**20, "peak_mib": peak, "seconds": peak}


def pretraining(settings: Any) -> tuple[Any, Any]:
    """Network, and the loss of a step."""
    import torch

    from SwinSSLLib.nets.fast import accelerate
    from SwinSSLLib.nets.heads import SSLNet
    from SwinSSLLib.pretrain.batches import two_views
    from SwinSSLLib.pretrain.draws import Draws
    from SwinSSLLib.pretrain.objectives import ssl_objectives

    network = accelerate(SSLNet(settings.network, settings.heads))
    whole = torch.rand(settings.training.batch, 1, *settings.input.roi)

    def loss_of(step: int) -> Any:
        views = two_views(whole, settings, Draws(step))
        return ssl_objectives(network(views.corrupted), views, settings.loss).total

    return network, loss_of


def finetuning(settings: Any) -> tuple[Any, Any]:
    """Network, and the loss of a step."""
    import torch

    from SwinSSLLib.finetune.validation import make_loss
    from SwinSSLLib.nets.fast import accelerate
    from SwinSSLLib.nets.swin import build_segmenter

    network = accelerate(build_segmenter(settings.network)).to(memory_format=torch.channels_last_3d)
    images = torch.rand(settings.training.batch, 1, *settings.input.roi)
    labels = torch.randint(0, settings.network.out_channels, images.shape)
    loss = make_loss(settings)
    return network, lambda step: loss(network(images), labels)


STEPS = {"pretrain": pretraining, "finetune": finetuning}


if __name__ == "__main__":
    sys.exit(main())

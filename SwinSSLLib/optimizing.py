"""The optimiser and how its learning rate goes over a run."""

from __future__ import annotations

import math
from typing import Any

import torch

from SwinSSLLib.settings import TrainingSettings


def schedule(step: int, training: TrainingSettings) -> float:
    """Share of the learning rate at a step: linear warm-up, then half a cosine to 0 (or constant).

    MONAI's ``WarmupCosineSchedule`` begins at 0, so that its first step learns nothing; this one begins at
    1 / warmup.
    """
    if step < training.warmup:
        return (step + 1) / training.warmup
    if training.schedule == "constant":
        return 1.0
    done = (step - training.warmup) / max(1, training.steps - training.warmup)
    return 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(groups: list[dict[str, Any]], training: TrainingSettings) -> torch.optim.AdamW:
    """AdamW as in the paper; ``share`` of a group scales its learning rate."""
    # Fused: a third of the time of a step of the optimiser, on a CPU too. With the scaled losses of 16 bits it would
    # take the scale off by itself, and Fabric refuses to clip gradients then.
    fused = training.precision != "16-mixed"
    return torch.optim.AdamW(groups, lr=training.lr, weight_decay=training.weight_decay, fused=fused)

"""Tiny segmenters for the panel's tests, made by the engine in a process of its own: the bench stays without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_MAKE = """
import json, sys
from pathlib import Path
import torch
from SwinSSLLib.models import make_card, save_model
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.settings import InputSettings, NetworkSettings

folder, background, spacing, weights, network = json.loads(sys.argv[1])
torch.manual_seed(1)
settings = NetworkSettings(**network)
state = build_segmenter(settings).state_dict()
state["out.conv.conv.bias"][0] += background
inputs = InputSettings(spacing=(spacing,) * 3, roi=(64, 64, 32))
card = make_card("segmenter", settings, inputs, {"created": "2026-11-23"})
card["metrics"] = {"validation": {"dice": 0.5, "cases": ["a", "b"]}}
save_model(Path(folder), card, state)
if weights:
    torch.save(state, weights)
"""


TINY = {"feature_size": 12, "window": 4, "num_heads": [1, 2, 4, 8]}
#: The network of the smallest published model.
PUBLISHED = {"feature_size": 12, "window": 7}


def makeSegmenter(
    folder: Path,
    background: float = 0.0,
    spacing: float = 8.0,
    weights: Path | None = None,
    network: dict[str, Any] | None = None,
) -> Path:
    """A segmenter of random weights in a model folder.

    Args:
        folder: to be made.
        background: added to the score of the background; a large one finds no organ.
        spacing: voxel size in mm.
        weights: also write the bare state dict here, as others publish it.
        network: settings of the network.
    """
    order = json.dumps([str(folder), background, spacing, str(weights) if weights else "", network or TINY])
    subprocess.run([sys.executable, "-c", _MAKE, order], cwd=ROOT, check=True, capture_output=True)
    return folder

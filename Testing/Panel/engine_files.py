"""Small things for workers to work on: phantoms, settings, finished runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import slicer

ROOT = Path(__file__).resolve().parents[2]
#: The smallest network and sub-volume that train.
NETWORK = {"feature_size": 12, "window": 4, "num_heads": [1, 2, 4, 8]}
TRAINING = {
    "steps": 4,
    "batch": 2,
    "warmup": 1,
    "validate_every": 2,
    "checkpoint_every": 2,
    "preview_every": 2,
    "workers": 0,
    "device": "cpu",
}
PRETRAIN = {
    "network": NETWORK,
    "input": {"spacing": [8.0, 8.0, 8.0], "roi": [32, 32, 32]},
    "training": TRAINING,
    "validation_sub_volumes": 4,
    "preview_sub_volumes": 4,
}
FINETUNE = {
    "network": NETWORK,
    "input": {"spacing": [8.0, 8.0, 8.0], "roi": [64, 32, 32]},
    "training": {**TRAINING, "best": "dice"},
    "overlap": 0.0,
}


def settingsFile(folder: Path, settings: dict[str, Any], **training: Any) -> Path:
    """A settings file, with changes to its training section."""
    path = folder / f"settings-{abs(hash(str(training))) % 10000}.json"
    path.write_text(json.dumps({**settings, "training": {**settings["training"], **training}}))
    return path


def engineRun(*arguments: object) -> None:
    """Run a command of the engine to its end."""
    command = [sys.executable, "-m", "SwinSSLLib", *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def cohort(folder: Path) -> Path:
    """Six coarse phantoms with a datalist, as in the tests of the engine."""
    sizes = ("--spacing", "8", "8", "8", "--split", "2", "1", "3")
    engineRun("phantoms", "--count", 6, "--seed", 5, "--out", folder, *sizes)
    return folder


def phantomVolume(seed: int = 2, name: str = "Phantom") -> tuple[Any, np.ndarray]:
    """A phantom CT in the scene, and its labels (K, J, I)."""
    from SwinSSLLib.data.phantom import make_phantom

    phantom = make_phantom(seed, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36))
    node = slicer.util.addVolumeFromArray(phantom.image.array.transpose(2, 1, 0), name=name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(phantom.image.ijk_to_ras))
    return node, phantom.labels.array.transpose(2, 1, 0)

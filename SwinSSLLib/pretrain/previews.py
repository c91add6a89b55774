"""Preview files: what a person looks at while the network learns (format: DESIGN of the run folder)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from SwinSSLLib import atomic
from SwinSSLLib.pretrain.validation import Shown


def write_preview(folder: Path, step: int, shown: Shown, hu_window: tuple[float, float]) -> Path:
    """Write ``step-000500.npz``, whole or not at all, and return it.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    file = folder / f"step-{step:06d}.npz"
    with atomic.replacing(file) as opened:
        np.savez_compressed(
            opened,
            original=_small(shown.original),
            masked=_small(shown.masked),
            reconstructed=_small(shown.reconstructed),
            rotation_true=shown.rotation_true.cpu().numpy(),
            rotation_probability=shown.rotation_probability.cpu().numpy(),
            similarity=shown.similarity.cpu().numpy(),
            confusion=shown.confusion.numpy(),
            ijk_to_ras=np.stack([block.ijk_to_ras for block in shown.blocks]),
            source=np.array([block.entry.name for block in shown.blocks]),
            hu_window=np.asarray(hu_window, dtype=np.float64),
            step=np.int64(step),
        )
    return file


def _small(volumes: Tensor) -> np.ndarray:
    """Half precision, 0..1: a picture needs no more, and a reconstruction may overshoot."""
    return volumes.float().clamp(0, 1).cpu().numpy().astype(np.float16)

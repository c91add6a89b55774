"""How much memory the scores of a long CT need: a 512 x 512 x 1000 CT, 14 classes, peak resident memory.

    python Testing/Benchmarks/segment_memory.py [--size 512 512 1000] [--spacing own|network] [--roi 96]

The network is as cheap as can be (a few thresholds), so what is measured is the sliding window, the blending, the
way back to the input's grid and the label map. ``own`` keeps the CT's voxels, so that the scores are as large as
they can be: kept whole in float32 they would take 14 GiB. ``network`` resamples to 1.5 x 1.5 x 2 mm first.
"""

from __future__ import annotations

import argparse
import os
import threading
import time

import numpy as np
import psutil
import torch

from SwinSSLLib.data.geometry import RAS_DIRECTION, Volume
from SwinSSLLib.models import make_card
from SwinSSLLib.segment.pipeline import Options, segment_volume
from SwinSSLLib.settings import InputSettings, NetworkSettings

GIB = 2**30
CLASSES = 14


class Bands(torch.nn.Module):
    """Tells 13 bands of HU apart: costs next to nothing and finds every class somewhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centres = torch.linspace(0.0, 1.0, CLASSES).view(1, -1, 1, 1, 1)
        return (x - centres).abs_().mul_(-40.0)


class Peak:
    """The largest resident memory of this process while it runs, in bytes."""

    def __init__(self) -> None:
        self.value, self._stop = 0, threading.Event()

    def __enter__(self) -> Peak:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _watch(self) -> None:
        process = psutil.Process(os.getpid())
        while not self._stop.wait(0.02):
            self.value = max(self.value, process.memory_info().rss)


def a_long_ct(size: tuple[int, int, int]) -> Volume:
    """Smooth waves of all HU of the window, so that every organ has a place; memory as SimpleITK lays it out."""
    i, j, k = (
        np.sin(np.linspace(0, turns * np.pi, n, dtype=np.float32)) for n, turns in zip(size, (4, 3, 9), strict=True)
    )
    plane = 100.0 * i[None, :] + 100.0 * j[:, None]
    array = np.stack([(37.0 + plane + 100.0 * value).astype(np.int16) for value in k])
    return Volume(array.T, (0.8, 0.8, 0.8), (0.0, 0.0, 0.0), RAS_DIRECTION, name="a long CT")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=3, type=int, default=(512, 512, 1000))
    parser.add_argument("--spacing", choices=("own", "network"), default="own")
    parser.add_argument("--roi", type=int, default=96)
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    spacing = None if given.spacing == "own" else (1.5, 1.5, 2.0)
    inputs = InputSettings(spacing=spacing, roi=(given.roi,) * 3)
    card = make_card("segmenter", NetworkSettings(), inputs, {})
    volume = a_long_ct(tuple(given.size))
    before = psutil.Process(os.getpid()).memory_info().rss
    started = time.perf_counter()
    with Peak() as peak:
        result = segment_volume(volume, card, Bands(), Options(overlap=given.overlap, device="cpu"))
    found = sum(organ.present for organ in result.organs)
    whole = CLASSES * volume.array.size * 4
    print(
        f"CT {' x '.join(map(str, volume.shape))}, {volume.array.nbytes / GIB:.2f} GiB; "
        f"grid: {given.spacing}; roi {given.roi}"
    )
    print(f"organs found: {found} of 13; {time.perf_counter() - started:.0f} s on {given.threads} threads")
    print(f"whole scores in float32 would be {whole / GIB:.1f} GiB at the CT's own voxels")
    print(f"peak above the loaded CT: {(peak.value - before) / GIB:.2f} GiB (scores, resampled copies, label map)")


if __name__ == "__main__":
    main()

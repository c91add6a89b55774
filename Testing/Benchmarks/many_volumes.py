"""Does memory grow with the number of volumes? Draws sub-volumes from stores of growing size and prints the memory.

    python Testing/Benchmarks/many_volumes.py                    500, 1000, 2500, 5000 volumes of real size
    python Testing/Benchmarks/many_volumes.py --counts 50 400 --shape 64 64 64 --json

The volumes are sparse files of the size of an abdominal CT at 1.5 x 1.5 x 2 mm, so that thousands of
them need hardly any disk; they go through the same store and sampler as real ones. Every size is
measured in a process of its own. "RSS" is the memory of the process after the draws, "opened" what it
took to list the store.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from SwinSSLLib.data.entries import CARD, IMAGE
from SwinSSLLib.data.geometry import RAS_DIRECTION
from SwinSSLLib.data.sampling import SubVolumeSampler
from SwinSSLLib.data.store import Store


def make_entries(root: Path, count: int, shape: tuple[int, int, int]) -> None:
    """Entries with cards as the store writes them and sparse arrays."""
    for number in range(count):
        folder = root / f"{number:032x}"
        folder.mkdir(parents=True)
        image = np.lib.format.open_memmap(folder / IMAGE, mode="w+", dtype=np.int16, shape=shape)
        image[0, 0, 0] = number  # one page is real, the rest is a hole that reads as zeros
        del image
        card = {
            "format": 1,
            "key": folder.name,
            "name": f"volume-{number:05d}",
            "source": f"/data/volume-{number:05d}.nii.gz",
            "recipe": {"spacing": [1.5, 1.5, 2.0], "version": 1},
            "shape": shape,
            "spacing": [1.5, 1.5, 2.0],
            "origin": [0.0, 0.0, 0.0],
            "direction": RAS_DIRECTION,
            "content": folder.name,
            "labels": False,
            "warnings": [],
            "files": {IMAGE: {"bytes": (folder / IMAGE).stat().st_size, "sha256": ""}},
        }
        (folder / CARD).write_text(json.dumps(card))


def draw(root: Path, draws: int, roi: int) -> dict[str, float]:
    """Draw sub-volumes from all entries of a store and report the memory of this process."""
    import psutil

    process = psutil.Process()
    before = process.memory_info().rss
    entries = Store(root).entries()
    opened = process.memory_info().rss
    sampler = SubVolumeSampler(entries, (roi, roi, roi), seed=0)
    touched = set()
    for number in range(draws):
        block = sampler.draw(number)
        touched.add(block.entry.key)
    used = process.memory_info().rss
    files = process.num_handles() if sys.platform == "win32" else process.num_fds()
    apparent = sum((entry.folder / IMAGE).stat().st_size for entry in entries)
    return {
        "volumes": len(entries),
        "gib": apparent / 2**30,
        "touched": len(touched),
        "start_mib": before / 2**20,
        "opened_mib": opened / 2**20,
        "rss_mib": used / 2**20,
        "open_files": files,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 1000, 2500, 5000])
    parser.add_argument("--shape", type=int, nargs=3, default=[224, 192, 144])
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--roi", type=int, default=96)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(draw(given.one, given.draws, given.roi)))
        return
    rows = []
    if not given.json:
        print("volumes   voxels GiB   touched   start MiB   opened MiB   RSS MiB   open files")
    for count in given.counts:
        with tempfile.TemporaryDirectory() as folder:
            make_entries(Path(folder), count, (given.shape[0], given.shape[1], given.shape[2]))
            command = [sys.executable, __file__, "--one", folder, "--draws", str(given.draws), "--roi", str(given.roi)]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append(row)
        if not given.json:
            print(
                f"{row['volumes']:7d}   {row['gib']:10.1f}   {row['touched']:7d}   {row['start_mib']:9.1f}"
                f"   {row['opened_mib']:10.1f}   {row['rss_mib']:7.1f}   {row['open_files']:10d}",
                flush=True,
            )
    if given.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()

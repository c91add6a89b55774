"""Reading CTs and drawing sub-volumes, ours beside MONAI's transforms and caches.

    python3 Testing/run.py benchmark data [--rounds 5] [--shape 512 512 150]

First read: a .nii.gz of 0.8 x 0.8 x 3 mm becomes the source of sub-volumes at 1.5 x 1.5 x 2 mm. MONAI's side is what
its tutorials and the public code use (LoadImage, channel first, Orientation RAS, Spacing, ScaleIntensityRange), without
and with PersistentDataset, which writes its result; ours always writes the store's entry, with checksums, and checks
the file. Warm: sub-volumes of 96³ a second from what is then there. MONAI's CacheDataset holds the CTs in memory; ours
and PersistentDataset have them on disk. Ours rejects sub-volumes of air as in the preset ``recommended``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sides

SPACING, WINDOW, ROI = (1.5, 1.5, 2.0), (-175.0, 250.0), (96, 96, 96)
CHAIN, PERSISTENT, OURS = "MONAI chain", "MONAI chain, PersistentDataset", "SwinSSL store"
WARM_CACHE, WARM_PERSISTENT, WARM_OURS = "MONAI CacheDataset", "MONAI PersistentDataset", "SwinSSL store, warm"
FIRST = (CHAIN, PERSISTENT, OURS)
WARM = (WARM_CACHE, WARM_PERSISTENT, WARM_OURS)


def main() -> int:
    """Measure all variants, or one of them for the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides.add_options(parser)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 150))
    parser.add_argument("--draws", type=int, default=2000, help="warm sub-volumes of each process")
    parser.add_argument("--ct", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        sides.tell(measure(arguments))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        ct = arguments.ct or write_ct(Path(folder) / "ct.nii.gz", tuple(arguments.shape))
        own = ["--ct", str(ct), "--draws", str(arguments.draws), "--threads", str(arguments.threads)]
        found = sides.take_turns(Path(__file__), (*FIRST, *WARM), arguments.rounds, own)
    report(arguments, found)
    return 0


def report(arguments: argparse.Namespace, found: dict[str, list[sides.Run]]) -> None:
    """Print both tables; write JSON and charts."""
    size = " x ".join(map(str, arguments.shape))
    print(sides.machine_words(), "", f"First read of {size}, .nii.gz:", sep="\n")
    first = {name: found[name] for name in FIRST}
    warm = {name: found[name] for name in WARM}
    print(sides.table(first))

    def rate(runs: Any) -> str:
        return f"{1000 / sides.median(runs):,.0f}"

    print("\nA warm sub-volume of 96³ (ms):")
    print(sides.table(warm, unit="ms", more={"a second": rate}))
    sides.save(arguments.out / "data.json", found, shape=list(arguments.shape), draws=arguments.draws)
    sides.chart(arguments.out / "data-first.png", first, title=f"First read of a CT of {size}")
    sides.chart(arguments.out / "data-warm.png", warm, title="A warm sub-volume of 96³", unit="ms")
    print(f"  {arguments.out / 'data'}.json, -first.png, -warm.png")


def write_ct(path: Path, shape: tuple[int, ...]) -> Path:
    """The embedded CT, resampled to the shape of a clinical one with its noise, so that it compresses as such."""
    import numpy as np
    import SimpleITK as sitk

    source = sitk.ReadImage(str(sides.ROOT / "Testing" / "Data" / "lidc-idri-0001-ct.nii.gz"))
    spacing = [
        have * size / want for have, size, want in zip(source.GetSpacing(), source.GetSize(), shape, strict=True)
    ]
    image = sitk.Resample(
        source, list(shape), sitk.Transform(), sitk.sitkLinear, source.GetOrigin(), spacing, source.GetDirection()
    )
    values = sitk.GetArrayFromImage(image) + np.random.default_rng(0).normal(0, 12, shape[::-1]).astype(np.int16)
    noisy = sitk.GetImageFromArray(values.astype(np.int16))
    noisy.CopyInformation(image)
    noisy.SetSpacing((0.8, 0.8, 3.0))
    sitk.WriteImage(noisy, str(path), useCompression=True)
    return path


def measure(arguments: argparse.Namespace) -> sides.Run:
    """What one process finds."""
    import torch

    torch.set_num_threads(arguments.threads)
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        return VARIANTS[arguments.variant](arguments, Path(folder))


def transforms() -> list[Any]:
    """MONAI's chain, deterministic part."""
    from monai.transforms import EnsureChannelFirstd, LoadImaged, Orientationd, ScaleIntensityRanged, Spacingd

    return [
        LoadImaged(keys="image"),
        EnsureChannelFirstd(keys="image"),
        Orientationd(keys="image", axcodes="RAS", labels=None),
        Spacingd(keys="image", pixdim=SPACING, mode="bilinear"),
        ScaleIntensityRanged("image", *WINDOW, 0.0, 1.0, clip=True),
    ]


def once(action: Callable[[], Any]) -> sides.Run:
    """Time of one call; the file lies in the system's cache for all variants."""
    started = time.perf_counter()
    action()
    return {"seconds": time.perf_counter() - started, "peak_mib": sides.peak_mib()}


def warm(draw: Callable[[], Any], count: int) -> sides.Run:
    """Milliseconds of a draw, the mean of many; ``seconds`` is the key of all tables."""
    for _ in range(20):
        draw()
    started = time.perf_counter()
    for _ in range(count):
        draw()
    return {"seconds": 1000 * (time.perf_counter() - started) / count, "peak_mib": sides.peak_mib()}


def chain(arguments: argparse.Namespace, folder: Path) -> sides.Run:
    """The transforms alone."""
    from monai.transforms import Compose

    whole = Compose(transforms())
    return once(lambda: whole({"image": str(arguments.ct)}))


def persistent(arguments: argparse.Namespace, folder: Path) -> sides.Run:
    """The transforms and the file that PersistentDataset writes."""
    from monai.data import PersistentDataset

    dataset = PersistentDataset([{"image": str(arguments.ct)}], transforms(), cache_dir=folder)
    return once(lambda: dataset[0])


def store(arguments: argparse.Namespace, folder: Path) -> sides.Run:
    """Our entry: checked, resampled, written, with checksums."""
    from SwinSSLLib.data.store import Recipe, Store

    return once(lambda: Store(folder).add(arguments.ct, Recipe(SPACING)))


def warm_cache(arguments: argparse.Namespace, folder: Path) -> sides.Run:
    """CTs in memory, a random crop each time; the cached volume is not copied before."""
    from monai.data import CacheDataset
    from monai.transforms import RandSpatialCropd

    crop = RandSpatialCropd("image", ROI, random_size=False)
    dataset = CacheDataset([{"image": str(arguments.ct)}], [*transforms(), crop], progress=False, copy_cache=False)
    return warm(lambda: dataset[0], arguments.draws)


def warm_persistent(arguments: argparse.Namespace, folder: Path) -> sides.Run:
    """CTs as torch files on disk, a random crop each time."""
    from monai.data import PersistentDataset
    from monai.transforms import RandSpatialCropd

    crop = RandSpatialCropd("image", ROI, random_size=False)
    dataset = PersistentDataset([{"image": str(arguments.ct)}], [*transforms(), crop], cache_dir=folder)
    return warm(lambda: dataset[0], min(arguments.draws, 50))


def warm_store(arguments: argparse.Namespace, folder: Path) -> sides.Run:
    """As training draws them: by threads, read ahead, air rejected."""
    from SwinSSLLib.data.sampling import BatchReader, SubVolumeSampler
    from SwinSSLLib.data.store import Recipe, Store
    from SwinSSLLib.presets import pretrain_settings

    settings = pretrain_settings("recommended", {"training": {"batch": 1, "workers": arguments.threads}})
    entry = Store(folder).add(arguments.ct, Recipe(SPACING))
    sampler = SubVolumeSampler([entry], ROI, 0, settings.air_below, settings.most_air)
    reader = BatchReader(sampler.draw, settings.training, 1, 0)
    steps = iter(range(10**9))
    return warm(lambda: reader.batch(next(steps), 0), arguments.draws)


VARIANTS = {
    CHAIN: chain,
    PERSISTENT: persistent,
    OURS: store,
    WARM_CACHE: warm_cache,
    WARM_PERSISTENT: warm_persistent,
    WARM_OURS: warm_store,
}


if __name__ == "__main__":
    sys.exit(main())

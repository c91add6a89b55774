"""Sample data of the module, so that everybody has something to try it with."""

from __future__ import annotations

import logging
from pathlib import Path

from SwinSSLPanel import engine

#: Name of the category in Slicer's Sample Data module.
CATEGORY = "SwinSSL"


def sampleFile() -> Path | None:
    """The embedded CT, where the extension carries it."""
    found = sorted((engine.engineRoot() / "Testing" / "Data").glob("*.nii.gz"))
    images = [path for path in found if "label" not in path.name]
    return images[0] if images else None


def register() -> None:
    """Register the embedded CT; where it is not installed there is nothing to register."""
    import SampleData

    image = sampleFile()
    if image is None:
        logging.info("SwinSSL: the sample CT is not installed.")
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName="SwinSSLAbdomenCT",
        uris=image.as_uri(),
        fileNames=image.name,
        nodeNames="AbdomenCT",
        loadFileType="VolumeFile",
    )

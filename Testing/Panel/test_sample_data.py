"""Sample data: both are registered, load into the scene, and are what they say."""

from __future__ import annotations

import numpy as np
import SampleData
import slicer
from SwinSSLPanel import sampleData
from SwinSSLPanel.segmentations import matches

from SwinSSLLib.data.phantom import make_phantom


def test_the_embedded_ct_is_registered_and_loads(a_bench):
    sampleData.register()
    node = SampleData.SampleDataLogic().downloadSample("SwinSSLAbdomenCT")
    array = slicer.util.arrayFromVolume(node)
    assert array.shape == (80, 195, 241)
    assert array.min() < -900


def test_the_phantom_is_made_on_the_spot_with_its_organs(a_bench):
    sampleData.register()
    volume = SampleData.SampleDataLogic().downloadSample("SwinSSLPhantom")
    assert volume.GetName() == "Phantom"
    phantom = make_phantom(sampleData.PHANTOM_SEED)
    assert np.array_equal(slicer.util.arrayFromVolume(volume), phantom.image.array.transpose(2, 1, 0))
    segmentation = slicer.util.getNode("Phantom organs")
    for match in matches(segmentation):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, match.segmentID, volume) > 0
        assert np.array_equal(mask, phantom.labels.array.transpose(2, 1, 0) == match.organ.id), match.organ.name
    assert len(matches(segmentation)) == 13


def test_without_its_packages_the_phantom_says_what_to_do(a_bench, monkeypatch, caplog):
    import sys

    monkeypatch.setitem(sys.modules, "SwinSSLLib.data.phantom", None)
    assert sampleData.makePhantom() is None
    assert "Run Setup first" in caplog.text

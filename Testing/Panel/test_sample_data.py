"""Sample data: both are registered, load into the scene, and are what they say."""

from __future__ import annotations

import sys
from pathlib import Path

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


def test_every_sample_has_a_picture_in_the_module_sample_data(a_bench):
    sampleData.register()
    sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory(sampleData.CATEGORY)
    assert len(sources) == 2
    for source in sources:
        picture = Path(source.thumbnailFileName)
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", source.sampleName


def test_every_further_phantom_is_another_patient(a_bench):
    sampleData.register()
    volumes = [SampleData.SampleDataLogic().downloadSample("SwinSSLPhantom") for _ in range(3)]
    assert [volume.GetName() for volume in volumes] == ["Phantom", "Phantom 2", "Phantom 3"]
    assert slicer.util.getNode("Phantom 3 organs") is not None
    arrays = [slicer.util.arrayFromVolume(volume) for volume in volumes]
    assert not np.array_equal(arrays[0], arrays[1])
    assert not np.array_equal(arrays[1], arrays[2])
    slicer.mrmlScene.RemoveNode(volumes[0])
    fourth = SampleData.SampleDataLogic().downloadSample("SwinSSLPhantom")
    assert fourth.GetName() == "Phantom 4"


def test_without_its_packages_the_phantom_says_what_to_do(a_bench, monkeypatch):
    shown = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_: shown.append(text))
    monkeypatch.setitem(sys.modules, "SwinSSLLib.data.phantom", None)
    sampleData.register()
    assert SampleData.SampleDataLogic().downloadSample("SwinSSLPhantom") is None
    assert shown == ["Python packages are missing. Open SwinSSL > Setup and press Install…"]
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []

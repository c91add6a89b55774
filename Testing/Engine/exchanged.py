"""Models that go in and out, and the CT that they are tried on. What imports torch is imported late (see conftest)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SwinSSLLib.settings import InputSettings, NetworkSettings

INPUT = InputSettings(spacing=(3.0, 3.0, 3.0), roi=(64, 64, 32))


@pytest.fixture(scope="session")
def a_published_encoder(swin_unetr_of_monai_1_4):
    """A Swin encoder of the MONAI that all published weights are from."""
    import layouts

    return layouts.encoder_of_monai_1_4(swin_unetr_of_monai_1_4)


def a_segmenter_folder(folder: Path, merging: str, **network) -> Path:
    """A segmenter of random but lively weights, in a model folder."""
    import layouts
    import torch

    from SwinSSLLib.models import make_card, save_model
    from SwinSSLLib.nets.swin import build_segmenter

    settings = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8), merging=merging, **network)
    torch.manual_seed(1)
    state = layouts.random_(build_segmenter(settings)).state_dict()
    card = make_card("segmenter", settings, INPUT, {"created": "2026-11-23", "data": []})
    card["metrics"] = {"validation": {"dice": 0.5, "cases": ["a"]}}
    save_model(folder, card, state)
    return folder


@pytest.fixture(scope="session", params=["legacy", "fixed", "v2"])
def a_segmenter_of_each_merging(request, tmp_path_factory):
    """A segmenter in memory, as it is read from its model folder."""
    from SwinSSLLib.models import load_model

    return load_model(a_segmenter_folder(tmp_path_factory.mktemp("model") / "m", request.param))


@pytest.fixture(scope="session")
def a_phantom_file(tmp_path_factory) -> Path:
    """A phantom's CT."""
    from SwinSSLLib.data.phantom import make_phantom
    from SwinSSLLib.data.volumes import write_volume

    path = tmp_path_factory.mktemp("ct") / "phantom.nii.gz"
    write_volume(make_phantom(3, spacing=(3.0, 3.0, 3.0), shape=(80, 72, 48)).image, path)
    return path


def labels_of(path: Path) -> np.ndarray:
    """The voxels of a label file, by SimpleITK alone."""
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))

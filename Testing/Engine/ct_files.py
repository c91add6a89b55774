"""What tests of reading CT start from: a small oblique CT, and the refusal of a file as one sentence."""

from __future__ import annotations

import re

import numpy as np
import pytest

from SwinSSLLib.data.volumes import Volume, read_volume, write_volume
from SwinSSLLib.errors import InputError

ANGLE = 0.3
OBLIQUE = (np.cos(ANGLE), -np.sin(ANGLE), 0.0, np.sin(ANGLE), np.cos(ANGLE), 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def a_ct() -> Volume:
    array = np.random.default_rng(3).integers(-1000, 1200, (28, 24, 20)).astype(np.int16)
    return Volume(array, (0.7421875, 0.765, 2.5), (-181.3, 12.25, -907.123), OBLIQUE, "a")


def sentence_of(path, reader=read_volume, kind=InputError) -> str:
    """The refusal, which must be one line that names the file and carries no words of ITK."""
    with pytest.raises(kind) as caught:
        reader(path)
    message = caught.value.message
    assert str(path) in message
    assert caught.value.hint
    assert "\n" not in message and not re.search(r"itk|exception|0x[0-9a-f]{6}|\.cxx", message, re.IGNORECASE), message
    return message


def nifti_bytes(volume: Volume, folder) -> bytes:
    path = folder / "whole.nii"
    write_volume(volume, path)
    return path.read_bytes()

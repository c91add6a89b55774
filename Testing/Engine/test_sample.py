"""The embedded sample: a real CT that reads without a warning and lies the right way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SwinSSLLib.data.volumes import Volume, read_labels, read_volume
from SwinSSLLib.organs import ORGANS

DATA = Path(__file__).parents[1] / "Data"
ID = {organ.name: organ.id for organ in ORGANS}


@pytest.fixture(scope="module")
def the_ct() -> Volume:
    return read_volume(DATA / "lidc-idri-0001-ct.nii.gz")


@pytest.fixture(scope="module")
def the_labels(the_ct) -> Volume:
    return read_labels(DATA / "lidc-idri-0001-labels.nii.gz", the_ct)


def centre(volume: Volume, mask: np.ndarray) -> np.ndarray:
    """RAS millimetres of the middle of a mask."""
    return (volume.ijk_to_ras @ [*np.argwhere(mask).mean(axis=0), 1.0])[:3]


def test_the_sample_is_small_and_comes_with_its_licence():
    assert sum(path.stat().st_size for path in DATA.glob("*.nii.gz")) < 8_000_000
    words = (DATA / "README.md").read_text() + (DATA / "LICENSE.txt").read_text()
    owed = ("CC BY 3.0", "10.7937/K9/TCIA.2015.LO9QL9SX", "Clark", "Vivek Gopalakrishnan", "not of an expert")
    for line in owed:
        assert line in words


def test_the_values_are_hounsfield_units(the_ct, the_labels):
    assert the_ct.warnings == () and the_ct.array.dtype == np.int16
    means = {name: the_ct.array[the_labels.array == ID[name]].mean() for name in ("liver", "spleen", "aorta")}
    assert 40 < means["liver"] < means["spleen"] < means["aorta"] < 500
    body = the_ct.array[60:180, 40:150, :20]
    values, edges = np.histogram(body[(body > -200) & (body < -20)], bins=36)
    assert -125 < edges[values.argmax()] < -85  # the peak of fat


def test_twelve_organs_are_there_and_lie_where_they_should(the_ct, the_labels):
    there = set(np.unique(the_labels.array)) - {0}
    assert there == set(range(1, 14)) - {ID["gallbladder"]}
    at = {name: centre(the_labels, the_labels.array == number) for name, number in ID.items() if number in there}
    right, front, up = 0, 1, 2
    assert at["liver"][right] > at["spleen"][right] + 80
    assert at["right kidney"][right] > at["left kidney"][right] + 80
    assert at["inferior vena cava"][right] > at["aorta"][right]
    assert at["stomach"][front] > at["spleen"][front] + 30
    lung = the_ct.array < -700
    lung[[0, -1]] = False
    inner = np.zeros_like(lung)
    inner[60:180, 50:150] = True
    assert centre(the_ct, lung & inner)[up] > at["liver"][up] + 30
    bone = (the_ct.array > 250) & (the_labels.array == 0)
    bone[..., 40:] = False  # above are vessels and a heart full of contrast
    assert (
        centre(the_ct, bone & inner)[front] < centre(the_labels, the_labels.array[..., :40] == ID["aorta"])[front] - 20
    )

"""Slices, overlays and charts: right side round, in colours that tell."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from report_pages import decoded

from SwinSSLLib.data.geometry import RAS_DIRECTION, Volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.evaluate.charts import FIRST, Curve, Series, curve_svg
from SwinSSLLib.evaluate.pictures import busiest, colour_over, cut, data_uri, overlay_figure


def test_slices_are_shown_as_radiologists_expect_them():
    volume = np.zeros((5, 6, 7))
    volume[4, 5, 6] = 1.0  # rightmost, foremost, highest
    assert cut(volume, "axial", 6).pixels[0, 0] == 1, "right on the left, front on top"
    assert cut(volume, "coronal", 5).pixels[0, 0] == 1, "right on the left, head on top"
    assert cut(volume, "sagittal", 4).pixels[0, 0] == 1, "front on the left, head on top"
    assert cut(volume, "axial").pixels.shape == (6, 5)
    assert cut(volume, "coronal", spacing=(2.0, 1.0, 4.0)).ratio == pytest.approx(5 * 2 / (7 * 4))


def test_the_slice_that_shows_most_organs_is_chosen():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[1:9, 1:9, 2] = 6  # one large organ
    labels[1:3, 1:3, 7], labels[4:6, 1:3, 7], labels[7:9, 1:3, 7] = 1, 2, 3  # three small ones
    assert busiest(labels, "axial") == 7
    assert busiest(np.zeros((4, 4, 9)), "axial") == 4


def test_colours_are_laid_over_with_a_clear_edge():
    labels = np.zeros((9, 9), np.uint8)
    labels[2:7, 2:7] = 1
    picture = colour_over(np.full((9, 9), 0.5), labels, {1: (255, 0, 0)})
    assert np.allclose(picture[0, 0], 0.5)
    inside, edge = picture[4, 4], picture[2, 4]
    assert inside[0] > inside[1] > 0.2, "the CT stays visible"
    assert edge[0] > inside[0]
    assert edge[1] < 0.1
    back = decoded(data_uri(picture))
    assert np.abs(back - picture).max() < 0.01


def test_an_overlay_shows_the_organs_whatever_the_orientation(tmp_path):
    array = np.full((24, 20, 16), -1000, np.int16)
    array[4:20, 4:16, 2:14] = 60
    labels = np.zeros(array.shape, np.uint8)
    labels[14:19, 5:10, 4:12] = 6  # towards the patient's right and back
    upright = Volume(array, (2.0, 2.0, 3.0), (0.0, 0.0, 0.0), RAS_DIRECTION, name="ct")
    files = []
    for name, flip in (("upright", False), ("flipped", True)):
        ct, organs = upright, replace(upright, array=labels)
        if flip:
            turned = {"direction": tuple(np.eye(3).ravel()), "origin": (-46.0, -38.0, 0.0)}
            ct = replace(upright, array=array[::-1, ::-1], **turned)
            organs = replace(upright, array=labels[::-1, ::-1], **turned)
        files.append(tmp_path / f"{name}.png")
        overlay_figure(ct, organs, title="ct").savefig(files[-1])
    first, second = (imread(file)[..., :3] for file in files)
    assert np.abs(first - second).mean() < 1e-3
    axial = first[:, : first.shape[1] // 3]
    reddish = (axial[..., 0] - axial[..., 2] > 0.15).nonzero()[1]
    assert np.median(reddish) < axial.shape[1] / 2, "the patient's right is on the left"
    with pytest.raises(InputError, match="do not lie on the grid"):
        overlay_figure(upright, replace(upright, array=labels, origin=(5.0, 0.0, 0.0)))


def test_two_pictures_of_one_ct_can_show_the_same_slices(tmp_path):
    """What was found and what is there are compared by looking: an organ of the one at another height is left out."""
    ct = Volume(np.zeros((20, 20, 20), np.int16), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), RAS_DIRECTION, "ct")
    low, high = np.zeros((2, 20, 20, 20), np.uint8)
    low[4:16, 4:16, 3], high[4:16, 4:16, 15] = 6, 6
    truth, found = (replace(ct, array=labels) for labels in (low, high))

    def painted(**options) -> int:
        overlay_figure(ct, found, planes=("axial",), **options).savefig(tmp_path / "a.png")
        picture = imread(tmp_path / "a.png")[..., :3]
        return int((np.ptp(picture, axis=-1) > 0.1).sum())

    assert painted(slices_of=truth) < 0.2 * painted(), "only the legend has a colour"


def test_charts_take_their_colours_from_the_page_and_say_what_they_show():
    points = {0: 1.5, 10: 1.0, 20: 0.5}
    drawing = curve_svg(Curve('loss <of> "a\\1"', [Series("training", points, FIRST)], chance=1.386))
    assert "var(--first)" in drawing
    assert not re.search(r"#0[1-7]0[2-8]0[3-9]", drawing), "no stand-in colour is left"
    assert 'aria-label="loss &lt;of&gt; &quot;a\\1&quot;"' in drawing
    assert ">chance<" in drawing

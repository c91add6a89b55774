"""The boards: thumbnails the right way round, bars as long as they say, words that a screen reader reads."""

from __future__ import annotations

import numpy as np
import pytest
import qt
from SwinSSLPanel import boards
from SwinSSLPanel.previews import readPreview
from test_previews import aPreviewFile


def pixels(pixmap) -> np.ndarray:
    """A pixmap as (H, W, 3)."""
    image = pixmap.toImage().convertToFormat(qt.QImage.Format_RGBA8888)
    width, height = image.size().width(), image.size().height()
    return np.frombuffer(image.bits(), np.uint8).reshape(height, width, 4)[..., :3].copy()


@pytest.fixture
def palette(a_bench):
    return qt.QApplication.palette()


@pytest.fixture
def a_preview(tmp_path):
    aPreviewFile(tmp_path / "a.npz", roi=(16, 16, 8))
    return readPreview(tmp_path / "a.npz")


def test_a_thumbnail_has_anterior_up_and_the_patients_right_on_the_left():
    volume = np.zeros((9, 7, 5))
    volume[8, 6, 2] = 1.0  # far right of the patient, far anterior, in the middle slice
    rows = boards.thumbnail(volume)
    assert rows.shape == (7, 9)
    assert rows[0, 0] == 255
    assert rows.sum() == 255


@pytest.mark.parametrize("shape", [(7, 9), (8, 8), (5, 6), (3, 13)])
def test_pictures_of_every_width_keep_their_pixels(palette, shape):
    """Rows of bytes that are not a multiple of four are where pictures get skewed."""
    rows = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    found = pixels(boards.toPixmap(rows, shape[1], shape[0]))
    assert np.array_equal(found[..., 0], rows)
    assert np.array_equal(found[..., 0], found[..., 2])


def test_a_card_shows_right_and_wrong_in_colour_mark_and_words(palette, a_preview):
    assert a_preview.rotationTrue.tolist() == [0, 1, 2, 3]
    right, wrong = (pixels(boards.card(a_preview, number, palette)) for number in (0, 1))
    green, red = (np.array([int(text[n : n + 2], 16) for n in (1, 3, 5)]) for text in (boards.RIGHT, boards.WRONG))
    assert (right == green).all(axis=2).sum() > 400
    assert (wrong == red).all(axis=2).sum() > 100
    assert not (right == red).all(axis=2).any()
    assert "turned by 0°, told 0°, right" in boards.cardWords(a_preview, 0)
    assert "turned by 90°, told 0°, wrong" in boards.cardWords(a_preview, 1)
    assert "0° 70%, 90° 10%" in boards.cardWords(a_preview, 1)


def test_the_bar_of_the_true_angle_is_as_long_as_its_probability(palette, a_preview):
    green = np.array([int(boards.RIGHT[n : n + 2], 16) for n in (1, 3, 5)])
    row = (pixels(boards.card(a_preview, 0, palette))[boards.THUMB + 30] == green).all(axis=1)
    assert row.sum() == round(0.7 * (boards.CARD[0] - 46))


def test_matrices_are_coloured_by_value(palette):
    picture = pixels(boards.similarityPicture(np.array([[1.0, -1.0], [-1.0, 1.0]]), palette, 100))
    assert tuple(picture[25, 25]) == (165, 0, 38)
    assert tuple(picture[25, 75]) == (49, 54, 149)
    confusion = np.diag([4, 3, 2, 1])
    picture = pixels(boards.confusionPicture(confusion, palette, 160))
    assert tuple(picture[3, 3]) == (165, 0, 38)
    assert tuple(picture[3, 60]) == (240, 240, 240)
    assert boards.confusionWords(confusion) == "10 of 10 angles told right (100%; chance 25%)"
    assert boards.confusionWords(np.zeros((4, 4), int)) == "0 of 0 angles told right (0%; chance 25%)"

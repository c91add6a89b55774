"""Pictures of what the network says: a card for each sub-volume, the confusion of angles, the similarity of views.

All are painted into pixmaps, so that they look alike in every style, can be saved, and need no widget of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import qt
from slicer.i18n import tr as _

from SwinSSLPanel.previews import Preview

#: Side of a thumbnail, and width and height of a card, in pixels.
THUMB = 100
CARD = (122, 184)
RIGHT, WRONG = "#2e8b57", "#c0392b"
#: From 0 to 1: dark blue over grey-white to red, readable with every common kind of colour blindness.
_RAMP = ((0.0, (49, 54, 149)), (0.5, (240, 240, 240)), (1.0, (165, 0, 38)))


def angle(turns: int) -> str:
    """Quarter turns as degrees."""
    return f"{90 * int(turns)}°"


def thumbnail(volume: np.ndarray) -> np.ndarray:
    """The middle axial slice of (I, J, K) as grey rows, 0..255: anterior up, the patient's right on the left."""
    middle = volume[:, :, volume.shape[2] // 2]
    return np.ascontiguousarray((np.clip(middle, 0, 1) * 255).astype(np.uint8)[::-1, ::-1].T)


def toPixmap(rows: np.ndarray, width: int, height: int) -> qt.QPixmap:
    """Grey (H, W) or colour (H, W, 3) bytes as a pixmap of a size, its pixels kept apart."""
    colour = rows if rows.ndim == 3 else np.repeat(rows[..., None], 3, axis=2)
    full = np.dstack([colour, np.full(rows.shape[:2], 255, np.uint8)])
    image = qt.QImage(full.tobytes(), rows.shape[1], rows.shape[0], qt.QImage.Format_RGBA8888)
    return qt.QPixmap.fromImage(image).scaled(width, height, qt.Qt.IgnoreAspectRatio, qt.Qt.FastTransformation)


def card(preview: Preview, number: int, palette: qt.QPalette) -> qt.QPixmap:
    """One sub-volume as the network saw it, the true and the told angle, and the four probabilities."""
    width, height = CARD
    probability = preview.rotationProbability[number]
    true, told = int(preview.rotationTrue[number]), int(np.argmax(probability))
    colour = qt.QColor(RIGHT if true == told else WRONG)

    def paint(painter: qt.QPainter) -> None:
        left = (width - THUMB) // 2
        painter.drawPixmap(left, 4, toPixmap(thumbnail(preview.volumes["masked"][number]), THUMB, THUMB))
        painter.setPen(colour)
        painter.drawRect(left - 1, 3, THUMB + 1, THUMB + 1)
        mark = "✓" if true == told else "✗"
        told_ = _("{mark} {true} → {told} {share:.0%}").format(
            mark=mark, true=angle(true), told=angle(told), share=probability[told]
        )
        _text(painter, qt.QRect(0, THUMB + 6, width, 16), told_, colour)
        for turns in range(4):
            _bar(painter, turns, float(probability[turns]), turns == true, colour, palette)

    return painted(width, height, palette, paint)


def _bar(painter: qt.QPainter, turns: int, share: float, true: bool, colour: qt.QColor, palette: qt.QPalette) -> None:
    top, left, length = THUMB + 26 + 13 * turns, 40, CARD[0] - 46
    text = palette.color(qt.QPalette.WindowText)
    _text(painter, qt.QRect(0, top - 2, left - 6, 14), angle(turns), text, qt.Qt.AlignRight)
    painter.fillRect(left, top, length, 9, palette.color(qt.QPalette.Mid))
    painter.fillRect(left, top, round(length * share), 9, colour if true else palette.color(qt.QPalette.Dark))


def matrixPicture(
    values: np.ndarray, palette: qt.QPalette, side: int, low: float, high: float, texts: list[list[str]] | None = None
) -> qt.QPixmap:
    """A matrix as coloured fields from ``low`` to ``high``, with a text in each if given."""
    rows = colours(np.clip((values - low) / max(high - low, 1e-9), 0, 1))

    def paint(painter: qt.QPainter) -> None:
        painter.drawPixmap(0, 0, toPixmap(rows, side, side))
        for row, line in enumerate(texts or []):
            for column, text in enumerate(line):
                step = side / len(line)
                field = qt.QRect(round(column * step), round(row * step), round(step), round(step))
                red, green, blue = (int(channel) for channel in rows[row, column])
                dark = 0.3 * red + 0.59 * green + 0.11 * blue < 140
                _text(painter, field, text, qt.QColor("white" if dark else "black"))

    return painted(side, side, palette, paint)


def confusionPicture(confusion: np.ndarray, palette: qt.QPalette, side: int = 168) -> qt.QPixmap:
    """True angle by row, told angle by column; the colour is the share of its row, the number the count."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return matrixPicture(shares, palette, side, -1.0, 1.0, [[str(count) for count in row] for row in confusion])


def similarityPicture(similarity: np.ndarray, palette: qt.QPalette, side: int = 168) -> qt.QPixmap:
    """Cosine similarities of all views, -1 to 1; the partners stand on the two diagonals beside the middle one."""
    return matrixPicture(similarity, palette, side, -1.0, 1.0)


def colours(shares: np.ndarray) -> np.ndarray:
    """Values 0..1 as colours (..., 3)."""
    stops = [stop for stop, _ in _RAMP]
    channels = [np.interp(shares, stops, [colour[channel] for _, colour in _RAMP]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def cardWords(preview: Preview, number: int) -> str:
    """A card in words, for screen readers and tooltips."""
    probability = preview.rotationProbability[number]
    true, told = int(preview.rotationTrue[number]), int(np.argmax(probability))
    shares = ", ".join(f"{angle(turns)} {probability[turns]:.0%}" for turns in range(4))
    verdict = _("right") if true == told else _("wrong")
    words = _("{source}: turned by {true}, told {told}, {verdict} ({shares})")
    return words.format(
        source=preview.source[number], true=angle(true), told=angle(told), verdict=verdict, shares=shares
    )


def confusionWords(confusion: np.ndarray) -> str:
    """The confusion matrix in words."""
    whole = int(confusion.sum())
    right = int(np.trace(confusion))
    words = _("{right} of {whole} angles told right ({share:.0%}; chance 25%)")
    return words.format(right=right, whole=whole, share=right / max(whole, 1))


def painted(width: int, height: int, palette: qt.QPalette, paint: Callable[[qt.QPainter], None]) -> qt.QPixmap:
    """A pixmap in the window's colour with something painted on it."""
    pixmap = qt.QPixmap(width, height)
    pixmap.fill(palette.color(qt.QPalette.Window))
    painter = qt.QPainter()
    painter.begin(pixmap)
    paint(painter)
    painter.end()
    return pixmap


def _text(
    painter: qt.QPainter, place: qt.QRect, text: str, colour: qt.QColor, alignment: int = qt.Qt.AlignHCenter
) -> None:
    painter.setPen(colour)
    painter.drawText(place, int(alignment) | int(qt.Qt.AlignVCenter), text)

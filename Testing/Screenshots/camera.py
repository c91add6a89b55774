"""Pictures of the panel: of a section, of the window, of a dialog; numbered where a text speaks of a place."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
from PIL import Image, ImageDraw, ImageFont
from PySide6 import QtCore, QtWidgets

#: The colour of frames and numbers: seen on light and dark.
MARK = (214, 84, 0)
#: No picture is larger than this; colours are made fewer until it is kept.
MOST_BYTES = 380_000


class Camera:
    """Writes pictures into a folder.

    Args:
        folder: where to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: list[str] = []

    def shoot(
        self,
        name: str,
        widget: QtWidgets.QWidget,
        marks: Sequence[QtWidgets.QWidget] = (),
        upto: QtWidgets.QWidget | None = None,
        since: QtWidgets.QWidget | None = None,
    ) -> None:
        """Photograph a widget.

        Args:
            name: of the file, without its ending.
            widget: what to photograph.
            marks: widgets inside of it that get a frame and the numbers 1, 2 and so on.
            upto: cut off what lies below this widget.
            since: cut off what lies above this widget.
        """
        settle()
        picture = toImage(widget)
        draw = ImageDraw.Draw(picture)
        for number, mark in enumerate(marks, 1):
            _frame(draw, place(mark, widget), number, picture.size)
        top = max(0, place(since, widget)[1] - 8) if since is not None else 0
        bottom = min(picture.height, place(upto, widget)[3] + 10) if upto is not None else picture.height
        self.save(name, picture.crop((0, top, picture.width, bottom)))

    def inDialog(self, name: str, press: Callable[[], object]) -> None:
        """Photograph the dialog that something opens, and cancel it."""
        seen: list[bool] = []

        def look() -> None:
            dialog = QtWidgets.QApplication.activeModalWidget()
            if dialog is None:
                QtCore.QTimer.singleShot(50, look)
                return
            self.save(name, toImage(dialog))
            seen.append(True)
            dialog.reject()

        def begin() -> None:
            press()
            loop.quit()

        # Slicer's message boxes delete themselves when the loop is left from which they were opened.
        loop = QtCore.QEventLoop()
        QtCore.QTimer.singleShot(0, begin)
        QtCore.QTimer.singleShot(500, look)
        loop.exec()
        if not seen:
            raise RuntimeError(f"No dialog came for {name}.")

    def save(self, name: str, picture: Image.Image) -> None:
        """Write a picture, with fewer colours where it would be too large."""
        path = self.folder / f"{name}.png"
        for colours in (0, 256, 128, 64):
            content = io.BytesIO()
            # The colours that are rare are those of organs in the tables: they must not become each other's.
            fewer = picture.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE) if colours else None
            (fewer or picture).save(content, "PNG", optimize=True)
            if content.tell() <= MOST_BYTES:
                break
        path.write_bytes(content.getvalue())
        self.taken.append(name)
        print(f"  {path.name}  {picture.width} x {picture.height}, {content.tell() // 1000} kB", flush=True)


def settle(seconds: float = 0.4) -> None:
    """Let the window come to rest."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slicer.app.processEvents()
        # Without a loop that runs, Qt would keep what was replaced.
        QtWidgets.QApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        time.sleep(0.01)


def toImage(widget: QtWidgets.QWidget) -> Image.Image:
    """What a widget looks like now."""
    buffer = QtCore.QBuffer()
    buffer.open(QtCore.QIODevice.OpenModeFlag.WriteOnly)
    widget.grab().save(buffer, "PNG")
    return Image.open(io.BytesIO(buffer.data().data())).convert("RGB")


def place(widget: Any, inside: Any) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a widget in a picture of another."""
    corner = widget.mapTo(inside, QtCore.QPoint(0, 0))
    return corner.x(), corner.y(), corner.x() + widget.width, corner.y() + widget.height


def _frame(draw: ImageDraw.ImageDraw, spot: tuple[int, int, int, int], number: int, size: tuple[int, int]) -> None:
    left, top, right, bottom = spot
    box = (max(0, left - 3), max(0, top - 3), min(size[0] - 1, right + 2), min(size[1] - 1, bottom + 2))
    draw.rounded_rectangle(box, radius=5, outline=MARK, width=2)
    x, y, radius = box[0] + 2, box[1] + 2, 9
    x, y = max(radius, x), max(radius, y)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=MARK)
    draw.text((x, y), str(number), fill="white", font=ImageFont.load_default(13), anchor="mm")

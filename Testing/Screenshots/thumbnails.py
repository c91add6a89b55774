"""What Slicer's module Sample Data shows of our samples: a slice of each; that of the CT carries its attribution."""

from __future__ import annotations

import numpy as np
import slicer
from camera import Camera
from panels import ROOT
from PIL import Image, ImageDraw, ImageFont
from stage import WINDOW, Stage

#: As large as those of Slicer's own samples.
SIZE = (260, 280)
#: Where the module looks for them.
FOLDER = ROOT / "SwinSSL" / "Resources" / "Icons"


def shoot(stage: Stage) -> None:
    """Both thumbnails."""
    stage.newScene()
    camera = Camera(FOLDER)
    camera.save("SwinSSLAbdomenCT", _slice(stage.sample("SwinSSLAbdomenCT"), 44, "LIDC-IDRI-0001, TCIA, CC BY 3.0"))
    camera.save("SwinSSLPhantom", _slice(stage.phantoms(1)[0], 52, "synthetic, no patient"))
    stage.newScene()


def _slice(volume, number: int, words: str) -> Image.Image:
    """An axial slice as radiologists look at it, with a line of text below."""
    low, high = WINDOW
    array = slicer.util.arrayFromVolume(volume)[number].astype(float)
    matrix = slicer.util.arrayFromVTKMatrix(_ijkToRAS(volume))
    array = array[:, ::-1] if matrix[0, 0] > 0 else array  # the patient's right is on the left
    array = array[::-1] if matrix[1, 1] > 0 else array  # anterior is up
    grey = (255 * np.clip((array - low) / (high - low), 0, 1)).astype(np.uint8)
    height, width = grey.shape
    spacing = volume.GetSpacing()
    scale = min(SIZE[0] / (width * spacing[0]), (SIZE[1] - 22) / (height * spacing[1]))
    size = (round(width * spacing[0] * scale), round(height * spacing[1] * scale))
    picture = Image.new("RGB", SIZE)
    picture.paste(
        Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC),
        ((SIZE[0] - size[0]) // 2, (SIZE[1] - 22 - size[1]) // 2),
    )
    font = ImageFont.load_default(12)
    ImageDraw.Draw(picture).text((SIZE[0] / 2, SIZE[1] - 11), words, fill=(190, 190, 190), font=font, anchor="mm")
    return picture


def _ijkToRAS(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix

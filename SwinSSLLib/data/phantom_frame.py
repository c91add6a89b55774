"""The phantom's frame: skin, fat, muscle, skeleton, lungs, diaphragm, heart and the table below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SwinSSLLib.data.phantom_canvas import Box, Canvas, ellipsoid, join, tube
from SwinSSLLib.data.phantom_tissue import Enhancement

FAT = -104.0
LUNG = -850.0

#: Centres (z, mm) and half heights of T8 to S1 in the canonical patient.
VERTEBRAE = tuple(
    zip(
        (145.0, 118.0, 91.0, 62.5, 32.5, 0.0, -36.0, -73.0, -110.0, -146.0),
        (11.0, 11.0, 11.5, 12.0, 13.0, 13.5, 14.0, 14.0, 14.0, 14.0),
        strict=True,
    )
)


@dataclass(frozen=True)
class Build:
    """What differs between bodies.

    Attributes:
        cavity: half width and half depth of the abdominal cavity in mm.
        fat: thickness of the subcutaneous fat in mm.
        muscle: thickness of the abdominal wall in mm.
        breath: height of the diaphragm in mm relative to the mean.
        bone: Hounsfield units of spongy bone.
    """

    cavity: tuple[float, float]
    fat: float
    muscle: float
    breath: float
    bone: float


def draw_build(rng: np.random.Generator) -> Build:
    """A random adult."""
    return Build(
        cavity=(float(rng.normal(118, 4)), float(rng.normal(79, 3))),
        fat=float(7 + 24 * rng.beta(1.6, 2.6)),
        muscle=float(np.clip(rng.normal(12, 2), 8, 17)),
        breath=float(np.clip(rng.normal(0, 6), -14, 14)),
        bone=float(np.clip(rng.normal(155, 35), 80, 240)),
    )


def outside_cavity(box: Box, build: Build) -> tuple[np.ndarray, np.ndarray]:
    """Radial distance (mm) outside the cavity wall, and the cosine of the angle from the front."""
    x, y = box.x, box.y - np.float32(4.0)
    radius = np.sqrt(x * x + y * y) + np.float32(1e-3)
    width, depth = (np.float32(v) for v in build.cavity)
    rho = ((np.abs(x) / width) ** 2.4 + (np.abs(y) / depth) ** 2.4) ** np.float32(1 / 2.4)
    return radius * (1 - 1 / np.maximum(rho, 1e-3)), y / radius


def diaphragm(box: Box, build: Build) -> np.ndarray:
    """Height (mm) of the diaphragm above each point: two domes, the right one higher."""
    right = 106 - 82 * (((box.x - 58) / 84) ** 2 + ((box.y - 8) / 86) ** 2)
    left = 94 - 78 * (((box.x + 64) / 80) ** 2 + ((box.y - 4) / 84) ** 2)
    return -join(-right, -left, 16.0) + np.float32(build.breath) + 1.5 * box.wobble


@dataclass(frozen=True)
class Frame:
    """The shells of a body, (I, J, K) float32 mm.

    Attributes:
        out: radial distance outside the cavity wall, negative inside.
        skin: distance ``out`` at which the skin begins.
        dome: height of the diaphragm above each point.
    """

    out: np.ndarray
    skin: np.ndarray
    dome: np.ndarray


def paint_body(canvas: Canvas, build: Build, phase: Enhancement) -> Frame:
    """Skin, fat, wall muscles and peritoneal fat."""
    box = canvas.all()
    out, front = outside_cavity(box, build)
    out = out + 1.2 * box.wobble
    back = np.maximum(-front, 0)
    wall = np.float32(build.muscle) + 9 * back * back
    wall = wall + 5 * np.clip((box.z - 20) / 60, 0, 1)
    fat = np.float32(build.fat) * (0.95 + 0.25 * front - 0.35 * back**4)
    skin = wall + fat
    canvas.paint(box, out < skin + 2.2, 20.0 + 8 * box.fine)
    canvas.paint(box, out < skin, FAT + 6 * box.fine)
    # superficial fascia and septa: thin brighter strands that run with the skin
    strands = (out > wall + 2) & (np.abs(box.wobble) < 0.06)
    canvas.paint(box, strands & (out < skin), FAT + 35.0)
    muscle = (out < wall) & ~((np.abs(box.x) < 3.5) & (front > 0.8))
    canvas.paint(box, muscle, phase.muscle + 7 * box.fine)
    # layers of the flank (external, internal oblique, transversus) are told apart by thin fat
    layer = np.abs(out - 0.45 * wall) < 0.7
    canvas.paint(box, layer & (np.abs(front) < 0.75) & (box.z < 10), -20.0)
    marbled = (out < wall) & (box.fine + 0.6 * box.wobble > 2.1)
    canvas.paint(box, marbled & muscle, -35.0)
    inside = out < 0
    canvas.paint(box, inside, FAT - 2 + 7 * box.fine)
    # vessels of mesentery and omentum: thin strands where two random surfaces meet
    twig = inside & (np.abs(box.wobble) < 0.16) & (np.abs(box.fine - 0.2) < 0.22)
    canvas.paint(box, twig, 0.35 * phase.portal)
    canvas.soft[:] = inside
    return Frame(out, skin, diaphragm(box, build))


def paint_back_muscles(canvas: Canvas, phase: Enhancement, frame: Frame) -> None:
    """Erector spinae, quadratus lumborum, psoas and the crura of the diaphragm, both sides."""
    hu = phase.muscle
    for side in (-1.0, 1.0):
        box = canvas.box((side * 35 - 42, -112, -200), (side * 35 + 42, -48, 200))
        erector = ellipsoid(box, (side * 33, -83, 0), (30, 19, 2000)) + 1.5 * box.wobble
        erector = np.maximum(erector, frame.out[box.at] - frame.skin[box.at] + 4)
        canvas.paint(box, erector < 0, hu - 4 + 10 * box.fine)
        quadratus = ellipsoid(box, (side * 63, -58, -42), (20, 10, 62), (0.0, side * 0.35)) + box.wobble
        canvas.paint(box, quadratus < 0, hu + 8 * box.fine)
        points = [(side * 22, -44, 8), (side * 34, -43, -40), (side * 43, -38, -80), (side * 54, -28, -160)]
        psoas = tube(canvas, points, (5, 16, 21, 21))
        canvas.paint(psoas.box, psoas.distance + psoas.box.wobble < 0, hu + 7 * psoas.box.fine)
        points = [(side * 10, -26, -18), (side * 13, -20, 20), (side * 15, -10, 58), (side * 20, 0, 74)]
        crus = tube(canvas, points, (3.5, 5.5, 6.0, 3.5))
        canvas.paint(crus.box, crus.distance < 0, hu + 6 * crus.box.fine)


def paint_chest(canvas: Canvas, phase: Enhancement, frame: Frame) -> None:
    """Lungs above the diaphragm with their vessels, the thin diaphragm itself, mediastinum and heart."""
    box = canvas.all()
    y, z, out, dome = box.y, box.z, frame.out, frame.dome
    mediastinum = ellipsoid(box, (-4, -2, 150), (40, 80, 100)) < 0
    spine = ellipsoid(box, (0, -52, 100), (28, 26, 4000)) < 0
    above = (out < -1.5) & (z > dome)
    lung = above & ~mediastinum & ~spine
    # dependent (posterior) lung is denser; vessels are ridges of a random field, finer to the rim
    air = LUNG - 0.35 * (y - 10) + 22 * box.fine
    canvas.paint(box, above, FAT + 12 + 6 * box.fine)
    canvas.paint(box, lung, air)
    vessel = (np.abs(box.wobble + 0.35 * box.fine) < 0.07) & (np.abs(box.fine) > 0.35) & (out < -7)
    canvas.paint(box, lung & vessel, -350.0 + 330 * np.abs(box.fine).clip(0, 1.2))
    leaf = (out < 0) & (z <= dome) & (z > dome - 3.2)
    canvas.paint(box, leaf, phase.muscle + 5 * box.fine)
    heart_box = canvas.box((-85, -30, 84), (50, 90, 200))
    heart = ellipsoid(heart_box, (-18, 30, 138), (62, 48, 48), (0.35, -0.3)) + 2 * heart_box.wobble
    heart = np.maximum(heart, dome[heart_box.at] + 4 - heart_box.z)
    blood = 0.55 * phase.cava + 0.45 * phase.aorta
    canvas.paint(heart_box, heart < 0, phase.muscle + 45 * (blood - 42) / 110 + 5 * heart_box.fine)
    chamber = ellipsoid(heart_box, (-30, 28, 142), (34, 26, 34), (0.35, -0.3))
    chamber = np.minimum(chamber, ellipsoid(heart_box, (20, 26, 140), (20, 30, 34)))
    canvas.paint(heart_box, (chamber < 0) & (heart < -6), blood + 4 * heart_box.fine)


def paint_spine(canvas: Canvas, build: Build) -> None:
    """Vertebral bodies, discs, canal, processes; painted late so that nothing enters bone."""
    box = canvas.box((-52, -112, -170), (52, -20, 170))
    x, y, z = box.x, box.y, box.z
    cortex, spongy = 520.0 + 1.2 * build.bone, build.bone + 45 * box.fine
    width = 1.0 - 0.0012 * z  # lumbar bodies are wider than thoracic ones
    column = ellipsoid(box, (0, -47, 0), (22, 17, 4000)) * 1.0 + (1 - width) * 20 + 0.5 * box.wobble
    canvas.paint(box, column < 0, 85.0 + 8 * box.fine)  # discs
    for centre, half in VERTEBRAE:
        level = np.abs(z - centre) - half
        body = np.maximum(column, level)
        canvas.paint(box, body < 0, cortex)
        canvas.paint(box, body < -2.2, spongy)
        arch = ellipsoid(box, (0, -71, centre - 4), (17, 13, half + 3))
        spinous = np.maximum(np.abs(x) - 3.4, np.maximum(np.abs(y + 90) - 13, np.abs(z - centre + 10) - 9))
        reach = 40.0 if centre < 20 else 30.0
        transverse = np.maximum(np.abs(x) - reach, np.maximum(np.abs(y + 67 + 0.12 * np.abs(x)) - 4, level + 7))
        process = join(join(arch, spinous, 4.0), transverse, 4.0)
        canvas.paint(box, process < 0, 0.75 * cortex)
        canvas.paint(box, process < -3.0, spongy + 60)
    canal = ellipsoid(box, (0, -72, 0), (11, 8.5, 4000))
    canvas.paint(box, canal < 0, 8.0 + 4 * box.fine)
    canvas.paint(box, ellipsoid(box, (0, -72, 0), (5.5, 4.5, 4000)) < 0, 38.0)


def paint_pelvis(canvas: Canvas, build: Build, phase: Enhancement) -> None:
    """Iliac wings from the sacrum to the front, with iliacus inside and gluteal muscles outside; the sacrum."""
    cortex = 470.0 + 1.2 * build.bone
    for side in (-1.0, 1.0):
        box = canvas.box((side * 76 - 66, -112, -210), (side * 76 + 66, 50, -78))
        x, y, z = side * box.x, box.y, box.z
        # the wing is a curved plate; "along" runs from the sacrum (0) to the front spine (1)
        start, end = (40.0, -72.0), (104.0, 20.0)
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = float(np.hypot(dx, dy))
        along = ((x - start[0]) * dx + (y - start[1]) * dy) / length**2
        off = ((x - start[0]) * dy - (y - start[1]) * dx) / length
        off = off - 16 * (1 - (2 * along - 1) ** 2) - 0.10 * (z + 150) + box.wobble
        crest = -92 - 40 * (along - 0.45) ** 2 * 4 * 0.6
        rim = np.maximum(np.maximum(-along, along - 1) * length, z - crest)
        thick = 4.0 + 6.5 * np.clip(0.3 - along, 0, 0.3) / 0.3 + 2.5 * np.clip(1 + rim / 14, 0, 1)
        for inner, outer, reach in ((-15.0, 0.0, 8.0), (0.0, 24.0, 4.0)):
            layer = np.maximum(np.maximum(off - outer, inner - off), rim + reach)
            canvas.paint(box, layer < 0, phase.muscle + 7 * box.fine)
        plate = np.maximum(np.abs(off) - thick, rim)
        canvas.paint(box, plate < 0, cortex)
        canvas.paint(box, plate < -2.0, build.bone + 30 + 45 * box.fine)
    box = canvas.box((-60, -112, -230), (60, -20, -112))
    wing = np.maximum(ellipsoid(box, (0, -62, -152), (52, 24, 32)), box.z + 126 - 0.25 * np.abs(box.x))
    canvas.paint(box, wing < 0, cortex)
    canvas.paint(box, wing < -2.2, build.bone + 20 + 45 * box.fine)


def paint_ribs(canvas: Canvas, build: Build, out: np.ndarray) -> None:
    """Ribs six to twelve in the chest wall, falling from the spine to the flank, then rising as cartilage."""
    box = canvas.box((-160, -120, -70), (160, 120, 200))
    wall = out[box.at]
    # angle from the spine: 0 behind, pi in front
    angle = np.arctan2(np.abs(box.x), -(box.y - 4))
    fall = np.where(angle < 2.0, 30 * angle, 60 - 58 * (angle - 2.0)).astype(np.float32)
    height = box.z + fall
    order = np.round((height - 36.0) / 27.5)
    offset = height - 36.0 - 27.5 * order
    end = np.select([order < 0, order == 0, order == 1], [0.0, 1.35, 1.9], 3.0)
    rib = np.sqrt((offset / 6.2) ** 2 + ((wall - 7.0) / 4.3) ** 2) - 1
    rib = np.where((angle > 0.42) & (angle < end), rib, 9.0)
    bony = angle < 2.05
    canvas.paint(box, (rib < 0) & bony, 480.0 + build.bone)
    canvas.paint(box, (rib < -0.5) & bony, build.bone + 80)
    canvas.paint(box, (rib < 0) & ~bony, 105.0 + 12 * box.fine)
    sternum = np.maximum(np.maximum(np.abs(box.x) - 15, np.abs(wall - 6) - 5.0), 118 - box.z)
    canvas.paint(box, (sternum < 0) & (box.y > 0), build.bone + 120)


def paint_table(canvas: Canvas, height: float, out: np.ndarray) -> None:
    """The couch: a thin curved shell under the patient, in room coordinates, where there is only air."""
    x, y = np.meshgrid(canvas.axes[0], canvas.axes[1], indexing="ij")
    surface = height + 0.0008 * x**2
    shell = (np.abs(y - surface) < 1.6) & (np.abs(x) < 190)
    canvas.hu[(canvas.hu < -900) & (out > 20) & shell[:, :, None]] = 120.0

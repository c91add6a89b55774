"""The phantom's 13 labelled organs (ids of ``organs.py``).

Places and sizes are those of a textbook adult lying on the back, in canonical millimetres RAS. The
order of painting is the order of precedence: what is painted later takes the voxel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from SwinSSLLib.data.phantom_canvas import Box, Canvas, Point, cut, ellipsoid, join, moved, tube
from SwinSSLLib.data.phantom_frame import FAT, Frame
from SwinSSLLib.data.phantom_tissue import Enhancement, shift, size

SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, GALLBLADDER, ESOPHAGUS, LIVER, STOMACH = 1, 2, 3, 4, 5, 6, 7
AORTA, CAVA, PORTAL, PANCREAS, RIGHT_ADRENAL, LEFT_ADRENAL = 8, 9, 10, 11, 12, 13

#: One in this many patients has lost the gallbladder, so that absent organs are met early.
CHOLECYSTECTOMY = 16


class Anatomist:
    """Paints organs with this patient's jitter; every random number is drawn before any voxel is seen.

    Args:
        canvas: where to paint; ``paint_body`` and ``paint_chest`` have been there already.
        phase: Hounsfield units of this scan.
        rng: the patient's generator.
        frame: the shells of the body; organs stay under the diaphragm and inside the wall.
    """

    def __init__(self, canvas: Canvas, phase: Enhancement, rng: np.random.Generator, frame: Frame) -> None:
        self.canvas, self.phase, self.rng, self.frame = canvas, phase, rng, frame

    def shift(self, amount: float) -> np.ndarray:
        """See :func:`SwinSSLLib.data.phantom_tissue.shift`."""
        return shift(self.rng, amount)

    def size(self, amount: float = 0.07) -> float:
        """See :func:`SwinSSLLib.data.phantom_tissue.size`."""
        return size(self.rng, amount)

    def abdomen(self, box: Box, clearance: float = 3.5) -> np.ndarray:
        """Signed distance to the space under the diaphragm and inside the wall."""
        return np.maximum(self.frame.out[box.at] + 1.5, box.z - self.frame.dome[box.at] + clearance)

    # -- solid organs ----------------------------------------------------------------------------

    def liver(self) -> None:
        """Right and left lobe under the diaphragm, label 6."""
        canvas, k, s = self.canvas, self.size(0.05), self.shift(3)
        box = canvas.box((-95, -95, -75), (140, 110, 125))
        right = ellipsoid(box, (66 + s[0], -2 + s[1], 38 + s[2]), (71 * k, 86 * k, 82 * k), (0.22, 0.0))
        left = ellipsoid(box, (-2 + s[0], 46, 64 + s[2]), (70 * self.size(0.14), 34, 36 * k), (-0.28, 0.1))
        body = join(right, left, 24.0)
        for centre, radii in (
            ((24, -48, -26), (52, 46, 60)),  # kidney, duodenum and colon press from below
            ((-2, -22, 40), (32, 34, 300)),  # spine, crura and great vessels from behind
            ((-40, 8, 34), (46, 42, 44)),  # stomach from the left
            ((60, -62, -6), (38, 38, 66)),  # the right kidney lies against the back
            ((40, 62, -30), (46, 50, 38)),  # transverse colon
        ):
            body = cut(body, ellipsoid(box, centre, radii), 12.0)
        fissure = np.maximum(np.abs(box.x - 4 - 0.1 * (box.y - 40)) - 1.6, 62 - box.y - 0.6 * (55 - box.z))
        body = np.maximum(cut(body, fissure, 2.0) + 1.8 * box.wobble, self.abdomen(box))
        canvas.paint(box, body < 0, self.phase.liver + 5 * box.fine, LIVER)
        self.hepatic_veins(k, s)

    def hepatic_veins(self, k: float, s: np.ndarray) -> None:
        """Three veins inside of the liver, of which size and place are given."""
        hu = 42 + 0.85 * (0.5 * self.phase.portal + 0.5 * self.phase.cava - 42)
        for ends in (
            [(24, -10, 84), (60, -18, 72), (98, -20, 46)],
            [(24, -8, 84), (40, 24, 72), (58, 46, 44)],
            [(20, -8, 84), (4, 26, 78), (-20, 48, 68)],
        ):
            vein = tube(self.canvas, moved(ends, s), (6.0, 4.5, 2.4))
            inside = self.canvas.labels[vein.box.at] == LIVER
            self.canvas.paint(vein.box, inside & (vein.distance < 0), hu + 3 * vein.box.fine, LIVER)

    def spleen(self) -> None:
        """Label 1, mottled when the contrast has just come."""
        canvas, k, s = self.canvas, self.size(0.12), self.shift(4)
        box = canvas.box((-150, -100, -30), (-40, 50, 120))
        body = ellipsoid(box, (-92 + s[0], -30 + s[1], 46 + s[2]), (37 * k, 48 * k, 54 * k), (0.25, 0.5))
        body = cut(body, ellipsoid(box, (-54 + s[0], 2 + s[1], 46), (32, 40, 60), (0.2, 0.5)), 9.0)
        body = cut(body, ellipsoid(box, (-56, -50, 0), (36, 34, 66)), 8.0)
        body = np.maximum(body + 1.4 * box.wobble, self.abdomen(box))
        mottled = self.phase.mottling * np.sin(2.6 * box.wobble + 2.0 * box.fine)
        canvas.paint(box, body < 0, self.phase.spleen + mottled + 4 * box.fine, SPLEEN)

    def kidney(self, label: int, side: float, height: float) -> None:
        """Cortex, medulla and pelvis; ``side`` is 1 for right and -1 for left, ``height`` in mm."""
        canvas, k, s = self.canvas, self.size(0.07), self.shift(4)
        c = (side * 62 + s[0], -42 + 0.6 * s[1], height + s[2])
        box = canvas.box((c[0] - 52, c[1] - 48, c[2] - 84), (c[0] + 52, c[1] + 48, c[2] + 84))
        tilt = (side * 0.22, -side * 0.45)
        capsule = ellipsoid(box, c, (30 * k, 26 * k, 56 * k), tilt) + 0.9 * box.wobble
        limit = self.abdomen(box, 2.0)
        canvas.paint(box, np.maximum(capsule - 5, limit) < 0, FAT - 3 + 5 * box.fine)
        hilum = (c[0] - side * 17 * k, c[1] + 9, c[2])
        sinus = ellipsoid(box, hilum, (15 * k, 10 * k, 26 * k), tilt) + 1.5 * box.wobble
        body = np.maximum(cut(capsule, sinus, 4.0), limit)
        canvas.paint(box, body < 0, self.phase.cortex + 5 * box.fine, label)
        pyramids = (capsule < -7.5) & (box.wobble + 0.5 * box.fine < 0.45) & (body < 0)
        canvas.paint(box, pyramids, self.phase.medulla + 4 * box.fine, label)
        pelvis = ellipsoid(box, (hilum[0] - side * 6, hilum[1], hilum[2] - 3), (12, 5, 8), tilt)
        canvas.paint(box, (pelvis < 0) & (canvas.labels[box.at] == 0), 12.0)
        for dz, hu, toward in ((4.0, self.phase.cava + 20, 18.0), (-1.0, self.phase.aorta, 4.0)):
            vessel = tube(canvas, [(side * toward, -14, height + 8 + dz), (hilum[0], hilum[1], hilum[2] + dz)], (4, 3))
            free = canvas.labels[vessel.box.at] == 0
            canvas.paint(vessel.box, free & (vessel.distance < 0), hu)

    def adrenal(self, label: int, side: float) -> None:
        """A body with two thin limbs, an inverted Y, in its own fat."""
        canvas, k, s = self.canvas, self.size(0.1), self.shift(2)
        x, y, z = ((27, -30, 52) if side > 0 else (-33, -27, 46)) + s
        lateral = [(x, y + 7, z + 4), (x + side * 5, y - 3, z), (x + side * 11, y - 17, z - 10)]
        medial = [(x, y + 7, z + 4), (x - side * 1, y - 5, z - 1), (x - side * 1, y - 19, z - 10)]
        limbs = [tube(canvas, limb, (3.0 * k, 3.4 * k, 2.6 * k)) for limb in (lateral, medial)]
        blades = [[(a, b, c + dz) for a, b, c in limb] for limb in (lateral, medial) for dz in (-9, -4.5, 4.5, 9)]
        limbs += [tube(canvas, blade, (2.8 * k, 3.1 * k, 2.4 * k)) for blade in blades]
        for limb in limbs:
            canvas.paint(limb.box, limb.distance < 3.5, FAT + 5 * limb.box.fine)
        for limb in limbs:
            canvas.paint(limb.box, limb.distance < 0, self.phase.adrenal + 6 * limb.box.fine, label)

    def pancreas(self) -> None:
        """Label 11, with its duct, in its own fat."""
        canvas, k, s = self.canvas, self.size(0.1), self.shift(3)
        points = [(33, 10, -22), (34, 16, -2), (20, 22, 10), (0, 24, 18), (-26, 12, 26), (-52, -6, 34), (-72, -14, 40)]
        shape = tube(canvas, moved(points, s), [k * r for r in (8, 13, 10.5, 8.5, 9.5, 9.5, 7)])
        box = shape.box
        canvas.paint(box, shape.distance < 2.0, FAT + 5 * box.fine)
        body = shape.distance + 1.6 * box.wobble + 1.3 * box.fine
        hu = self.phase.pancreas + 8 * box.fine
        canvas.paint(box, body < 0, np.where(box.fine < -1.7, -10.0, hu), PANCREAS)
        for offset, radius in (((1, 2, 0), 1.2),):
            duct = tube(canvas, moved(points, s + np.array(offset)), [radius] * len(points))
            inside = canvas.labels[duct.box.at] == PANCREAS
            canvas.paint(duct.box, inside & (duct.distance < 0), 14.0, PANCREAS)

    # -- hollow organs and vessels -----------------------------------------------------------------

    def stomach(self) -> None:
        """Label 7, with wall, content and a bubble of air."""
        canvas, k, s = self.canvas, self.size(0.13), self.shift(4)
        points = [(-46, -18, 84), (-60, -6, 70), (-66, 16, 50), (-58, 40, 24), (-34, 52, 6), (-4, 50, 4), (22, 40, 12)]
        shape = tube(canvas, moved(points, s), [k * r for r in (17, 32, 32, 25, 20, 16, 10)])
        box = shape.box
        body = np.maximum(shape.distance + 1.2 * box.wobble, self.abdomen(box))
        folds = 1.2 * np.sin(box.wobble * 9)
        canvas.paint(box, body < 0, self.phase.mucosa + 6 * box.fine, STOMACH)
        lumen = body < -(4.6 + folds)
        content = float(self.rng.choice([12.0, 25.0, 60.0, 160.0], p=[0.4, 0.3, 0.2, 0.1]))
        canvas.paint(box, lumen, content + 12 * box.fine, STOMACH)
        level = self.rng.uniform(22, 48)
        canvas.paint(box, lumen & (box.height > level), -960.0 + 10 * box.fine, STOMACH)

    def gallbladder(self) -> None:
        """Label 4, unless it has been taken out."""
        canvas, k, s = self.canvas, self.size(0.14), self.shift(4)
        absent = self.rng.integers(CHOLECYSTECTOMY) == 0
        if absent:
            return
        c = (50 + s[0], 42 + s[1], s[2] - 2)
        box = canvas.box((c[0] - 40, c[1] - 40, c[2] - 50), (c[0] + 40, c[1] + 40, c[2] + 50))
        body = ellipsoid(box, c, (15 * k, 17 * k, 31 * k), (0.3, 0.3)) + 0.5 * box.wobble
        body = np.maximum(body, self.abdomen(box))
        canvas.paint(box, body < 0, self.phase.mucosa + 5, GALLBLADDER)
        canvas.paint(box, body < -1.6, float(self.rng.normal(9, 4)) + 3 * box.fine, GALLBLADDER)

    def esophagus(self) -> None:
        """Label 5, from the top to the stomach."""
        s = self.shift(2)
        points = [(-2, -22, 160), (-6, -20, 120), (-13, -16, 98), (-26, -12, 86), (-40, -14, 82)]
        shape = tube(self.canvas, moved(points, s), [9.5, 9.5, 9, 8.5, 7])
        box = shape.box
        self.canvas.paint(box, shape.distance < 1.5, FAT + 10)
        self.canvas.paint(box, shape.distance < 0, 48.0 + 8 * box.fine, ESOPHAGUS)
        gas = (shape.distance < -6.5) & (np.sin(shape.along * 19 + s[0]) > 0.5)
        self.canvas.paint(box, gas, -700.0, ESOPHAGUS)

    def vessel(self, label: int, points: Sequence[Point], radii: Sequence[float] | np.ndarray, hu: float) -> None:
        """A tube through points (mm) with radii (mm), filled with blood of ``hu``."""
        shape = tube(self.canvas, points, radii)
        self.canvas.paint(shape.box, shape.distance < 0, hu + 3.5 * shape.box.fine, label)

    def great_vessels(self) -> None:
        """Aorta and inferior vena cava, labels 8 and 9; their branches have contrast and no label."""
        p, s, k = self.phase, self.shift(2), self.size(0.1)
        aorta = [(-24, -36, 160), (-20, -32, 110), (-12, -24, 70), (-9, -17, 30), (-8, -15, -30), (-5, -16, -104)]
        for side in (-1.0, 1.0):
            iliac = [(-5 + side * 3, -16, -104), (side * 22, -18, -130), (side * 42, -6, -165)]
            self.vessel(0, moved(iliac, s), (7, 6, 5.5), p.aorta)
            iliac = [(12 + side * 3, -20, -112), (12 + side * 18, -24, -132), (side * 46, -14, -165)]
            self.vessel(0, moved(iliac, s), (8, 7, 7), p.cava)
        # coeliac trunk and superior mesenteric artery
        self.vessel(0, moved([(-8, -14, 40), (-4, 2, 44), (14, 12, 38)], s), (4, 3.6, 3), p.aorta)
        self.vessel(0, moved([(-8, -14, 26), (-6, 2, 18), (-2, 6, -40)], s), (4, 3.8, 3), p.aorta)
        cava = [(16, 8, 116), (20, -2, 92), (22, -12, 66), (20, -14, 30), (18, -14, -30), (13, -20, -112)]
        self.vessel(CAVA, moved(cava, self.shift(2)), _times((12, 12, 11.5, 11, 10.5, 10), self.size(0.1)), p.cava)
        self.vessel(AORTA, moved(aorta, s), _times((12, 12, 11.5, 10.5, 9.5, 8.5), k), p.aorta)

    def portal_system(self) -> None:
        """Portal and splenic vein, label 10; the mesenteric vein has contrast and no label."""
        p, s, k = self.phase, self.shift(2), self.size(0.1)
        mesenteric = [(8, 14, -60), (10, 12, -25), (11, 9, 4)]
        self.vessel(0, moved(mesenteric, s), (4.5, 5.5, 6), p.portal)
        splenic = [(11, 8, 10), (-8, 10, 18), (-32, 0, 27), (-56, -18, 36), (-76, -24, 42)]
        self.vessel(PORTAL, moved(splenic, s), _times((5.5, 5, 4.6, 4.4, 3.8), k), p.portal)
        trunk = [(11, 8, 6), (20, 8, 22), (33, 10, 40), (44, 8, 47)]
        self.vessel(PORTAL, moved(trunk, s), _times((7.5, 7.5, 7.2, 6.5), k), p.portal)
        for branch, radii in (
            ([(44, 8, 47), (62, 2, 50), (84, -8, 46)], (6.2, 5, 3)),
            ([(40, 9, 46), (22, 28, 54), (2, 44, 62)], (5.5, 4.4, 2.8)),
        ):
            vein = tube(self.canvas, moved(branch, s), radii)
            where = (self.canvas.labels[vein.box.at] == LIVER) & (vein.distance < 0)
            self.canvas.paint(vein.box, where, p.portal + 3.5 * vein.box.fine, PORTAL)


def paint_organs(anatomist: Anatomist) -> None:
    """All organs, in order of precedence."""
    anatomist.liver()
    anatomist.stomach()
    anatomist.spleen()
    anatomist.kidney(RIGHT_KIDNEY, 1.0, -10.0)
    anatomist.kidney(LEFT_KIDNEY, -1.0, 4.0)
    anatomist.gallbladder()
    anatomist.pancreas()
    anatomist.adrenal(RIGHT_ADRENAL, 1.0)
    anatomist.adrenal(LEFT_ADRENAL, -1.0)
    anatomist.esophagus()
    anatomist.great_vessels()
    anatomist.portal_system()


def _times(radii: Sequence[float], factor: float) -> list[float]:
    return [factor * radius for radius in radii]

"""The phantom's bowel: small bowel, colon and duodenum, unlabelled, with wall, fluid, stool and gas."""

from __future__ import annotations

import numpy as np

from SwinSSLLib.data.phantom_canvas import Canvas, Tube, moved, tube
from SwinSSLLib.data.phantom_tissue import Enhancement, shift, size

GAS = -930.0


def paint_bowel(canvas: Canvas, phase: Enhancement, rng: np.random.Generator) -> None:
    """All loops, into the fat of the cavity only; organs come later and take what they need."""
    paint_colon(canvas, phase, rng)
    paint_duodenum(canvas, phase, rng)
    paint_small_bowel(canvas, phase, rng)


def paint_colon(canvas: Canvas, phase: Enhancement, rng: np.random.Generator) -> None:
    """Ascending colon on the right, transverse in front, descending on the left; stool with gas bubbles."""
    s, r = shift(rng, 5), 19 * size(rng, 0.12)
    sag = float(rng.normal(-8, 10))
    up = [(86, -26, -116), (92, -20, -72), (93, -10, -36), (82, 14, -22)]
    across = [(82, 14, -22), (62, 48, -30), (22, 62, -36 + sag), (-26, 62, -34 + sag), (-70, 46, -6), (-96, 8, 22)]
    down = [(-96, 8, 22), (-99, -22, 0), (-98, -34, -40), (-94, -32, -80), (-82, -14, -128)]
    gas = float(rng.uniform(-3, 7))
    for points, share, ripple in ((up, 1.25, 0.12), (across, 1.0, 0.17), (down, 0.78, 0.13)):
        loop = tube(canvas, moved(points, 0.5 * s), [share * r] * len(points), ripple=ripple)
        lumen = _wall(canvas, loop, 2.6, phase)
        mottled = loop.box.fine + 0.7 * loop.box.wobble
        canvas.paint(loop.box, lumen, np.where(mottled > 0.75, -480.0, 40.0 + 45 * loop.box.fine))
        level = gas + 7 * np.sin(loop.along * 15.0 + gas)
        canvas.paint(loop.box, lumen & (loop.above > level), GAS + 15 * loop.box.fine)


def paint_duodenum(canvas: Canvas, phase: Enhancement, rng: np.random.Generator) -> None:
    """The C around the head of the pancreas, ending under the stomach."""
    points = [(26, 36, 10), (46, 22, 8), (52, 8, -12), (44, 0, -34), (12, 2, -42), (-22, 8, -30)]
    loop = tube(canvas, moved(points, shift(rng, 2)), [11, 12, 12, 12, 11, 11])
    lumen = _wall(canvas, loop, 2.8, phase)
    canvas.paint(loop.box, lumen, 20.0 + 12 * loop.box.fine)
    canvas.paint(loop.box, lumen & (loop.above > 6), GAS)


def paint_small_bowel(canvas: Canvas, phase: Enhancement, rng: np.random.Generator) -> None:
    """Short loops one after the other, each with its own wall, in the middle of the lower abdomen."""
    radius = 11.0 * size(rng, 0.1)
    for _ in range(22):
        angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0.03, 1.0))
        centre = np.array([66 * reach * np.cos(angle), 24 + 36 * reach * np.sin(angle), rng.uniform(-150, -18)])
        turn, bend, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 3.0), rng.normal(0, 0.45)
        along = np.linspace(-1, 1, 6)
        length = rng.uniform(20, 34)
        flat = np.stack([length * np.sin(bend * along) / bend, length * (1 - np.cos(bend * along)) / bend], axis=1)
        c, d = np.cos(turn), np.sin(turn)
        path = [
            (centre[0] + c * u - d * v, centre[1] + 0.7 * (d * u + c * v), centre[2] + tilt * u + 0.6 * v)
            for u, v in flat
        ]
        loop = tube(canvas, path, [radius * size(rng, 0.12)] * 6, ripple=0.06)
        lumen = _wall(canvas, loop, 2.4, phase)
        content = float(rng.choice([12.0, 28.0, 45.0, 190.0], p=[0.4, 0.3, 0.2, 0.1]))
        canvas.paint(loop.box, lumen, content + 14 * loop.box.fine)
        if rng.uniform() < 0.35:
            canvas.paint(loop.box, lumen & (loop.above > rng.uniform(0, 5)), GAS + 15 * loop.box.fine)


def _wall(canvas: Canvas, loop: Tube, thickness: float, phase: Enhancement) -> np.ndarray:
    """Paint the wall of a loop where there is still fat; returns where its lumen is."""
    free = canvas.soft[loop.box.at].copy()
    shape = loop.distance + 0.8 * loop.box.wobble
    canvas.paint(loop.box, free & (shape < 1.2), -60.0)  # a film of fat keeps loops apart
    canvas.paint(loop.box, free & (shape < 0), phase.mucosa + 8 * loop.box.fine)
    return free & (shape < -thickness)

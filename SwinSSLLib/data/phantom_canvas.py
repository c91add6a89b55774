"""The canvas on which the phantom's anatomy is painted, and the shapes it is painted with.

Coordinates are millimetres RAS in a canonical patient (origin on the midline at the height of the
first lumbar vertebra). Shapes are signed distances, negative inside, so that they can be joined,
cut and wobbled; a voxel belongs to at most one organ because painting a label takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from SwinSSLLib.data.phantom_tissue import SmoothField

Point = tuple[float, float, float]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Box:
    """A part of the canvas: canonical coordinates and shared random fields, all (I, J, K) float32."""

    at: Slices
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    height: np.ndarray  # world y in mm, broadcastable: fluid levels are flat in the room, not in the body
    wobble: np.ndarray
    fine: np.ndarray

    @property
    def empty(self) -> bool:
        """Whether the box holds no voxel."""
        return self.x.size == 0


class Canvas:
    """Hounsfield units, labels and free space of a phantom under construction.

    Args:
        axes: world RAS coordinates in mm of the voxel centres along i, j, k.
        displacement: three smooth fields in mm that carry world points to canonical points.
        scale: canonical size of a world millimetre along x, y, z.
        centre: world point of the canonical origin.
        fields: the medium (organ outlines) and the fine (parenchyma) random field.
    """

    def __init__(
        self,
        axes: Sequence[np.ndarray],
        displacement: Sequence[tuple[SmoothField, float]],
        scale: Point,
        centre: Point,
        fields: tuple[SmoothField, SmoothField],
    ) -> None:
        self.axes = [np.asarray(axis, dtype=np.float64) for axis in axes]
        shape = tuple(len(axis) for axis in self.axes)
        self._reach = 4.0 * max(sum(a for _, a in displacement[n::3]) for n in range(3))
        self._scale, self._centre = scale, centre
        self.canonical = []
        for n in range(3):
            line = ((self.axes[n] - centre[n]) * scale[n]).astype(np.float32)
            warped = np.broadcast_to(line.reshape([-1 if m == n else 1 for m in range(3)]), shape).copy()
            for field, amplitude in displacement[n::3]:
                warped += np.float32(amplitude) * field.on(self.axes)
            self.canonical.append(warped)
        self.wobble, self.fine = (field.on(self.axes) for field in fields)
        self.hu = np.full(shape, -1000.0, dtype=np.float32)
        self.labels = np.zeros(shape, dtype=np.uint8)
        self.soft = np.zeros(shape, dtype=bool)  # cavity that loops of bowel may still fill

    def box(self, low: Point, high: Point) -> Box:
        """The voxels that can lie between two canonical corners, whatever the deformation does."""
        slices = []
        for n in range(3):
            line = (self.axes[n] - self._centre[n]) * self._scale[n]
            first = int(np.searchsorted(line, low[n] - self._reach))
            last = int(np.searchsorted(line, high[n] + self._reach, side="right"))
            slices.append(slice(first, last))
        at = (slices[0], slices[1], slices[2])
        x, y, z = (part[at] for part in self.canonical)
        height = (self.axes[1][at[1]] - self._centre[1]).astype(np.float32)[None, :, None]
        return Box(at, x, y, z, height, self.wobble[at], self.fine[at])

    def all(self) -> Box:
        """The whole canvas."""
        return self.box((-9e9,) * 3, (9e9,) * 3)

    def paint(self, box: Box, where: np.ndarray, hu: np.ndarray | float, label: int = 0) -> None:
        """Give voxels a tissue: its Hounsfield units and its label together, so that they never disagree."""
        value = np.asarray(hu, dtype=np.float32)
        self.hu[box.at][where] = value if value.ndim == 0 else np.broadcast_to(value, where.shape)[where]
        self.labels[box.at][where] = label
        self.soft[box.at][where] = False


def ellipsoid(box: Box, centre: Point, radii: Point, tilt: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Signed distance (mm, first order) of an ellipsoid, tilted in the x-z and the x-y plane (radians)."""
    x, y, z = box.x - np.float32(centre[0]), box.y - np.float32(centre[1]), box.z - np.float32(centre[2])
    for angle, plane in zip(tilt, ("xz", "xy"), strict=True):
        if angle:
            c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            if plane == "xz":
                x, z = c * x + s * z, c * z - s * x
            else:
                x, y = c * x + s * y, c * y - s * x
    u, v, w = x / np.float32(radii[0]), y / np.float32(radii[1]), z / np.float32(radii[2])
    squared = u * u + v * v + w * w
    radius = np.sqrt(squared)
    gradient = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2) + np.float32(1e-6)
    return (radius * (radius - 1) / gradient).astype(np.float32)


def join(first: np.ndarray, second: np.ndarray, softness: float = 8.0) -> np.ndarray:
    """Smooth union of two signed distances (polynomial smooth minimum)."""
    h = np.maximum(softness - np.abs(first - second), 0) / np.float32(softness)
    return np.minimum(first, second) - h * h * np.float32(softness / 4)


def cut(body: np.ndarray, tool: np.ndarray, softness: float = 6.0) -> np.ndarray:
    """``body`` without ``tool``, with a rounded rim."""
    return -join(-body, tool, softness)


def smooth_path(points: Sequence[Point], step: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """A cubic spline through ``points``: positions (n, 3) in mm and the parameter 0..1 of each."""
    knots = np.asarray(points, dtype=float)
    lengths = np.linalg.norm(np.diff(knots, axis=0), axis=1)
    parameter = np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum()
    samples = np.linspace(0, 1, max(8, int(lengths.sum() / step)))
    curve = CubicSpline(parameter, knots) if len(knots) > 2 else None
    path = curve(samples) if curve is not None else knots[0] + samples[:, None] * (knots[1] - knots[0])
    return path, samples


@dataclass(frozen=True)
class Tube:
    """A tube evaluated in a box: signed distance, and for each voxel where along the tube it is."""

    box: Box
    distance: np.ndarray
    along: np.ndarray  # 0..1
    above: np.ndarray  # mm in front of the centre line (towards the ceiling: the patient lies on the back)


def tube(canvas: Canvas, points: Sequence[Point], radii: Sequence[float] | np.ndarray, *, ripple: float = 0.0) -> Tube:
    """A tube along a smooth path with radii given at the control points.

    Args:
        canvas: where it will be painted.
        points: canonical control points in mm.
        radii: radius in mm at each control point.
        ripple: relative modulation of the radius every 28 mm (haustra of the colon).
    """
    path, samples = smooth_path(points)
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    radius = np.interp(samples, np.linspace(0, 1, len(radii)), radii)
    radius = radius * (1 + ripple * np.sin(samples * length * 2 * np.pi / 28.0))
    margin = radius.max() + 3.0
    low, high = path.min(axis=0) - margin, path.max(axis=0) + margin
    box = canvas.box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    distance = np.full(box.x.shape, 99.0, dtype=np.float32)
    along, above = np.zeros_like(distance), np.zeros_like(distance)
    near = (box.x > low[0]) & (box.x < high[0]) & (box.y > low[1])
    near &= (box.y < high[1]) & (box.z > low[2]) & (box.z < high[2])
    if near.any():
        voxels = np.stack([box.x[near], box.y[near], box.z[near]], axis=1)
        gap, nearest = cKDTree(path).query(voxels, distance_upper_bound=margin)
        found = np.isfinite(gap)
        nearest = np.where(found, nearest, 0)
        distance[near] = np.where(found, gap - radius[nearest], 99.0)
        along[near] = samples[nearest]
        above[near] = np.where(found, voxels[:, 1] - path[nearest, 1], 0)
    return Tube(box, distance, along, above)


def moved(points: Sequence[Point], shift: np.ndarray) -> list[Point]:
    """The points, all shifted by one vector."""
    return [(x + shift[0], y + shift[1], z + shift[2]) for x, y, z in points]

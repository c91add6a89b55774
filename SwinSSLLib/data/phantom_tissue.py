"""Random but smooth things of the phantom: fields in millimetres, contrast phase, Hounsfield units.

Everything is a function of the seed and of millimetres, never of voxels, so that one seed is one
patient on every grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]


class SmoothField:
    """A random scalar field: a cubic B-spline over a periodic lattice of Gaussian coefficients.

    Being a tensor product it costs three small matrix products on an axis-aligned grid, and it can
    be evaluated on any such grid. Its standard deviation is about 1.

    Args:
        rng: where the coefficients come from.
        lattice: distance between control points in mm; structures are about twice as large.
        period: extent in mm after which the field repeats.
    """

    def __init__(self, rng: np.random.Generator, lattice: float, period: float = 640.0) -> None:
        self._count = max(4, round(period / lattice))
        self._lattice = lattice
        self._coefficients = rng.standard_normal((self._count,) * 3, dtype=np.float32)

    def on(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Values (I, J, K), float32, at the grid spanned by three coordinate vectors in mm."""
        value = self._coefficients
        for coordinates in axes:
            # contracts the first axis and appends the new one: after three turns the order is i, j, k
            value = np.tensordot(value, self._weights(coordinates), axes=(0, 1))
        return value / np.float32(_SPLINE_DEVIATION)

    def _weights(self, coordinates: np.ndarray) -> np.ndarray:
        position = np.asarray(coordinates, dtype=np.float64) / self._lattice
        base = np.floor(position).astype(int)
        t = position - base
        pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        weights = np.zeros((len(t), self._count), dtype=np.float32)
        for offset, piece in enumerate(pieces):
            np.add.at(weights, (np.arange(len(t)), (base + offset - 1) % self._count), piece / 6)
        return weights


#: Mean over one cell of sqrt(sum of squared cubic B-spline weights), to the power of three axes.
_SPLINE_DEVIATION = 0.479**1.5


@dataclass(frozen=True)
class Enhancement:
    """Hounsfield units of the tissues of one patient at one moment after contrast injection.

    The curves are schematic (logistic wash-in, exponential wash-out) and share one dose and one
    time, so that aorta, portal vein, kidneys, liver and spleen enhance together as they do in a scan.
    """

    seconds: float
    dose: float
    liver_base: float

    def _in(self, half: float, width: float, washout: float = 1e9, peak: float = 0.0) -> float:
        rise = 1.0 / (1.0 + np.exp(-(self.seconds - half) / width))
        return float(self.dose * rise * np.exp(-max(self.seconds - peak, 0.0) / washout))

    @property
    def aorta(self) -> float:
        """HU of arterial blood."""
        first_pass = self.dose * 230.0 * float(np.exp(-(((self.seconds - 33.0) / 15.0) ** 2)))
        return 42.0 + first_pass + 115.0 * self._in(38, 8, 220, 60)

    @property
    def cava(self) -> float:
        """HU of blood in the inferior vena cava."""
        return 42.0 + 105.0 * self._in(62, 12, 300, 90)

    @property
    def portal(self) -> float:
        """HU of blood in the portal vein."""
        return 42.0 + 140.0 * self._in(46, 7, 160, 65)

    @property
    def liver(self) -> float:
        """HU of liver."""
        return self.liver_base + 58.0 * self._in(54, 9, 300, 75)

    @property
    def spleen(self) -> float:
        """HU of spleen."""
        return 48.0 + 85.0 * self._in(28, 6, 220, 55)

    @property
    def mottling(self) -> float:
        """Amplitude of the uneven arterial enhancement of the spleen."""
        return 30.0 * self.dose * float(np.exp(-(((self.seconds - 32.0) / 12.0) ** 2)))

    @property
    def cortex(self) -> float:
        """HU of the kidneys' cortex."""
        return 34.0 + 160.0 * self._in(28, 5, 260, 50)

    @property
    def medulla(self) -> float:
        """HU of the kidneys' medulla."""
        return 32.0 + 150.0 * self._in(72, 11, 400, 110)

    @property
    def pancreas(self) -> float:
        """HU of pancreas."""
        return 40.0 + 68.0 * self._in(28, 6, 130, 45)

    @property
    def adrenal(self) -> float:
        """HU of the adrenal glands."""
        return 30.0 + 52.0 * self._in(30, 7, 160, 55)

    @property
    def mucosa(self) -> float:
        """HU of the lining of stomach and bowel."""
        return 38.0 + 50.0 * self._in(30, 7, 250, 60)

    @property
    def muscle(self) -> float:
        """HU of muscle."""
        return 52.0 + 12.0 * self._in(45, 12)


def draw_enhancement(rng: np.random.Generator) -> Enhancement:
    """One scan: mostly portal venous as in BTCV, sometimes arterial, late or nearly without contrast."""
    seconds = float(np.clip(rng.normal(68.0, 20.0), 22.0, 130.0))
    dose = float(1.15 * rng.beta(5.0, 1.6))
    return Enhancement(seconds, dose, float(np.clip(rng.normal(56.0, 7.0), 35.0, 70.0)))


def shift(rng: np.random.Generator, amount: float) -> np.ndarray:
    """A random vector (3,) in mm with this standard deviation, cut off at twice that."""
    return np.clip(rng.normal(0, amount, 3), -2 * amount, 2 * amount)


def size(rng: np.random.Generator, amount: float) -> float:
    """A random factor around 1 with this standard deviation, cut off at twice that."""
    return float(np.clip(rng.normal(1, amount), 1 - 2 * amount, 1 + 2 * amount))


def scanner_noise(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """Noise of a reconstructed CT (I, J, K), float32: Gaussian, a little correlated between neighbours."""
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.55, mode="wrap")
    return noise * np.float32(deviation / noise.std())

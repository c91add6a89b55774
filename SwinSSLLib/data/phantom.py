"""Synthetic abdominal CT by seed: schematic patients with 13 organs and exact labels.

A phantom is defined in millimetres RAS around the patient, not in voxels: the same seed sampled at
another spacing or field of view is the same patient. Volumes are stored with i to the patient's
right, j to the front and k to the head. Liver, gallbladder, duodenum and vena cava are on the
right, spleen, stomach and aorta on the left; the spine is behind and the lungs are above, so a
mistake in orientation shows at once. Numbers made with phantoms say nothing about real patients.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from SwinSSLLib.atomic import write_json
from SwinSSLLib.data.phantom_bowel import paint_bowel
from SwinSSLLib.data.phantom_canvas import Canvas
from SwinSSLLib.data.phantom_frame import (
    draw_build,
    paint_back_muscles,
    paint_body,
    paint_chest,
    paint_pelvis,
    paint_ribs,
    paint_spine,
    paint_table,
)
from SwinSSLLib.data.phantom_organs import Anatomist, paint_organs
from SwinSSLLib.data.phantom_tissue import SmoothField, draw_enhancement, scanner_noise
from SwinSSLLib.data.volumes import RAS_DIRECTION, Volume, write_volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.organs import ORGANS

#: Default grid: 336 x 288 x 288 mm, the whole abdomen with the lung bases.
SPACING = (3.0, 3.0, 3.0)
SHAPE = (112, 96, 96)


HU_FLOOR, HU_CEILING = -1024, 1500


@dataclass(frozen=True)
class Phantom:
    """A synthetic patient.

    Attributes:
        image: int16 Hounsfield units.
        labels: uint8 ids 0..13 on the same grid.
        seed: what it was made from.
        name: such as ``phantom-000007``.
    """

    image: Volume
    labels: Volume
    seed: int
    name: str


def make_phantom(
    seed: int,
    *,
    spacing: tuple[float, float, float] = SPACING,
    shape: tuple[int, int, int] = SHAPE,
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Phantom:
    """Make the patient with this seed, sampled on an axis-aligned RAS grid.

    Args:
        seed: any non-negative integer; equal seeds give equal voxels.
        spacing: millimetres along i, j, k.
        shape: voxels along i, j, k.
        centre: RAS point in mm in the middle of the grid; the origin is at the height of vertebra L1.

    Returns:
        Image and labels of shape ``shape``.
    """
    axes = [c + s * (np.arange(n) - (n - 1) / 2) for s, n, c in zip(spacing, shape, centre, strict=True)]
    patient, scan = (np.random.default_rng([seed, part]) for part in (0, 1))
    build, phase = draw_build(patient), draw_enhancement(patient)
    canvas = _draw_canvas(patient, axes)
    frame = paint_body(canvas, build, phase)
    paint_back_muscles(canvas, phase, frame)
    paint_chest(canvas, phase, frame)
    paint_bowel(canvas, phase, patient)
    paint_organs(Anatomist(canvas, phase, patient, frame))
    paint_pelvis(canvas, build, phase)
    paint_spine(canvas, build)
    paint_ribs(canvas, build, frame.out)
    paint_table(canvas, float(patient.normal(-137, 2)), frame.out)
    sigma = [max(0.3, 0.8 / s) for s in spacing]  # point spread of the scanner
    image = gaussian_filter(canvas.hu, sigma, mode="nearest")
    # fewer photons behind thicker bodies and in smaller voxels
    dose = 7.5 * (1 + build.fat / 40) * (27.0 / float(np.prod(spacing))) ** 0.25
    image += scanner_noise(scan, image.shape, float(scan.uniform(0.7, 1.4)) * dose)
    voxels = np.clip(np.rint(image), HU_FLOOR, HU_CEILING).astype(np.int16)
    origin = (-float(axes[0][0]), -float(axes[1][0]), float(axes[2][0]))
    name = f"phantom-{seed:06d}"
    return Phantom(
        image=Volume(voxels, spacing, origin, RAS_DIRECTION, name),
        labels=Volume(canvas.labels, spacing, origin, RAS_DIRECTION, name),
        seed=seed,
        name=name,
    )


def _draw_canvas(rng: np.random.Generator, axes: list[np.ndarray]) -> Canvas:
    """The individual's size, place and smooth deformation."""
    size = np.clip(rng.normal(1.0, 0.035), 0.93, 1.07) * np.clip(rng.normal(1.0, 0.025, 3), 0.95, 1.05)
    place = np.clip(rng.normal(0, (3.0, 3.0, 9.0)), (-6, -6, -18), (6, 6, 18))
    coarse = [(SmoothField(rng, 80.0), 4.0) for _ in range(3)]
    medium = [(SmoothField(rng, 40.0), 1.4) for _ in range(3)]
    fields = (SmoothField(rng, 14.0), SmoothField(rng, 5.0))
    scale = (float(1 / size[0]), float(1 / size[1]), float(1 / size[2]))
    return Canvas(axes, coarse + medium, scale, (float(place[0]), float(place[1]), float(place[2])), fields)


#: Cohorts of different seeds share no patient up to this many phantoms.
LARGEST_COHORT = 100_000


def default_split(count: int) -> tuple[int, int, int]:
    """How many phantoms train, validate and stay unlabelled: half unlabelled, of the rest a quarter validates.

    Each part has at least one member from three phantoms on.
    """
    unlabelled = count // 2
    validation = max(1, round((count - unlabelled) / 4)) if count >= 3 else 0
    return count - unlabelled - validation, validation, unlabelled


def write_cohort(
    count: int,
    seed: int,
    out: Path,
    *,
    spacing: tuple[float, float, float] = SPACING,
    shape: tuple[int, int, int] = SHAPE,
    split: tuple[int, int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write phantoms to ``out/images`` and ``out/labels`` and list them in ``out/dataset.json``.

    The datalist is written last, so its presence means that the cohort is complete.

    Args:
        count: number of phantoms.
        seed: cohort seed; patient ``n`` has the seed ``seed * 100000 + n``.
        out: folder, made when missing.
        spacing: millimetres along right, front, head.
        shape: voxels along right, front, head.
        split: how many train, validate and stay unlabelled; ``default_split(count)`` when not given.
        progress: called with (done, count) after each phantom.

    Returns:
        The path of ``dataset.json``: "training" and "validation" hold {image, label}, "unlabelled"
        holds {image}; paths are relative to ``out``.

    Raises:
        InputError: impossible counts, a folder that holds another cohort, or one that cannot be written.
    """
    parts = default_split(count) if split is None else split
    if not 1 <= count <= LARGEST_COHORT or min(parts) < 0 or sum(parts) != count:
        raise InputError(
            f"{count} phantoms cannot be split into {' + '.join(map(str, parts))} (training, validation, unlabelled).",
            f"Ask for 1 to {LARGEST_COHORT} phantoms and let the parts add up to them.",
        )
    recipe = {"count": count, "seed": seed, "spacing": list(spacing), "shape": list(shape), "split": list(parts)}
    datalist = out / "dataset.json"
    _refuse_other(datalist, recipe)
    cases: list[dict[str, Any]] = []
    for number in range(count):
        phantom = make_phantom(seed * LARGEST_COHORT + number, spacing=spacing, shape=shape)
        cases.append(_write_case(phantom, out, labelled=number < parts[0] + parts[1]))
        if progress is not None:
            progress(number + 1, count)
    write_json(datalist, _listing(cases, parts, seed, recipe))
    return datalist


def _write_case(phantom: Phantom, out: Path, *, labelled: bool) -> dict[str, Any]:
    """Write one phantom; returns its entry for the datalist."""
    image, label = f"images/{phantom.name}.nii.gz", f"labels/{phantom.name}.nii.gz"
    write_volume(phantom.image, out / image)
    case: dict[str, Any] = {"image": image, "seed": phantom.seed}
    if labelled:
        write_volume(phantom.labels, out / label)
        case["label"] = label
    return case


def _listing(
    cases: list[dict[str, Any]], parts: tuple[int, int, int], seed: int, recipe: dict[str, Any]
) -> dict[str, Any]:
    """The content of ``dataset.json``."""
    training, validation = parts[0], parts[0] + parts[1]
    return {
        "name": f"SwinSSL phantoms, seed {seed}",
        "description": "Synthetic abdominal CT with exact labels; no patient.",
        "modality": {"0": "CT"},
        "labels": {"0": "background"} | {str(organ.id): organ.name for organ in ORGANS},
        "recipe": recipe,
        "training": cases[:training],
        "validation": cases[training:validation],
        "unlabelled": cases[validation:],
    }


def _refuse_other(datalist: Path, recipe: dict[str, Any]) -> None:
    if not datalist.exists():
        return
    try:
        found = json.loads(datalist.read_text(encoding="utf-8")).get("recipe")
    except (OSError, ValueError, AttributeError, RecursionError):
        found = None
    if found != recipe:
        raise InputError(f"{datalist} already lists other volumes.", "Choose an empty output folder.")

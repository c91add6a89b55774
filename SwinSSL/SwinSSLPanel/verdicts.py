"""Pre-flight: whether a volume suits a model, in words, before anything is computed.

What cannot work stops; what may be wrong warns. Estimates of memory and time are rough: they are there to tell a
minute from an hour.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLPanel.sections.section import span

#: DICOM tag of the modality.
MODALITY = "0008,0060"
#: Voxels that are looked at to judge a volume's values.
SAMPLES = 200_000
#: Overlap of the windows, as the engine has it unless told otherwise.
OVERLAP = 0.5
#: Voxels this many times larger than those of the model's training are worth a warning.
COARSE = 2.0

#: Measured with Swin UNETR of feature size 48 and windows of 96 voxels a side: work, and memory beyond what is counted.
_WINDOW_GFLOP, _WINDOW_BYTES, _WINDOW_VOXELS = 637.0, 1.6e9, 96**3
#: Python with the engine's packages; arithmetic of one core; painting a voxel of the result.
_BASE_BYTES, _GFLOP_OF_A_CORE, _SECONDS_OF_A_VOXEL = 0.7e9, 40.0, 0.5e-6
#: A worker imports PyTorch and reads the model first.
_START_SECONDS = 7.0


@dataclass(frozen=True)
class Verdict:
    """What there is to say about a volume and a model.

    Attributes:
        name: of the volume.
        stops: why it cannot work.
        warnings: why the result may be wrong.
        seconds: rough time, without the start of the worker.
        measured: whether the time comes from earlier volumes on this machine.
        bytes: rough memory.
    """

    name: str
    stops: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    measured: bool = False
    bytes: float = 0.0

    @property
    def good(self) -> bool:
        """Whether it may be tried."""
        return not self.stops


def knownSpeed(card: Mapping[str, Any]) -> float | None:
    """Seconds that a window of such a network took on this machine, or None if none was run here."""
    value = slicer.util.settingsValue(_speedKey(card), 0.0, converter=float)
    return value if value > 0 else None


def rememberSpeed(card: Mapping[str, Any], seconds: float) -> None:
    """Keep the measured seconds of a window, from one start of Slicer to the next."""
    qt.QSettings().setValue(_speedKey(card), float(seconds))


def _speedKey(card: Mapping[str, Any]) -> str:
    roi = "x".join(str(int(size)) for size in card["input"]["roi"])
    return f"SwinSSL/SecondsPerWindow/{int(card['network']['feature_size'])}-{roi}"


def judge(volumeNode: Any, card: Mapping[str, Any], weights: Path | None = None) -> Verdict:
    """The verdict on a volume and a model.

    Args:
        volumeNode: scalar volume.
        card: content of the model's ``model.json``.
        weights: the model's file, for the memory that it takes.
    """
    name = volumeNode.GetName()
    stops = _kindProblems(volumeNode)
    if stops:
        return Verdict(name, tuple(stops))
    inputs = card["input"]
    stops, warnings = _valueProblems(volumeNode, inputs["hu_window"])
    size, spacing = gridOf(volumeNode, inputs["spacing"])
    warnings += _placeProblems(volumeNode, inputs, spacing)
    bytes_ = memoryNeeded(volumeNode, card, size, weights)
    free = freeMemory()
    if free is not None and bytes_ > free:
        words = _("It needs about {need:.1f} GiB of memory and {free:.1f} GiB are free: close other programs.")
        warnings.append(words.format(need=bytes_ / 2**30, free=free / 2**30))
    seconds, measured = timeNeeded(volumeNode, card, size)
    return Verdict(name, tuple(stops), tuple(warnings), seconds, measured, bytes_)


def _kindProblems(volumeNode: Any) -> list[str]:
    """What makes a volume no CT, whatever its values."""
    image = volumeNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        return [_("It has no voxels.")]
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        return [_("It is a label map and not a CT.")]
    if image.GetNumberOfScalarComponents() != 1:
        return [_("It has several values in each voxel (colours or vectors) and is not a CT.")]
    if min(image.GetDimensions()) < 2:
        return [_("It is a single slice; the model needs a volume.")]
    known = modality(volumeNode)
    if known and known != "CT":
        return [_("Its modality is {modality} and not CT: the model reads Hounsfield units.").format(modality=known)]
    return []


def _valueProblems(volumeNode: Any, window: Sequence[float]) -> tuple[list[str], list[str]]:
    """What the values say."""
    values = sampled(volumeNode)
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() == finite.max():  # to stop somebody, look at everything
        values = slicer.util.arrayFromVolume(volumeNode).ravel()
        finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() == finite.max():
        return [_("All its voxels are the same.")], []
    low, high = float(finite.min()), float(finite.max())
    warnings = []
    if finite.size < values.size:
        warnings.append(_("Some of its voxels hold no number."))
    if low > -200:
        words = _("Its values go from {low:g} to {high:g}, without air near -1000: are these Hounsfield units?")
        warnings.append(words.format(low=low, high=high))
    elif high < window[0] or low > window[1] or float(np.mean((finite > window[0]) & (finite < window[1]))) < 0.01:
        words = _("Hardly any voxel lies between {low:g} and {high:g} HU, where the model looks.")
        warnings.append(words.format(low=window[0], high=window[1]))
    elif high > 10_000:
        warnings.append(_("Its values go up to {high:g}: are these Hounsfield units?").format(high=high))
    return [], warnings


def _placeProblems(volumeNode: Any, inputs: Mapping[str, Any], spacing: Sequence[float]) -> list[str]:
    """What spacing and field of view say."""
    warnings = []
    own, wanted = sorted(volumeNode.GetSpacing()), inputs["spacing"]
    if wanted and own[-1] > COARSE * max(wanted):
        words = _("Its voxels are up to {own:.1f} mm large, the model was trained with {wanted:.1f} mm.")
        warnings.append(words.format(own=own[-1], wanted=max(wanted)) + " " + _("Small organs may be missed."))
    extent = extentOf(volumeNode)
    window = [count * step for count, step in zip(inputs["roi"], spacing, strict=True)]
    axes = (_("from right to left"), _("from front to back"), _("in height"))
    for axis, has, sees in zip(axes, extent, window, strict=True):
        if has < 0.5 * sees:
            words = _("It covers {has:.0f} mm {axis}; the model looks at {sees:.0f} mm at a time.")
            warnings.append(words.format(has=has, axis=axis, sees=sees))
    return warnings


def modality(volumeNode: Any) -> str:
    """Modality by DICOM, by the subject hierarchy, or by the volume's quantity; empty if nobody knows."""
    found = ""
    instances = volumeNode.GetAttribute("DICOM.instanceUIDs")
    database = getattr(slicer, "dicomDatabase", None)
    if instances and database is not None:
        found = str(database.instanceValue(instances.split()[0], MODALITY) or "")
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    if not found and hierarchy is not None:
        item = hierarchy.GetItemByDataNode(volumeNode)
        attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
        found = hierarchy.GetItemAttribute(item, attribute) if item else ""
    if not found:
        units = volumeNode.GetVoxelValueUnits()
        found = "CT" if units is not None and units.GetCodeMeaning() == "Hounsfield unit" else ""
    return found.strip().upper()


def sampled(volumeNode: Any) -> np.ndarray:
    """Some voxels from everywhere in the volume."""
    array = slicer.util.arrayFromVolume(volumeNode)
    step = max(1, round((array.size / SAMPLES) ** (1 / 3)))
    return np.asarray(array[::step, ::step, ::step], np.float64)


def extentOf(volumeNode: Any) -> list[float]:
    """Millimetres from right to left, front to back and in height."""
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    return [bounds[2 * axis + 1] - bounds[2 * axis] for axis in range(3)]


def gridOf(volumeNode: Any, wanted: Sequence[float] | None) -> tuple[list[int], list[float]]:
    """Voxels and spacing, along R, A, S, of what the network sees; about right for oblique volumes."""
    extent = extentOf(volumeNode)
    if wanted:
        spacing = [float(step) for step in wanted]
    else:
        counts = volumeNode.GetImageData().GetDimensions()
        spacing = [(math.prod(extent) / math.prod(counts)) ** (1 / 3)] * 3
    return [max(1, round(size / step)) for size, step in zip(extent, spacing, strict=True)], spacing


def windowCount(size: Sequence[int], roi: Sequence[int], overlap: float = OVERLAP) -> int:
    """Windows that cover a grid."""
    along = []
    for count, window in zip(size, roi, strict=True):
        step = max(1, int(window * (1 - overlap)))
        along.append(math.ceil(max(0, count - window) / step) + 1)
    return math.prod(along)


def memoryNeeded(volumeNode: Any, card: Mapping[str, Any], size: Sequence[int], weights: Path | None = None) -> float:
    """Rough bytes of the worker: the program, the weights twice, the volume, its copy, the sums and one window."""
    roi, network = card["input"]["roi"], card["network"]
    voxels, seen = volumeNode.GetImageData().GetNumberOfPoints(), math.prod(size)
    across = math.prod(max(count, window) for count, window in zip(size[:2], roi[:2], strict=True))
    sums = (int(network.get("out_channels") or 14) + 1) * across * roi[2] * 4
    window = _WINDOW_BYTES * _share(card)
    file = weights.stat().st_size if weights is not None and weights.is_file() else 0
    return _BASE_BYTES + 2 * file + 5 * voxels + 8 * seen + 1.5 * sums + window


def timeNeeded(volumeNode: Any, card: Mapping[str, Any], size: Sequence[int]) -> tuple[float, bool]:
    """Rough seconds, and whether they come from a measurement on this machine."""
    windows = windowCount(size, card["input"]["roi"])
    measured = knownSpeed(card)
    each = measured or _WINDOW_GFLOP * _share(card) / (_GFLOP_OF_A_CORE * (os.cpu_count() or 1))
    rest = 0.0 if measured else _SECONDS_OF_A_VOXEL * volumeNode.GetImageData().GetNumberOfPoints()
    return windows * each + rest, measured is not None


def _share(card: Mapping[str, Any]) -> float:
    """Work and memory of one window compared with that of the large network; the smaller ones do relatively worse."""
    return float(card["network"]["feature_size"]) / 48 * math.prod(card["input"]["roi"]) / _WINDOW_VOXELS


def freeMemory() -> int | None:
    """Bytes that programs can still have, or None if that cannot be found out."""
    if importlib.util.find_spec("psutil") is not None:  # it comes with the engine's packages, and may not be there yet
        import psutil

        return int(psutil.virtual_memory().available)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


def verdictText(verdicts: Sequence[Verdict], most: int = 6) -> str:
    """Verdicts in words, what is wrong first; at the end time and memory."""
    remarks: dict[str, list[str]] = {}
    for verdict in verdicts:
        for sentence in verdict.stops:
            remarks.setdefault(f"✗ {{who}}{sentence}", []).append(verdict.name)
    for verdict in verdicts:
        for sentence in verdict.warnings:
            remarks.setdefault(f"⚠ {{who}}{sentence}", []).append(verdict.name)
    lines = [line.replace("{who}", _who(names) if len(verdicts) > 1 else "") for line, names in remarks.items()]
    if len(lines) > most:
        left = len(lines) - most
        words = _("and one more remark") if left == 1 else _("and {n} more remarks")
        lines = [*lines[:most], words.format(n=left)]
    good = [verdict for verdict in verdicts if verdict.good]
    if good:
        lines.append(_costLine(good))
    return "\n".join(lines)


def _who(names: Sequence[str], most: int = 3) -> str:
    """Names of volumes that share a remark."""
    more = _(" and {n} more").format(n=len(names) - most) if len(names) > most else ""
    return ", ".join(names[:most]) + more + ": "


def _costLine(verdicts: Sequence[Verdict]) -> str:
    time = _START_SECONDS + sum(one.seconds for one in verdicts)
    memory = max(one.bytes for one in verdicts) / 2**30
    if all(one.measured for one in verdicts):
        words = _("✓ About {span} as measured here, {memory:.1f} GiB of memory")
    else:
        words = _("✓ Roughly {span} on this processor (much less on a graphics card), {memory:.1f} GiB of memory")
    return words.format(span=span(time), memory=memory)

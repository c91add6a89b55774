"""Digests that say whether two files, or two volumes, are the same."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np

from SwinSSLLib.atomic import write_json
from SwinSSLLib.data.dicom import choose_series, is_dicom
from SwinSSLLib.data.formats import companions, volume_suffix
from SwinSSLLib.data.geometry import Volume, reordered_to_ras
from SwinSSLLib.errors import InputError


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_of(volume: Volume) -> str:
    """A digest of a volume's voxels and spacing, independent of file format, axis order and name.

    Voxels are brought to RAS order first (a permutation, no interpolation). The position in space is
    left out because exports lose or round it; equal voxels are the same scan wherever they lie.
    """
    upright = reordered_to_ras(volume)
    digest = hashlib.sha256()
    for slab in np.moveaxis(upright.array, 2, 0):  # slices stay in the processor's cache while they are turned
        digest.update(np.ascontiguousarray(slab.T).data)
    digest.update(repr((upright.shape, [_coarse(s) for s in upright.spacing])).encode())
    return digest.hexdigest()


def _coarse(value: float) -> int:
    # Hundredths, cut at an odd place: NIfTI's single precision of a decimal such as 0.765 must not
    # fall on the other side of a boundary.
    return math.floor(value * 100 + 0.2928932)


class SourceIndex:
    """Digests of source files, remembered by path, size and time of change so that each is read once.

    Args:
        folder: where to remember; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def digest(self, source: Path, series: str | None) -> str:
        """Digest of the bytes of a volume file with its companions, or of the files of a DICOM series.

        Raises:
            InputError: the source does not exist or holds no such series.
        """
        if not source.exists():
            raise InputError(f"{source} does not exist.", "Check the path.")
        try:
            dicom = source.is_dir() or (volume_suffix(source) is None and is_dicom(source))
            signature = _signature(source, dicom)
            note = self._folder / f"{_hash(f'{source.absolute()}|{series}')}.json"
            remembered = _remembered(note, signature)
            if remembered is not None:
                return remembered
            if dicom:
                files = sorted(file_digest(file) for file in choose_series(source, series)[0].files)
            else:
                files = [file_digest(file) for file in (source, *companions(source))]
        except OSError as error:
            raise InputError(f"{source} could not be read: {error.strerror}.", "Check the permissions.") from error
        digest = _hash("\n".join(files))
        write_json(note, {"source": str(source.absolute()), "signature": signature, "digest": digest})
        return digest


def _signature(source: Path, dicom: bool) -> str:
    """What changes when any of the files changes: names, sizes, times."""
    if not dicom:
        files = [source, *companions(source)]
    else:
        root = source if source.is_dir() else source.parent
        files = sorted(file for file in root.rglob("*") if file.is_file())
    states = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return _hash(repr(states))


def _remembered(note: Path, signature: str) -> str | None:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        digest = str(known["digest"]) if known["signature"] == signature else ""
        return digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

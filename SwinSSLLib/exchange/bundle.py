"""Bundles of MONAI's model zoo: read as data only, folder or zip; nothing in them is executed or unpacked."""

from __future__ import annotations

import json
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.exchange.about import About
from SwinSSLLib.exchange.labels import labels_from_names

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
OWN_CARD = "configs/swinssl.json"
WEIGHTS = ("models/model.pt", "models/model.safetensors")
#: What reading a damaged, encrypted or strangely packed zip file raises.
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
#: Weights hardly shrink: what grows by more than this is there to fill a disk.
_MOST_GROWTH = 50
#: Nothing that belongs into a bundle is larger: 8 GiB of weights, 8 MiB of configuration.
_MOST_WEIGHTS, _MOST_TEXT = 8 << 30, 8 << 20


@dataclass(frozen=True)
class OpenBundle:
    """A bundle's parts.

    Attributes:
        weights: a file, for as long as the bundle is open.
        about: what its configuration states.
        card: content of our own card in it, or None.
    """

    weights: Path
    about: About
    card: bytes | None


def is_bundle(path: Path) -> bool:
    """Whether a folder or zip file is laid out as a bundle."""
    if path.is_dir():
        return (path / METADATA).is_file()
    # torch's own files are zip archives too, of which the first folder holds data.pkl
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(name.endswith("data.pkl") for name in archive.namelist())
    except DAMAGE:
        return path.suffix.lower() == ".zip"  # opening it says what is wrong


@contextmanager
def opened_bundle(path: Path) -> Iterator[OpenBundle]:
    """Open a bundle; a zip file's weights lie in a temporary file meanwhile.

    Raises:
        InputError: not a bundle, damaged, or with paths that lead out of it.
    """
    if path.is_dir():
        yield _assembled(path, _Folder(path))
        return
    with tempfile.TemporaryDirectory(prefix="swinssl-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                bundle = _assembled(path, _Zip(path, archive, Path(folder)))
        except DAMAGE as error:
            raise InputError(f"{path} is a damaged zip file: {one_line(error)}.", "Fetch it again.") from error
        yield bundle


class _Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, name: str) -> bytes | None:
        file = self.root / name
        return file.read_bytes() if file.is_file() and file.stat().st_size <= _MOST_TEXT else None

    def file(self, name: str) -> Path | None:
        return self.root / name if (self.root / name).is_file() else None


class _Zip:
    """The same of a zip file, in which everything may lie in one more folder."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, folder: Path) -> None:
        self.path, self.archive, self.folder = path, archive, folder
        names = archive.namelist()
        for name in names:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or ":" in name:
                raise InputError(
                    f"{path} is refused: it holds the path {one_line(name)}, which leads out of it.",
                    "Nothing was unpacked; do not use this file.",
                )
        found = next((name for name in names if name == METADATA or name.endswith(f"/{METADATA}")), None)
        if found is None:
            raise InputError(f"{path} is no bundle: {METADATA} is missing.", "Choose a bundle of MONAI's model zoo.")
        self.prefix = found.removesuffix(METADATA)

    def text(self, name: str) -> bytes | None:
        info = self._info(name)
        return None if info is None or info.file_size > _MOST_TEXT else self.archive.read(info)

    def file(self, name: str) -> Path | None:
        info = self._info(name)
        if info is None or info.file_size > _MOST_WEIGHTS:
            return None
        if info.file_size > _MOST_GROWTH * info.compress_size + (1 << 20):
            raise InputError(f"{self.path} is refused: {name} in it grows without measure.", "Do not use this file.")
        target = self.folder / PurePosixPath(name).name
        with self.archive.open(info) as source, target.open("wb") as file:
            while chunk := source.read(1 << 20):  # never more than the size that was checked
                file.write(chunk)
        return target

    def _info(self, name: str) -> zipfile.ZipInfo | None:
        try:
            return self.archive.getinfo(self.prefix + name)
        except KeyError:
            return None


def _assembled(path: Path, source: _Folder | _Zip) -> OpenBundle:
    weights = next((file for name in WEIGHTS if (file := source.file(name))), None)
    if weights is None:
        raise InputError(
            f"{path} holds no {WEIGHTS[0]}.",
            "Bundles of the model zoo fetch it separately: see large_files.yml in it, and put the file there.",
        )
    metadata, inference = (_json(source.text(name), f"{name} in {path}") for name in (METADATA, INFERENCE))
    return OpenBundle(weights, _about(metadata, inference, f"The bundle {path}"), source.text(OWN_CARD))


def _json(content: bytes | None, source: str) -> Mapping[str, Any]:
    if content is None:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} cannot be read: {one_line(error)}.", "Fetch the bundle again.") from error
    return found if isinstance(found, Mapping) else {}


def _about(metadata: Mapping[str, Any], inference: Mapping[str, Any], source: str) -> About:
    """What a bundle's configuration says, as far as it says it in plain values; expressions are not evaluated."""
    definition = inference.get("network_def")
    second = isinstance(definition, Mapping) and definition.get("downsample") == "mergingv2"
    names = ("name", "version", "monai_version", "authors", "copyright", "data_source", "intended_use")
    stated = {name: metadata[name] for name in names if isinstance(metadata.get(name), str)}
    metrics = metadata.get("eval_metrics")
    return About(
        merging="v2" if second else None,
        input=_input(inference, source),
        labels=_labels(metadata),
        provenance={"bundle": stated},
        metrics={"stated": metrics} if isinstance(metrics, Mapping) else {},
    )


def _input(inference: Mapping[str, Any], source: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for transform in _transforms(inference.get("preprocessing")):
        kind = transform.get("_target_")
        if kind == "Orientationd" and transform.get("axcodes") != "RAS":
            raise InputError(
                f"{source} wants the orientation {one_line(transform.get('axcodes'), 40)}, but only RAS can be used.",
                "Choose a bundle that was trained in RAS.",
            )
        if kind == "Spacingd" and _numbers(transform.get("pixdim"), 3):
            found["spacing"] = list(transform["pixdim"])
        if kind == "ScaleIntensityRanged" and _numbers([transform.get("a_min"), transform.get("a_max")], 2):
            found["hu_window"] = [transform["a_min"], transform["a_max"]]
    inferer = inference.get("inferer")
    if isinstance(inferer, Mapping) and _numbers(inferer.get("roi_size"), 3):
        found["roi"] = list(inferer["roi_size"])
    return found


def _transforms(section: Any) -> list[Mapping[str, Any]]:
    listed = section.get("transforms") if isinstance(section, Mapping) else None
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def _numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and len(values) == count
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    )


def _labels(metadata: Mapping[str, Any]) -> Any:
    """Labels by ``network_data_format.outputs.pred.channel_def``."""
    section: Any = metadata
    for name in ("network_data_format", "outputs", "pred", "channel_def"):
        section = section.get(name) if isinstance(section, Mapping) else None
    if not isinstance(section, Mapping):
        return None
    given = {str(number): one_line(name, 80) for number, name in section.items()}
    names = {int(number): name for number, name in given.items() if number.isdecimal() and len(number) <= 3}
    return labels_from_names(names) or None

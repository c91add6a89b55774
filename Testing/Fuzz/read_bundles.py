"""Readers of what comes in one piece: bundles of MONAI, zipped or not, and cards beside weights."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

from Fuzz import archives, documents
from Fuzz.inputs import FOLDER, Input, one
from Fuzz.read_weights import bounded, segmenter_card, tiny_state, torch_change, torch_file
from Fuzz.readers import Reader, bytewise
from SwinSSLLib.exchange.bundle import INFERENCE, METADATA, OWN_CARD, WEIGHTS, opened_bundle
from SwinSSLLib.exchange.importing import import_model
from SwinSSLLib.exchange.sealing import open_card, sealed
from SwinSSLLib.models import network_of


def _bundle_files() -> dict[str, bytes]:
    metadata = {
        "name": "x", "version": "1", "monai_version": "1.4", "eval_metrics": {"dice": 0.8},
        "network_data_format": {"outputs": {"pred": {"channel_def": {"0": "background", "1": "spleen"}}}},
    }  # fmt: skip
    inference = {
        "network_def": {"_target_": "SwinUNETR", "downsample": "mergingv2"},
        "preprocessing": {"transforms": [
            {"_target_": "Orientationd", "axcodes": "RAS"}, {"_target_": "Spacingd", "pixdim": [1.5, 1.5, 2.0]},
            {"_target_": "ScaleIntensityRanged", "a_min": -175, "a_max": 250},
        ]},
        "inferer": {"roi_size": [96, 96, 96]},
    }  # fmt: skip
    files = {METADATA: json.dumps(metadata).encode(), INFERENCE: json.dumps(inference).encode()}
    return {**files, WEIGHTS[0]: torch_file(tiny_state()), OWN_CARD: json.dumps(segmenter_card()).encode()}


def _zip_seeds(_: Path) -> list[Input]:
    found = []
    for prefix in ("", "bundle/"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in _bundle_files().items():
                archive.writestr(zipfile.ZipInfo(prefix + name, (1980, 1, 1, 0, 0, 0)), content)
        found.append(one("b.zip", out.getvalue()))
    return found


def _member(random: Random, name: str, data: bytes, other: bytes) -> bytes:
    change = documents.mutated if name.endswith(".json") else torch_change
    return change(random, data, data)


def _bundle_folder(random: Random, seed: Input, other: Input) -> Input:
    name = random.choice(list(seed.files))
    if random.random() < 0.05:
        links = {name: random.choice(("/etc/passwd", "nowhere", ".", name))}
        return Input(FOLDER, {key: value for key, value in seed.files.items() if key != name}, links)
    return seed.with_content(_member(random, name, seed.files[name], b""), name)


def _open_bundle(path: Path, out: Path) -> Any:
    """Its parts, and then what becomes of them on import (which the tiny weights end, in one sentence)."""
    with opened_bundle(path) as bundle:
        about, size = bundle.about, bundle.weights.stat().st_size
    import_model(path)
    return about, size


def _sealed_seeds(folder: Path) -> list[Input]:
    weights = folder / "w.pt"
    weights.write_bytes(torch_file(tiny_state()))
    card = json.dumps(sealed(segmenter_card(), weights)).encode()
    return [Input("w.model.json", {"w.model.json": card, "w.pt": weights.read_bytes()})]


def _open_card(path: Path, out: Path) -> Any:
    return network_of(open_card(path.read_bytes(), path.with_name("w.pt"), str(path)), str(path))


def _refused_only(found: Any) -> str:
    return "a bundle of weights that fit nothing was imported"


READERS = (
    Reader(
        "bundle-zip", _zip_seeds, bytewise(archives.zip_of(_member)), _open_bundle, _refused_only, 1.2, accepts=False
    ),
    Reader(
        "bundle-folder",
        lambda _: [Input(FOLDER, _bundle_files())],
        _bundle_folder,
        _open_bundle,
        _refused_only,
        1,
        accepts=False,
    ),
    Reader("sealed-card", _sealed_seeds, bytewise(documents.mutated), _open_card, bounded, 0.7),
)

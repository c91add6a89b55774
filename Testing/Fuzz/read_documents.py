"""Readers of JSON and TOML: datalists, settings, names, the catalogue, and what was measured."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from random import Random
from typing import Any

from Fuzz import documents, mutators, seeds
from Fuzz.inputs import FOLDER, Input, one
from Fuzz.readers import Reader, bytewise, everywhere
from SwinSSLLib.data.datalists import Datalist, read_datalist
from SwinSSLLib.data.phantom import _refuse_other
from SwinSSLLib.exchange.catalogue import CATALOGUE, Entry, read_catalogue
from SwinSSLLib.exchange.labels import read_label_names
from SwinSSLLib.organs import Organ
from SwinSSLLib.presets import PRESETS, finetune_settings, pretrain_settings
from SwinSSLLib.settings import PretrainSettings, read_settings_file
from SwinSSLLib.validation import to_dict

JSON = bytewise(documents.mutated)


def document(name: str, *contents: Any) -> Callable[[Path], Sequence[Input]]:
    """Seeds of one JSON file."""
    return lambda _: [one(name, json.dumps(content)) for content in contents]


def _text(random: Random, data: bytes, other: bytes) -> bytes:
    return mutators.mutated(random, data, other, mutators.TEXT)


# -- datalists -------------------------------------------------------------------------------------


def _datalist_seeds(_: Path) -> list[Input]:
    lists: tuple[dict[str, Any], ...] = (
        {
            "training": [{"image": "a.nii.gz", "label": "l.nii.gz"}, {"image": "b.nrrd", "patient": "P1"}],
            "validation": [{"image": ["c.mha"], "label": "l.nii.gz", "patient": 7}],
            "unlabelled": ["d.nii", {"image": "sub/e.nii.gz"}],
        },
        {"training": [{"image": "a.nii.gz", "label": "l.nii.gz"}, {"image": "b.nrrd"}], "test": ["c.mha"]},
        {"unlabeled": ["a.nii.gz", "b.nrrd", "c.mha", "series"], "name": "x", "labels": {"0": "background"}},
    )
    ct = b"not read by a datalist"
    files = dict.fromkeys(("a.nii.gz", "b.nrrd", "c.mha", "d.nii", "sub/e.nii.gz", "l.nii.gz", "series/im1"), ct)
    return [Input("dataset.json", {"dataset.json": json.dumps(given).encode(), **files}) for given in lists]


def _datalist_problem(found: Datalist) -> str:
    cases = (*found.training, *found.validation, *found.unlabelled)
    if not cases:
        return "no case"
    names = [case.name for case in cases]
    if not all(isinstance(case.patient, str) and case.image.exists() for case in cases):
        return "a case without a patient or a file"
    words = [sentence for sentence in found.warnings if not sentence.isprintable()]
    if words or len(set(names)) < len(names):
        return f"a warning that is not one line, or names that come twice: {words[:1]}"
    return ""


_FOLDER_NAMES = (
    "a.nii.gz", "a_t1.nii.gz", "a_t2.nrrd", ".nii.gz", "x.NRRD", "labels/a.nii.gz", "a-seg.nrrd",
    "deep/" * 30 + "b.mha",
    "ä.nii", "_0000.nii.gz", "b b.nii", "dataset.json", "dicom/im1", "dicom/im2", "sub/a.nii.gz", "DICOMDIR",
    "sub/.hidden/a.nii", "\udce4.nii", "20190312.nii.gz", "x" * 240 + ".nii.gz", "im1", "im2",
)  # fmt: skip


def _folder(random: Random, seed: Input, other: Input) -> Input:
    names = random.sample(_FOLDER_NAMES, random.randrange(1, 7))
    contents = (b"", b"x", bytes(128) + b"DICM", seed.content, seed.content[:300])
    links = {"loop": ".", "gone.nii.gz": "nowhere", "far.nii.gz": "/etc/passwd"} if random.random() < 0.1 else {}
    return Input(FOLDER, {name: random.choice(contents) for name in names}, links)


# -- settings --------------------------------------------------------------------------------------


def _settings_seeds(_: Path) -> list[Input]:
    return [one("mine.json", json.dumps(to_dict(build()))) for build in (pretrain_settings, finetune_settings)]


def _toml_seeds(_: Path) -> list[Input]:
    lines = []
    for name, section in to_dict(pretrain_settings()).items():
        if isinstance(section, dict):
            pairs = ((key, value) for key, value in section.items() if value is not None)
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in pairs)]
        else:
            lines.insert(0, f"{name} = {json.dumps(section)}")
    return [one("mine.toml", "\n".join(lines)), one("mine.toml", "training.steps = 5\ninput = {roi = [64, 64, 64]}\n")]


def _settings(path: Path, out: Path) -> Any:
    build = pretrain_settings if "views" in path.read_text("utf-8", "replace") else finetune_settings
    changes = read_settings_file(path)
    if changes.get("preset") not in PRESETS:  # told in a sentence of its own, with the names that there are
        changes.pop("preset", None)
    return build(changes=changes, source=f"The settings file {path}")


def _settings_problem(found: Any) -> str:
    if not is_dataclass(found):
        return f"settings of type {type(found)}"
    cls = pretrain_settings if isinstance(found, PretrainSettings) else finetune_settings
    again = cls(changes=json.loads(json.dumps(to_dict(found))))
    return "" if again == found else "settings that do not survive a way through JSON"


# -- lists of the project --------------------------------------------------------------------------


def _labels_problem(found: Sequence[Organ]) -> str:
    good = found and all(0 < organ.id < 256 and organ.name.isprintable() for organ in found)
    good = good and len({organ.id for organ in found}) == len(found)
    return "" if good else f"labels {[(organ.id, organ.name[:20]) for organ in found][:5]}"


def _catalogue_problem(found: dict[str, Entry]) -> str:
    for name, entry in found.items():
        texts = (name, entry.title, entry.kind, entry.address, entry.file, entry.description, entry.merging)
        if not all(isinstance(text, str) for text in texts) or isinstance(entry.bytes, bool):
            return f"an entry with texts {texts}"
        if not isinstance(entry.bytes, int) or entry.bytes <= 0:
            return f"an entry of {entry.bytes!r} bytes"
        if Path(entry.file).name != entry.file:
            return f"an entry whose file is {entry.file!r}"
        entry.size_problem(5)
        entry.network_problem(to_dict(pretrain_settings().network))
    return ""


def _choice(path: Path, out: Path) -> Any:
    """The cache's file is ours; the key of this machine is put in, so that what is recalled is what was damaged."""
    from SwinSSLLib.segment import choices

    folder = out / "cache"
    folder.mkdir(exist_ok=True)
    file = folder / choices.choices_file().name
    file.write_bytes(path.read_bytes().replace(b"MACHINE", json.dumps(choices.machine_key())[1:-1].encode()))
    before = os.environ.get("SWINSSL_CACHE")
    os.environ["SWINSSL_CACHE"] = str(folder)
    try:
        found = choices.recall("key")
        if found is not None:
            found.way in ("a",)  # noqa: B015 - as Runner.choose asks
            set(found.agreement)
            12 * found.exact_seconds >= 3.0  # noqa: B015
        return found
    finally:
        os.environ["SWINSSL_CACHE"] = before or ""


def _choice_problem(found: Any) -> str:
    if found is None:
        return ""
    numbers = (found.exact_seconds, *found.seconds.values(), *found.agreement.values())
    good = (found.way is None or isinstance(found.way, str)) and all(isinstance(n, int | float) for n in numbers)
    return "" if good else f"a choice {found}"


_CHOICE = {"way": "torch-fp32", "exact_seconds": 1.5, "seconds": {"torch-fp32": 1.5}, "agreement": {"torch-fp32": 1.0}}

READERS = (
    Reader(
        "datalist",
        _datalist_seeds,
        JSON,
        lambda path, out: read_datalist(path),
        _datalist_problem,
        2,
    ),
    Reader(
        "datalist-folder",
        lambda folder: [*seeds.volumes(folder, ".nii")[:1]],
        _folder,
        lambda path, out: read_datalist(path),
        _datalist_problem,
    ),
    Reader("settings-json", _settings_seeds, JSON, _settings, _settings_problem, 2),
    Reader("settings-toml", _toml_seeds, bytewise(_text), _settings, _settings_problem, 1.5),
    Reader(
        "label-names",
        document("names.json", {"1": "spleen", "2": "right kidney", "7": "x"}, ["background", "liver", "b"]),
        JSON,
        lambda path, out: read_label_names(path),
        _labels_problem,
    ),
    Reader(
        "catalogue",
        lambda _: [one("catalogue.json", CATALOGUE.read_bytes())],
        JSON,
        lambda path, out: read_catalogue(path),
        _catalogue_problem,
    ),
    Reader(
        "speed-choices",
        document("backends.json", {"MACHINE | key": _CHOICE, "MACHINE | other": _CHOICE}, {"MACHINE | key": _CHOICE}),
        JSON,
        _choice,
        _choice_problem,
        0.5,
        quiet=True,
    ),
    Reader(
        "phantom-list",
        document("dataset.json", {"recipe": {"seed": 1, "count": 2}, "training": []}),
        everywhere(documents.mutated),
        lambda path, out: _refuse_other(path, {"seed": 1, "count": 2}),
        share=0.3,
    ),
)

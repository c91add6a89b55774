"""Readers of the panel that need neither Slicer nor torch: cards, previews, lines of workers, status of runs."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from Fuzz import documents
from Fuzz.inputs import one
from Fuzz.read_lines import _EVENTS, _STATUS, lines_change, npz_change, preview
from Fuzz.readers import Reader, bytewise
from SwinSSLLib.models import make_card
from SwinSSLLib.settings import InputSettings, NetworkSettings


class _Nothing:
    """Stands for Qt and Slicer where they are only imported; whoever calls it makes a mistake in this file."""

    def __getattr__(self, name: str) -> Any:
        return _Nothing()


def _panel(name: str) -> ModuleType:
    """A module of the panel, with nothing in the place of Qt and Slicer; they are taken away again."""
    given = {}
    for missing in ("qt", "slicer", "slicer.i18n", "slicer.util", "vtk", "ctk"):
        module = ModuleType(missing)
        module.__getattr__ = lambda name: _Nothing()  # type: ignore[method-assign]
        given[missing] = module
    given["slicer.i18n"].tr = lambda words: words  # type: ignore[attr-defined]
    before = {missing: sys.modules.get(missing) for missing in given}
    root = str(Path(__file__).resolve().parents[2] / "SwinSSL")
    sys.path.insert(0, root)
    sys.modules.update(given)
    try:
        return importlib.import_module(f"SwinSSLPanel.{name}")
    finally:
        sys.path.remove(root)
        for missing, module in before.items():
            if module is None:
                del sys.modules[missing]
            else:
                sys.modules[missing] = module


def _card() -> dict[str, Any]:
    network = NetworkSettings(feature_size=12)
    coverage = {"loaded": 3, "wanted": 3, "renamed": {}, "unexpected": []}
    metrics = {"validation": {"dice": 0.5, "cases": ["a", "b"]}, "stated": [{"value": 0.8, "split": "x"}]}
    provenance = {"assumed": ["x"], "licence": {"name": "L"}}
    return make_card("segmenter", network, InputSettings(), provenance, coverage=coverage, metrics=metrics)


def _read_cards(path: Path, out: Path) -> Any:
    """A model in the library as the panel lists it: what it says about a good card and about a damaged one."""
    cards, listed = _panel("modelCards"), _panel("modelList")
    card = cards.readCard(path)
    problem = listed.cardProblem(path)
    if card is None or problem:
        return problem, ""
    entry = listed.Listed("m", path, "here", card, 5)
    text = "\n".join((listed.listedText(entry), entry.kind, entry.merging))
    text += listed.cardText(cards.ModelEntry("m", path, card)) if entry.kind == "segmenter" else ""
    return problem, text


def _lines(path: Path, out: Path) -> Any:
    """What a worker writes, in pieces of any size."""
    jobs = _panel("jobs")
    data = path.read_bytes()
    taken: list[str] = []
    reader = jobs.LineReader(taken.append)
    for start in range(0, len(data), max(1, len(data) // 7)):
        reader.feed(data[start : start + max(1, len(data) // 7)])
    reader.feed(b"", last=True)
    return [jobs.parsed(line) for line in taken]


def _lines_problem(found: list[Any]) -> str:
    good = all(event is None or isinstance(event.get("event"), str) for event in found)
    return "" if good else "an event without a name"


def _preview(path: Path, out: Path) -> Any:
    previews = _panel("previews")
    found = previews.readPreview(path)
    turned = [previews.inPatientSpace(found, n, kind, "axial") for n in range(found.count) for kind in previews.KINDS]
    return found, turned


def _preview_problem(found: Any) -> str:
    shown, turned = found
    low, high = shown.huWindow
    if not (isinstance(low, float) and isinstance(high, float) and len(shown.source) == shown.count):
        return "a preview whose parts do not fit"
    return "" if all(matrix.shape == (4, 4) and array.ndim == 3 for array, matrix in turned) else "no volumes"


def _status(path: Path, out: Path) -> str:
    from SwinSSLLib.errors import InputError
    from SwinSSLLib.runs import RunFolder

    watching = _panel("watching")
    try:
        return watching.died(RunFolder(path).status())
    except InputError as error:
        return error.message


def _preview_seeds(_: Path) -> list[Any]:
    return [one("step-000005.npz", preview())]


READERS = (
    Reader(
        "panel-cards",
        lambda folder: [one("model.json", json.dumps(_card()), **{"weights.safetensors": b"x"})],
        lambda random, seed, other: bytewise(documents.mutated)(random, seed, seed),
        lambda path, out: _read_cards(path.parent, out),
        lambda found: "" if isinstance(found[1], str) else "no text",
        2,
        quiet=True,
    ),
    Reader(
        "panel-worker-lines",
        lambda _: [one("lines.txt", "".join(json.dumps(event) + "\n" for event in _EVENTS))],
        bytewise(lines_change),
        _lines,
        _lines_problem,
        quiet=True,
    ),
    Reader(
        "panel-preview",
        _preview_seeds,
        bytewise(npz_change),
        _preview,
        _preview_problem,
        2,
        refusals=(ValueError,),
    ),
    Reader(
        "panel-status",
        lambda _: [one("status.json", json.dumps(_STATUS))],
        bytewise(documents.mutated),
        lambda path, out: _status(path.parent, out),
        lambda found: "" if len(found.splitlines()) < 2 else "a sentence of several lines",
        quiet=True,
    ),
)

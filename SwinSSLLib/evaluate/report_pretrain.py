"""What a report shows of pre-training: curves with chance lines, reconstructions, rotations, similarities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from SwinSSLLib.evaluate.charts import dumbbell_svg
from SwinSSLLib.evaluate.html import Html, image, join, missing, number, section, table, tag, text
from SwinSSLLib.evaluate.pictures import PLANES, cut
from SwinSSLLib.evaluate.record import Record
from SwinSSLLib.evaluate.report_parts import LINES, curve_card, legend

#: Title, name in training, name in validation, name of the chance level, percent.
_CURVES: tuple[tuple[str, str, str, str, bool], ...] = (
    ("Inpainting, L1 over all voxels", "inpaint", "inpaint", "inpaint", False),
    ("Inpainting, L1 over removed voxels", "inpaint_masked", "inpaint_masked", "inpaint_masked", False),
    ("Contrast, NT-Xent", "contrast", "contrast", "contrast", False),
    ("Rotation, cross-entropy", "rotation", "rotation_loss", "rotation", False),
    ("Rotation, accuracy", "", "rotation_accuracy", "rotation_accuracy", True),
    ("Sum of the losses", "total", "total", "", False),
    ("Learning rate", "lr", "", "", False),
)

_ANGLES = ("0°", "90°", "180°", "270°")
_MOST_SHOWN = 4


def pretrain_sections(record: Record) -> list[Html]:
    """All sections that belong to pre-training."""
    shown = _first_and_last(record)
    parts = [_curves(record), _reconstructions(shown, record), _rotation(shown, record), _similarity(shown)]
    return [*parts, *([_probe(record.probe)] if record.probe else [])]


def _probe(found: dict[str, Any]) -> Html:
    """What a linear layer reads from the encoder, beside an untrained one."""
    random, model = found["random"]["recall"], found["model"]["recall"]
    both = {organ: (random[organ], value) for organ, value in model.items() if organ in random}
    rows = [[organ, number(before), number(after)] for organ, (before, after) in both.items()]
    marks = (("", "background:var(--first)", "untrained"), ("", "background:var(--second)", "pre-trained"))
    chart = tag("div", tag("h3", "Share of tokens told right"), Html(dumbbell_svg(both, "recall")), class_="card")
    listing = tag("div", table(["", "untrained", "pre-trained"], rows), class_="card")
    grid = tag("div", chart, listing, class_="grid two")
    return section("Linear probe", legend(*marks), grid, lead=found["sentence"])


def _first_and_last(record: Record) -> list[dict[str, np.ndarray]]:
    """The first and the last preview that can be read; only these, for a long run has gigabytes of them."""
    files = record.run.preview_files()
    for place, file in enumerate(files):
        if first := record.preview(file):
            later = (arrays for file in reversed(files[place + 1 :]) if (arrays := record.preview(file)))
            return [first, *([last] if (last := next(later, None)) else [])]
    return []


def _curves(record: Record) -> Html:
    cards = [card for entry in _CURVES if (card := curve_card(record, *entry)) is not None]
    if not cards:
        return section("What was learned", missing("The run has no measurements yet."))
    lead = (
        "The dashed line is what chance alone reaches: ln 4 for the rotation, ln(2N − 1) for the contrast among N "
        "sub-volumes, and filling each sub-volume with its own mean for the inpainting. A task is learned when its "
        "validation leaves that line, down for a loss and up for the accuracy."
    )
    return section("What was learned", legend(*LINES), tag("div", *cards, class_="grid"), lead=lead)


def _reconstructions(shown: Sequence[dict[str, np.ndarray]], record: Record) -> Html:
    title = "Original, masked, reconstructed"
    usable = [arrays for arrays in shown if {"original", "masked", "reconstructed"} <= arrays.keys()]
    if not usable:
        return section(title, missing("The run has no previews."))
    first, last = usable[0], usable[-1]
    same = len(usable) > 1 and np.array_equal(first["masked"], last["masked"])
    groups = [usable] if same or len(usable) == 1 else [[first], [last]]
    cards = [
        _planes_card(group, number, record)
        for group in groups
        for number in range(min(len(group[0]["original"]), _MOST_SHOWN))
    ]
    low, high = last.get("hu_window", np.array([0, 1]))
    lead = (
        f"Fixed sub-volumes as the network saw them, rotated and with parts removed; middle slices, the same window "
        f"({low:.0f} to {high:.0f} HU) everywhere."
    )
    return section(title, tag("div", *cards, class_="grid two"), lead=lead)


def _planes_card(group: Sequence[dict[str, np.ndarray]], number: int, record: Record) -> Html:
    """Three planes by original, masked and the reconstructions of one or two steps."""
    arrays = group[0]
    columns = [("original", arrays["original"]), ("masked", arrays["masked"])]
    columns += [(f"reconstructed, step {int(later.get('step', 0)):,}", later["reconstructed"]) for later in group]
    spacing = _spacing(arrays, number)
    cells: list[Html] = [Html("<span></span>")] + [tag("span", name, class_="head") for name, _ in columns]
    for plane in PLANES:
        cells.append(tag("span", plane, class_="row"))
        for name, volumes in columns:
            picture = cut(volumes[number].astype(np.float32), plane, spacing=spacing)
            cells.append(image(picture, f"{name}, {plane} slice of sub-volume {number + 1}"))
    grid = tag("div", *cells, class_="planes", style=f"grid-template-columns:18px repeat({len(columns)},1fr)")
    return tag("div", tag("h3", f"#{number + 1}", tag("small", _source(arrays, number))), grid, class_="card")


def _rotation(shown: Sequence[dict[str, np.ndarray]], record: Record) -> Html:
    title = "Rotation"
    usable = [arrays for arrays in shown if {"rotation_true", "rotation_probability", "masked"} <= arrays.keys()]
    if not usable:
        return section(title, missing("The run has no previews of the rotation task."))
    last = usable[-1]
    true, told = last["rotation_true"].astype(int), last["rotation_probability"].argmax(axis=1)
    plane = "sagittal" if record.setting("views", "rotation") == "sagittal" else "axial"
    board = tag("div", *(_angle_card(last, number, plane) for number in range(len(true))), class_="grid small")
    confusion = last.get("confusion")
    if confusion is None:
        confusion = np.zeros((4, 4), int)
        np.add.at(confusion, (true, told), 1)
    right, count = int(np.trace(confusion)), int(confusion.sum())
    matrix = tag(
        "div",
        tag("h3", "Confusion", tag("small", f"{right} of {count} fixed views right")),
        _confusion_table(confusion),
        class_="card",
    )
    lead = (
        f"Each previewed sub-volume as the network saw it at step {int(last.get('step', 0)):,}, and what it answered."
    )
    return section(title, board, tag("div", matrix, class_="grid", style="margin-top:16px"), lead=lead)


def _angle_card(arrays: dict[str, np.ndarray], number: int, plane: str) -> Html:
    true, probability = int(arrays["rotation_true"][number]), arrays["rotation_probability"][number]
    told = int(probability.argmax())
    right = told == true
    picture = cut(arrays["masked"][number].astype(np.float32), plane, spacing=_spacing(arrays, number))
    verdict = f"✓ told {_ANGLES[told]}" if right else f"✗ told {_ANGLES[told]}, was {_ANGLES[true]}"
    rows: list[Html] = []
    for angle, share in enumerate(probability):
        name = tag("b" if angle == true else "span", _ANGLES[angle], class_="true" if angle == true else None)
        kind = "bar wide told" + ("" if right else " wrong") if angle == told else "bar wide"
        rows += [
            name,
            tag("span", Html(f'<i style="width:{share:.1%}"></i>'), class_=kind),
            tag("span", f"{share:.0%}"),
        ]
    return tag(
        "div",
        tag("h3", f"#{number + 1}", tag("small", _source(arrays, number))),
        image(picture, f"sub-volume {number + 1} turned by {_ANGLES[true]}, {plane} slice"),
        tag("p", verdict, class_=f"verdict {'good' if right else 'bad'}"),
        tag("div", *rows, class_="angles"),
        class_="card",
    )


def _confusion_table(confusion: np.ndarray) -> Html:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rows = [
        [
            f"was {_ANGLES[true]}",
            *(_shaded(str(int(confusion[true, told])), float(shares[true, told]), true == told) for told in range(4)),
        ]
        for true in range(4)
    ]
    return _matrix(["told as", *_ANGLES], rows)


def _similarity(shown: Sequence[dict[str, np.ndarray]]) -> Html:
    title = "Contrast"
    usable = [arrays for arrays in shown if "similarity" in arrays]
    if not usable:
        return section(title, missing("The run has no previews of the contrast task."))
    cards = []
    for arrays in usable:
        similarity = arrays["similarity"].astype(float)
        half = len(similarity) // 2
        names = [f"{n + 1}{view}" for view in "ab" for n in range(half)]
        rows = [
            [name, *(_shaded(_rounded(value), value, abs(row - column) == half)
                     for column, value in enumerate(similarity[row]))]
            for row, name in enumerate(names)
        ]  # fmt: skip
        pairs = float(np.mean([similarity[n, n + half] for n in range(half)]))
        mask = ~(np.eye(len(similarity), dtype=bool) | np.eye(len(similarity), k=half, dtype=bool))
        mask &= ~np.eye(len(similarity), k=-half, dtype=bool)
        others = f", other pairs {similarity[mask].mean():.2f}" if mask.any() else ""
        head = tag("h3", f"Step {int(arrays.get('step', 0)):,}", tag("small", f"partners {pairs:.2f}{others}"))
        cards.append(tag("div", head, _matrix(["", *names], rows, dense=half > 3), class_="card"))
    lead = (
        "Cosine similarity of the embeddings; 1a and 1b are the two views of sub-volume 1. The outlined cells are "
        "such partners: they should be near 1, all others low."
    )
    return section(title, tag("div", *cards, class_="grid two"), lead=lead)


def _rounded(value: float) -> str:
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "\N{MINUS SIGN}")


def _shaded(value: str, strength: float, outlined: bool) -> Html:
    """A cell coloured by -1..1; it also says its number, so that colour is not all there is."""
    colour, share = ("var(--tint)", strength) if strength >= 0 else ("var(--counter)", -strength)
    style = f"background:rgba({colour},{min(share, 1.0) * 0.75:.2f})"
    return tag("td", value, class_="pair" if outlined else None, style=style)


def _matrix(head: Sequence[str], rows: Sequence[Sequence[object]], dense: bool = False) -> Html:
    top = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head)))
    body = [tag("tr", tag("th", row[0], scope="row"), join(row[1:])) for row in rows]
    kind = "matrix dense" if dense else "matrix"
    return tag("div", tag("table", top, tag("tbody", *body), class_=kind), class_="scroll")


def _spacing(arrays: dict[str, np.ndarray], number: int) -> tuple[float, float, float]:
    """Millimetres along the axes of the sub-volume; 1 where the file does not say."""
    affines = arrays.get("ijk_to_ras")
    if affines is None:
        return 1.0, 1.0, 1.0
    i, j, k = np.linalg.norm(affines[number][:3, :3], axis=0)
    return float(i), float(j), float(k)


def _source(arrays: dict[str, np.ndarray], number: int) -> Html:
    names = arrays.get("source")
    return text("" if names is None else str(names[number]))

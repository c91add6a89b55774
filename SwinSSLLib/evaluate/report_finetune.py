"""What a report shows of fine-tuning: Dice by step and by organ, and the segmentation beside the truth."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from SwinSSLLib.evaluate.charts import sparkline_svg
from SwinSSLLib.evaluate.html import Html, figure, image, missing, number, section, tag
from SwinSSLLib.evaluate.pictures import PLANES, Cut, busiest, colour_over, colours_of, cut, enlarged
from SwinSSLLib.evaluate.record import Points, Record
from SwinSSLLib.evaluate.report_parts import LINES, curve_card, legend
from SwinSSLLib.organs import ORGANS, Organ

_DICE = "validation/dice/"


def finetune_sections(record: Record) -> list[Html]:
    """All sections that belong to fine-tuning."""
    return [_curves(record), _dice_table(record), _overlays(record)]


def _curves(record: Record) -> Html:
    title = "What was learned"
    candidates = [
        curve_card(record, "Mean Dice over organs", "dice", "dice", "", True),
        curve_card(record, "Loss: Dice and cross-entropy", "total", "loss", "", False),
        curve_card(record, "Learning rate", "lr", "", "", False),
    ]
    cards = [card for card in candidates if card is not None]
    if not cards:
        return section(title, missing("The run has no measurements yet."))
    start = str(record.started.get("init") or record.job.get("init") or "scratch")
    begun = "from scratch" if start == "scratch" else f"from {Path(start).name}"
    coverage = record.started.get("coverage")
    lead = (
        f"Started {begun}{f': {coverage}' if coverage else ''}. Training loss is of patches, validation of whole CTs "
        "that nothing is learned from. The best model by validation is kept, so its figure is a little flattered."
    )
    return section(title, legend(*LINES[:2]), tag("div", *cards, class_="grid"), lead=lead)


def _dice_table(record: Record) -> Html:
    title = "Dice by organ"
    curves = {name.removeprefix(_DICE): points for name, points in record.metrics.items() if name.startswith(_DICE)}
    kept = record.card.get("metrics", {}).get("validation", {})
    if not curves:
        return section(title, missing("The run has no Dice of single organs."))
    rows = [_organ_row(organ, curves.get(organ.name), kept.get(f"dice/{organ.name}")) for organ in ORGANS]
    mean = record.metrics.get("validation/dice", {})
    if mean:
        rows.append(_row("mean over organs", mean, kept.get("dice"), swatch=None, class_="mean"))
    head = tag("thead", tag("tr", *(tag("th", name) for name in ("organ", "by step", "kept model", "", "best"))))
    cases = kept.get("cases") or record.started.get("validation") or []
    lead = f"On {_cases(cases)} kept aside. An organ that no case has is not counted, neither as 0 nor as 1."
    return section(
        title,
        tag("div", tag("div", tag("table", head, tag("tbody", *rows)), class_="scroll"), class_="card"),
        lead=lead,
    )


def _organ_row(organ: Organ, points: Points | None, kept: float | None) -> Html:
    if not points:
        cells = [tag("td", "not in these cases", class_="lead", colspan=4)]
        return tag("tr", tag("th", _swatch(organ), organ.name, scope="row"), *cells)
    return _row(organ.name, points, kept, swatch=organ)


def _row(name: str, points: Points, kept: float | None, *, swatch: Organ | None, class_: str | None = None) -> Html:
    value = points[max(points)] if kept is None else float(kept)
    bar = tag("span", Html(f'<i style="width:{value:.1%}"></i>'), class_="bar")
    spark = Html(sparkline_svg(points).replace('class="chart"', 'class="chart spark"', 1))
    best = max(points, key=lambda step: points[step])
    return tag(
        "tr",
        tag("th", _swatch(swatch) if swatch else "", name, scope="row"),
        tag("td", spark),
        tag("td", bar),
        tag("td", number(value)),
        tag("td", f"{points[best]:.3f} at step {best:,}"),
        class_=class_,
    )


def _overlays(record: Record) -> Html:
    title = "Segmentation beside the truth"
    files = sorted(record.run.previews.glob("segmentation-*.npz"))
    arrays = record.preview(files[-1]) if files else {}
    if not {"image", "truth", "prediction"} <= arrays.keys():
        return section(title, missing("The run has no pictures of a segmentation."))
    step = int(arrays["step"]) if "step" in arrays else int((re.findall(r"\d+", files[-1].stem) or [0])[-1])
    spacing = tuple(float(size) for size in arrays.get("spacing", np.ones(3)).ravel()[:3])
    cards = [_overlay_card(arrays, number, spacing) for number in range(len(arrays["image"]))]
    seen = set(np.unique(arrays["truth"])) | set(np.unique(arrays["prediction"]))
    marks = [("swatch", f"background:rgb{organ.colour}", organ.name) for organ in ORGANS if organ.id in seen]
    lead = f"A CT kept aside, at step {step:,}; the slices in which the truth shows most organs."
    return section(title, legend(*marks), *cards, lead=lead)


def _overlay_card(arrays: dict[str, np.ndarray], number: int, spacing: tuple[float, ...]) -> Html:
    """CT, truth and prediction by plane."""
    grey = arrays["image"][number].astype(np.float32)
    columns: list[tuple[str, np.ndarray | None]] = [
        ("CT", None),
        ("truth", arrays["truth"][number]),
        ("prediction", arrays["prediction"][number]),
    ]
    cells: list[Html] = []
    for plane in PLANES:
        index = busiest(arrays["truth"][number], plane)
        ct = cut(grey, plane, index, spacing)
        for name, labels in columns:
            picture = Cut(enlarged(ct.pixels, 3), ct.ratio)
            if labels is not None:
                flat = enlarged(cut(labels, plane, index).pixels, 3)
                picture = Cut(colour_over(picture.pixels, flat, colours_of()), ct.ratio)
            cells.append(figure(image(picture, f"{name}, {plane} slice"), f"{name}, {plane}"))
    source = arrays.get("source")
    head = tag("h3", "" if source is None else str(source[number]))
    grid = tag("div", *cells, class_="planes", style="grid-template-columns:repeat(3,1fr)")
    return tag("div", head, grid, class_="card")


def _swatch(organ: Organ) -> Html:
    return tag("i", class_="swatch", style=f"background:rgb{organ.colour}")


def _cases(cases: list[str]) -> str:
    if len(cases) == 1:
        return f"one CT ({cases[0]})"
    return f"{len(cases)} CTs" if cases else "the CTs"

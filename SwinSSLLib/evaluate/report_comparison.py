"""The report of a comparison: the same splits, seeds and budget, from scratch and from pre-trained encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SwinSSLLib import __version__, atomic
from SwinSSLLib.evaluate.charts import LINE_COLOURS, dumbbell_svg, levels_svg, paired_svg, variable_of
from SwinSSLLib.evaluate.comparison import SCRATCH, Comparison, Interval, Study
from SwinSSLLib.evaluate.html import Html, join, number, page, section, table, tag
from SwinSSLLib.evaluate.report_parts import legend, tiles

_TITLE = "From scratch against pre-trained"
#: How people read the names of the arms that have one of our own.
_CALLED = {SCRATCH: "from scratch", "pretrained": "pre-trained"}


def write_comparison(study: Study, out: Path) -> Path:
    """Write the report of a comparison as one self-contained HTML file.

    Args:
        study: paired runs and their Dice, for one or several numbers of labelled cases.
        out: the file.

    Returns:
        The file.

    Raises:
        InputError: the file cannot be written.
    """
    words = f"SwinSSL {__version__}. For research only: nothing here is a medical device or a diagnosis."
    several = [_by_count(study)] if len(study.counts) > 1 else []
    probed = [_probes(study)] if study.probes else []
    content = page(
        _TITLE,
        _header(study),
        *several,
        _by_seed(study.last),
        _by_organ(study.last),
        *probed,
        tag("footer", words),
    )
    with atomic.replacing(out) as file:
        file.write(content.encode())
    return out


def called(arm: str) -> str:
    """An arm as people read it."""
    return _CALLED.get(arm, arm)


def _header(study: Study) -> Html:
    last = study.last
    pairs = f"{len(last.seeds)} seeds × {len(last.cases)} cases"
    tested = "cases that nothing was chosen by" if last.independent else "the cases that chose the best models"
    entries: list[tuple[str, object, object]] = [("Mean Dice from scratch", number(last.mean(last.baseline)), "")]
    for arm in last.others:
        difference = last.difference(arm)
        small = f"{_signed(difference.mean)}, 95 % interval {_signed(difference.low)} to {_signed(difference.high)}"
        entries.append((f"Mean Dice {called(arm)}", number(last.mean(arm)), small))
    if len(last.others) == 1:
        verdict = "more than noise" if last.more_than_noise(last.others[0]) else "not more than noise"
        entries.append(("Verdict", verdict, ""))
    entries.append(("Tested on", pairs, tested))
    # Of several models the figures stand in the tiles; a sentence with all of them nobody reads.
    saved = [f"{sentence}." for arm in last.others if (sentence := study.saved(arm))]
    found = [last.sentence()] if len(last.others) == 1 else saved
    said = [tag("p", sentence, class_="finding") for sentence in found]
    return tag("header", tag("p", "Comparison", class_="eyebrow"), tag("h1", _TITLE), *said, tiles(entries))


def _by_count(study: Study) -> Html:
    """Curves over the number of labelled cases: the paper's figure 8 for these data."""
    levels = {
        called(arm): {count: _triple(each.level(arm)) for count, each in study.comparisons.items()}
        for arm in study.arms
    }
    gains = {
        called(arm): {count: _triple(each.difference(arm)) for count, each in study.comparisons.items()}
        for arm in study.arms[1:]
    }
    colours = [f"background:var({variable_of(colour)})" for colour in LINE_COLOURS]
    marks = [("", colours[order % len(colours)], name) for order, name in enumerate(levels)]
    rows = [
        [f"{count}", number(each.mean(each.baseline)), *(_gain(each, arm) for arm in each.others)]
        for count, each in study.comparisons.items()
    ]
    charts = tag(
        "div",
        tag("div", tag("h3", "Mean Dice"), Html(levels_svg(levels)), class_="card"),
        tag(
            "div",
            tag("h3", "Difference to scratch"),
            Html(levels_svg(gains, up="difference in mean Dice", differences=True)),
            class_="card",
        ),
        class_="grid two",
    )
    head = ["labelled CTs", "from scratch", *(called(arm) for arm in study.arms[1:])]
    lead = (
        "Bars are 95 % intervals over seeds and cases. In the table: mean Dice, the difference to scratch with the "
        "same seed and the same labelled cases, and its interval; bold where it is more than noise."
    )
    listing = tag("div", table(head, rows), class_="card", style="margin-top:16px")
    return section("When labels are few", legend(*marks), charts, listing, lead=lead)


def _gain(comparison: Comparison, arm: str) -> Html:
    found = comparison.difference(arm)
    words = f"{_signed(found.mean)} ({_signed(found.low)} to {_signed(found.high)})"
    shown = tag("b", words) if comparison.more_than_noise(arm) else words
    return join([f"{comparison.mean(arm):.3f} ", tag("small", shown, class_="note")])


def _by_seed(comparison: Comparison) -> Html:
    means = {
        called(arm): [float(np.mean(row)) for row in by_seed] for arm, by_seed in comparison.dice.items()
    }  # fmt: skip
    rows = [
        [f"seed {seed}", *_with_differences(values)]
        for seed, values in zip(comparison.seeds, zip(*means.values(), strict=True), strict=True)
    ]
    chart = tag("div", tag("h3", "Mean Dice by seed"), Html(paired_svg(means)), class_="card")
    head = _head(comparison)
    listings = [tag("div", table(["", *head], rows), class_="card"), _by_case(comparison)]
    lead = "A line joins the runs of one seed: the same split, the same order of patches, another start."
    both = tag("div", chart, tag("div", *listings, class_="stack"), class_=_layout(comparison))
    return section("By seed and by case", both, lead=lead)


def _by_case(comparison: Comparison) -> Html:
    means = [np.mean(by_seed, axis=0).tolist() for by_seed in comparison.dice.values()]
    rows = [
        [case, *_with_differences(values)]
        for case, values in zip(comparison.cases, zip(*means, strict=True), strict=True)
    ]
    return tag("div", table(["mean over seeds", *_head(comparison)], rows), class_="card")


def _by_organ(comparison: Comparison) -> Html:
    baseline = comparison.organs[comparison.baseline]
    shown = [organ for organ in baseline if all(organ in comparison.organs[arm] for arm in comparison.arms)]
    if not shown:
        return Html("")
    best = max(comparison.others, key=comparison.mean)
    both = {organ: (baseline[organ], comparison.organs[best][organ]) for organ in shown}
    rows = [[organ, *_with_differences([comparison.organs[arm][organ] for arm in comparison.arms])] for organ in shown]
    marks = (
        ("", "background:var(--first)", called(comparison.baseline)),
        ("", "background:var(--second)", called(best)),
    )
    chart = tag("div", tag("h3", "Dice by organ"), Html(dumbbell_svg(both)), class_="card")
    listing = tag("div", table(["", *_head(comparison)], rows), class_="card")
    lead = "Means over seeds and over the cases in which the organ is found or should be."
    return section("By organ", legend(*marks), tag("div", chart, listing, class_=_layout(comparison)), lead=lead)


def _layout(comparison: Comparison) -> str:
    """Chart and tables side by side; tables of many arms need the whole width."""
    return "grid two" if len(comparison.arms) < 4 else "stack"


def _probes(study: Study) -> Html:
    """What a linear layer reads from the encoders before any fine-tuning."""
    values = {called(arm): accuracies for arm, accuracies in study.probes.items()}
    values = {"untrained" if name == called(SCRATCH) else name: found for name, found in values.items()}
    rows = [
        [name, number(float(np.mean(found))), f"{min(found):.3f} to {max(found):.3f}"] for name, found in values.items()
    ]
    chart = tag(
        "div", tag("h3", "Balanced accuracy by seed"), Html(paired_svg(values, "balanced accuracy")), class_="card"
    )
    listing = tag("div", table(["encoder", "mean", "seeds"], rows), class_="card")
    lead = (
        "How well one linear layer tells from a token's frozen features in which organ it lies: the mean over organs "
        f"and background of the share told right. Guessing reaches {number(study.probe_chance)}."
    )
    return section("Linear probe, before fine-tuning", tag("div", chart, listing, class_="grid two"), lead=lead)


def _head(comparison: Comparison) -> list[str]:
    """Names of the columns that :func:`_with_differences` fills."""
    names = [called(arm) for arm in comparison.arms]
    return [*names, "difference"] if len(names) == 2 else names


def _with_differences(values: Sequence[float]) -> list[object]:
    """Two values and their difference; of more values each with its difference to the first."""
    first, *rest = values
    if len(rest) == 1:
        return [number(first), number(rest[0]), _difference(rest[0] - first)]
    return [number(first), *(join([f"{value:.3f} ", _difference(value - first)]) for value in rest)]


def _difference(value: float) -> Html:
    return tag("span", _signed(value), class_="good" if value > 0 else "bad" if value < 0 else None)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _triple(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high

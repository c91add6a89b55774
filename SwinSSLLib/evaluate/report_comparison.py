"""The report of a comparison: the same splits and seeds, once from scratch and once from a pre-trained encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from SwinSSLLib import __version__, atomic
from SwinSSLLib.evaluate.charts import dumbbell_svg, paired_svg
from SwinSSLLib.evaluate.html import Html, number, page, section, table, tag
from SwinSSLLib.evaluate.report_parts import legend, tiles

if TYPE_CHECKING:
    from SwinSSLLib.evaluate.compare import Comparison

_TITLE = "From scratch against pre-trained"
#: Name of an arm in the comparison, and as people read it; the baseline first.
_ARMS = {"scratch": "from scratch", "pretrained": "pre-trained"}
_BOTH = tuple(_ARMS.values())


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """Write the report of a comparison as one self-contained HTML file.

    Args:
        comparison: paired runs and their Dice.
        out: the file.

    Returns:
        The file.

    Raises:
        InputError: the file cannot be written.
    """
    dice = {arm: np.asarray(comparison.dice[arm], dtype=float) for arm in _ARMS}
    words = f"SwinSSL {__version__}. For research only: nothing here is a medical device or a diagnosis."
    content = page(
        _TITLE,
        _header(comparison, dice),
        _by_seed(comparison, dice),
        _by_organ(comparison),
        tag("footer", words),
    )
    with atomic.replacing(out) as file:
        file.write(content.encode())
    return out


def _header(comparison: Comparison, dice: dict[str, np.ndarray]) -> Html:
    low, high = comparison.interval
    pairs = f"{len(comparison.seeds)} seeds × {len(comparison.cases)} cases"
    tested = "cases that nothing was chosen by" if comparison.independent else "the cases that chose the best models"
    return tag(
        "header",
        tag("p", "Comparison", class_="eyebrow"),
        tag("h1", _TITLE),
        tag("p", comparison.sentence(), class_="finding"),
        tiles(
            [
                ("Mean Dice from scratch", number(float(dice["scratch"].mean())), ""),
                ("Mean Dice pre-trained", number(float(dice["pretrained"].mean())), ""),
                ("Difference", f"{comparison.difference:+.3f}", f"95 % interval {low:+.3f} to {high:+.3f}"),
                ("Verdict", "more than noise" if comparison.more_than_noise else "not more than noise", ""),
                ("Tested on", pairs, tested),
            ]
        ),
    )


def _by_seed(comparison: Comparison, dice: dict[str, np.ndarray]) -> Html:
    means = {name: [float(row.mean()) for row in dice[arm]] for arm, name in _ARMS.items()}
    rows = [
        [f"seed {seed}", number(a), number(b), _difference(b - a)]
        for seed, a, b in zip(comparison.seeds, *means.values(), strict=True)
    ]
    chart = tag("div", tag("h3", "Mean Dice by seed"), Html(paired_svg(means)), class_="card")
    listings = [tag("div", table(["", *_BOTH, "difference"], rows), class_="card"), _by_case(comparison, dice)]
    lead = "A line joins the two runs of one seed: the same split, the same order of patches, another start."
    both = tag("div", chart, tag("div", *listings, class_="stack"), class_="grid two")
    return section("By seed and by case", both, lead=lead)


def _by_organ(comparison: Comparison) -> Html:
    scratch, pretrained = (comparison.organs[arm] for arm in _ARMS)
    both = {organ: (scratch[organ], pretrained[organ]) for organ in scratch if organ in pretrained}
    if not both:
        return Html("")
    rows = [[organ, number(a), number(b), _difference(b - a)] for organ, (a, b) in both.items()]
    marks = (("", "background:var(--first)", _BOTH[0]), ("", "background:var(--second)", _BOTH[1]))
    chart = tag("div", tag("h3", "Dice by organ"), Html(dumbbell_svg(both)), class_="card")
    listing = tag("div", table(["", *_BOTH, "difference"], rows), class_="card")
    lead = "Means over seeds and over the cases in which the organ is found or should be."
    return section("By organ", legend(*marks), tag("div", chart, listing, class_="grid two"), lead=lead)


def _by_case(comparison: Comparison, dice: dict[str, np.ndarray]) -> Html:
    a, b = (dice[arm].mean(axis=0) for arm in _ARMS)
    rows = [
        [case, number(float(before)), number(float(after)), _difference(float(after - before))]
        for case, before, after in zip(comparison.cases, a, b, strict=True)
    ]
    return tag("div", table(["mean over seeds", *_BOTH, "difference"], rows), class_="card")


def _difference(value: float) -> Html:
    return tag(
        "span",
        f"{value:+.3f}".replace("-", "\N{MINUS SIGN}"),
        class_="good" if value > 0 else "bad" if value < 0 else None,
    )

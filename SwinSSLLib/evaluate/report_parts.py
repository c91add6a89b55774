"""Parts that several reports share: figures in a row, legends, and the card of one curve."""

from __future__ import annotations

from collections.abc import Sequence

from SwinSSLLib.evaluate.charts import FIRST, SECOND, Curve, Series, curve_svg
from SwinSSLLib.evaluate.html import Html, join, number, tag
from SwinSSLLib.evaluate.record import Record

#: Legend of all curves.
LINES = (
    ("", "background:var(--first)", "training"),
    ("", "background:var(--second)", "validation, unseen and always the same"),
    ("dashed", "", "chance"),
)


def tiles(entries: Sequence[tuple[str, object, object]]) -> Html:
    """Large figures in a row: name, value, small print."""
    return tag(
        "dl",
        *(_tile(name, value, small) for name, value, small in entries),
        class_="tiles",
    )


def _tile(name: str, value: object, small: object) -> Html:
    class_ = "long" if len(str(value)) > 14 and not isinstance(value, Html) else None
    return tag(
        "div", tag("dt", name), tag("dd", value, tag("small", small) if small else "", class_=class_), class_="tile"
    )


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def legend(*entries: tuple[str, str, str]) -> Html:
    """A legend above charts: class and style of the mark, and what it stands for."""
    marks = [tag("li", tag("i", class_=class_ or None, style=style or None), name) for class_, style, name in entries]
    return tag("ul", *marks, class_="legend")


def curve_card(record: Record, title: str, train: str, validation: str, chance: str, percent: bool) -> Html | None:
    """One chart with its last value in words, or None if the run has no such metric."""
    learned = record.metrics.get(f"train/{train}", {}) or (record.metrics.get("lr", {}) if train == "lr" else {})
    unseen = record.metrics.get(f"validation/{validation}", {})
    if not learned and not unseen:
        return None
    level = record.chance.get(chance)
    series = [Series("training", learned, FIRST), Series("validation", unseen, SECOND, dots=len(unseen) < 40)]
    told = unseen or learned
    last = told[max(told)]
    value = f"{last:.1%}" if percent else f"highest {max(told.values()):.1e}" if train == "lr" else number(last)
    words = f"{title}: {value} at step {max(told)}" + ("" if level is None else f", chance {number(level)}")
    curve = Curve(title, [line for line in series if line.points], level, percent, words)
    small: object = value
    if level is not None:
        small = f"{value}, chance {f'{level:.0%}' if percent else number(level)}"
        if (last <= level) if percent else (last >= level):
            small = join([small, tag("span", ": not learned", class_="bad")])
    return tag("div", tag("h3", title, tag("small", small)), Html(curve_svg(curve)), class_="card")

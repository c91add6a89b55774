"""Small pieces of HTML. Text is escaped here and nowhere else: pieces are :class:`Html`, all other text is plain."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from SwinSSLLib.evaluate.pictures import Cut, data_uri


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escape, unless it is HTML already."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """``<name attributes>content</name>``; ``class_`` stands for class, None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{join(content)}</{name}>")


def join(pieces: Iterable[object]) -> Html:
    """One piece after the other."""
    return Html("".join(text(piece) for piece in pieces))


def image(picture: Cut, description: str) -> Html:
    """A slice that fills its place in its true proportions."""
    attributes = f'src="{data_uri(picture.pixels)}" alt="{html.escape(description, quote=True)}"'
    return Html(f'<img {attributes} style="aspect-ratio:{picture.ratio:.4f}">')


def figure(content: object, caption: object, class_: str | None = None) -> Html:
    """A figure with its caption below."""
    return tag("figure", content, tag("figcaption", caption), class_=class_)


def table(head: Sequence[object], rows: Iterable[Sequence[object]], class_: str | None = None) -> Html:
    """A table; the first cell of a row is its heading."""
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    top = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))) if head else ""
    return tag("div", tag("table", top, tag("tbody", *body), class_=class_), class_="scroll")


def section(title: str, *content: object, lead: object = "", id_: str | None = None) -> Html:
    """A section with a heading and a sentence that says what is to be seen."""
    return tag("section", tag("h2", title), tag("p", lead, class_="lead") if lead else "", *content, id=id_)


def missing(sentence: str) -> Html:
    """A sentence in the place of something that this run does not have."""
    return tag("p", sentence, class_="missing")


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash if there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows of dotted name and value."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{key}.")
        else:
            shown = " × ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            rows.append((f"{prefix}{key}", shown))
    return rows


def page(title: str, *content: object) -> str:
    """A whole page: one file, no address outside of it."""
    style = resources.files("SwinSSLLib.evaluate").joinpath("report.css").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>{join(content)}</main></body></html>\n'

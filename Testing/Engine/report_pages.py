"""Reports as a browser reads them, and the lines of events that they are made of; for the tests of reports."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
from matplotlib.image import imread


class Page(HTMLParser):
    """Reads a page as a browser would: its text, its tags, its addresses."""

    _VOID = ("meta", "img", "br", "path", "use", "rect")

    def __init__(self, file) -> None:
        super().__init__()
        self.raw, self.words, self.addresses, self.open, self.tags = file.read_text("utf-8"), [], [], [], []
        self.feed(self.raw)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "xlink:href")]
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in self._VOID:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def check_self_contained(page: Page) -> None:
    """Fetches nothing, runs nothing."""
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert not re.search(r"https?://|@import|url\((?!#)", page.raw), "nothing may be fetched from anywhere"
    assert "script" not in page.tags


def decoded(address: str) -> np.ndarray:
    """The pixels of a picture within a page, RGB."""
    return imread(io.BytesIO(base64.b64decode(address.split(",")[1])))[..., :3]


def event(kind: str, second: int, **fields) -> str:
    """A line of events.ndjson."""
    return json.dumps({"event": kind, "time": f"2026-11-23T10:00:{second:02d}+00:00", **fields}) + "\n"


def metric(name: str, step: int, value: float) -> str:
    """A line of a measurement."""
    return event("metric", step % 60, name=name, value=value, step=step)

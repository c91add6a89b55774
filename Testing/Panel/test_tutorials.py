"""The pages cannot go stale: their pictures, links, names of buttons and quoted sentences are those of the panel."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "Docs" / "images"
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "Docs").rglob("*.md"), *(ROOT / "Testing").rglob("*.md")))
GUIDES = sorted((*(ROOT / "Docs").glob("tutorial-*.md"), ROOT / "Docs" / "troubleshooting.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
#: Shorter pieces of a quoted sentence would be found anywhere.
SHORTEST = 4


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its blocks and pieces of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    found: set[str] = set()
    for title in re.findall(r"^#+ +(.*)$", prose_with_code_words(page), re.MULTILINE):
        stem = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        name, number = stem, 0
        while name in found:
            number += 1
            name = f"{stem}-{number}"
        found.add(name)
    return found


def prose_with_code_words(page: Path) -> str:
    """A page without its blocks of code, whose comments look like headings."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@cache
def texts_of_the_panel() -> frozenset[str]:
    """Everything that a widget may show: texts of the Designer files, and strings of the code."""
    found = {
        (element.text or "").strip()
        for file in (ROOT / "SwinSSL" / "Resources" / "UI").glob("*.ui")
        for element in ElementTree.parse(file).iter("string")
    }
    return frozenset(found | set(strings(ROOT / "SwinSSL")))


@cache
def strings(folder: Path) -> tuple[str, ...]:
    """All strings of the code in a folder; those with values in them in pieces."""
    found = []
    for file in folder.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
        constants = [node for node in nodes if isinstance(node, ast.Constant) and node not in docstrings]
        found += [node.value for node in constants if isinstance(node.value, str)]
    return tuple(found)


@cache
def everything_said() -> str:
    """All sentences of panel and engine; what is filled in stands as an ellipsis."""
    widgets = " \n ".join(texts_of_the_panel())
    said = " \n ".join((*strings(ROOT / "SwinSSL"), *strings(ROOT / "SwinSSLLib"), widgets))
    return re.sub(r"\{[^{}]*\}", "…", said)


def unsaid(quote: str) -> list[str]:
    """Pieces of a quoted sentence that nothing in the program says."""
    pieces = [piece.strip() for piece in re.split(r"…|CT \d+", " ".join(quote.split()))]
    return [piece for piece in pieces if len(piece) >= SHORTEST and piece not in everything_said()]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page):
    for target in LINK.findall(prose_with_code_words(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{named(page)} leads to {target}, which is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{named(page)} leads to {target}, but there is no such heading"


def test_every_picture_is_there_is_shown_and_is_described():
    shown = set()
    for page in PAGES:
        for words, target in PICTURE.findall(page.read_text(encoding="utf-8")):
            assert words.strip(), f"{named(page)} shows {target} without words for those who do not see it"
            shown.add((page.parent / target).resolve())
    made = {path.resolve() for path in IMAGES.iterdir()}
    assert made - shown == set(), "nobody shows these pictures"
    assert {path for path in shown if path.parent == IMAGES.resolve()} <= made


def test_pictures_are_small_enough_for_a_repository():
    sizes = {path.name: path.stat().st_size for path in IMAGES.glob("*.png")}
    assert {name for name, size in sizes.items() if size > 400_000} == set()
    assert sum(sizes.values()) < 4_000_000


def test_the_script_makes_exactly_these_pictures():
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "Testing" / "Screenshots").glob("*.py"))
    missing = {path.stem for path in IMAGES.glob("*.png") if f'"{path.stem}"' not in sources}
    assert missing == set()


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_every_bold_name_is_a_text_of_the_panel(page):
    names = set(re.findall(r"\*\*([^*]+)\*\*", prose(page)))
    assert names, f"{named(page)} names no button"
    unknown = {name for name in names if " ".join(name.split()) not in texts_of_the_panel()}
    assert unknown == set(), f"{named(page)} names what the panel does not show"


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_every_quoted_sentence_is_said_by_the_program(page):
    wrong = {quote: unsaid(quote) for quote in re.findall(r"“([^”]+)”", prose(page)) if unsaid(quote)}
    assert wrong == {}, f"{named(page)} quotes what nothing says"


@pytest.mark.parametrize("page", sorted((ROOT / "Docs").glob("tutorial-*.md")), ids=named)
def test_a_tutorial_says_how_to_install_before_the_first_click_that_needs_it(page):
    text = prose(page)
    first = min(
        text.find(word)
        for word in ("SwinSSLPhantom", "**Start**", "**Segment organs** (", "**Open run…**", "## 2.")
        if word in text
    )
    if page.stem == "tutorial-cluster":
        first = text.index("1. Open **Pre-train**")  # what comes before happens on the cluster
    for word in ("**Setup**", "**Check**", "“Everything works.”", "**Install…**"):
        assert word in " ".join(text[:first].split()), f"{named(page)} does not begin with {word}"


def test_a_wrong_name_and_a_wrong_sentence_would_be_found():
    assert "Segment organs" in texts_of_the_panel()
    assert "Segment all organs" not in texts_of_the_panel()
    assert unsaid("No organ was found in …") == []
    assert unsaid("Asked to stop: it … saves and leaves.") == ["saves and leaves."]


def test_there_are_remedies_for_many_symptoms():
    rows = [line for line in (ROOT / "Docs" / "troubleshooting.md").read_text().splitlines() if line.startswith("| ")]
    symptoms = [row for row in rows if not row.startswith("| you see")]
    assert len(symptoms) >= 25
    assert all(row.count(" | ") == 2 for row in symptoms), "why, and what to do, of each"

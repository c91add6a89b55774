"""Docs/api and the tables of presets are what the code says, and everything public says what it is."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

import reference  # noqa: E402 - only now can it be found
import reference_tables  # noqa: E402

AGAIN = "python3 Testing/run.py reference"


def test_the_reference_is_what_the_code_says():
    made = reference.api_pages()
    kept = {path: path.read_text(encoding="utf-8") for path in reference.API.glob("*.md")}
    assert sorted(path.name for path in kept) == sorted(path.name for path in made), AGAIN
    assert [path.name for path in made if kept[path] != made[path]] == [], AGAIN


def test_the_tables_of_presets_are_those_of_the_code():
    page = reference.METHOD.read_text(encoding="utf-8")
    assert page.count("<!-- presets: pretrain -->") == page.count("<!-- presets: finetune -->") == 1
    assert reference_tables.with_preset_tables(page) == page, AGAIN


def test_a_table_of_presets_follows_the_settings(monkeypatch):
    from SwinSSLLib.presets import PRETRAIN

    before = reference_tables.preset_table("pretrain")
    assert "| `training.steps` | 100,000 | 450,000 | 100,000 | 120 |" in before
    assert "`loss.temperature`" not in before  # equal in all of them
    monkeypatch.setitem(PRETRAIN, "paper", {**PRETRAIN["paper"], "loss": {"temperature": 0.1}})
    assert "| `loss.temperature` | 0.5 | 0.1 | 0.5 | 0.5 |" in reference_tables.preset_table("pretrain")


def test_every_module_stands_on_one_page():
    modules = set((ROOT / "SwinSSLLib").rglob("*.py"))
    listed = [file for files in reference.pages_of_modules().values() for file in files]
    assert len(listed) == len(set(listed))
    left = {path.relative_to(ROOT / "SwinSSLLib").parts[0] for path in modules - set(listed)}
    assert left == {"__init__.py", "__main__.py", "cli.py", "commands"}  # the command line has its own page


@pytest.mark.parametrize("file", sorted((ROOT / "SwinSSLLib").rglob("*.py")), ids=lambda file: file.stem)
def test_everything_public_says_what_it_is(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    silent = [file.name] if tree.body and ast.get_docstring(tree) is None else []
    kinds = (ast.FunctionDef, ast.ClassDef)
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        for one in (node, *inner):
            public = isinstance(one, kinds) and not node.name.startswith("_") and not one.name.startswith("_")
            silent += [one.name] if public and ast.get_docstring(one) is None else []
    assert silent == []


def test_docstrings_become_markdown():
    told = """A line with ``code`` and :func:`a.b`, a < b.

    kept as it stands

Args:
    one, two: numbers that
        go on here.
    kind: a or b.

Returns:
    (N, 3): places.

Then more.
"""
    assert reference.markdown(told) == (
        "A line with `code` and `a.b`, a &lt; b.\n\n    kept as it stands\n\n**Args**\n\n"
        "- `one, two`: numbers that go on here.\n- `kind`: a or b.\n\n**Returns**\n\n- (N, 3): places.\n\n"
        "Then more."
    )


def test_heads_are_written_as_one_would_write_them():
    function = ast.parse("def f(self, a: int, b: str = 'x', *more: int, c: bool = False, **rest: int) -> None: ...")
    assert reference.signature(function.body[0]) == (
        "f(a: int, b: str = 'x', *more: int, c: bool = False, **rest: int) -> None"
    )
    assert reference.signature(ast.parse("def g(a, /, b=1, *, c): ...").body[0]) == "g(a, /, b = 1, *, c)"


def test_every_command_and_option_of_the_parser_is_on_its_page():
    from SwinSSLLib.cli import make_parser

    page = (reference.API / "commands.md").read_text(encoding="utf-8")

    def check(name: str, parser: argparse.ArgumentParser) -> None:
        for child, command in reference_tables.children_of(parser).items():
            assert f"`{name} {child}`" in page
            section = page.split(f"# `{name} {child}`\n", 1)[1].split("\n#", 1)[0]
            for action in command._actions:
                assert all(f"`{option}`" in section for option in action.option_strings if option not in "-h --help")
            check(f"{name} {child}", command)

    check("swinssl", make_parser())

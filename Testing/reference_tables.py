"""What the reference shows as tables: the commands with their options, and what the presets differ in."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any


def commands_page() -> str:
    """Every command with its options, from the parser itself."""
    from SwinSSLLib.cli import make_parser

    parser = make_parser()
    parts = ["# The command line", "<!-- made by Testing/reference.py -->", f"```text\n{parser.description}```"]
    parts += [str(parser.epilog), options_of(parser)]
    for name, command in children_of(parser).items():
        parts += list(_command(f"swinssl {name}", command))
    return "\n\n".join(part for part in parts if part) + "\n"


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## `{name}`" if name.count(" ") == 1 else f"### `{name}`"
    yield plain(str(parser.description or ""))
    yield options_of(parser)
    for child, command in children_of(parser).items():
        yield from _command(f"{name} {child}", command)


def children_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def options_of(parser: argparse.ArgumentParser) -> str:
    """A table of what a command takes."""
    rows = [row_of(action) for action in parser._actions if not isinstance(action, argparse._SubParsersAction)]
    rows = [row for row in rows if row]
    return "\n".join(["| option | what it is |", "|---|---|", *rows]) if rows else ""


def row_of(action: argparse.Action) -> str:
    """One line of the table; nothing for ``--help``."""
    if isinstance(action, argparse._HelpAction):
        return ""
    value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
    value = " ".join(value) if isinstance(value, tuple) else str(value)
    if action.choices and not action.metavar:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    value = f" `{value}{' ...' if action.nargs in ('+', '*') else ''}`" if value else ""
    needed = " (needed)" if action.option_strings and action.required else ""
    words = str(action.help or "") % {"default": action.default} if "%(" in str(action.help) else str(action.help or "")
    return f"| {(names + value).strip()}{needed} | {plain(words)} |"


def with_preset_tables(text: str) -> str:
    """A page whose tables between ``<!-- presets: NAME -->`` and ``<!-- end -->`` are made anew."""

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n\n{preset_table(found[2])}\n\n<!-- end -->"

    return re.sub(r"(<!-- presets: (\w+) -->).*?<!-- end -->", table, text, flags=re.DOTALL)


def preset_table(kind: str) -> str:
    """Every setting in which the presets of ``pretrain`` or ``finetune`` differ."""
    from SwinSSLLib.presets import PRESETS, finetune_settings, pretrain_settings
    from SwinSSLLib.validation import to_dict

    build = {"pretrain": pretrain_settings, "finetune": finetune_settings}[kind]
    columns = [flat(to_dict(build(preset))) for preset in PRESETS]
    lines = [f"| setting | {' | '.join(PRESETS)} |", "|---|" + "---|" * len(PRESETS)]
    for name in columns[0]:
        values = [column[name] for column in columns]
        if name != "preset" and any(value != values[0] for value in values):
            lines.append(f"| `{name}` | {' | '.join(map(shown, values))} |")
    return "\n".join(lines)


def flat(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Settings by their names with dots."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


def shown(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value or "its own")


def plain(line: str) -> str:
    """Roles and literals of reStructuredText as Markdown's; nothing is taken for HTML."""
    line = re.sub(r":(?:func|class|mod|data|attr|meth):`~?([^`]+)`", r"`\1`", line)
    line = line.replace("``", "`")
    words = re.split(r"(`[^`]*`)", line)
    return "".join(word if word.startswith("`") else word.replace("<", "&lt;").replace("|", "\\|") for word in words)

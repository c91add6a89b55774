"""Settings as a person reads and edits them: complete TOML with a word for each key, which ``--settings`` takes."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from SwinSSLLib.settings import FinetuneSettings, PretrainSettings
from SwinSSLLib.validation import to_dict

_WIDTH = 110
#: What a model that is given by ``--init`` decides, unless the settings do: sections, and keys of a section.
_OF_THE_MODEL = ("network", "input.spacing", "input.hu_window")
_ENTRY = re.compile(r"^ {8}(\w+(?:, \w+)*): (.+?)(?=^ {8}\w+(?:, \w+)*: |\Z)", re.MULTILINE | re.DOTALL)


def settings_text(
    settings: PretrainSettings | FinetuneSettings, preset: PretrainSettings | FinetuneSettings, *, init: str = ""
) -> str:
    """Settings as TOML that, read again, gives equal settings.

    What a model given by ``--init`` would bring along stands in comments as long as it is the preset's own value: a
    complete file would otherwise overrule the model (its patch merging, for example) without a word.

    Args:
        settings: what to write.
        preset: those of the preset that ``settings`` names.
        init: name of the model whose network and input ``settings`` hold; all lines are in force then.
    """
    job = "pretrain" if isinstance(settings, PretrainSettings) else "finetune"
    values, usual = to_dict(settings), {} if init else to_dict(preset)
    head = f"Settings of `swinssl {job}`, complete. Use them with --settings FILE; what is left out is the preset's."
    if init:
        head += f" The network and the input are those of {init}."
    else:
        head += " Lines '#key = value' are the preset's too; take the '#' away to set them. With --init MODEL they are"
        head += f" the model's: `swinssl settings {job} --init MODEL` shows which."
    lines = _comment(head)
    sections = {name for name, value in values.items() if isinstance(value, dict)}
    plain = {name: value for name, value in values.items() if name not in sections}
    lines += _section(type(settings), plain, {}, "")
    hints = typing.get_type_hints(type(settings))
    for name in (name for name in values if name in sections):
        title = str(hints[name].__doc__ or "").strip().splitlines()[0]
        lines += ["", *_comment(title), f"[{name}]"]
        lines += _section(hints[name], values[name], usual.get(name, {}), f"{name}.")
    return "\n".join(lines) + "\n"


def meanings(cls: type[Any]) -> dict[str, str]:
    """What each attribute of a class of settings means, by its docstring; those without a word there are left out."""
    _, _, listed = str(cls.__doc__ or "").partition("Attributes:\n")
    # Where the docstring's indentation was taken off by the compiler (Python 3.13), put it back.
    if listed and not listed.startswith(" " * 8):
        listed = textwrap.indent(listed, "    ")
    found: dict[str, str] = {}
    for names, words in _ENTRY.findall(listed):
        text = re.sub(r"``", "'", " ".join(words.split())).rstrip(".")
        found |= dict.fromkeys(names.split(", "), text)
    return found


def _section(cls: type[Any], values: Mapping[str, Any], usual: Mapping[str, Any], path: str) -> Iterator[str]:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    told = meanings(cls)
    previous = ""
    for name, value in values.items():
        words = told.get(name, "")
        text = "; ".join(part for part in ("" if words == previous else words, _limits(fields[name].metadata)) if part)
        previous = words
        yield from _comment(text)
        # TOML knows no null.
        line = f"{name} = {json.dumps('none' if value is None else value, ensure_ascii=False)}"
        of_model = path.rstrip(".") in _OF_THE_MODEL or f"{path}{name}" in _OF_THE_MODEL
        yield f"#{line}" if of_model and name in usual and usual[name] == value else line


def _limits(metadata: Mapping[str, Any]) -> str:
    """What a value must satisfy, in words."""
    if choices := metadata.get("choices"):
        return f"one of {', '.join(map(str, choices))}" if len(choices) > 1 else f"always {choices[0]}"
    words = {"above": "above", "minimum": "at least", "maximum": "at most", "multiple_of": "a multiple of"}
    return ", ".join(f"{text} {metadata[key]}" for key, text in words.items() if key in metadata)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]

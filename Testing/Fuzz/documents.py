"""Changes to JSON documents that keep them JSON: other values, other types, other names, depth, doubled keys."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

from Fuzz import mutators

#: Values of every type that JSON has, as far as they are awkward; ``Raw`` ones are written as they stand.
_TEXTS = (
    "", "a\nb", "a\0b", "\ud800", "x" * 300, "x" * 70_000, "../../x", "/etc/passwd", "/dev/zero", "C:\\x", "‮abc", "ﬁ",
    "NaN", "1", "²", "[red]", "%s", "{x}", "\x1b[2J", ".", "..", "a/b", "con", "😀",
)  # fmt: skip
_OTHERS = (None, True, False, [], {}, [[]], [None], {"": {}}, {"a": None}, [1, 2, 3], ["x"], [{}], [[1], [2]])
_NUMBERS = (
    0, -0.0, 1, -1, 2, 3, 7, 12, 13, 14, 31, 32, 255, 256, 65536, 2**31, 2**32, 2**53 + 1, 2**63,
    2**64, -(2**63), 10**40,
    10**400, 1e-320, 1e308, -1e308, 0.5, 1e-9, float("nan"), float("inf"), -float("inf"),
)  # fmt: skip

Path = tuple[Any, ...]


def mutated(random: Random, data: bytes, other: bytes) -> bytes:
    """One to four changes to the tree, then it is written; or, for one of five, changes to the text."""
    try:
        tree, foreign = json.loads(data), json.loads(other)
    except (ValueError, RecursionError):
        return mutators.mutated(random, data, other, mutators.TEXT)
    if random.random() < 0.2:
        return mutators.mutated(random, data, other, mutators.TEXT)
    tree = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        tree = changed(random, tree, foreign)
    text = json.dumps(tree, ensure_ascii=random.random() < 0.5)
    if random.random() < 0.05:
        text = doubled_key(random, text)
    if random.random() < 0.02:
        text = nested(random, text)
    encoding = random.choice(("utf-8",) * 20 + ("utf-16", "utf-8-sig", "latin-1"))
    return text.encode(encoding, "surrogatepass" if encoding != "latin-1" else "replace")


def changed(random: Random, tree: Any, foreign: Any) -> Any:
    """A tree with one place of it changed."""
    places = list(_places(tree))
    path = random.choice(places)
    if not path:
        return value_like(random, tree) if random.random() < 0.3 else tree
    holder = tree
    for key in path[:-1]:
        holder = holder[key]
    key, what = path[-1], random.randrange(10)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[random.choice(_TEXTS)] = holder.pop(key)
    elif what == 2 and isinstance(holder, dict):
        holder[random.choice(_TEXTS)] = value_like(random, holder[key])
    elif what == 2:
        holder.append(copy.deepcopy(holder[key]))
    elif what == 3:
        holder[key] = copy.deepcopy(_at(foreign, random.choice(list(_places(foreign)))))
    elif what == 4 and isinstance(holder, list):
        holder[:] = holder * random.choice((2, 3, 100))
    else:
        holder[key] = value_like(random, holder[key])
    return tree


def value_like(random: Random, value: Any) -> Any:
    """A value in place of another: mostly of its own type, so that the reader gets further."""
    if random.random() < 0.35:
        return copy.deepcopy(random.choice((*_OTHERS, *_TEXTS, *_NUMBERS)))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return random.choice((random.choice(_NUMBERS), value * random.choice((-1, 2, 1000)), value + 1))
    if isinstance(value, str):
        return random.choice((random.choice(_TEXTS), value + random.choice(_TEXTS), value[::-1], value * 2))
    if isinstance(value, list):
        return [value_like(random, entry) for entry in value[: random.randrange(len(value) + 1)]]
    return copy.deepcopy(random.choice(_OTHERS))


def doubled_key(random: Random, text: str) -> str:
    """The first key of an object comes twice."""
    at = [n for n, sign in enumerate(text) if sign == "{"]
    if not at:
        return text
    place = random.choice(at) + 1
    value = json.dumps(value_like(random, random.choice(("x", 1, []))))
    key = text[place : text.find(":", place)] if text[place : place + 1] == '"' else '"x"'
    return f"{text[:place]}{key}: {value}, {text[place:]}" if text[place : place + 1] == '"' else text


def nested(random: Random, text: str) -> str:
    """Deeper than any parser that calls itself can go."""
    depth = random.choice((100, 900, 5_000, 200_000))
    opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
    deep = opening * depth + "1" + closing * (depth if random.random() < 0.5 else 0)
    place = text.find(":") + 1
    return deep if random.random() < 0.3 or not place else f'{text[:place]} {deep}, "z":{text[place:]}'


def _places(tree: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    if len(path) > 12:
        return
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree[:50]) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield from _places(value, (*path, key))


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree

"""Changes to bytes and to text that know nothing of the format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

#: Numbers at which readers break: limits of the integer types, floats that are none, and what looks like a number.
NUMBERS = (
    b"0", b"-0", b"1", b"-1", b"2", b"7", b"255", b"256", b"32767", b"32768", b"65535", b"65536", b"2147483647",
    b"-2147483648", b"4294967295", b"4294967296", b"9223372036854775807", b"-9223372036854775808",
    b"18446744073709551616", b"1" + b"0" * 40, b"9" * 400, b"9" * 5000, b"1e308", b"-1e308", b"1e400", b"1e-320",
    b"nan",
    b"NaN", b"inf", b"-inf", b"Infinity", b"-Infinity", b"0x10", b"1_000", b"\xc2\xb2", b"\xd9\xa3", b"0.1", b"1e-9",
    b"",
)  # fmt: skip
#: Words and signs at which readers of text break.
WORDS = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\xab\x80", "ä".encode(), b"\xe4", b"\r", b"\n", b"\r\n", b"\x1b[31m",
    b"\xef\xbb\xbf", b"../", b"..\\", b"/dev/zero", b"/dev/stdin", b"/etc/passwd", b"a" * 300, b"%s%n", b"%d", b"{}",
    b"[]",
    b'"', b"'", b"\\", b"\\ud800", b"\\u0000", b"=", b":", b":=", b";", b",", b"null", b"true", b"None",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xae", b"__class__", b"\x85",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[^\s,;:=\"{}\[\]]+")

Change = Callable[[Random, bytes, bytes], bytes]


def flip_bits(random: Random, data: bytes, _: bytes) -> bytes:
    """One to eight bits."""
    changed = bytearray(data)
    for _n in range(random.choice((1, 1, 1, 2, 4, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def set_bytes(random: Random, data: bytes, _: bytes) -> bytes:
    """A run of one to eight bytes becomes 0, 255, 128 or anything; more often at the beginning, where headers are."""
    changed = bytearray(data)
    end = min(len(data), random.choice((16, 128, 512, len(data))))
    start = random.randrange(max(end, 1))
    count = random.choice((1, 2, 4, 8))
    value = random.choice((b"\0", b"\xff", b"\x80", b"\x7f", b""))
    changed[start : start + count] = value * count if value else random.randbytes(count)
    return bytes(changed)


def truncate(random: Random, data: bytes, _: bytes) -> bytes:
    """The file ends early."""
    return data[: random.choice((0, 1, len(data) // 2, len(data) - 1, random.randrange(len(data) + 1)))]


def remove(random: Random, data: bytes, _: bytes) -> bytes:
    """A piece is gone."""
    start, end = _piece(random, data)
    return data[:start] + data[end:]


def double(random: Random, data: bytes, _: bytes) -> bytes:
    """A piece comes several times."""
    start, end = _piece(random, data)
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 10)) + data[end:]


def insert(random: Random, data: bytes, _: bytes) -> bytes:
    """Random bytes, or a word, somewhere."""
    at = random.randrange(len(data) + 1)
    new = random.choice(WORDS) if random.random() < 0.5 else random.randbytes(random.choice((1, 4, 64)))
    return data[:at] + new + data[at:]


def splice(random: Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def swap_number(random: Random, data: bytes, _: bytes) -> bytes:
    """A number in the text becomes another one."""
    return _swapped(random, data, _NUMBER, NUMBERS)


def swap_word(random: Random, data: bytes, other: bytes) -> bytes:
    """A word in the text becomes another one, of a list, of this file or of another."""
    words = random.choice((WORDS, tuple(_WORD.findall(data[:4096])), tuple(_WORD.findall(other[:4096])), NUMBERS))
    return _swapped(random, data, _WORD, words)


def swap_lines(random: Random, data: bytes, other: bytes) -> bytes:
    """Lines change places, are doubled, are left out, or come from another file."""
    lines, foreign = data.split(b"\n"), other.split(b"\n")
    at = random.randrange(min(len(lines), 40))
    what = random.randrange(4)
    if what == 0:
        lines.insert(at, lines[random.randrange(min(len(lines), 40))])
    elif what == 1:
        lines.insert(at, foreign[random.randrange(min(len(foreign), 40))])
    elif what == 2:
        del lines[at]
    else:
        other_line = random.randrange(min(len(lines), 40))
        lines[at], lines[other_line] = lines[other_line], lines[at]
    return b"\n".join(lines)


BINARY: tuple[Change, ...] = (flip_bits, set_bytes, truncate, remove, double, insert, splice)
TEXT: tuple[Change, ...] = (swap_number, swap_number, swap_word, swap_word, swap_lines, insert, flip_bits, truncate)


def mutated(random: Random, data: bytes, other: bytes, changes: Sequence[Change]) -> bytes:
    """One to four changes in a row."""
    for _ in range(random.choice((1, 1, 1, 2, 2, 4))):
        if not data:
            return data
        data = random.choice(changes)(random, data, other)
    return data


def _piece(random: Random, data: bytes) -> tuple[int, int]:
    start = random.randrange(len(data))
    return start, min(len(data), start + random.choice((1, 2, 4, 16, 64, max(1, len(data) // 4))))


def _swapped(random: Random, data: bytes, pattern: re.Pattern[bytes], values: Sequence[bytes]) -> bytes:
    head = data[:65536]  # headers are at the beginning, and a search of voxels finds nothing
    found = [match.span() for match in pattern.finditer(head)]
    if not found or not values:
        return data
    start, end = found[random.randrange(min(len(found), 400))]
    return data[:start] + random.choice(values) + data[end:]

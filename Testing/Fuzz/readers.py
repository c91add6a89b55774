"""What a reader is to the fuzzer, and the list of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from Fuzz.inputs import Input

#: Makes an input out of a seed and another seed.
Mutate = Callable[[Random, Input, Input], Input]


@dataclass(frozen=True)
class Reader:
    """One way by which files come in.

    Attributes:
        name: of the reader.
        seeds: valid inputs, made by the project itself; called once in a process, with an empty folder for its use.
        mutate: makes an input of two seeds.
        read: reads what is opened; the second argument is a folder that it may write to.
        check: why what was read is not what was promised, or nothing.
        share: how many inputs it gets beside the others.
        refusals: errors that are a refusal besides :class:`SwinSSLError`.
        quiet: whether it never refuses: what is damaged counts as not there.
        named: whether a refusal must name the file.
        accepts: whether seeds are read without being refused.
        books: whether a library may book memory that it never fills (torch, for its older format); what is filled is
            measured all the same.
    """

    name: str
    seeds: Callable[[Path], Sequence[Input]]
    mutate: Mutate
    read: Callable[[Path, Path], Any]
    check: Callable[[Any], str] = lambda value: ""
    share: float = 1.0
    refusals: tuple[type[Exception], ...] = ()
    quiet: bool = False
    named: bool = True
    accepts: bool = True
    books: bool = False


def bytewise(change: Callable[[Random, bytes, bytes], bytes]) -> Mutate:
    """A change of bytes as a change of the target file of an input."""

    def mutate(random: Random, seed: Input, other: Input) -> Input:
        return seed.with_content(change(random, seed.content, other.content))

    return mutate


def everywhere(change: Callable[[Random, bytes, bytes], bytes]) -> Mutate:
    """The same for any of the files of an input, the target more often; sometimes a file is gone, or a folder."""

    def mutate(random: Random, seed: Input, other: Input) -> Input:
        names = list(seed.files)
        name = seed.name if seed.name in names and random.random() < 0.5 else random.choice(names)
        if len(names) > 1 and random.random() < 0.03:
            return Input(seed.main, {key: seed.files[key] for key in names if key != name}, seed.links, seed.target)
        return seed.with_content(change(random, seed.files[name], other.files.get(name, seed.files[name])), name)

    return mutate


def all_readers() -> dict[str, Reader]:
    """By name. Rooms are imported only now: a process imports what it needs."""
    from Fuzz import read_bundles, read_documents, read_lines, read_panel, read_store, read_volumes, read_weights

    rooms = (read_volumes, read_documents, read_store, read_weights, read_bundles, read_lines, read_panel)
    return {reader.name: reader for room in rooms for reader in room.READERS}

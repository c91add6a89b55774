"""The process in which inputs are read: it says which one it is about to read, so that its death has a name."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "Testing", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # else every thread books address space that is never used

from Fuzz import oracle  # noqa: E402 - only now can it be found
from Fuzz.inputs import Input  # noqa: E402
from Fuzz.readers import Reader, all_readers  # noqa: E402

#: Seconds after which an input is told as slow; a hang is what the parent ends.
SLOW = 10.0
#: Number of an input, the moment (monotonic, in seconds) at which its reading began, and what came of those before:
#: right, refused, and the seconds that they took.
NOTE = struct.Struct("<qdqqd")


@dataclass
class Bench:
    """Reads inputs of one reader, and keeps what it finds.

    Attributes:
        reader: which.
        seed: of the campaign; with the number of an input it gives the input.
        place: folder of this process: ``in``, ``out``, ``tmp``, ``cwd`` and ``seeds``.
        counts: of outcomes.
        seconds: that inputs took.
    """

    reader: Reader
    seed: int
    place: Path
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("out", "tmp", "cwd", "seeds", "in"):
            (self.place / name).mkdir(parents=True, exist_ok=True)
        self._before = Path.cwd()
        os.chdir(self.place / "cwd")
        tempfile.tempdir = str(self.place / "tmp")
        os.environ["FUZZ_KEEP"] = str(self.place / "seeds")
        self.seeds = list(self.reader.seeds(self.place / "seeds"))
        inside = (self.place / "out", self.place / "tmp")
        self.guard = oracle.Guard(inside, self.place, "executed")

    def close(self) -> None:
        """Give the process back its folder."""
        tempfile.tempdir = None
        os.chdir(self._before)
        self.guard.armed = False
        shutil.rmtree(self.place, ignore_errors=True)

    def note(self, file: int, number: int) -> None:
        """Write down which input is next."""
        counts = self.counts[oracle.RIGHT], self.counts[oracle.REFUSED]
        os.pwrite(file, NOTE.pack(number, time.monotonic(), *counts, self.seconds), 0)

    def input(self, number: int) -> Input:
        """An input by its number; the first ones are the seeds as they are."""
        random = Random(f"{self.reader.name} {self.seed} {number}")
        if 0 <= number < len(self.seeds):
            return self.seeds[number]
        return self.reader.mutate(random, random.choice(self.seeds), random.choice(self.seeds))

    def judge(self, number: int, given: Input | None = None) -> oracle.Verdict:
        """Read one input."""
        given = given or self.input(number)
        opened = given.write(self.place / "in")
        began = time.monotonic()
        verdict = oracle.judge(self.reader, given, opened, self.place / "out", self.guard)
        took = time.monotonic() - began
        if 0 <= number < len(self.seeds) and verdict.outcome == oracle.REFUSED and self.reader.accepts:
            verdict = oracle.Verdict(oracle.FINDING, f"{self.reader.name}: a seed is refused", verdict.words)
        if took > SLOW and verdict.outcome != oracle.FINDING:
            words = f"{took:.0f} s for {sum(map(len, given.files.values()))} bytes ({verdict.words})"
            verdict = oracle.Verdict(oracle.FINDING, f"{self.reader.name}: slow", words)
        self.counts[verdict.outcome] += 1
        self.seconds += took
        if number % 50 == 0:
            shutil.rmtree(self.place / "out", ignore_errors=True)
            (self.place / "out").mkdir()
        return verdict


def limit_memory() -> None:
    """No input may make this process larger than it is now by more than :data:`oracle.MEMORY`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + oracle.MEMORY + (256 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Read the inputs from ``--first`` to before ``--last`` of each reader; findings go to standard output as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reader", required=True, nargs="+")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--place", type=Path, required=True)
    parser.add_argument("--note", type=Path, required=True)
    arguments = parser.parse_args()
    faulthandler.enable()
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
    readers = all_readers()
    note = os.open(arguments.note, os.O_RDWR | os.O_CREAT)
    for name in arguments.reader:
        bench = Bench(readers[name], arguments.seed, arguments.place.resolve() / name)
        for number in range(len(bench.seeds)):  # everything is imported now, and counts for no input
            bench.judge(-1 - number, bench.seeds[number])
        bench.counts.clear()
        bench.seconds = 0.0
        limit_memory()
        tell({"ready": name})
        read(bench, range(arguments.first, arguments.last), note)
        bench.close()
    return 0


def read(bench: Bench, numbers: range, note: int) -> None:
    """Read inputs; before each its number is noted, and what came of those before."""
    for number in numbers:
        bench.note(note, number)
        verdict = bench.judge(number)
        if verdict.outcome == oracle.FINDING:
            tell({"number": number, "sign": verdict.sign, "words": verdict.words[:2000]})
    bench.note(note, numbers.stop)


def tell(what: dict[str, Any]) -> None:
    """One line for the parent; readers may write to standard output, so it has a stream of its own."""
    sys.__stdout__.write(f"\n@{json.dumps(what)}\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    sys.exit(main())

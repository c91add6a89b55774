"""Two processes on one run, a clock that is set back, a memory that does not suffice."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import forks
from kills import differences
from work import Place, run_kept

from SwinSSLLib.runs import RunFolder

#: Settings whose step needs much more memory than the program itself.
LARGE = (
    *("--set", "network.feature_size=24", "--set", "input.roi=[96,96,96]", "--set", "input.spacing=[3,3,3]"),
    *("--batch", "2", "--steps", "1"),
)


def other_campaign(place: Place, trials: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Yields the kind of each trial and what was wrong in it."""
    chance = random.Random(seed)
    count = max(1, trials // 20)
    whole = place.trial("others-reference") / "run"
    code, said = forks.run([*place.pretraining(whole), "--cache", place.cache], whole.parent / "out.txt")
    if code:
        raise RuntimeError(said)
    expected = run_kept(whole)
    for number in range(count):
        yield "second process on a run", _second(place, f"second-{number}", chance, expected)
        yield "clock set back", _clock(place, f"clock-{number}", chance, expected)
        yield "CT replaced by an older file", _replaced(place, f"older-{number}", chance)
    for number in range(count):
        share = (number + 0.5) / count
        yield "memory limit", _memory(place, f"memory-{number}", share)


def _words(place: Place, run: Path) -> list[object]:
    return [*place.pretraining(run), "--cache", place.cache]


def _second(place: Place, name: str, chance: random.Random, expected: dict[str, str]) -> list[str]:
    """The second is refused while the first lives, also when it just was killed and another has taken over."""
    folder = place.trial(name)
    run = RunFolder(folder / "run")
    first = forks.start(_words(place, run.path), folder / "first.txt", _slowly)
    while not run.status().get("step") and first.poll() is None:
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 0.5))
    code, said = forks.run(_words(place, run.path), folder / "second.txt")
    alive = first.poll() is None
    first.kill()
    first.wait()
    problems = []
    if alive and not (code == 2 and f"process {first.pid}" in said and "Traceback" not in said):
        problems.append(f"the second was not refused: exit code {code}: {said[-300:]}")
    code, said = forks.run(_words(place, run.path), folder / "third.txt")
    if code:
        return [*problems, f"the lock of a dead process held: {said[-300:]}"]
    return problems + differences(run_kept(run.path), expected)


def _slowly() -> None:
    """So that the first is still at work when the second comes."""
    from SwinSSLLib import fitting

    taken = fitting._Loop.step

    def step(self: fitting._Loop, progress: fitting.Progress) -> None:
        time.sleep(1.0)
        taken(self, progress)

    fitting._Loop.step = step  # type: ignore[method-assign]


def _clock(place: Place, name: str, chance: random.Random, expected: dict[str, str]) -> list[str]:
    """The clock of the machine goes back by days in the midst of a run."""
    folder = place.trial(name)
    back, calls = timedelta(days=chance.uniform(0.1, 400)), chance.randint(1, 40)

    def before() -> None:
        from SwinSSLLib import reporting, runs

        told = [0]
        real = time.time

        def jumped() -> timedelta:
            told[0] += 1
            return back if told[0] > calls else timedelta()

        def now() -> str:
            return (datetime.now(UTC) - jumped()).isoformat(timespec="milliseconds")

        runs.now = reporting.now = now
        time.time = lambda: real() - jumped().total_seconds()

    code, said = forks.run(_words(place, folder / "run"), folder / "out.txt", before)
    if code or "Traceback" in said:
        return [f"exit code {code}: {said[-300:]}"]
    events = list(RunFolder(folder / "run").events())
    wrong = [e for e in events if e["event"] == "progress" and ((e["rate"] or 0) < 0 or (e["seconds_left"] or 0) < 0)]
    return differences(run_kept(folder / "run"), expected) + ["time ran backwards in a rate"] * bool(wrong)


def _replaced(place: Place, name: str, chance: random.Random) -> list[str]:
    """A CT gives way to another one whose file is older: it must not be taken for what is in the store."""
    folder = place.trial(name)
    data, cache = folder / "data", folder / "cache"
    shutil.copytree(place.data / "images", data)
    words = [
        "pretrain",
        "--data",
        data,
        "--preset",
        "quick",
        "--settings",
        place.root / "pretrain.json",
        "--steps",
        "1",
    ]
    contents = []
    first, second = chance.sample(sorted(data.iterdir()), 2)
    for turn in range(2):
        code, said = forks.run([*words, "--cache", cache, "--out", folder / f"run{turn}"], folder / "out.txt")
        if code:
            return [f"exit code {code}: {said[-300:]}"]
        inputs = RunFolder(folder / f"run{turn}").job()["inputs"]
        contents.append({Path(entry["path"]).name: entry["content"] for entry in inputs})
        shutil.copy2(second, first)
        past = time.time() - chance.uniform(1, 1e6)
        os.utime(first, (past, past))
    same = contents[1][first.name] == contents[1][second.name]
    return [] if same else [f"{first.name} was taken for what it was before"]


def _memory(place: Place, name: str, share: float) -> list[str]:
    """Between barely enough to start and almost enough to compute."""
    folder = place.trial(name)
    run = RunFolder(folder / "run")
    have = int((0.2 + 1.8 * share) * 2**30)

    def limit() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + have, used + have))

    code, said = forks.run([*_words(place, run.path), *LARGE], folder / "out.txt", limit)
    if code == 0:
        return []
    numbers = re.search(r"\d[\d.,]* (GiB|MiB)", said)
    problems = (
        []
        if code == 3 and numbers and "Traceback" not in said
        else [f"{have:,} bytes: exit code {code}: {said[-600:]}"]
    )
    if not RunFolder.is_run(run.path):
        return problems
    code, said = forks.run([*_words(place, run.path), *LARGE], folder / "again.txt")
    return problems + ([f"not resumed: exit code {code}: {said[-300:]}"] if code else [])

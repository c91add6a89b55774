"""Files of a run or a store are cut short, flipped in some bits or filled with rubbish; then the job goes on."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import forks
from kills import differences
from work import Place, run_kept

from SwinSSLLib.runs import RunFolder

Damage = Callable[[Path, random.Random], None]


def cut(file: Path, chance: random.Random) -> None:
    """Leave a random beginning of the file."""
    content = file.read_bytes()
    file.write_bytes(content[: chance.randrange(len(content))])


def flip(file: Path, chance: random.Random) -> None:
    """Turn one to forty bits."""
    content = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 40)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def half_line(file: Path, chance: random.Random) -> None:
    """A writer that died in mid-line, and some rubbish of a disk that lost power."""
    with file.open("ab") as opened:
        opened.write(b'{"event": "progress", "step": ' + chance.randbytes(chance.randint(0, 40)))


def damage_campaign(place: Place, trials: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Yields the kind of each trial and what was wrong in it."""
    chance = random.Random(seed)
    count = max(1, trials // 10)
    whole = place.trial("damage-reference") / "run"
    _check(*forks.run([*place.pretraining(whole), "--cache", place.cache], whole.parent / "out.txt"))
    expected = run_kept(whole)
    for kind, damage in (("cut short", cut), ("bits flipped", flip)):
        for number in range(2 * count):
            yield f"last checkpoint {kind}", _checkpoint(place, f"{damage.__name__}-{number}", damage, chance, expected)
    for number in range(count):
        yield "both checkpoints cut short", _both(place, f"both-{number}", chance)
    for kind, damage in (("cut short", cut), ("half a line", half_line)):
        for number in range(count):
            yield f"events {kind}", _events(place, f"events-{damage.__name__}-{number}", damage, chance, expected)
    for number in range(count):
        yield "status.json cut short", _status(place, f"status-{number}", chance, expected)
        yield "job.json cut short", _job(place, f"job-{number}", chance)
    for number in range(count):
        yield "prepared CT cut short", _prepared(place, f"store-{number}", cut, chance, expected)
        yield "prepared CT, bits flipped", _verified(place, f"bits-{number}", chance)


def _copy(place: Place, name: str) -> Path:
    """A finished run that may be damaged."""
    run = place.trial(name) / "run"
    shutil.copytree(place.root / "trials" / "damage-reference" / "run", run)
    return run


def _again(place: Place, run: Path, cache: Path | None = None) -> tuple[int, str]:
    return forks.run([*place.pretraining(run), "--cache", cache or place.cache], run.parent / "out.txt")


def _check(code: int, said: str) -> None:
    if code:
        raise RuntimeError(f"exit code {code}\n{said}")


def _ended(code: int, said: str, run: Path, expected: dict[str, str]) -> list[str]:
    """It must end well and to the bit."""
    if code or "Traceback" in said:
        return [f"exit code {code}: {said[-300:]}"]
    return differences(run_kept(run), expected)


def _checkpoint(place: Place, name: str, damage: Damage, chance: random.Random, expected: dict[str, str]) -> list[str]:
    run = _copy(place, name)
    damage(run / "checkpoints" / "last.ckpt", chance)
    offset = (run / "events.jsonl").stat().st_size
    code, said = _again(place, run)
    problems = _ended(code, said, run, expected)
    from SwinSSLLib.runs import read_events

    events, _ = read_events(run / "events.jsonl", offset)
    first = next((event["step"] for event in events if event["event"] == "progress" and "stage" not in event), None)
    told = any(event["event"] == "warning" and "last.ckpt" in event["message"] for event in events)
    if first != expected_total(run) and not told:
        problems.append("the damage was not told")
    return problems


def expected_total(run: Path) -> int:
    """Steps of the whole run."""
    return int(RunFolder(run).job()["settings"]["training"]["steps"])


def _both(place: Place, name: str, chance: random.Random) -> list[str]:
    """Nothing to go on from: one sentence, and what is there stays as it is."""
    run = _copy(place, name)
    for file in ("last.ckpt", "previous.ckpt"):
        cut(run / "checkpoints" / file, chance)
    before = {file: (run / "checkpoints" / file).read_bytes() for file in ("last.ckpt", "previous.ckpt")}
    code, said = _again(place, run)
    problems = (
        [] if code == 2 and "No checkpoint" in said and "Traceback" not in said else [f"exit code {code}: {said}"]
    )
    changed = [file for file, content in before.items() if (run / "checkpoints" / file).read_bytes() != content]
    return problems + [f"{file} was changed" for file in changed]


def _events(place: Place, name: str, damage: Damage, chance: random.Random, expected: dict[str, str]) -> list[str]:
    run = _copy(place, name)
    file = run / "events.jsonl"
    (run / "checkpoints" / "last.ckpt").unlink()  # so that there is something left to do
    before = list(RunFolder(run).events())
    damage(file, chance)
    kept = list(RunFolder(run).events())
    code, said = _again(place, run)
    problems = _ended(code, said, run, expected)
    after = list(RunFolder(run).events())
    if after[: len(kept)] != kept or kept != before[: len(kept)]:
        problems.append("whole lines were lost")
    if after[-1]["event"] != "finished":
        problems.append("the end was not told")
    return problems


def _status(place: Place, name: str, chance: random.Random, expected: dict[str, str]) -> list[str]:
    run = _copy(place, name)
    cut(run / "status.json", chance)
    return _ended(*_again(place, run), run, expected)


def _job(place: Place, name: str, chance: random.Random) -> list[str]:
    """What was asked for is not known any more: refused with the file's name."""
    run = _copy(place, name)
    cut(run / "job.json", chance)
    code, said = _again(place, run)
    return [] if code == 2 and "job.json" in said and "Traceback" not in said else [f"exit code {code}: {said[-300:]}"]


def _prepared(place: Place, name: str, damage: Damage, chance: random.Random, expected: dict[str, str]) -> list[str]:
    """A damaged entry is made again."""
    folder = place.trial(name)
    shutil.copytree(place.cache, folder / "cache")
    file = chance.choice(sorted((folder / "cache").glob("*/*")))
    damage(file, chance)
    code, said = forks.run([*place.pretraining(folder / "run"), "--cache", folder / "cache"], folder / "out.txt")
    return _ended(code, said, folder / "run", expected)


def _verified(place: Place, name: str, chance: random.Random) -> list[str]:
    """Bits that turned on the disk are found when asked for."""
    folder = place.trial(name)
    shutil.copytree(place.cache, folder / "cache")
    flip(chance.choice(sorted((folder / "cache").glob("*/*.npy"))), chance)
    code, said = forks.run(["cache", "verify", "--cache", folder / "cache"], folder / "out.txt")
    found = code == 2 and "1 of " in said and "are damaged" in said and "Traceback" not in said
    return [] if found else [f"exit code {code}: {said[-300:]}"]

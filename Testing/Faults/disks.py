"""The disk is full at every kind of write, or cannot be written at all."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import forks
from kills import Work, differences, is_there, works
from work import Place


def disk_campaign(place: Place, trials: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Yields the kind of each trial and what was wrong in it; says why nothing is done where nobody may mount."""
    count = max(2, trials // 10)
    from kills import slow_server

    if problem := _cannot_mount(place):
        print(f"disk: not done, {problem}")
        return
    with slow_server(place.root / "second" / "model" / "weights.safetensors") as address:
        for work in works(place, address):
            folder = place.trial("disk-reference")
            code, said = forks.run(work.words(folder), folder / "out.txt", work.before)
            if code:
                raise RuntimeError(said)
            expected, need = work.kept(folder), _bytes(folder)
            for number in range(count):
                share = (number + 0.5) / count
                yield f"disk full, {work.name}", _full(place, work, f"full-{number}", int(need * share), expected)
            for number in range(2):
                yield f"read-only folder, {work.name}", _read_only(place, work, f"read-only-{number}", expected, number)
    yield "read-only cache that holds everything", _reading(place)


def _full(place: Place, work: Work, name: str, size: int, expected: dict[str, str]) -> list[str]:
    """A disk of ``size`` bytes; afterwards there is room."""
    with _disk(place.trial(name), max(size, 8192)) as folder:
        output = folder.parent / "out.txt"
        code, said = forks.run(work.words(folder), output, work.before)
        problems = _refused(code, said) if code else []
        problems += work.damaged(folder, expected)
        _resize(folder, 1 << 30)
        code, said = forks.run(work.words(folder), output, work.before)
        if code:
            return [*problems, f"with room, exit code {code}: {said[-300:]}"]
        return [f"{size:,} bytes: {one}" for one in problems + differences(work.kept(folder), expected)]


def _read_only(place: Place, work: Work, name: str, expected: dict[str, str], begun: int) -> list[str]:
    """Nothing can be written: before anything was begun, or when all is there."""
    with _disk(place.trial(name), 1 << 30) as folder:
        output = folder.parent / "out.txt"
        if begun:
            forks.run(work.words(folder), output, work.before)
        _mount("-o", "remount,ro", folder)
        code, said = forks.run(work.words(folder), output, work.before)
        problems = _refused(code, said) if code else ([] if begun else ["it ended well and cannot have"])
        _mount("-o", "remount,rw", folder)
        code, said = forks.run(work.words(folder), output, work.before)
        if code and not is_there(said):
            return [*problems, f"exit code {code}: {said[-300:]}"]
        return problems + differences(work.kept(folder), expected)


def _reading(place: Place) -> list[str]:
    """Colleagues share a store that they may not write."""
    with _disk(place.trial("shared-store"), 1 << 30) as folder:
        shutil.copytree(place.cache, folder / "cache")
        _mount("-o", "remount,ro", folder)
        run = folder.parent / "run"
        code, said = forks.run([*place.pretraining(run), "--cache", folder / "cache"], folder.parent / "out.txt")
        return [f"exit code {code}: {said[-300:]}"] if code else []


def _refused(code: int, said: str) -> list[str]:
    """One sentence that names the file, exit code 2."""
    told = any(words in said for words in ("could not be written", "cannot be written", "has room for"))
    fine = code == 2 and (told or is_there(said)) and "Traceback" not in said
    return [] if fine else [f"exit code {code}: {said[-400:]}"]


@contextlib.contextmanager
def _disk(folder: Path, size: int) -> Iterator[Path]:
    place = folder / "disk"
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _resize(folder: Path, size: int) -> None:
    _mount("-o", f"remount,size={size}", folder)


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True, text=True)


def _cannot_mount(place: Place) -> str:
    try:
        with _disk(place.trial("mount"), 1 << 20):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return str(getattr(error, "stderr", "") or error).strip()


def _bytes(folder: Path) -> int:
    """What the files take on a disk of 4 KiB pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in folder.rglob("*"))

"""Every reader of files is given damaged, lying and hostile ones: ``python3 Testing/run.py fuzz``.

    python3 Testing/run.py fuzz [--inputs 50000] [--seed 1] [--only READER ...] [--out fuzz]
    python3 Testing/run.py fuzz --only READER --seed S --case N      # one input again, with its traceback

What comes of an input must be a right value or one sentence (exit code 2 or 4) that names the file. Findings are: any
other error, a value that is not what was promised, a crash, more than 30 s, more than 2 GiB, a start of another
program, and a file that is written where it should not be. They are kept in ``--out`` as files, each with the command
that shows it again; ``campaign.json`` has the counts. Exit code 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "Testing", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from Fuzz.child import NOTE, Bench  # noqa: E402 - only now can it be found
from Fuzz.readers import all_readers  # noqa: E402

#: Seconds that one input may take before its process is ended.
HANG = 30.0
#: Inputs of one process; a fresh one forgets what libraries keep.
BLOCK = 2500
#: Examples that are kept of one finding.
KEPT = 3


@dataclass
class Tally:
    """What came of the inputs of one reader."""

    inputs: int = 0
    right: int = 0
    refused: int = 0
    findings: int = 0
    seconds: float = 0.0
    signs: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "signs": dict(self.signs)}


class Campaign:
    """Runs readers in child processes and keeps what they find.

    Args:
        seed: other seeds, other inputs.
        out: folder for findings and ``campaign.json``.
        total: inputs in all, for the time left.
    """

    def __init__(self, seed: int, out: Path, total: int) -> None:
        self.seed, self.out, self.total = seed, out, total
        self.tallies: dict[str, Tally] = {}
        self._began = time.monotonic()
        self._told = 0.0

    def run(self, name: str, count: int) -> None:
        """Read inputs 0 to ``count`` with one reader; a process that dies is followed by another one."""
        tally = self.tallies.setdefault(name, Tally())
        first = 0
        while first < count:
            last = min(count, first + BLOCK)
            reached, why = self._block(name, tally, first, last)
            if why:
                self._found(name, tally, reached, f"{name}: {why}", why)
                tally.inputs += 1
                first = reached + 1
            else:
                first = last
            self._write()
        self._tell(name, always=True)

    def _block(self, name: str, tally: Tally, first: int, last: int) -> tuple[int, str]:
        """One process; returns the input at which it died, and why, or nothing."""
        place = Path(tempfile.mkdtemp(prefix="fuzz-"))
        note = place / "note"
        note.write_bytes(NOTE.pack(first, time.monotonic(), 0, 0, 0.0))
        command = [sys.executable, Path(__file__).with_name("child.py"), "--reader", name, "--seed", self.seed]
        command += ["--first", first, "--last", last, "--place", place / "place", "--note", note]
        with (place / "errors").open("wb") as errors:
            process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT
            )
        try:
            return self._watch(process, name, tally, first, note, place / "errors")
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(place, ignore_errors=True)

    def _watch(
        self, process: subprocess.Popen[bytes], name: str, tally: Tally, first: int, note: Path, errors: Path
    ) -> tuple[int, str]:
        lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
        before, ready, why = tally.as_json(), False, ""
        while True:
            try:
                line = lines.get(timeout=0.5)
            except queue.Empty:
                line = b""
            if line.startswith(b"@"):
                what = json.loads(line[1:])
                ready = ready or "ready" in what
                if "sign" in what:
                    self._found(name, tally, what["number"], what["sign"], what["words"])
            number, began, right, refused, seconds = NOTE.unpack(note.read_bytes())
            tally.right, tally.refused = before["right"] + right, before["refused"] + refused
            tally.inputs, tally.seconds = before["inputs"] + number - first, before["seconds"] + seconds
            limit = HANG if ready else 600.0
            if ready and process.poll() is None and time.monotonic() - began > limit:
                process.kill()
                why = f"hang of more than {HANG:.0f} s"
            if not line and process.poll() is not None and lines.empty():
                break
            self._tell(name)
        if not why and process.returncode:
            last_words = errors.read_text("utf-8", "replace").strip()[-1500:]
            if not ready:
                raise RuntimeError(f"{name} could not be started:\n{last_words}")
            code = process.returncode
            why = f"crash ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"
            self._keep_words(name, number, last_words)
        return number, why

    def _found(self, name: str, tally: Tally, number: int, sign: str, words: str) -> None:
        tally.findings += 1
        tally.signs[sign] += 1
        if tally.signs[sign] > KEPT:
            return
        folder = self._folder(name, number)
        files = folder / "input"
        try:
            place = Path(tempfile.mkdtemp(prefix="fuzz-"))
            bench = Bench(all_readers()[name], self.seed, place)
            bench.input(number).write(files)
            bench.close()
            shutil.rmtree(place, ignore_errors=True)
        except Exception:  # the finding is told all the same, and its number gives the input again
            words += f"\n(The input could not be kept: {traceback.format_exc()})"
        command = f"python3 Testing/run.py fuzz --only {name} --seed {self.seed} --case {number}"
        text = f"{sign}\n\n{words}\n\nAgain: {command}\n"
        (folder / "finding.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
        print(f"\n  {ascii(sign)[1:-1]} (input {number}): {words.splitlines()[0][:160]!a}", flush=True)

    def _keep_words(self, name: str, number: int, words: str) -> None:
        (self._folder(name, number) / "last words.txt").write_text(words, encoding="utf-8")

    def _folder(self, name: str, number: int) -> Path:
        folder = self.out / "findings" / name / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _tell(self, name: str, always: bool = False) -> None:
        now = time.monotonic()
        if not always and now - self._told < (1.0 if sys.stdout.isatty() else 30.0):
            return
        self._told = now
        done = sum(tally.inputs for tally in self.tallies.values())
        left = (self.total - done) * (now - self._began) / max(done, 1)
        found = sum(tally.findings for tally in self.tallies.values())
        line = f"{name:<20}{done:>8,} of {self.total:,} inputs, {found} findings, {left / 60:.0f} min left"
        print(f"\r{line}" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True)

    def _write(self) -> None:
        content = {"seed": self.seed, "readers": {name: tally.as_json() for name, tally in self.tallies.items()}}
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "campaign.json").write_text(json.dumps(content, indent=1), encoding="utf-8")

    def table(self) -> str:
        """Reader by inputs, right values, refusals and findings."""
        lines = [f"\n{'reader':<20}{'inputs':>9}{'right':>9}{'refused':>9}{'findings':>10}{'ms each':>9}"]
        total = Tally()
        for name, tally in self.tallies.items():
            lines.append(_row(name, tally))
            for key in ("inputs", "right", "refused", "findings", "seconds"):
                setattr(total, key, getattr(total, key) + getattr(tally, key))
        lines.append(_row("all", total))
        lines += [f"  {count:>6} × {sign}" for t in self.tallies.values() for sign, count in t.signs.most_common()]
        return "\n".join(lines)


def _row(name: str, tally: Tally) -> str:
    each = 1000 * tally.seconds / max(tally.inputs, 1)
    counts = f"{tally.inputs:>9,}{tally.right:>9,}{tally.refused:>9,}{tally.findings:>10,}"
    return f"{name:<20}{counts}{each:>9.1f}"


def _pump(stream: Any, lines: queue.Queue[bytes]) -> None:
    for line in stream:
        lines.put(line)


def once(name: str, seed: int, number: int) -> int:
    """Read one input in this process, and show all there is to see."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    bench = Bench(all_readers()[name], seed, place)
    given = bench.input(number)
    for file, content in given.files.items():
        print(f"{file}: {len(content)} bytes, begins with {content[:300]!r}")
    verdict = bench.judge(number, given)
    print(f"\n{verdict.outcome}: {verdict.sign}\n{verdict.words}\n")
    try:
        print(repr(bench.reader.read(given.write(place / "in"), place / "out"))[:2000])
    except BaseException:
        traceback.print_exc()
    bench.close()
    shutil.rmtree(place, ignore_errors=True)
    return 0


def main() -> int:
    """Run the campaign."""
    readers = all_readers()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=50_000, help="in all, shared among the readers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=tuple(readers), metavar="READER", help=", ".join(readers))
    parser.add_argument("--out", type=Path, default=ROOT / "fuzz")
    parser.add_argument("--case", type=int, help="only this input of the one reader that --only names")
    arguments = parser.parse_args()
    chosen = {name: readers[name] for name in arguments.only or readers}
    if arguments.case is not None:
        return once(next(iter(chosen)), arguments.seed, arguments.case)
    shares = sum(reader.share for reader in chosen.values())
    counts = {name: max(20, round(arguments.inputs * one.share / shares)) for name, one in chosen.items()}
    campaign = Campaign(arguments.seed, arguments.out, sum(counts.values()))
    os.environ.setdefault("SWINSSL_CACHE", tempfile.mkdtemp(prefix="fuzz-cache-"))
    for name, count in counts.items():
        campaign.run(name, count)
    print(campaign.table(), flush=True)
    return 1 if any(tally.findings for tally in campaign.tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

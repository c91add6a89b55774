"""What may come of an input: a right value, or one sentence. Everything else is a finding."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from Fuzz.archives import ESCAPED
from Fuzz.inputs import Input
from Fuzz.readers import Reader
from SwinSSLLib.errors import SwinSSLError

RIGHT, REFUSED, FINDING = "right", "refused", "finding"
#: Longest sentence, and most lines (settings files list all their problems at once).
LONGEST, MOST_LINES = 6000, 60
#: Bytes that a small file may make a process larger.
MEMORY = 2 << 30
_SHORTAGE = re.compile(r"(?i)(can't|cannot|could ?n[o']t|failed to|unable to) allocate|bad_alloc|out of memory")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate")
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")


@dataclass
class Verdict:
    """What came of an input.

    Attributes:
        outcome: :data:`RIGHT`, :data:`REFUSED` or :data:`FINDING`.
        sign: equal for findings of one cause, as far as can be told.
        words: the sentence, or what is wrong.
    """

    outcome: str
    sign: str = ""
    words: str = ""


@dataclass
class Guard:
    """Listens to what the interpreter does while an input is read (PEP 578), and looks for traces afterwards.

    Args:
        inside: folders that a reader may write to.
        around: the folder around them, in which nothing else may turn up.
        marker: the name that hostile pickles write to.
    """

    inside: tuple[Path, ...]
    around: Path
    marker: str
    seen: list[str] = field(default_factory=list)
    armed: bool = False

    def __post_init__(self) -> None:
        self._prefixes = tuple(str(folder.resolve()) for folder in self.inside)
        self._known = {path.name for path in self.around.iterdir()}
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While an input is read."""
        self.seen, self.armed = [], True
        try:
            yield
        finally:
            self.armed = False
        new = {path.name for path in self.around.iterdir()} - self._known
        here = [name for name in (self.marker, "escaped.txt") if Path(name).exists()]
        here += [name for name in (ESCAPED, str(Path(ESCAPED).with_name("escaped.txt"))) if Path(name).exists()]
        for name in (*here, *(str(self.around / name) for name in new)):
            self.seen.append(f"left {name}")
            with contextlib.suppress(OSError):
                Path(name).unlink()

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _WRITES)
            if writes and not isinstance(path, int):
                self._judge(event, path)
        elif event in _CHANGES:
            inner = event in ("os.remove", "os.rmdir") and arguments[-1] not in (None, -1)
            if not inner:  # shutil.rmtree names what it deletes by the folder's descriptor
                self._judge(event, arguments[0])
        elif event in _STARTS or event.startswith("pickle.find_class"):
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event == "exec" and self.marker in repr(getattr(arguments[0], "co_consts", "")):
            self.seen.append("code of the input was executed")

    def _judge(self, event: str, path: Any) -> None:
        known = isinstance(path, str | bytes | os.PathLike)
        text = os.path.normpath(Path.cwd() / os.fsdecode(path)) if known else str(path)  # links left as they are
        if not text.startswith(self._prefixes) and text != os.devnull:
            self.seen.append(f"{event} {text}"[:200])


def judge(reader: Reader, given: Input, opened: Path, out: Path, guard: Guard) -> Verdict:
    """Read an input and say what came of it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with guard.watching():
        verdict = _read(reader, given, opened, out)
    if guard.seen:
        return Verdict(FINDING, f"{reader.name}: {guard.seen[0].split()[0]}", "; ".join(guard.seen))
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if grown > MEMORY // 2 + 6 * sum(map(len, given.files.values())):
        words = f"it took {grown / 2**30:.1f} GiB of memory ({verdict.words})"
        return Verdict(FINDING, f"{reader.name}: memory", words)
    return verdict


def _read(reader: Reader, given: Input, opened: Path, out: Path) -> Verdict:
    try:
        value = reader.read(opened, out)
        problem = reader.check(value)
    except (SwinSSLError, *reader.refusals) as error:
        problem = _sentence_problem(error, reader, given, opened)
        if problem:
            return Verdict(FINDING, f"{reader.name}: {problem.split(':')[0]} at {_place(error)}", f"{problem}: {error}")
        return Verdict(REFUSED, words=str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        text = f"{type(error).__name__}: {str(error)[:300]}"
        return Verdict(FINDING, f"{reader.name}: {type(error).__name__} at {_place(error)}", text)
    return Verdict(FINDING, f"{reader.name}: wrong: {problem[:24]}", problem) if problem else Verdict(RIGHT)


def _sentence_problem(error: Exception, reader: Reader, given: Input, opened: Path) -> str:
    """Why a refusal is not one clear sentence."""
    message, hint = getattr(error, "message", str(error)), getattr(error, "hint", "")
    lines = message.split("\n")
    if isinstance(error, SwinSSLError) and error.exit_code not in (2, 4):
        return f"exit code {error.exit_code}"
    if reader.quiet:
        return "a refusal where none was to be"
    if not message.strip() or len(message) > LONGEST or len(lines) > MOST_LINES or len(hint) > LONGEST:
        return f"a sentence of {len(message)} signs in {len(lines)} lines"
    listed = all(line.startswith(("  - ", "  and ")) for line in lines[1:])
    if not listed or not all(line.isprintable() for line in (*lines, hint)):
        return "a sentence that is not one printable line"
    names = {opened.name, *(Path(name).name for name in given.files)}
    if reader.named and not any(name in message for name in names):
        return "a sentence that does not name the file"
    cause: BaseException | None = None if reader.books else error
    while cause is not None:
        if isinstance(cause, MemoryError) or _SHORTAGE.search(str(cause)):
            return "memory was asked for before the size was checked"
        cause = cause.__cause__ or cause.__context__
    return ""


def _place(error: BaseException) -> str:
    """The innermost line of ours that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "SwinSSL" in frame.filename and "Testing" not in frame.filename]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.name}"

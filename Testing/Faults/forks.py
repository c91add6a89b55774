"""Commands of SwinSSL in processes of their own, started in a moment: a fork of one that has imported everything.

A killed fork is a killed process like any other; only the four seconds of imports are saved, which hundreds of trials
would spend on nothing. The parent computes nothing, so that no thread of torch is there to be lost in the fork.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Seconds after which a command counts as hung.
HUNG = 180.0


def preload() -> None:
    """Import what the commands import, without computing anything."""
    import torch

    torch.set_num_threads(1)
    import SwinSSLLib.commands.demo
    import SwinSSLLib.evaluate.report
    import SwinSSLLib.jobs
    import SwinSSLLib.segment.files  # noqa: F401


@dataclass
class Child:
    """A command at work.

    Attributes:
        pid: its process.
        output: what it writes to standard output and standard error.
        stdin: our end of its standard input.
    """

    pid: int
    output: Path
    stdin: int
    began: float = field(default_factory=time.monotonic)
    code: int | None = None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def close_stdin(self) -> None:
        """What it sees when the program that started it dies."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def poll(self) -> int | None:
        """Its exit code (negative: the signal that killed it), or None while it is at work."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, limit: float = HUNG) -> int:
        """Wait for its end.

        Raises:
            TimeoutError: it hangs; it is killed.
        """
        end = time.monotonic() + limit
        while self.poll() is None:
            if time.monotonic() > end:
                self.kill()
                while self.poll() is None:
                    time.sleep(0.01)
                raise TimeoutError(f"no end within {limit:.0f} s")
            time.sleep(0.005)
        self.close_stdin()
        assert self.code is not None
        return self.code

    def words(self) -> str:
        """What it wrote."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def start(arguments: Sequence[object], output: Path, before: Callable[[], None] | None = None) -> Child:
    """Start ``swinssl ARGUMENTS``.

    Args:
        arguments: words of the command line.
        output: file for what it writes.
        before: called in the new process first.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(reading)
        return Child(pid, output, writing)
    code = 70  # what is seen when the command line itself let an exception through
    try:
        os.close(writing)
        os.dup2(reading, 0)
        os.close(reading)
        opened = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, 1)
        os.dup2(opened, 2)
        os.close(opened)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        if before:
            before()
        from SwinSSLLib.cli import main

        code = main([str(word) for word in arguments])
        sys.stdout.flush()
    except SystemExit as left:  # --version
        code = int(left.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def run(arguments: Sequence[object], output: Path, before: Callable[[], None] | None = None) -> tuple[int, str]:
    """Run a command to its end; exit code and what it wrote."""
    child = start(arguments, output, before)
    code = child.wait()
    return code, child.words()

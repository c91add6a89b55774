"""``swinssl serve``: one process that segments again and again; only its first request waits for imports and weights.

A request is one JSON object on one line of standard input: ``{"request": "segment", "arguments": [...]}`` with the very
words of ``swinssl segment``. The answer is the same events on standard output, closed by ``{"event": "done",
"exit_code": N}``. The line ``stop`` stops what is asked for so far, the process goes on; ``preview`` is ignored. The
end of standard input ends the process, and so does a long time without a request.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import queue
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from SwinSSLLib.cli import main, make_parser
from SwinSSLLib.commands.console import print_json
from SwinSSLLib.commands.results import Host, options_of, tell_loaded
from SwinSSLLib.control import Control, lines_of_stdin
from SwinSSLLib.errors import InputError, MemoryShortage, SwinSSLError
from SwinSSLLib.segment.kept import Keeper

#: Commands that may be asked for.
REQUESTS = ("segment",)


@dataclass
class _Request:
    """A command to run.

    Attributes:
        words: of the command line.
        problem: why it cannot be run.
        control: through which it is stopped.
    """

    words: list[str] = field(default_factory=list)
    problem: InputError | None = None
    control: Control = field(default_factory=Control)


class Server:
    """Answers requests one after the other.

    Args:
        idle: seconds without a request after which :meth:`run` returns.
    """

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self.keeper = Keeper(tell_loaded)
        self._requests: queue.Queue[_Request | None] = queue.Queue()
        self._open: list[_Request] = []
        self._lock = threading.Lock()

    def run(self, lines: Iterable[str]) -> int:
        """Answer until the lines end or nothing is asked for long; returns the exit code."""
        if isinstance(lines, io.TextIOWrapper):  # a byte that is no text must not end the listening
            lines.reconfigure(errors="replace")
        print_json({"event": "ready", "pid": os.getpid()})
        threading.Thread(target=self._read, args=(lines,), daemon=True, name="requests").start()
        while True:
            try:
                request = self._requests.get(timeout=self.idle)
            except queue.Empty:
                return 0
            if request is None:
                return 0
            code = self._answer(request)
            with self._lock:
                self._open.remove(request)
            print_json({"event": "done", "exit_code": code})

    def warm(self, model: Path) -> None:
        """Load a model before anybody asks, as a request without options would.

        If that fails nothing is said: the request will say it, and by then it may be right.
        """
        words = ["segment", ".", "--out", ".", "--model", str(model)]
        try:
            self.keeper.get(model, options_of(make_parser().parse_args(words)))
        except SwinSSLError as error:
            sys.stderr.write(f"{error.message}\n")

    def _answer(self, request: _Request) -> int:
        if request.problem:
            problem = request.problem
            event = {"event": "error", "message": problem.message, "hint": problem.hint}
            print_json({**event, "exit_code": problem.exit_code})
            return problem.exit_code
        try:
            code = main([*request.words, "--json"], Host(request.control, self.keeper))
        except SystemExit as ended:  # --help
            code = ended.code if isinstance(ended.code, int) else 1
        if code == MemoryShortage.exit_code:
            self.keeper.forget()
        return code

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            word = line.strip()
            if word == "stop":
                self._stop()
            elif word not in ("", "preview"):
                request = _parsed(word)
                with self._lock:
                    self._open.append(request)
                self._requests.put(request)
        self._stop()  # whoever asked is gone
        self._requests.put(None)

    def _stop(self) -> None:
        with self._lock:
            for request in self._open:
                request.control.request_stop()


def serve(arguments: argparse.Namespace) -> int:
    """Run ``swinssl serve``."""
    if arguments.idle <= 0:
        raise InputError(f"An idle time of {arguments.idle:g} minutes is impossible.", "Choose one above 0.")
    server = Server(60 * arguments.idle)
    if arguments.model:
        server.warm(arguments.model)
    return server.run(lines_of_stdin())


def _parsed(line: str) -> _Request:
    try:
        found = json.loads(line)
        name, words = found["request"], [str(word) for word in found["arguments"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        hint = 'Send {"request": "segment", "arguments": [...]} on one line.'
        return _Request(problem=InputError(f"{line[:80]!r} is no request.", hint))
    if name not in REQUESTS:
        return _Request(problem=InputError(f"{name!r} cannot be asked for.", f"Known are: {', '.join(REQUESTS)}."))
    return _Request([name, *words])

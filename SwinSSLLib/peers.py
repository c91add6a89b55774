"""The processes of a run watch each other, so that all of them end, with one sentence, when one is gone.

Each process holds a connection to process 0, which the operating system breaks when either of them dies. A process that
is busy or waits, however long, is not taken for a dead one; a collective of torch would call it so after its timeout,
and with NCCL it does not even notice one that was killed. Nothing but the notes in :meth:`Peers._hear` is understood.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from SwinSSLLib import launching, meeting
from SwinSSLLib.errors import SwinSSLError, is_shortage
from SwinSSLLib.ranks import expected_by, process_rank, speaks_without_first
from SwinSSLLib.wakeup import Wakeup

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

#: Seconds that all processes of a run have to come together.
GATHERING = 600.0
#: Seconds after which the user is told who is waited for.
PATIENCE = 15.0
#: Seconds that the main thread has to end by itself after a loss. torchrun ends processes after 30.
GRACE = 10.0
#: Seconds in which a loss becomes known after an operation of torch failed for it.
_SOON = 3.0
_LOOK_EVERY = 0.5


class ProcessLost(SwinSSLError):
    """Another process of the run is gone, so that this one ends too.

    Args:
        message, hint: for the user.
        first: it is the one that would tell the user.
    """

    def __init__(self, message: str, hint: str = "", *, first: bool = False) -> None:
        super().__init__(message, hint)
        self.first = first


class StoppedWhileGathering(SwinSSLError):
    """A stop was asked for before all processes had come."""

    exit_code = 0


class Peers:
    """The other processes of a run.

    Args:
        give_up: called in another thread after a loss, where the main thread hangs in a collective or in a long
            computation: it has the last word, and does not return.
        stop: called when another process was asked to stop.
        tell: called with a sentence for the user.
    """

    def __init__(
        self,
        give_up: Callable[[SwinSSLError], None],
        stop: Callable[[], None],
        tell: Callable[[str], None] = log.warning,
    ) -> None:
        self._give_up, self._stop, self._tell = give_up, stop, tell
        self.rank, self.world = process_rank(), 1
        self._links: dict[int, socket.socket] = {}
        self._problem: SwinSSLError | None = None
        self._lost, self._leaving, self._left = threading.Event(), threading.Event(), threading.Event()
        self._arrived: dict[str, dict[int, bool]] = {}
        self._passed: dict[str, bool] = {}
        self._change, self._speaking = threading.Condition(), threading.Lock()
        self._deadline = self._tell_at = float("inf")
        self._wakeup = Wakeup()

    @contextmanager
    def gathering(self, world: int) -> Iterator[None]:
        """Around the meeting of ``world`` processes: if it does not take place, the process ends."""
        self.world = world
        if world == 1:
            yield
            return
        self._deadline, self._tell_at = time.monotonic() + GATHERING, time.monotonic() + PATIENCE
        threading.Thread(target=self._watch, daemon=True, name="peers").start()
        with self._wakeup:  # the main thread waits for the others inside of torch
            yield
        self._deadline = self._tell_at = float("inf")

    def join(self, fabric: Fabric) -> None:
        """Connect the processes; all of them call this. Where that fails, torch's timeouts alone are left."""
        if fabric.world_size == 1:
            return
        self.rank, self.world = fabric.global_rank, fabric.world_size
        links = meeting.meet(fabric)
        if links is None:
            log.warning("The processes could not be connected: one that is lost will be noticed late.")
            return
        with self._change:
            self._links = links

    def barrier(self, name: str, wish: bool = False) -> bool:
        """Wait for all processes, however long it takes; the same name may be used once.

        Returns:
            Whether any of them came with a wish; the same answer everywhere.

        Raises:
            SwinSSLError: a process is gone.
        """
        if self.world == 1:
            return wish
        if not self._links:
            import torch

            wishes: list[bool] = [False] * self.world
            torch.distributed.all_gather_object(wishes, wish)
            return any(wishes)
        if self.rank == 0:
            self._arrive(name, 0, wish)
        else:
            self._say(0, {"here": name, "wish": wish})
        with self._change:
            while name not in self._passed:
                if self._problem is not None:
                    raise self._problem
                self._change.wait(_LOOK_EVERY)
            return self._passed[name]

    def tell_stop(self) -> None:
        """Let the others know that this process was asked to stop."""
        self._say_to_all({"stop": True})

    def farewell(self, error: BaseException, own: Callable[[], SwinSSLError]) -> SwinSSLError:
        """What to tell the user of an error: the loss behind it, or ``own()``, which the others hear too."""
        torn = isinstance(error, RuntimeError) and not is_shortage(error)
        if self.world > 1 and torn:
            self._lost.wait(_SOON)
        problem = self._problem
        if problem is None or not (torn or error is problem or isinstance(error, KeyboardInterrupt)):
            problem = own()
            note = {"message": problem.message, "hint": problem.hint, "exit_code": problem.exit_code, "rank": self.rank}
            self._say_to_all({"error": note} if self.rank else {"gone": note})
        # Who is not the first only says what the first cannot say any more.
        problem.quiet = bool(self._links) and not self._has_to_speak(problem)
        self._problem = problem
        self._leaving.set()
        return problem

    def leave(self) -> None:
        """All is well: from now on nobody needs to care."""
        self._say_to_all({"bye": True})
        self._left.set()

    def _has_to_speak(self, problem: SwinSSLError) -> bool:
        return self.rank == 0 or (isinstance(problem, ProcessLost) and problem.first and speaks_without_first())

    # What follows happens in the thread.

    def _watch(self) -> None:
        parent = os.getppid()
        with selectors.DefaultSelector() as chosen:
            rest: dict[int, bytes] = {}
            while not (self._left.is_set() or self._lost.is_set() or self._leaving.is_set()):
                for rank in self._links.keys() - rest.keys():
                    chosen.register(self._links[rank], selectors.EVENT_READ, rank)
                    rest[rank] = b""
                if rest and not chosen.get_map():  # all have said goodbye
                    self._left.wait(_LOOK_EVERY)
                for key, _ in chosen.select(_LOOK_EVERY) if chosen.get_map() else []:
                    data = _received(self._links[key.data])
                    *lines, rest[key.data] = (rest[key.data] + data).split(b"\n")
                    well = [self._hear(key.data, line) for line in lines]
                    if any(well) or not data:
                        chosen.unregister(key.fileobj)
                    if not data and not any(well):
                        self._lose(key.data)
                if not self._links:
                    self._left.wait(_LOOK_EVERY)
                    self._look_around(parent)
        if not self._left.is_set():
            self._end()

    def _look_around(self, parent: int) -> None:
        """Before there are connections: those that were started from here, the one that did it, and the time."""
        bad = {rank: code for rank, code in launching.ended().items() if code}
        if bad:
            self._lose(min(bad))
        elif launching.started_here() and self.rank and os.getppid() != parent:
            self._lose(0)
        elif self._wakeup.heard():
            self._announce(
                StoppedWhileGathering("Stopped while waiting for the other processes.", "Nothing was begun.")
            )
        elif time.monotonic() > self._tell_at:
            self._tell_at = float("inf")
            self._tell(f"Process {self.rank} waits for the others: {self.world} in all are expected{expected_by()}.")
        elif time.monotonic() > self._deadline:
            self._announce(
                SwinSSLError(
                    f"Not all of the {self.world} processes have come within {GATHERING / 60:.0f} minutes.",
                    "Start one for each: with --devices, torchrun or srun; see Docs/cluster.md about networks.",
                )
            )

    def _hear(self, rank: int, line: bytes) -> bool:
        """One note of another process; returns whether it was the last one."""
        note = json.loads(line)
        if "stop" in note:
            self._stop()
            if self.rank == 0:
                self._say_to_all(note, but=rank)
        elif "here" in note:
            self._arrive(note["here"], rank, note["wish"])
        elif "go" in note:
            with self._change:
                self._passed[note["go"]] = note["wish"]
                self._change.notify_all()
        elif "error" in note or "gone" in note:
            self._announce(_problem_of(note.get("error") or note["gone"], told=self.rank == 0))
            if self.rank == 0:
                self._say_to_all({"gone": note["error"]}, but=rank)
        return "bye" in note

    def _arrive(self, name: str, rank: int, wish: bool) -> None:
        with self._change:
            self._arrived.setdefault(name, {})[rank] = wish
            if len(self._arrived[name]) < self.world:
                return
            wish = any(self._arrived[name].values())
        # Before this process goes on itself: it may end at once, and who has not heard would wait for ever.
        self._say_to_all({"go": name, "wish": wish})
        with self._change:
            self._passed[name] = wish
            self._change.notify_all()

    def _lose(self, rank: int) -> None:
        if self._lost.is_set() or self._leaving.is_set():
            return
        time.sleep(0.2)  # a process that we started may leave an exit code
        code = launching.ended().get(rank, 0)
        how = f" (signal {-code})" if code < 0 else f" (exit code {code})" if code else ""
        problem = ProcessLost(
            f"Process {rank} of {self.world} ended without a word{how}: killed, out of memory, or its machine is gone. "
            "The others have ended too.",
            "What was saved is kept; continue with --resume.",
            first=rank == 0,
        )
        log.error("%s (noticed by process %d on %s)", problem.message, self.rank, platform.node())
        if self.rank == 0:
            note = {"message": problem.message, "hint": problem.hint, "exit_code": problem.exit_code, "rank": rank}
            self._say_to_all({"gone": note}, but=rank)
        self._announce(problem)

    def _announce(self, problem: SwinSSLError) -> None:
        with self._change:
            if self._problem is None:
                self._problem = problem
            self._lost.set()
            self._change.notify_all()

    def _end(self) -> None:
        wish = self._problem is not None and not self._problem.exit_code
        if not self._leaving.wait(1.0 if wish else GRACE):
            assert self._problem is not None
            self._problem.quiet = bool(self._links) and not self._has_to_speak(self._problem)
            self._give_up(self._problem)
        # The main thread is on its way; it may hang in torch's own clearing up.
        time.sleep(2 * GRACE)
        os._exit(self._problem.exit_code if self._problem else 1)

    def _say_to_all(self, note: dict[str, Any], but: int = -1) -> None:
        for rank in list(self._links):
            if rank != but:
                self._say(rank, note)

    def _say(self, rank: int, note: dict[str, Any]) -> None:
        # Who does not hear it any more is gone, and that is noticed where it is listened to.
        with contextlib.suppress(OSError), self._speaking:
            self._links[rank].sendall(json.dumps(note).encode() + b"\n")


def _problem_of(note: dict[str, Any], *, told: bool) -> SwinSSLError:
    """The problem that another process tells of; the first one repeats it to the user."""
    words = note["message"] if not told else f"Process {note['rank']}: {note['message']}"
    problem = ProcessLost(words, note["hint"])
    problem.exit_code = note["exit_code"]
    return problem


def _received(link: socket.socket) -> bytes:
    """What has come; nothing when the other end is gone."""
    try:
        return link.recv(65536)
    except OSError:
        return b""

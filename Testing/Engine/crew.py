"""A program of several processes that do next to nothing, to see how they part: ``python crew.py WHAT``."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta

import torch

from SwinSSLLib import devices, peers
from SwinSSLLib.errors import InputError
from SwinSSLLib.settings import TrainingSettings

CREW = 3


def say(rank: int, words: str) -> None:
    """In one piece, whoever else speaks."""
    os.write(1, f"{rank} {words}\n".encode())


def give_up(problem: Exception) -> None:
    """What a job does when its main thread hangs."""
    if not problem.quiet:
        say(peers.process_rank(), f"gives up: {problem}")
    os._exit(problem.exit_code)


def main(what: str) -> int:
    """Come together, and part as ``what`` says."""
    peers.GRACE = 1.0
    stopped = []
    crew = peers.Peers(give_up, lambda: stopped.append(True))
    fabric = devices.make_fabric(TrainingSettings(device="cpu", devices=CREW), crew)
    torch.distributed.distributed_c10d._set_pg_timeout(timedelta(seconds=2))
    rank = fabric.global_rank
    try:
        if what == "slow" and rank == 1:
            time.sleep(4)  # twice as long as torch would wait
        if what == "stop" and rank == 2:
            crew.tell_stop()
        wish = crew.barrier("first", wish=what == "stop" and rank == 2)
        if what == "stop":
            say(rank, f"wish {wish}, told {bool(stopped) or rank == 2}")
        if what == "error" and rank == 1:
            raise InputError("The file x.nii.gz is a cake.", "Eat it.")
        if what == "killed" and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "first killed" and rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if what in ("killed", "first killed"):
            time.sleep(600)  # as in a collective of NCCL, which notices nothing
        crew.barrier("second")
    except Exception as error:
        own = error
        problem = crew.farewell(own, lambda: own)
        if not problem.quiet:
            say(rank, f"says: {problem}")
        return problem.exit_code
    crew.leave()
    say(rank, "is done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""The other processes of a run on this machine (``--devices N``), started by the first one.

Lightning's own launcher watches its children too, but ends itself with SIGKILL when one is gone: nobody would be left
to say so, and the run would read "running" for ever.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
from pathlib import Path

#: Says that this process belongs to a run that was started here.
_MARK = "SWINSSL_PROCESSES"
#: Seconds that the others have to end after the first one; then they are ended.
_PATIENCE = 20.0

_others: dict[int, subprocess.Popen[bytes]] = {}


def started_here() -> bool:
    """Whether the processes of this run were started by :func:`start_others`."""
    return _MARK in os.environ


def start_others(count: int) -> None:
    """Start processes 1 to ``count`` - 1 with the command line of this one, which is process 0 from now on.

    They have no standard input: who started this process talks to this one only.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        _MARK: str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "NODE_RANK": "0",
    }
    for rank in range(1, count):
        variables = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        _others[rank] = subprocess.Popen(_command(), env=variables, stdin=subprocess.DEVNULL)
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0"}
    atexit.register(_see_them_off)


def ended() -> dict[int, int]:
    """Exit codes of those processes that have ended, by rank; below zero is the number of a signal."""
    codes = {rank: process.poll() for rank, process in _others.items()}
    return {rank: code for rank, code in codes.items() if code is not None}


def _command() -> list[str]:
    import __main__

    spec = getattr(__main__, "__spec__", None)
    if spec is not None:
        how = ["-m", spec.name]
    elif Path(sys.argv[0]).stem == "swinssl":  # the installed command, which is no Python file on Windows
        how = ["-m", "SwinSSLLib"]
    else:
        how = [sys.argv[0]]
    return [sys.executable, *how, *sys.argv[1:]]


def _see_them_off() -> None:
    for process in _others.values():
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()

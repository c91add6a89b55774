"""Joining the processes that torchrun started, also when it starts them again.

torchrun keeps one store for all of its attempts, and torch (2.4 to 2.13) reads addresses of dead processes in it: "Gloo
connectFullMesh failed", "Connection refused" (github.com/pytorch/pytorch issues 135712 and 167288; the number of the
attempt does not help, for each node counts its own). So process 0 invents a name for each attempt and hands it to those
who ask now; under that name the store is empty.
"""

from __future__ import annotations

import atexit
import os
import secrets
import time
from datetime import timedelta

import torch
from torch.distributed import PrefixStore, Store, TCPStore

_POLL = 0.05


def agent_store() -> bool:
    """Whether torchrun offers a store of its own."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def join(backend: str, timeout: timedelta) -> None:
    """Make torch's default process group out of the processes of this attempt.

    Args:
        backend: gloo or nccl.
        timeout: of its operations.
    """
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=timeout)
    name = hand_out_name(store, world) if rank == 0 else ask_for_name(store, rank)
    torch.distributed.init_process_group(
        backend, store=PrefixStore(name, store), rank=rank, world_size=world, timeout=timeout
    )
    if backend == "nccl":  # it warns where nobody does this; Lightning would, for groups that it made
        atexit.register(torch.distributed.destroy_process_group)


def hand_out_name(store: Store, world: int) -> str:
    """Process 0: a new name, told to all others that ask."""
    name = f"swinssl-{secrets.token_hex(8)}"
    missing = dict.fromkeys(range(1, world), b"")
    while missing:
        for rank, answered in list(missing.items()):
            if store.check([f"{name}/{rank}"]):
                del missing[rank]
            elif store.check([_question(rank)]):
                question = store.get(_question(rank))
                if question != answered:  # that of a dead process is answered too, and nobody hears it
                    store.set(_answer(rank, question.decode()), name)
                    missing[rank] = question
        time.sleep(_POLL)
    return name


def ask_for_name(store: Store, rank: int) -> str:
    """The others: the name, from the process 0 that lives now."""
    question = secrets.token_hex(8)
    store.set(_question(rank), question)
    name: str = store.get(_answer(rank, question)).decode()
    store.set(f"{name}/{rank}", "here")
    return name


def _question(rank: int) -> str:
    return f"swinssl/question/{rank}"


def _answer(rank: int, question: str) -> str:
    return f"swinssl/answer/{rank}/{question}"

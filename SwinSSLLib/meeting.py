"""How the processes of a run connect to process 0, over whatever network leads there."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import secrets
import socket
import time
from typing import TYPE_CHECKING

from SwinSSLLib.ranks import started_processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

_HERE = "127.0.0.1"
#: Seconds in which all processes must have connected.
_PATIENCE = 30.0
#: A machine that vanishes breaks no connection: it is asked for a sign of life after 10 s, three times, every 5 s.
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def meet(fabric: Fabric) -> dict[int, socket.socket] | None:
    """Connections by rank: to all others for process 0, to process 0 for the others; None where they do not succeed.

    All processes call this, and all of them get the same: connections or None.
    """
    import torch

    several = started_processes()[0] > 1
    listener = _listen(several) if fabric.global_rank == 0 else None
    offer = None
    if listener:
        offer = (_addresses() if several else [_HERE], listener.getsockname()[1], secrets.token_hex(16))
    addresses, port, token = fabric.broadcast(offer)
    links: dict[int, socket.socket] = {}
    try:
        if listener:
            with listener:
                links = _receive(listener, token, fabric.world_size - 1)
        elif link := _call(addresses, port, token, fabric.global_rank):
            links = {0: link}
    except OSError as error:
        log.warning("The processes could not be connected: %s", error)
    enough = len(links) == (fabric.world_size - 1 if listener else 1)
    every = fabric.all_reduce(torch.tensor(float(enough), device=fabric.device), reduce_op="sum")
    if float(every) < fabric.world_size:
        for link in links.values():
            link.close()
        return None
    for link in links.values():
        _keep_alive(link)
    return links


def _listen(several: bool) -> socket.socket:
    listener = socket.create_server(("" if several else _HERE, 0), backlog=4096)
    listener.settimeout(1.0)
    return listener


def _addresses() -> list[str]:
    """Where this machine may be reached: the interface that leads to the rendezvous, its name, the rendezvous."""
    master = os.environ.get("MASTER_ADDR", _HERE)
    found = [_HERE]
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((master, 9))  # sends nothing
        found.insert(0, probe.getsockname()[0])
    return list(dict.fromkeys([found[0], platform.node(), master, *found[1:]]))


def _receive(listener: socket.socket, token: str, count: int) -> dict[int, socket.socket]:
    links: dict[int, socket.socket] = {}
    until = time.monotonic() + _PATIENCE
    while len(links) < count and time.monotonic() < until:
        with contextlib.suppress(TimeoutError):
            link, _ = listener.accept()
            rank = _greeted(link, token)
            if rank is None:
                link.close()
            else:
                links[rank] = link
    return links


def _greeted(link: socket.socket, token: str) -> int | None:
    """The rank of a process of this run, or None for anybody else."""
    try:
        link.settimeout(2.0)
        hello = json.loads(_line(link))
        if not secrets.compare_digest(str(hello["token"]), token):
            return None
        link.sendall(b"welcome\n")
        return int(hello["rank"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _call(addresses: list[str], port: int, token: str, rank: int) -> socket.socket | None:
    for address in addresses:
        try:
            link = socket.create_connection((address, port), timeout=5.0)
            link.sendall(json.dumps({"token": token, "rank": rank}).encode() + b"\n")
            if _line(link) == b"welcome":
                return link
            link.close()
        except OSError as error:
            log.info("Process 0 is not at %s:%d: %s", address, port, error)
    return None


def _line(link: socket.socket) -> bytes:
    """A line of at most 200 bytes."""
    found = b""
    while not found.endswith(b"\n") and len(found) < 200:
        data = link.recv(1)
        if not data:
            break
        found += data
    return found.rstrip(b"\n")


def _keep_alive(link: socket.socket) -> None:
    link.settimeout(10.0)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)  # not every system has them all
        if option is not None:
            link.setsockopt(socket.IPPROTO_TCP, option, value)

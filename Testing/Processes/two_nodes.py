"""Two nodes on one machine: two network namespaces, each with its own addresses, joined by a virtual cable.

    python Testing/Processes/two_nodes.py                  pre-train on two nodes and on one, and compare the losses
    python Testing/Processes/two_nodes.py --steps 12       longer

Each node runs ``torchrun --nnodes=2 --nproc-per-node=1`` with the rendezvous at the first one's address. Nothing but
the cable leads from one to the other: what is said over the loopback interface does not arrive. Needs Linux and the
right to make namespaces (root); the disk is shared, as a cluster's is.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGINE = Path(__file__).resolve().parents[1] / "Engine"
#: Of the cable; nothing routes it.
NETWORK = "10.213.77"
PORT = 29513


@dataclass(frozen=True)
class Node:
    """A namespace with one end of the cable.

    Attributes:
        name: of the namespace.
        interface: its end of the cable.
        address: its own.
    """

    name: str
    interface: str
    address: str

    def command(self, *words: object) -> list[str]:
        """Words that run a command on this node."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def sent(self) -> int:
        """Bytes that have left through the cable."""
        done = subprocess.run(["ip", "-n", self.name, "-s", "-j", "link"], capture_output=True, text=True, check=True)
        links = json.loads(done.stdout)
        return next(int(link["stats64"]["tx"]["bytes"]) for link in links if link["ifname"] == self.interface)


def impossible() -> str:
    """Why two nodes cannot be made here; nothing where they can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if shutil.which("ip") is None:
        return "the command ip (iproute2) is not installed"
    try:
        with two_nodes():
            return ""
    except subprocess.CalledProcessError as error:
        return f"`{' '.join(error.cmd)}` is not permitted: {error.stderr.strip()}"


@contextmanager
def two_nodes() -> Iterator[tuple[Node, Node]]:
    """Two namespaces with a cable between them.

    Raises:
        subprocess.CalledProcessError: not permitted.
    """
    mark = f"swinssl{os.getpid()}"
    # Names of interfaces have 15 letters at most.
    first, second = (Node(f"{mark}-{n}", f"sw{os.getpid()}{'ab'[n]}", f"{NETWORK}.{n + 1}") for n in (0, 1))
    try:
        for node in (first, second):
            _ip("netns", "add", node.name)
        cable = ("link", "add", first.interface, "netns", first.name, "type", "veth")
        _ip(*cable, "peer", "name", second.interface, "netns", second.name)
        for node in (first, second):
            _ip("-n", node.name, "addr", "add", f"{node.address}/24", "dev", node.interface)
            for interface in ("lo", node.interface):
                _ip("-n", node.name, "link", "set", interface, "up")
        yield first, second
    finally:
        for node in (first, second):
            with contextlib.suppress(subprocess.CalledProcessError):  # it was never made
                _ip("netns", "delete", node.name)


def train(nodes: Sequence[Node], words: Sequence[object], *, limit: float = 240.0) -> list[subprocess.Popen[str]]:
    """Run ``swinssl WORDS`` as one run over all nodes, one process each, to its end."""
    launched = []
    for number, node in enumerate(nodes):
        torchrun = (
            sys.executable, "-m", "torch.distributed.run", "--nnodes", len(nodes), "--nproc-per-node", 1,
            "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{nodes[0].address}:{PORT}", "--rdzv-id", os.getpid(),
            # Both have the host name of this machine, by which torchrun would know who makes the meeting place.
            "--rdzv-conf", f"is_host={int(number == 0)}", "--local-addr", node.address,
        )  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": node.interface}
        command = node.command(*torchrun, "-m", "SwinSSLLib", *words)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        launched.append(subprocess.Popen(command, env=environment, **pipes))
    try:
        for process in launched:
            told, _ = process.communicate(timeout=limit)
            if process.returncode:
                raise SystemExit(f"A node ended with exit code {process.returncode}:\n{told[-3000:]}")
    finally:
        for process in launched:
            process.kill()
    return launched


def main() -> int:
    """Compare one node with two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    steps = parser.parse_args().steps
    if reason := impossible():
        print(f"Two nodes cannot be made here: {reason}.")
        return 4
    with tempfile.TemporaryDirectory() as folder:
        worst, sent = compare(Path(folder), steps)
    print(f"{steps} steps on two nodes and on one: largest relative difference {worst:.1e}; {sent / 1e6:.1f} MB sent")
    return int(worst > 1e-4)


def compare(folder: Path, steps: int) -> tuple[float, int]:
    """Largest relative difference of any metric between two nodes and one, and bytes that both nodes sent."""
    sys.path.insert(0, str(ENGINE))
    from launched import command, metrics, run

    words = _words(folder, steps)
    run(command(*words, "--out", folder / "one", "--batch", 4))
    sent = _on_two(folder, words)
    one, two = metrics(folder / "one"), metrics(folder / "two")
    if one.keys() != two.keys():
        raise SystemExit(f"Other metrics: {sorted(one.keys() ^ two.keys())}")
    return max(abs(two[key] - value) / max(abs(value), 1e-2) for key, value in one.items()), sent


def traffic(folder: Path, steps: int) -> dict[str, int]:
    """Bytes that both nodes send in a run of so many steps, without validation, and bytes of one set of gradients."""
    from SwinSSLLib.models import load_model

    every = ("--set", "training.validate_every=1000", "--set", "training.preview_every=1000")
    sent = _on_two(folder, (*_words(folder, steps), *every))
    weights = load_model(folder / "two").state.values()
    return {"bytes": sent, "gradient": 4 * sum(value.numel() for value in weights if value.is_floating_point())}


def _on_two(folder: Path, words: Sequence[object]) -> int:
    with two_nodes() as nodes:
        train(nodes, (*words, "--out", folder / "two", "--batch", 2))
        return sum(node.sent() for node in nodes)


def _tiny() -> dict[str, Any]:
    """The settings of the engine's tests. By its path: under pytest, ``conftest`` is the one of this folder."""
    sys.path.insert(0, str(ENGINE))
    spec = importlib.util.spec_from_file_location("fixtures_of_the_engine", ENGINE / "conftest.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tiny: dict[str, Any] = module.TINY
    return tiny


def _words(folder: Path, steps: int) -> tuple[object, ...]:
    """A pre-training of the smallest network on five phantoms."""
    from SwinSSLLib.data.phantom import write_cohort

    cohort, settings = folder / "cohort", folder / "settings.json"
    write_cohort(5, 5, cohort, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36), split=(2, 1, 2))
    settings.write_text(json.dumps(_tiny()))
    return (
        "pretrain", "--data", cohort, "--preset", "quick", "--settings", settings, "--device", "cpu",
        "--steps", steps, "--no-report", "--cache", folder / "cache",
    )  # fmt: skip


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


if __name__ == "__main__":
    sys.exit(main())

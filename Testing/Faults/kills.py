"""A job is killed, asked to stop, or orphaned at a random moment; then it is started again by the same command."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import forks
from work import Place, content_of, files_in, last_checkpoint, run_kept, steps_since

from SwinSSLLib.runs import RunFolder

#: How a job is disturbed. The last two ask it to stop: then nothing at all may be lost.
WAYS = ("SIGKILL", "SIGTERM", "stdin closed")


@dataclass(frozen=True)
class Work:
    """A job that can be started, disturbed, and started again.

    Attributes:
        name: for the table.
        words: its command line in a folder; the same one starts it and continues it.
        kept: what it leaves in a folder, in a form that can be compared.
        damaged: sentences about what is not as it must be right after a disturbance, given a reference.
        training: whether it has a run folder with checkpoints.
        before: done first in its process.
    """

    name: str
    words: Callable[[Path], list[object]]
    kept: Callable[[Path], dict[str, str]]
    damaged: Callable[[Path, dict[str, str]], list[str]]
    training: bool = False
    before: Callable[[], None] | None = None


def works(place: Place, address: str) -> list[Work]:
    """Pre-training, fine-tuning, segmentation, cache building, downloading."""
    return [
        Work("pre-training", lambda f: [*place.pretraining(f / "run"), "--cache", place.cache], _run, _run_safe, True),
        Work("fine-tuning", lambda f: [*place.finetuning(f / "run"), "--cache", place.cache], _run, _run_safe, True),
        Work("segmentation", lambda f: place.segmenting(f / "out"), _labels, _labels_safe),
        Work("cache building", lambda f: [*_short(place, f), "--cache", f / "cache"], _cache, _cache_safe),
        Work("download", _downloading, _library, _library_safe, before=lambda: _offer(place, address)),
    ]


def kill_campaign(place: Place, trials: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Yields the kind of each trial and what was wrong in it (nothing, where all is well)."""
    chance = random.Random(seed)
    with slow_server(place.root / "second" / "model" / "weights.safetensors") as address:
        todo = works(place, address)
        # Twice, for the result must not be chance; a few trials only look whether the campaign itself works.
        times = 2 if trials >= 20 else 1
        references = {work.name: _reference(place, work, times) for work in todo}
        for number in range(trials):
            work = todo[number % len(todo)]
            way = WAYS[number // len(todo) % len(WAYS)] if work.name != "download" else WAYS[number // len(todo) % 2]
            expected, seconds = references[work.name]
            moment = chance.uniform(0, seconds)
            folder = place.trial(f"kill-{number:03d}")
            try:
                problems = _trial(work, way, moment, folder, expected)
            except (TimeoutError, OSError, ValueError, KeyError, IndexError) as error:
                problems = [f"{type(error).__name__}: {error}"]
            yield f"{work.name}, {way}", [f"{folder.name} after {moment:.2f} s: {one}" for one in problems]


def _reference(place: Place, work: Work, times: int) -> tuple[dict[str, str], float]:
    """What the undisturbed job leaves, each time it is run, and how long it takes."""
    found = []
    for number in range(times):
        folder = place.trial(f"reference-{number}-{work.name.replace(' ', '-')}")
        began = time.monotonic()
        code, said = forks.run(work.words(folder), folder / "out.txt", work.before)
        if code:
            raise RuntimeError(f"{work.name}: exit code {code}\n{said}")
        found.append((work.kept(folder), time.monotonic() - began))
    if wrong := differences(found[0][0], found[-1][0]):
        raise RuntimeError(f"{work.name} does not give the same result twice: {wrong}")
    return found[-1]


def _trial(work: Work, way: str, moment: float, folder: Path, expected: dict[str, str]) -> list[str]:
    child = forks.start(work.words(folder), folder / "out.txt", work.before)
    time.sleep(moment)
    if way == "stdin closed":
        child.close_stdin()
    else:
        child.kill(signal.SIGKILL if way == "SIGKILL" else signal.SIGTERM)
    code = child.wait()
    problems = _ending(way, code, child.words())
    problems += work.damaged(folder, expected)
    run = RunFolder(folder / "run")
    saved = last_checkpoint(run.path) if work.training else 0
    stopped = run.status() if work.training and run.status_file.exists() else {}
    offset = run.events_file.stat().st_size if work.training and run.events_file.exists() else 0
    code, said = forks.run(work.words(folder), folder / "again.txt", work.before)
    if code and not is_there(said):
        return [*problems, f"started again it ends with exit code {code}: {said[-300:]}"]
    if work.training:
        if stopped.get("state") == "stopped" and stopped.get("step", 0) > saved:
            problems.append(f"asked to stop it lost steps {saved} to {stopped['step']}")
        steps = steps_since(run.path, offset)
        if offset and steps and steps[0] < saved:
            problems.append(f"it had saved step {saved} and went on from {steps[0]}")
    return problems + differences(work.kept(folder), expected)


def is_there(said: str) -> bool:
    """A download that ended well is not made again."""
    return "is installed already" in said


def _ending(way: str, code: int, said: str) -> list[str]:
    """How it may end: killed, or stopped in order; never with a traceback."""
    allowed = (0, -signal.SIGKILL) if way == "SIGKILL" else (0, -signal.SIGTERM) if way == "SIGTERM" else (0,)
    problems = [] if code in allowed else [f"exit code {code}: {said[-300:]}"]
    return problems + (["a traceback was shown"] if "Traceback" in said else [])


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Sentences about what differs from what an undisturbed job leaves."""
    names = sorted({*found, *expected})
    return [
        f"{name} is {found.get(name)} instead of {expected.get(name)}"
        for name in names
        if found.get(name) != expected.get(name)
    ]


# --- training


def _run(folder: Path) -> dict[str, str]:
    return run_kept(folder / "run")


def _run_safe(folder: Path, _: dict[str, str]) -> list[str]:
    """After a kill every checkpoint that has its name can be read, and so can status and events."""
    from SwinSSLLib.checkpoints import load_checkpoint

    run = RunFolder(folder / "run")
    problems = []
    for file in run.checkpoints.glob("*.ckpt"):
        try:
            load_checkpoint(file)
        except Exception as error:
            problems.append(f"{file.name} is damaged: {error}")
    if RunFolder.is_run(run.path):
        run.job(), run.status(), list(run.events())
        if last_checkpoint(run.path) and not run.has_checkpoint():
            problems.append("a checkpoint was told of and is not there")
    return problems


# --- segmentation


def _labels(folder: Path) -> dict[str, str]:
    import SimpleITK as sitk

    kept = {"names": " ".join(sorted(files_in(folder / "out")))}
    for file in sorted((folder / "out").glob("*.seg.nrrd")):
        kept[file.name] = sitk.Hash(sitk.ReadImage(file))
    return kept


def _labels_safe(folder: Path, expected: dict[str, str]) -> list[str]:
    found = _labels(folder)
    return [
        f"{name} is not the whole result"
        for name, value in found.items()
        if name != "names" and value != expected[name]
    ]


# --- cache


def _short(place: Place, folder: Path) -> list[object]:
    return [*place.pretraining(folder / "run"), "--set", "training.steps=1"]


def _cache(folder: Path) -> dict[str, str]:
    store = folder / "cache"
    names = {name for name in files_in(store) if not name.startswith("sources")}
    arrays = {file.relative_to(store).as_posix(): content_of(file) for file in sorted(store.glob("*/*.npy"))}
    return {"names": " ".join(sorted(names)), **arrays}


def _cache_safe(folder: Path, expected: dict[str, str]) -> list[str]:
    from SwinSSLLib.data.store import Store

    store = Store(folder / "cache")
    if not store.root.exists():
        return []
    damaged = [f"the entry {entry.key} is damaged" for entry in store.entries() if not store.verify(entry)]
    return damaged + [
        f"{name} is damaged"
        for name, value in _cache(folder).items()
        if name in expected and name != "names" and value != expected[name] and not name.startswith(".")
    ]


# --- download


def _downloading(folder: Path) -> list[object]:
    return ["models", "download", "trial", "--library", folder / "library", "--accept-licence", "--json"]


def _library(folder: Path) -> dict[str, str]:
    library = folder / "library"
    kept = {"names": " ".join(sorted(files_in(library)))}
    return kept | {file.name: content_of(file) for file in library.glob("trial/*.safetensors")}


def _library_safe(folder: Path, expected: dict[str, str]) -> list[str]:
    found = {name: value for name, value in _library(folder).items() if name != "names"}
    return [f"{name} is not the whole file" for name, value in found.items() if value != expected[name]]


def _offer(place: Place, address: str) -> None:
    """In the process of the trial: the catalogue has one entry, on a server that takes a second for it."""
    import hashlib
    from dataclasses import replace

    from SwinSSLLib.exchange import catalogue

    weights = place.root / "second" / "model" / "weights.safetensors"
    card = json.loads((weights.parent / "model.json").read_text(encoding="utf-8"))
    entry = catalogue.read_catalogue()["btcv-tiny"]
    known = {key: card["network"][key] for key in entry.network}
    offered = replace(
        entry,
        name="trial",
        address=f"{address}/weights.safetensors",
        file="weights.safetensors",
        network=known,
        bytes=weights.stat().st_size,
        bytes_exact=True,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        md5=None,
    )
    catalogue.published.cache_clear()
    catalogue.read_catalogue = lambda *_: {"trial": offered}  # type: ignore[assignment]
    os.environ["no_proxy"] = "127.0.0.1"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who asked was killed: that is what the trial is about."""


class slow_server:  # noqa: N801 - used as a statement
    """Serves one file at 2 MB a second, in parts where asked; a process of its own, for threads do not fork."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> str:
        server = _Server(("127.0.0.1", 0), _handler(self.file))
        self.pid = os.fork()
        if not self.pid:
            Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
            server.serve_forever()
        server.server_close()
        return f"http://127.0.0.1:{server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _handler(file: Path) -> Any:
    content = file.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(content) - start))
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            for at in range(start, len(content), 1 << 16):
                self.wfile.write(content[at : at + (1 << 16)])
                time.sleep(1 / 32)

    return Handler

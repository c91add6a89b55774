"""Readers of what programs say to each other: run folders, lines of standard input, answers of a server."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from Fuzz import archives, documents, mutators
from Fuzz.inputs import FOLDER, Input, one
from Fuzz.readers import Mutate, Reader, bytewise
from SwinSSLLib import serving
from SwinSSLLib.cli import make_parser
from SwinSSLLib.control import Control
from SwinSSLLib.errors import SwinSSLError
from SwinSSLLib.evaluate.record import Record
from SwinSSLLib.exchange.download import Wanted, fetch
from SwinSSLLib.presets import pretrain_settings
from SwinSSLLib.runs import RunFolder, read_events
from SwinSSLLib.validation import to_dict

_JOB = {"format": 1, "kind": "pretrain", "settings": {"training": {"steps": 4}}, "inputs": [], "chance": {"a": 1.5}}
_STATUS = {
    "state": "running", "pid": 123, "host": "x", "device": "cpu", "step": 2, "total": 4, "rate": 1.5,
    "seconds_left": 2.0, "heartbeat": "2026-01-01T10:00:00.000+00:00",
}  # fmt: skip
_EVENTS: tuple[dict[str, Any], ...] = (
    {"event": "started", "time": "2026-01-01T10:00:00.000+00:00", "chance": {"train/rotation": 0.25}},
    {"event": "progress", "time": "2026-01-01T10:00:01.000+00:00", "step": 1, "total": 4, "rate": 1.0},
    {"event": "metric", "time": "2026-01-01T10:00:01.500+00:00", "name": "train/inpaint", "value": 0.5, "step": 1},
    {"event": "warning", "time": "2026-01-01T10:00:02.000+00:00", "message": "a warning"},
    {"event": "error", "time": "2026-01-01T10:00:02.500+00:00", "message": "m", "hint": "h", "exit_code": 2},
    {"event": "finished", "time": "2026-01-01T10:00:03.000+00:00", "model": "model"},
)


def preview() -> bytes:
    """A preview of two sub-volumes, as the trainer writes it."""
    out = io.BytesIO()
    block = np.zeros((2, 4, 4, 4), np.float16)
    np.savez_compressed(
        out, step=np.int64(5), original=block, masked=block, reconstructed=block, rotation_true=np.array([0, 1]),
        rotation_probability=np.full((2, 4), 0.25), similarity=np.zeros((4, 4)), confusion=np.eye(4, dtype=int),
        ijk_to_ras=np.stack([np.eye(4)] * 2), source=np.array(["a", "b"]), hu_window=np.array([-175.0, 250.0]),
    )  # fmt: skip
    return out.getvalue()


def _run_seeds(_: Path) -> list[Input]:
    events = "".join(json.dumps(event) + "\n" for event in _EVENTS).encode()
    job = {**_JOB, "settings": to_dict(pretrain_settings("quick"))}
    files = {"job.json": json.dumps(job).encode(), "status.json": json.dumps(_STATUS).encode(), "events.jsonl": events}
    files["previews/step-000005.npz"] = preview()
    return [Input(FOLDER, files, target=name) for name in files]


def lines_change(random: Random, data: bytes, other: bytes) -> bytes:
    """One of the lines by its tree, or lines as text."""
    lines = data.split(b"\n")
    for _ in range(random.choice((1, 1, 3))):
        at = random.randrange(len(lines))
        if lines[at].startswith(b"{") and random.random() < 0.8:
            lines[at] = documents.mutated(random, lines[at], random.choice([n for n in lines if n] or [b"{}"]))
        else:
            lines[at] = mutators.mutated(random, lines[at] or b"x", other, mutators.TEXT)
    data = b"\n".join(lines)
    return mutators.mutated(random, data, other, mutators.BINARY) if random.random() < 0.1 else data


def _npz_member(random: Random, name: str, data: bytes, other: bytes) -> bytes:
    return archives.npy(random, data, other)


npz_change = archives.zip_of(_npz_member)


def _run(random: Random, seed: Input, other: Input) -> Input:
    changes = {"job.json": documents.mutated, "status.json": documents.mutated, "events.jsonl": lines_change}
    change = changes.get(seed.name, npz_change)
    changed = bytewise(change)(random, seed, seed)
    if random.random() < 0.02:  # a folder of that name
        files = {name: content for name, content in changed.files.items() if name != seed.name}
        return Input(FOLDER, {**files, f"{seed.name}/x": b""})
    return changed


def _record(path: Path, out: Path) -> Any:
    """What the report and a resumed run ask for."""
    run = RunFolder(path)
    run.status()
    told = Record.read(path)
    events = told.started, told.finished, told.warnings, told.starts
    found = (told.metrics, told.chance, *events, told.seconds, told.card)
    previews = [told.preview(file) for file in run.preview_files()]
    run.check_same("pretrain", to_dict(pretrain_settings("quick")))
    pretrain_settings(changes=run.job().get("settings") or {}, source=str(run.job_file))
    return found, previews


def _record_problem(found: Any) -> str:
    (metrics, chance, *_, warnings, _, seconds, _), _ = found
    numbers = [value for points in metrics.values() for value in points.values()] + list(chance.values())
    if not all(isinstance(value, float) for value in numbers) or not all(isinstance(word, str) for word in warnings):
        return "metrics that are no numbers, or warnings that are no text"
    return "" if seconds is None or seconds >= 0 else f"{seconds} seconds of work"


def _events(path: Path, out: Path) -> Any:
    """All at once, and in small pieces: both must see the same."""
    whole, end = read_events(path)
    pieces: list[dict[str, Any]] = []
    offset, stuck = 0, 0
    size = path.stat().st_size
    while offset < end and stuck < 2:
        events, new = read_events(path, offset, max(4096, size // 3))
        stuck = stuck + 1 if new == offset else 0
        pieces, offset = pieces + events, new
    return whole, pieces, stuck


def _events_problem(found: Any) -> str:
    whole, pieces, stuck = found
    if not all(isinstance(event, dict) and "event" in event for event in whole):
        return "an event that is none"
    if repr(whole) != repr(pieces):
        return "in pieces other events are read than at once" + (" (stuck before a long line)" if stuck else "")
    return ""


# -- standard input --------------------------------------------------------------------------------

_REQUEST = {"request": "segment", "arguments": ["ct.nrrd", "--model", "m", "--out", "o.nrrd", "--overlap", "0.5"]}


def _control(path: Path, out: Path) -> Any:
    """The lines of a parent, with ``stop`` after them: it must be heard whatever came before."""
    file = out / "stdin"
    file.write_bytes(path.read_bytes() + b"\npreview\n")
    before, control = sys.stdin, Control()
    with file.open(encoding="utf-8") as sys.stdin:
        try:
            control._read()
        finally:
            sys.stdin = before
    return control.stop, control.take_preview()


def _serve(path: Path, out: Path) -> Any:
    """A resident worker whose commands are only parsed: every request is answered, and the last one too."""
    told: list[dict[str, Any]] = []

    def parsed_only(words: Sequence[str], host: Any) -> int:
        try:
            make_parser().parse_args(list(words))
        except SwinSSLError as error:
            return error.exit_code
        except SystemExit:
            return 0
        return 0

    before = serving.main, serving.print_json
    serving.main, serving.print_json = parsed_only, lambda event: told.append(json.loads(json.dumps(event)))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            last = json.dumps({"request": "paint", "arguments": []}).encode()
            lines = io.TextIOWrapper(io.BytesIO(path.read_bytes() + b"\n" + last + b"\n"), "utf-8")
            code = serving.Server(0.3).run(lines)
    finally:
        serving.main, serving.print_json = before
    return code, told


def _serve_problem(found: Any) -> str:
    code, told = found
    done = [event for event in told if event["event"] == "done"]
    if code != 0 or not done or done[-1]["exit_code"] != 2:
        return "the last request was not answered"
    words = "".join(str(event.get("message", "")) for event in told)
    words.encode()
    good = all(len(event.get("message", "").splitlines()) <= 1 for event in told)
    return "" if good else "a sentence of several lines"


def _line_seeds(_: Path) -> list[Input]:
    text = f"{json.dumps(_REQUEST)}\npreview\n\n{json.dumps({**_REQUEST, 'arguments': ['--help']})}\n"
    return [one("lines.txt", text)]


# -- a server --------------------------------------------------------------------------------------

_BODY = bytes(range(256)) * 4
_ANSWERS = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nETag: "a"\r\n\r\n' + _BODY,
    b"HTTP/1.1 206 Partial Content\r\nContent-Length: 512\r\nContent-Range: bytes 512-1023/1024\r\n\r\n" + _BODY[512:],
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + _BODY + b"\r\n0\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\n\r\nnone",
)
_HEADERS = (
    b"Content-Length: " + b"9" * 5000, b"Content-Length: \xb2", b"Content-Length: -1",
    b"Content-Length: 99999999999999",
    b"Content-Range: bytes \xb2-9/\xb3", b"Content-Range: bytes 512-1023/" + b"9" * 5000, b"Content-Range: x",
    b"Location: http://[::1", b"Location: file:///etc/passwd", b"Location: http://x:abc/", b"Location: \xff\xfe",
    b"Location: //", b"Location: http://127.0.0.1:99999/", b"Location: gopher://x", b"Transfer-Encoding: chunked",
    b"Content-Encoding: gzip", b"X: " + b"y" * 70000, b"A: b\r\n" * 200, b"ETag: " + b"z" * 9000, b"ETag: W/\"x\"",
    b"Last-Modified: \xe4",
)  # fmt: skip


def _answer_seeds(_: Path) -> list[Input]:
    record = json.dumps({"address": "ADDRESS", "validator": '"a"', "total": 1024})
    return [
        Input("answer", {"answer": answer, **part}, target="answer")
        for answer in _ANSWERS
        for part in ({}, {"w.pt.part": _BODY[:512], "w.pt.part.json": record.encode()})
    ]


def _answer(random: Random, seed: Input, other: Input) -> Input:
    if "w.pt.part.json" in seed.files and random.random() < 0.3:
        return seed.with_content(documents.mutated(random, seed.files["w.pt.part.json"], b"{}"), "w.pt.part.json")
    head, _, body = seed.content.partition(b"\r\n\r\n")
    if random.random() < 0.6:
        lines = head.split(b"\r\n")
        line = random.choice(_HEADERS)
        name = line.partition(b":")[0]
        lines = [old for old in lines if not old.startswith(name)] if random.random() < 0.8 else lines
        head = b"\r\n".join([*lines, line])
    else:
        head = mutators.mutated(random, head, other.content, mutators.TEXT)
    return seed.with_content(head + b"\r\n\r\n" + body)


@contextlib.contextmanager
def _saying(answer: bytes) -> Iterator[int]:
    """A server that says the same to everybody; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listening.accept()[0] as caller, contextlib.suppress(OSError):
                        caller.settimeout(1.0)
                        caller.recv(65536)
                        caller.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


def _fetch(path: Path, out: Path) -> Any:
    target = out / "w.pt"
    for name in ("w.pt", "w.pt.part", "w.pt.part.json"):
        (out / name).unlink(missing_ok=True)
    with _saying(path.read_bytes()) as port:
        address = f"http://127.0.0.1:{port}/w.pt"
        for name in ("w.pt.part", "w.pt.part.json"):
            if (path.parent / name).exists():
                (out / name).write_bytes((path.parent / name).read_bytes().replace(b"ADDRESS", address.encode()))
        import hashlib

        wanted = Wanted(address, lambda n: None if n == 1024 else f"{n} bytes", hashlib.sha256(_BODY).hexdigest())
        began = time.monotonic()
        try:
            return fetch(wanted, target, timeout=1.0).read_bytes(), time.monotonic() - began
        except SwinSSLError as error:
            error.message = error.message.replace(address, f"{address} (answer)")  # the name that the oracle looks for
            raise


def _fetch_problem(found: Any) -> str:
    return "" if found[0] == _BODY else "a file that is not the wanted one"


def _plain(change: mutators.Change) -> Mutate:
    return bytewise(change)


READERS = (
    Reader("run-folder", _run_seeds, _run, _record, _record_problem, 3),
    Reader(
        "run-events",
        lambda folder: [one("events.jsonl", _run_seeds(folder)[0].files["events.jsonl"])],
        _plain(lines_change),
        _events,
        _events_problem,
        quiet=True,
    ),
    Reader(
        "control-lines",
        _line_seeds,
        _plain(lines_change),
        _control,
        lambda found: "" if found == (True, True) else f"stop {found[0]}, preview {found[1]}",
        0.7,
        quiet=True,
    ),
    Reader("serve-lines", _line_seeds, _plain(lines_change), _serve, _serve_problem, 0.1, quiet=True),
    Reader("download", _answer_seeds, _answer, _fetch, _fetch_problem, 0.6, accepts=False),
)

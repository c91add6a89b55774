"""A server of files that behaves as badly as it is told, and entries of a catalogue that point to it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from SwinSSLLib.exchange.catalogue import Entry, published

CONTENT = bytes(range(256)) * 8000  # 2 MB


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``manner`` says how badly. Notes what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.manner = "good"
        self.tag = '"1"'
        self.ranges: list[str | None] = []
        self.asked: list[str] = []
        self.release = threading.Event()

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        server.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        if server.manner in ("404", "403", "500") or name not in server.files:
            return self.send_error(int(server.manner) if server.manner.isdigit() else 404)
        if server.manner == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/file")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        content = server.files[name]
        go_on = wanted and self.headers.get("If-Range") == server.tag and server.manner != "no ranges"
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if go_on else 0
        if go_on and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if go_on else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        if go_on:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        if server.manner in ("breaks", "hangs") or (server.manner == "breaks once" and start == 0):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if server.manner == "hangs":
                server.release.wait(20)
            self.close_connection = True
            return self.connection.shutdown(2)
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Server()
    server.files["file.pt"] = CONTENT
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def weights_of(kind: str, tmp_path: Path) -> bytes:
    """A small file of each kind, laid out as the published one."""
    import layouts  # here and not above: what imports torch must not be imported before its threads are set
    import torch

    from SwinSSLLib.nets.swin import build_encoder, build_segmenter
    from SwinSSLLib.settings import NetworkSettings

    settings = NetworkSettings(feature_size=12, out_channels=14)
    encoder = layouts.random_(build_encoder(settings)).state_dict()
    contents = {
        "swinvit-ssl": lambda: layouts.published(encoder),
        "btcv-tiny": lambda: {"epoch": 1, "best_acc": 0.7, "state_dict": build_segmenter(settings).state_dict()},
        "btcv-zoo": lambda: {"model": build_segmenter(settings).state_dict()},
    }
    torch.save(contents[kind](), tmp_path / "made.pt")
    return (tmp_path / "made.pt").read_bytes()


@pytest.fixture
def offered(server, tmp_path) -> Callable[..., Entry]:
    """Put a small file of a kind on the server; gives the entry that points to it."""

    def offer(kind: str, **changes) -> Entry:
        content = weights_of(kind, tmp_path)
        server.files["weights.pt"] = content
        entry = published()[kind]
        network = {**entry.network, "feature_size": 12}
        own = {"bytes": len(content), "bytes_exact": True, "sha256": hashlib.sha256(content).hexdigest(), "md5": None}
        return replace(
            entry, address=server.address("weights.pt"), file="weights.pt", network=network, **{**own, **changes}
        )

    return offer

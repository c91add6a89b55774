"""Fetching a large file over HTTP: with progress, resumed after a break, and checked before it counts.

The proxy variables of the environment (http_proxy, https_proxy, no_proxy) are honoured, as urllib does.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from SwinSSLLib import __version__, atomic
from SwinSSLLib.errors import EnvironmentProblem, InputError, SwinSSLError, one_line

#: Called with the bytes that are here and the bytes in all (None if the server does not say).
Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 18
#: Connections in a row that bring nothing before a person is asked.
_TRIES = 3


class Stopped(SwinSSLError):
    """The download was stopped on request; what is here is kept and continued next time."""

    exit_code = 0


@dataclass(frozen=True)
class Wanted:
    """What is to be fetched.

    Attributes:
        address: http or https.
        size_problem: says why a file of so many bytes is the wrong one, or None.
        sha256, md5: where known.
        elsewhere: what a person can do who cannot fetch it here.
    """

    address: str
    size_problem: Callable[[int], str | None] = lambda _: None
    sha256: str | None = None
    md5: str | None = None
    elsewhere: str = ""


def fetch(
    wanted: Wanted,
    target: Path,
    *,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    timeout: float = 30.0,
) -> Path:
    """Fetch a file; it takes its name only when it is whole and right.

    Until then it is ``<name>.part``, with ``<name>.part.json`` about where it came from. A later call goes on there,
    if the server still has the same file.

    Args:
        wanted: address and checks.
        target: where to put it.
        progress: see :data:`Progress`.
        stop: asked between pieces.
        timeout: seconds without any data after which the connection counts as broken.

    Raises:
        Stopped: on request.
        EnvironmentProblem: the server cannot be reached, answers with an error, or breaks off again and again.
        InputError: the file is not the one that is wanted (it is deleted then), or cannot be written.
    """
    _check_address(wanted)
    part = _Part(target)
    fruitless = 0
    while True:
        before = part.size
        try:
            _receive(wanted, part, progress, stop, timeout)
            break
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            fruitless = 0 if part.size > before else fruitless + 1
            if fruitless >= _TRIES:
                raise EnvironmentProblem(
                    f"{wanted.address}: the connection breaks off ({_reason(error)}).",
                    f"What is here ({part.size:,} bytes) is kept; try again to go on. {wanted.elsewhere}".strip(),
                ) from error
        except urllib.error.URLError as error:
            raise _unreachable(wanted, error) from error
    if problem := check_file(wanted, part.file):
        part.discard()
        raise InputError(f"{wanted.address} is not the file that was expected: {problem}.", wanted.elsewhere)
    part.finish()
    return target


def check_file(wanted: Wanted, file: Path) -> str | None:
    """Why a file is not the wanted one, or None."""
    if problem := wanted.size_problem(file.stat().st_size):
        return problem
    for name, expected in (("sha256", wanted.sha256), ("md5", wanted.md5)):
        if expected is None:
            continue
        with file.open("rb") as content:
            found = hashlib.file_digest(content, partial(hashlib.new, name, usedforsecurity=False)).hexdigest()
        if found != expected:
            return f"its {name.upper().replace('SHA', 'SHA-')} is {found} instead of {expected}"
    return None


class _Part:
    """The beginning of a file, and where it came from."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.file = target.with_name(f"{target.name}.part")
        self.record = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def origin(self) -> dict[str, Any]:
        """What was noted when the beginning was fetched; empty if nothing can be made of it."""
        try:
            found = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def begin(self, origin: dict[str, Any]) -> None:
        self.file.unlink(missing_ok=True)
        atomic.write_json(self.record, origin)

    def discard(self) -> None:
        self.file.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def finish(self) -> None:
        self.file.replace(self.target)
        self.record.unlink(missing_ok=True)


def _receive(
    wanted: Wanted, part: _Part, progress: Progress | None, stop: Callable[[], bool] | None, timeout: float
) -> None:
    """One connection: from where we are to the end."""
    with _open(wanted, part, timeout) as answer:
        total = _total(answer)
        if answer.status != 206:
            part.begin({"address": wanted.address, "validator": _validator(answer), "total": total})
        if total is not None and (problem := wanted.size_problem(total)):
            part.discard()
            raise InputError(f"{wanted.address} is not the file that was expected: {problem}.", wanted.elsewhere)
        _check_room(part, total)
        _write(answer, part, total, progress, stop)
    if total is not None and part.size < total:
        raise http.client.IncompleteRead(b"", total - part.size)


def _open(wanted: Wanted, part: _Part, timeout: float) -> Any:
    headers = {"User-Agent": f"SwinSSL/{__version__}", "Accept-Encoding": "identity"}
    origin = part.origin()
    same = origin.get("address") == wanted.address and origin.get("validator")
    if part.size and same:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": str(origin["validator"])}
    opener = urllib.request.build_opener(_OnlyHttp)  # a fresh one reads the proxy variables of now
    try:
        answer = opener.open(urllib.request.Request(wanted.address, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is here is longer than what the server has
            part.discard()
            raise ConnectionError("what was here did not fit; it is fetched again") from error
        raise _refused(wanted, error) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError | ConnectionError):
            raise error.reason from error
        raise
    except ValueError as error:  # a redirect to what is no address
        raise urllib.error.URLError(f"it leads on to what is no address: {error}") from error
    if answer.status == 206 and _start(answer) != part.size:
        answer.close()
        part.discard()
        raise ConnectionError("the server went on at another place; it is fetched again")
    return answer


def _write(
    answer: IO[bytes], part: _Part, total: int | None, progress: Progress | None, stop: Callable[[], bool] | None
) -> None:
    size = part.size
    try:
        with part.file.open("ab") as file:
            while True:
                if stop is not None and stop():
                    raise Stopped("The download was stopped; what is here is kept and continued next time.")
                chunk = answer.read(_CHUNK)
                if not chunk:
                    return
                file.write(chunk)
                size += len(chunk)
                if progress:
                    progress(size, total)
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        raise atomic.cannot_write(part.target, error) from error


class _OnlyHttp(urllib.request.HTTPRedirectHandler):
    """Redirects lead to http or https, and from https to https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        old, new = urllib.parse.urlsplit(req.full_url).scheme, urllib.parse.urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise urllib.error.URLError(f"it leads on to {newurl}, which is not safe")
        if getattr(fp, "length", None):
            fp.length = min(fp.length, _CHUNK)  # urllib reads what comes with a redirect, and asks for its memory first
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(wanted: Wanted) -> None:
    try:
        parts = urllib.parse.urlsplit(wanted.address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise InputError(f"{wanted.address} is no address of the web.", "It must begin with https://.")


def _check_room(part: _Part, total: int | None) -> None:
    free = shutil.disk_usage(part.target.parent).free
    if total is not None and total - part.size > free:
        raise InputError(
            f"{part.target.parent} has room for {free / 2**20:,.0f} MiB, but {(total - part.size) / 2**20:,.0f} MiB "
            "are still to come.",
            "Free some space, or name another folder with the environment variable SWINSSL_MODELS.",
        )


def _total(answer: Any) -> int | None:
    """Bytes of the whole file."""
    if answer.status == 206:
        return _number(answer.headers.get("Content-Range", "").rpartition("/")[2])
    return _number(answer.headers.get("Content-Length", ""))


def _start(answer: Any) -> int:
    first = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    start = _number(first)
    return -1 if start is None else start


def _number(text: str) -> int | None:
    """A number of bytes in a header; signs such as "²" are digits for Python too."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _validator(answer: Any) -> str | None:
    """What tells this version of the file from others; weak tags do not."""
    tag = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _refused(wanted: Wanted, error: urllib.error.HTTPError) -> EnvironmentProblem:
    words = {404: "there is no such file (any more)", 403: "access is refused", 407: "the proxy wants a password"}
    reason = words.get(error.code, one_line(error.reason or "no reason given").rstrip(". "))
    return EnvironmentProblem(f"{wanted.address} answers {error.code}: {reason}.", wanted.elsewhere)


def _unreachable(wanted: Wanted, error: urllib.error.URLError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{wanted.address} cannot be reached: {_reason(error)}.",
        f"Check the connection and the proxy settings (https_proxy). {wanted.elsewhere}".strip(),
    )


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return one_line(str(reason).strip()).rstrip(".") or type(error).__name__

"""Fetching published weights from a server of our own: breaks, wrong files, refusals, proxies; nothing half counts."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import CONTENT, Server

from SwinSSLLib.errors import EnvironmentProblem, InputError
from SwinSSLLib.exchange import download
from SwinSSLLib.exchange.catalogue import Entry, published, read_catalogue
from SwinSSLLib.exchange.download import Stopped, Wanted, fetch
from SwinSSLLib.exchange.library import Library, find_model
from SwinSSLLib.exchange.obtaining import obtain
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.settings import NetworkSettings


def wanted(server: Server, **changes) -> Wanted:
    return Wanted(server.address("file.pt"), **{"sha256": hashlib.sha256(CONTENT).hexdigest(), **changes})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- the transfer


def test_a_file_arrives_and_its_progress_is_told(server, tmp_path):
    told: list[tuple[int, int | None]] = []
    fetch(wanted(server), tmp_path / "file.pt", progress=lambda done, total: told.append((done, total)))
    assert (tmp_path / "file.pt").read_bytes() == CONTENT
    assert names(tmp_path) == ["file.pt"]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_break_is_bridged_from_where_it_was(server, tmp_path):
    server.manner = "breaks once"
    fetch(wanted(server), tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_later_call_goes_on_at_half(server, tmp_path):
    asked = iter([False] * 4)
    with pytest.raises(Stopped, match="kept"):
        fetch(wanted(server), tmp_path / "file.pt", stop=lambda: next(asked, True))
    half = (tmp_path / "file.pt.part").stat().st_size
    assert 0 < half < len(CONTENT)
    assert not (tmp_path / "file.pt").exists()
    fetch(wanted(server), tmp_path / "file.pt")
    assert server.ranges == [None, f"bytes={half}-"]
    assert (tmp_path / "file.pt").read_bytes() == CONTENT
    assert names(tmp_path) == ["file.pt"]


@pytest.mark.parametrize("change", ["another version", "no ranges", "another address", "record lost"])
def test_what_does_not_belong_together_is_not_put_together(server, tmp_path, change):
    (tmp_path / "file.pt.part").write_bytes(b"x" * 1000)
    record = f'{{"address": "{server.address("file.pt")}", "validator": "\\"1\\"", "total": {len(CONTENT)}}}'
    if change == "another address":
        record = record.replace("file.pt", "other.pt")
    if change != "record lost":
        (tmp_path / "file.pt.part.json").write_text(record)
    server.manner = "no ranges" if change == "no ranges" else "good"
    server.tag = '"2"' if change == "another version" else '"1"'
    fetch(wanted(server), tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_fetched_again(server, tmp_path):
    (tmp_path / "file.pt.part").write_bytes(CONTENT + b"more")
    (tmp_path / "file.pt.part.json").write_text(
        f'{{"address": "{server.address("file.pt")}", "validator": "\\"1\\"", "total": 1}}'
    )
    fetch(wanted(server), tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT
    assert server.ranges[1] is None


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_hash_is_refused_and_nothing_stays(server, tmp_path, kind):
    with pytest.raises(InputError, match=r"its (SHA-256|MD5) is .* instead of 00") as caught:
        fetch(wanted(server, **{"sha256": None, kind: "00", "elsewhere": "Go elsewhere."}), tmp_path / "file.pt")
    assert caught.value.hint == "Go elsewhere."
    assert names(tmp_path) == []


def test_a_wrong_size_is_refused_before_it_is_fetched(server, tmp_path):
    told: list[int] = []
    problem = wanted(server, size_problem=lambda size: f"it has {size} bytes" if size != 3 else None)
    with pytest.raises(InputError, match=f"it has {len(CONTENT)} bytes"):
        fetch(problem, tmp_path / "file.pt", progress=lambda done, _: told.append(done))
    assert (told, names(tmp_path)) == ([], [])


@pytest.mark.parametrize(("manner", "words"), [("404", "no such file"), ("403", "access is refused"), ("500", "500")])
def test_a_server_that_refuses(server, tmp_path, manner, words):
    server.manner = manner
    with pytest.raises(EnvironmentProblem, match=words) as caught:
        fetch(wanted(server, elsewhere="Go elsewhere."), tmp_path / "file.pt")
    assert (caught.value.hint, caught.value.exit_code, names(tmp_path)) == ("Go elsewhere.", 4, [])


def test_a_server_that_falls_silent_counts_as_broken(server, tmp_path):
    server.manner = "hangs"
    started = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="breaks off") as caught:
        fetch(wanted(server), tmp_path / "file.pt", timeout=0.2)
    assert time.monotonic() - started < 60
    assert "is kept" in caught.value.hint
    assert names(tmp_path) == ["file.pt.part", "file.pt.part.json"]
    server.manner = "good"
    fetch(wanted(server), tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_ends_after_some_tries(server, tmp_path):
    server.files["file.pt"] = b"ab"  # half of it is one byte, half of the rest none
    server.manner = "breaks"
    with pytest.raises(EnvironmentProblem, match="breaks off"):
        fetch(wanted(server), tmp_path / "file.pt")
    assert len(server.ranges) < 10


def test_nobody_at_home(tmp_path, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(EnvironmentProblem, match=r"breaks off|cannot be reached"):
        fetch(wanted(server), tmp_path / "file.pt")
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        fetch(Wanted("http://no-such-host.invalid/file.pt"), tmp_path / "file.pt")


def test_only_the_web_is_an_address(server, tmp_path):
    (tmp_path / "secret").write_text("!")
    for address in (f"file://{tmp_path}/secret", "ftp://127.0.0.1/x", "no address"):
        with pytest.raises(InputError, match="no address of the web"):
            fetch(Wanted(address), tmp_path / "file.pt")
    server.manner = "elsewhere"
    with pytest.raises(EnvironmentProblem, match=r"ftp|not safe"):
        fetch(wanted(server), tmp_path / "file.pt")


def test_too_little_room_is_told_before_anything_is_written(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage(9, 8, 1000))
    with pytest.raises(InputError, match="has room for 0 MiB, but 2 MiB are still to come"):
        fetch(wanted(server), tmp_path / "file.pt")
    assert (tmp_path / "file.pt.part").exists() is False


def test_a_disk_that_becomes_full_on_the_way_loses_nothing(server, tmp_path):
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))  # a write beyond it fails, as on a full disk
    try:
        with pytest.raises(InputError, match=r"file\.pt could not be written"):
            fetch(wanted(server), tmp_path / "file.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == ["file.pt.part", "file.pt.part.json"]
    fetch(wanted(server), tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT
    assert server.ranges[1] == "bytes=1000000-"


def test_the_proxy_variable_is_honoured(server, tmp_path, monkeypatch):
    """The address names a host that does not exist; the proxy is asked for it."""
    monkeypatch.setenv("http_proxy", server.address("").rstrip("/"))
    fetch(replace(wanted(server), address="http://weights.invalid/releases/file.pt"), tmp_path / "file.pt")
    assert server.asked == ["http://weights.invalid/releases/file.pt"]
    assert (tmp_path / "file.pt").read_bytes() == CONTENT


# --- from an entry of the catalogue to a model


@pytest.mark.parametrize("kind", ["swinvit-ssl", "btcv-tiny", "btcv-zoo"])
def test_each_kind_becomes_a_model_with_its_publishers_words(offered, tmp_path, kind):
    entry, library = offered(kind), Library(tmp_path / "library")
    folder = obtain(entry, library, accepted=True)
    assert [model.name for model in library.models()] == [kind]
    assert folder == tmp_path / "library" / kind
    card = find_model(Path(kind), library).card
    assert (card["kind"], card["network"]["merging"]) == (entry.kind, "legacy")
    assert card["input"]["hu_window"] == entry.input["hu_window"]
    assert card["provenance"]["licence"]["url"] == entry.licence["url"]
    assert card["provenance"]["assumed"] == []
    assert card["provenance"]["file_sha256"] == entry.sha256
    assert list((tmp_path / "library" / ".downloads").iterdir()) == []


def test_nothing_is_fetched_before_the_licence_is_accepted(offered, server, tmp_path):
    entry = offered("btcv-tiny")
    with pytest.raises(InputError, match="licence of btcv-tiny was not accepted"):
        obtain(entry, Library(tmp_path / "library"), accepted=False)
    assert server.asked == []


def fails(entry: Entry, library: Library, **options) -> str:
    with pytest.raises((InputError, EnvironmentProblem, Stopped)) as caught:
        obtain(entry, library, accepted=True, **options)
    assert library.models() == []
    with pytest.raises(InputError):
        find_model(Path(entry.name), library)
    return f"{caught.value.message} {caught.value.hint}"


def test_an_interrupted_or_wrong_file_never_becomes_a_model(offered, server, tmp_path):
    entry, library = offered("btcv-tiny"), Library(tmp_path / "library")
    asked = iter([False] * 9)
    fails(entry, library, stop=lambda: next(asked, True))
    assert "SHA-256" in fails(replace(entry, sha256="00"), library)
    assert "bytes instead of 5" in fails(replace(entry, bytes=5), library)
    words = fails(replace(entry, network={**entry.network, "feature_size": 24}), library)
    assert "feature_size 12 instead of 24" in words
    assert "--file weights.pt" in words
    assert "kind 'segmenter' instead of 'pretrained'" in fails(replace(entry, kind="pretrained"), library)
    server.manner = "404"
    assert "swinssl models download btcv-tiny --file weights.pt" in fails(entry, library)
    server.manner = "good"
    obtain(entry, library, accepted=True)
    assert [model.name for model in library.models()] == ["btcv-tiny"]


def test_an_error_page_in_place_of_the_file_is_refused(offered, server, tmp_path):
    entry = offered("btcv-tiny", bytes_exact=False, sha256=None)
    server.files["weights.pt"] = b"<html>Please log in</html>"
    assert "instead of about" in fails(entry, Library(tmp_path / "library"))


def test_a_file_that_was_fetched_elsewhere_is_taken(offered, server, tmp_path):
    entry, library = offered("swinvit-ssl"), Library(tmp_path / "library")
    local = tmp_path / "from-a-stick.pt"
    local.write_bytes(server.files["weights.pt"])
    obtain(entry, library, accepted=True, file=local, name="mine")
    assert (server.asked, [model.name for model in library.models()]) == ([], ["mine"])
    assert local.exists()
    local.write_bytes(b"x" * entry.bytes)
    with pytest.raises(InputError, match=r"from-a-stick\.pt is not the file that was expected"):
        obtain(entry, library, accepted=True, file=local, name="other")


def test_a_model_that_is_here_is_not_fetched_again(offered, server, tmp_path):
    entry, library = offered("btcv-tiny"), Library(tmp_path / "library")
    obtain(entry, library, accepted=True)
    server.asked.clear()
    with pytest.raises(InputError, match="installed already"):
        obtain(entry, library, accepted=True)
    assert server.asked == []


# --- the catalogue and the library


def test_the_catalogue_is_whole():
    assert set(published()) == {"swinvit-ssl", "btcv-base", "btcv-small", "btcv-tiny", "btcv-zoo"}
    for entry in published().values():
        assert entry.address.startswith("https://")
        assert entry.address.endswith(entry.file)
        assert entry.licence["text"]
        assert entry.licence["url"].startswith("https://")
        assert entry.merging == "legacy"
        assert all(figure["split"] and figure["source"] for figure in entry.dice)
        assert entry.dice or entry.kind == "pretrained"
        assert entry.citation


def test_a_damaged_catalogue(tmp_path):
    for text in ("", "{}", '{"models": [{"name": "x"}]}'):
        (tmp_path / "catalogue.json").write_text(text)
        with pytest.raises(InputError, match="catalogue"):
            read_catalogue(tmp_path / "catalogue.json")


@pytest.mark.parametrize("kind", ["btcv-base", "btcv-small", "btcv-tiny"])
def test_the_sizes_that_were_computed_are_those_of_such_networks(kind):
    entry = published()[kind]
    network = build_segmenter(NetworkSettings(feature_size=entry.network["feature_size"], out_channels=14))
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    assert entry.size_problem(size) is None
    assert abs(size - entry.bytes) < 0.01 * entry.bytes


def test_the_library_shows_damage_and_hides_what_is_on_its_way(offered, tmp_path):
    library = Library(tmp_path / "library")
    folder = obtain(offered("btcv-tiny"), library, accepted=True)
    shutil.copytree(folder, library.root / ".arriving-x")
    shutil.copytree(folder, library.root / "damaged")
    (library.root / "damaged" / "model.json").write_text("{")
    found = {model.name: model for model in library.models()}
    assert set(found) == {"btcv-tiny", "damaged"}
    assert "cannot be read" in found["damaged"].problem
    assert library.remove("damaged") == found["damaged"].bytes
    assert names(library.root) == [".arriving-x", ".downloads", "btcv-tiny"]
    with pytest.raises(InputError, match="no model 'damaged'"):
        library.remove("damaged")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a b"])
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot be the name of a model"):
        Library(tmp_path).folder(name)
    with pytest.raises(InputError):
        find_model(Path("no-such-folder") / name if name else Path("no-such-model"), Library(tmp_path))


def test_a_published_name_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match="published, but not on this machine") as caught:
        find_model(Path("btcv-base"), Library(tmp_path))
    assert "swinssl models download btcv-base" in caught.value.hint

"""Datalists, settings, cards, weights, events and requests at which the fuzzing once found something."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import threading
import zipfile

import numpy as np
import pytest
import torch
from Fuzz import read_lines, read_weights, seeds
from hostile import a_file, refusal

from SwinSSLLib.checkpoints import load_checkpoint
from SwinSSLLib.control import Control
from SwinSSLLib.data.datalists import read_datalist
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.errors import EnvironmentProblem, InputError
from SwinSSLLib.exchange.bundle import METADATA, opened_bundle
from SwinSSLLib.exchange.download import Wanted, fetch
from SwinSSLLib.exchange.importing import import_model
from SwinSSLLib.exchange.labels import read_label_names
from SwinSSLLib.models import CARD, load_model, read_card
from SwinSSLLib.nets.foreign import read_foreign
from SwinSSLLib.presets import pretrain_settings
from SwinSSLLib.runs import read_events
from SwinSSLLib.segment import choices
from SwinSSLLib.segment.pipeline import Options, load_network

DEEP = "[" * 100_000


@pytest.mark.parametrize("image", ["x" * 300, "a\0b", "\ud800", "a\nb", "/dev/zero/x"])
def test_paths_that_no_file_can_have(tmp_path, image):
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"training": [{"image": image}]}))
    assert "dataset.json" in refusal(read_datalist, file)


def test_documents_that_are_too_deep(tmp_path):
    for name, read in (("dataset.json", read_datalist), ("names.json", read_label_names)):
        (tmp_path / name).write_text(DEEP)
        assert name in refusal(read, tmp_path / name)


def test_values_that_fit_no_number_and_no_message(tmp_path):
    with pytest.raises(InputError, match="must be a number"):
        pretrain_settings(changes={"loss": {"temperature": 10**400}})
    with pytest.raises(InputError) as caught:
        pretrain_settings(
            changes={"a\nb\u202e": 1, "training": {"steps": "x" * 100_000}} | {f"x{n}": 1 for n in range(99)}
        )
    assert len(caught.value.message) < 6000
    assert all(line.isprintable() for line in caught.value.message.split("\n"))


def test_label_names_that_are_none(tmp_path):
    for content in ({"300": "x"}, {"-1": "x"}, {"9" * 400: "x"}):
        (tmp_path / "names.json").write_text(json.dumps(content))
        refusal(read_label_names, tmp_path / "names.json")
    (tmp_path / "names.json").write_text('{"1": "a\\nb\\u0000"}')
    assert read_label_names(tmp_path / "names.json")[0].name == "a b "


def test_a_damaged_entry_of_the_store_is_built_again(tmp_path):
    (tmp_path / "ct.nrrd").write_bytes(seeds.written(tmp_path / "w", seeds.ct(), ".nrrd").content)
    store = Store(tmp_path / "store")
    entry = store.add(tmp_path / "ct.nrrd", Recipe())
    good = (entry.folder / "entry.json").read_text()
    for change in ({"shape": [math.inf] * 3}, {"spacing": [math.nan] * 3}, {"direction": [1]}, {"files": {"a\0": {}}}):
        (entry.folder / "entry.json").write_text(json.dumps({**json.loads(good), **change}))
        store.entries()
        assert store.add(tmp_path / "ct.nrrd", Recipe()) == entry
        assert (entry.folder / "entry.json").read_text() == good
    (entry.folder / "entry.json").write_text(DEEP)
    assert store.entries() == []
    np.save(entry.folder / "image.npy", np.zeros((2, 2)))
    assert "damaged" in refusal(entry.image)


def test_a_card_whose_input_is_no_object_or_whose_network_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("FUZZ_KEEP", str(tmp_path))
    card = json.loads(read_weights._card_seeds(tmp_path)[0].content)
    for section, value in (("input", 5), ("network", {**card["network"], "feature_size": 12 * 10**9})):
        (tmp_path / CARD).write_text(json.dumps({**card, section: value}))
        with pytest.raises(InputError):
            read_card(tmp_path)
    model = a_file(tmp_path, read_weights._segmenter_seeds(tmp_path)[0])
    card = json.loads((model / CARD).read_text())
    card["network"]["feature_size"] = 768
    (model / CARD).write_text(json.dumps(card))
    assert "another size" in refusal(load_network, load_model(model), Options(device="cpu", backend="torch"))


@pytest.mark.parametrize("kind", ["expanded", "sparse", "meta", "complex"])
def test_tensors_that_are_not_simply_numbers_in_memory_are_refused(tmp_path, kind):
    state = {
        f"swinViT.{name}": value
        for name, value in read_weights.build_encoder(read_weights.NETWORK).state_dict().items()
    }
    first = state["swinViT.patch_embed.proj.weight"]
    odd = {
        "expanded": torch.zeros(()).expand(24_000_000, 1, 2, 2, 2),  # a few bytes in the file, gigabytes as a network
        "sparse": first.to_sparse(),
        "meta": first.to("meta"),
        "complex": first.to(torch.complex64),
    }
    torch.save({**state, "swinViT.patch_embed.proj.weight": odd[kind]}, tmp_path / "w.pt")
    assert "no plain tensor" in refusal(read_foreign, tmp_path / "w.pt")


def test_archives_that_grow_without_measure_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "last.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 << 20))
    assert "grows" in refusal(load_checkpoint, tmp_path / "last.ckpt")
    assert "grows" in refusal(read_foreign, tmp_path / "last.ckpt")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA, "{}")
        archive.writestr("models/model.pt", bytes(64 << 20))
    assert "grows" in refusal(import_model, tmp_path / "b.zip")


@pytest.mark.parametrize(("at", "value"), [(6, b"\1\0"), (8, b"\x63\0"), (14, b"\xff\xff\xff\xff")])
def test_zip_files_that_are_encrypted_oddly_packed_or_damaged(tmp_path, at, value):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA, "{}")
        archive.writestr("models/model.pt", b"weights")
    data = bytearray(out.getvalue())
    for sign, further in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        place = data.find(sign)
        while place >= 0:
            data[place + at + further : place + at + further + len(value)] = value
            place = data.find(sign, place + 4)
    (tmp_path / "b.zip").write_bytes(data)
    assert "b.zip" in refusal(import_model, tmp_path / "b.zip")


def test_class_numbers_that_only_look_like_numbers(tmp_path):
    classes = {"0": "background", "1": "spleen", "²": "x", "9" * 5000: "y"}
    metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": classes}}}}
    for name, content in ((METADATA, json.dumps(metadata)), ("models/model.pt", "weights")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with opened_bundle(tmp_path) as bundle:
        assert [organ.id for organ in bundle.about.labels] == [1]


@pytest.mark.parametrize(
    "lines",
    [
        b"200 OK\r\nContent-Length: \xb2",
        b"200 OK\r\nContent-Length: " + b"9" * 5000,
        b"302 Found\r\nLocation: http://[::1",
        b"302 Found\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 99999999999999",  # and asked for that memory
        b"1e-320 OK",
    ],
)
def test_answers_of_a_server_that_make_no_sense(tmp_path, lines):
    with read_lines._saying(b"HTTP/1.1 " + lines + b"\r\n\r\n" + read_lines._BODY) as port:
        wanted = Wanted(f"http://127.0.0.1:{port}/w.pt")
        if lines.startswith(b"200"):
            assert fetch(wanted, tmp_path / "w.pt", timeout=5).read_bytes() == read_lines._BODY
            return
        with pytest.raises(EnvironmentProblem) as caught:
            fetch(wanted, tmp_path / "w.pt", timeout=5)
        assert caught.value.message.isprintable()
    (tmp_path / "w.pt.part.json").write_text(DEEP)
    with pytest.raises(EnvironmentProblem):
        fetch(wanted, tmp_path / "w.pt", timeout=1)


def test_an_event_longer_than_a_piece_is_read_all_the_same(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"event": "a"}\n' + json.dumps({"event": "b", "message": "x" * 5000}) + '\n{"event": "c"}\n')
    offset, found = 0, []
    for _ in range(4):
        events, offset = read_events(file, offset, 1000)
        found += [event["event"] for event in events]
    assert found == ["a", "b", "c"]
    file.unlink()
    file.mkdir()
    assert "events.jsonl" in refusal(read_events, file)


def test_a_stop_is_heard_after_bytes_that_are_no_text(tmp_path, monkeypatch):
    (tmp_path / "stdin").write_bytes(b"\xff\xfe\x85\npreview\n")
    with (tmp_path / "stdin").open(encoding="utf-8") as file, monkeypatch.context() as changed:
        changed.setattr(sys, "stdin", file)
        control = Control(stdin=True).__enter__()
        for thread in threading.enumerate():
            if thread.name == "control":
                thread.join(10)
        assert control.stop
        assert control.take_preview()


@pytest.mark.parametrize(
    "change", [{"agreement": True}, {"seconds": {"a": "x"}}, {"way": 5}, {"exact_seconds": 10**400}]
)
def test_a_choice_of_the_fastest_way_that_was_tampered_with_is_forgotten(tmp_path, monkeypatch, change):
    monkeypatch.setitem(os.environ, "SWINSSL_CACHE", str(tmp_path))
    choices.remember("key", choices.Choice("torch-fp32", 1.5, {"torch-fp32": 1.5}, {"torch-fp32": 1.0}))
    assert choices.recall("key") is not None
    content = json.loads(choices.choices_file().read_text())
    (name,) = content
    choices.choices_file().write_text(json.dumps({name: {**content[name], **change}}))
    assert choices.recall("key") is None
    choices.choices_file().write_text(DEEP)
    assert choices.recall("key") is None

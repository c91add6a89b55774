"""The short part of the fuzzing (``python3 Testing/run.py fuzz`` is the long one), and all that it has ever found."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import re
import struct
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

from Fuzz import read_lines, read_weights, seeds  # noqa: E402 - only now can it be found
from Fuzz.child import NOTE  # noqa: E402
from Fuzz.readers import all_readers  # noqa: E402

from SwinSSLLib.checkpoints import load_checkpoint  # noqa: E402
from SwinSSLLib.control import Control  # noqa: E402
from SwinSSLLib.data.datalists import read_datalist  # noqa: E402
from SwinSSLLib.data.dicom import list_series  # noqa: E402
from SwinSSLLib.data.labelmaps import read_label_map  # noqa: E402
from SwinSSLLib.data.store import Recipe, Store  # noqa: E402
from SwinSSLLib.data.volumes import read_volume  # noqa: E402
from SwinSSLLib.errors import EnvironmentProblem, InputError  # noqa: E402
from SwinSSLLib.exchange.bundle import METADATA, opened_bundle  # noqa: E402
from SwinSSLLib.exchange.download import Wanted, fetch  # noqa: E402
from SwinSSLLib.exchange.importing import import_model  # noqa: E402
from SwinSSLLib.exchange.labels import read_label_names  # noqa: E402
from SwinSSLLib.models import CARD, load_model, read_card  # noqa: E402
from SwinSSLLib.nets.foreign import read_foreign  # noqa: E402
from SwinSSLLib.presets import pretrain_settings  # noqa: E402
from SwinSSLLib.runs import read_events  # noqa: E402
from SwinSSLLib.segment import choices  # noqa: E402
from SwinSSLLib.segment.pipeline import Options, load_network  # noqa: E402

#: Inputs of each reader here.
EACH = 16
DEEP = "[" * 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured as Linux does it")
def test_no_input_of_any_reader_leads_to_anything_but_a_value_or_a_sentence(tmp_path):
    names = list(all_readers())
    note = tmp_path / "note"
    command = [sys.executable, ROOT / "Testing/Fuzz/child.py", "--reader", *names, "--seed", "7", "--first", "0"]
    command += ["--last", EACH, "--place", tmp_path / "place", "--note", note]
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=300, cwd=ROOT, stdin=subprocess.PIPE)
    told = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith(b"@")]
    ready = [what["ready"] for what in told if "ready" in what]
    where = f"{ready[-1:]} input {NOTE.unpack(note.read_bytes())[0]}"
    assert done.returncode == 0, f"{where}: {done.stderr.decode(errors='replace')[-2000:]}"
    assert ready == names
    assert [what for what in told if "sign" in what] == []


# -- documents of any shape -------------------------------------------------------------------------

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
_SECTIONS = st.sampled_from(("training", "input", "network", "views", "loss", "image", "label", "kind", "1", "seed"))
_OBJECTS = st.dictionaries(_SECTIONS | st.text(max_size=8), _VALUES, max_size=4)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(_OBJECTS | _VALUES, st.sampled_from(("dataset.json", CARD, "names.json", "settings")))
def test_documents_of_any_shape_are_used_or_refused(tmp_path_factory, content, name):
    folder = tmp_path_factory.mktemp("any")
    file = folder / name
    file.write_text(json.dumps(content), encoding="utf-8")
    readers = {
        "dataset.json": lambda: read_datalist(file),
        CARD: lambda: read_card(folder),
        "names.json": lambda: read_label_names(file),
        "settings": lambda: pretrain_settings(changes=content if isinstance(content, dict) else {"x": content}),
    }
    try:
        readers[name]()
    except InputError as error:
        assert error.message.split("\n")[0].isprintable()
        assert len(error.message) < 6000


# -- what was found ---------------------------------------------------------------------------------


def refusal(read, *arguments) -> str:
    """The sentence, which is one printable line."""
    with pytest.raises(InputError) as caught:
        read(*arguments)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 6000
    return caught.value.message


def a_file(folder: Path, given) -> Path:
    return given.write(folder / "in")


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (rb"ElementDataFile = .*", b"ElementDataFile = %s%s%n 1 9 1"),  # MetaIO gave it to printf
        (rb"Offset", b"Name = " + b"y" * 300 + b"\nOffset"),  # and copied this into 255 bytes
        (rb"Offset", b"CompressedData = True\nCompressedDataSize = 99999999999\nOffset"),
        (rb"NDims = 3", b"NDims = 100000"),
        (rb"DimSize = .*", b"DimSize = 8 9 10\nDimSize : 2000 2000 2000"),
        (rb"ElementDataFile = .*", b"ElementDataFile = /dev/zero"),
        (rb"TransformMatrix = .*", b"TransformMatrix = 1 0 0"),
    ],
)
def test_metaimage_headers_at_which_itk_crashes_or_takes_memory(tmp_path, pattern, line):
    seed = seeds.written(tmp_path / "w", seeds.ct(), ".mha")
    content = re.sub(rb"CompressedData = False\n", b"", seed.content) if b"CompressedData" in line else seed.content
    path = a_file(tmp_path, seed.with_content(re.sub(pattern, lambda _: line, content, count=1)))
    assert path.name in refusal(read_volume, path)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (rb"data file: .*", b"data file: /dev/stdin"),  # waited for ever
        (rb"data file: .*", b"data file: %s%s%n 1 9 1"),
        (rb"encoding", b"space " + b"9" * 5000 + b"\nencoding"),  # teem crashed
        (rb"encoding", b"content: " + b"9" * 5000 + b"\nencoding"),
        (rb"sizes: .*", b"sizes: 2000 2000 2000"),
        (rb"sizes: .*", b"sizes: 4294967297 4294967297 4294967297"),
        (rb"byte skip: .*|encoding", b"byte skip: 999999999\nencoding"),
    ],
)
def test_nrrd_headers_that_wait_for_ever_or_take_memory(tmp_path, pattern, line):
    seed = seeds.written(tmp_path / "w", seeds.ct(), ".nhdr")
    path = a_file(tmp_path, seed.with_content(re.sub(pattern, lambda _: line, seed.content, count=1)))
    assert path.name in refusal(read_volume, path)
    seg = seeds.segmentation()
    if line.startswith(b"sizes"):
        path = a_file(tmp_path, seg.with_content(re.sub(pattern, lambda _: line, seg.content, count=1)))
        assert path.name in refusal(read_label_map, path)


def test_other_spellings_of_text_headers_are_still_read(tmp_path):
    seed = seeds.written(tmp_path / "w", seeds.ct(np.uint16), ".nhdr")
    good = read_volume(a_file(tmp_path, seed)).array
    for kind in (b"unsigned short", b"ushort", b"unsigned short int", b"uint16_t", b"uint16"):
        text = re.sub(rb"type: .*", b"type: " + kind, seed.content).replace(b"data file:", b"datafile:")
        assert np.array_equal(read_volume(a_file(tmp_path, seed.with_content(text))).array, good)
    for k, piece in enumerate(np.split(np.frombuffer(seed.files["other.raw"], np.uint8), 10)):
        seed = seed.with_content(piece.tobytes(), f"x{k:03d}.raw")
    for names in (b"x%03d.raw 0 9 1", b"LIST\n" + b"\n".join(b"x%03d.raw" % k for k in range(10))):
        head = re.sub(rb"data file: .*\n", b"", seed.content).rstrip(b"\n")
        listed = seed.with_content(head + b"\ndata file: " + names + b"\n")
        assert np.array_equal(read_volume(a_file(tmp_path, listed)).array, good)


def test_a_gzip_that_goes_on_and_on_behind_its_voxels_is_refused(tmp_path):
    seed = seeds.written(tmp_path / "w", seeds.ct(), ".nii.gz", compress=True)
    inside = gzip.decompress(seed.content)
    path = a_file(tmp_path, seed.with_content(gzip.compress(inside + bytes(80 << 20), 1)))
    assert "far more" in refusal(read_volume, path)


def test_a_ct_that_is_all_one_value_once_it_is_in_hounsfield_units_is_refused(tmp_path):
    image = sitk.Cast(seeds.ct(), sitk.sitkFloat32)
    for name, change in (("small.nrrd", image * 1e-6), ("large.nrrd", sitk.Abs(image) + 1e6)):
        sitk.WriteImage(change, str(tmp_path / name))
        assert name in refusal(read_volume, tmp_path / name)


def test_dicom_that_lies_about_lengths_and_sizes(tmp_path):
    series = seeds.series()
    at = series.content.find(b"\x08\0\x3e\x10LO")  # the description
    long = series.content[:at] + b"\x08\0\x3e\x10UT\0\0" + struct.pack("<I", 0x7FFFFFF0) + series.content[at + 8 :]
    folder = a_file(tmp_path, series.with_content(long))
    assert "missing or uneven" in refusal(read_volume, folder)  # GDCM would have asked for 2 GiB
    files = {name: data.replace(b"US\x02\0\x09\0", b"US\x02\0\xff\xff") for name, data in series.files.items()}
    files = {name: data.replace(b"US\x02\0\x08\0", b"US\x02\0\xff\xff", 1) for name, data in files.items()}
    assert "more than can be in it" in refusal(read_volume, a_file(tmp_path, type(series)(".", files)))


def test_a_dicom_description_in_any_signs_is_one_line(tmp_path):
    series = seeds.series()
    files = {name: data.replace(b"Abdomen 2.5 ", b"Abd\xf6m\n\x1b[3xyz") for name, data in series.files.items()}
    (found,) = list_series(a_file(tmp_path, type(series)(".", files)))
    assert found.description == "Abdöm [3xyz"
    json.dumps(str(found), ensure_ascii=False).encode()


def test_a_spacing_that_would_fill_the_memory_with_air_is_refused(tmp_path):
    image = seeds.ct()
    image.SetSpacing((300.0, 300.0, 300.0))
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    assert "ct.nrrd" in refusal(Store(tmp_path / "store").add, tmp_path / "ct.nrrd", Recipe())


@pytest.mark.parametrize("name", ["Segment0_Layer:=7", "Segment0_LabelValue:=x", "Segment0_Layer:=-9"])
def test_a_segment_that_is_nowhere_is_refused(tmp_path, name):
    seed = seeds.segmentation()
    key = name.partition(":=")[0].encode()
    text = re.sub(key + rb":=.*", name.encode(), seed.content, count=1)
    assert "ct.seg.nrrd" in refusal(read_label_map, a_file(tmp_path, seed.with_content(text)))


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

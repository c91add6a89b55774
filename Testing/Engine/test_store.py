"""The store: right contents, one entry for one scan, whole or not there, and no memory for what is not read."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from dicom_files import write_series

from SwinSSLLib import leftovers
from SwinSSLLib.data import store as store_module
from SwinSSLLib.data.geometry import Volume, resample_to_ras
from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.data.volumes import write_volume
from SwinSSLLib.errors import InputError, MemoryShortage
from SwinSSLLib.places import cache_folder
from SwinSSLLib.running import as_user_error

LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def a_volume(seed: int = 0, shape=(24, 20, 16)) -> Volume:
    array = np.random.default_rng(seed).integers(-1000, 1200, shape).astype(np.int16)
    return Volume(array, (1.0, 1.5, 2.5), (-20.0, 15.0, -300.0), LPS)


@pytest.fixture
def a_case(tmp_path):
    volume = a_volume()
    labels = replace(volume, array=(volume.array > 0).astype(np.uint8) * 6)
    write_volume(volume, tmp_path / "ct.nrrd")
    write_volume(labels, tmp_path / "labels.nrrd")
    return tmp_path / "ct.nrrd", tmp_path / "labels.nrrd"


@pytest.fixture
def a_store(tmp_path) -> Store:
    return Store(tmp_path / "cache")


def folders(store: Store) -> list[str]:
    return sorted(f.name for f in store.root.iterdir() if f.name != "sources")


def test_an_entry_is_the_resampled_ct_with_its_labels(a_case, a_store):
    entry = a_store.add(a_case[0], Recipe(), labels=a_case[1])
    expected = resample_to_ras(a_volume(), (1.5, 1.5, 2.0))
    assert entry.shape == expected.shape and entry.name == "ct" and entry.labels
    assert np.array_equal(entry.image(), expected.array) and entry.image().dtype == np.int16
    assert np.allclose(entry.ijk_to_ras, expected.ijk_to_ras)
    truth = replace(a_volume(), array=(a_volume().array > 0).astype(np.uint8) * 6)
    expected = resample_to_ras(truth, (1.5, 1.5, 2.0), labels=True)
    assert np.array_equal(entry.label_map(), expected.array) and entry.label_map().dtype == np.uint8
    assert a_store.add(a_case[0], Recipe(), labels=a_case[1]) == entry
    assert a_store.entries() == [entry] and a_store.verify(entry)
    with pytest.raises(ValueError, match="read-only"):
        entry.image()[0, 0, 0] = 1


def test_an_entry_keeps_the_native_grid_when_asked(a_case, a_store):
    entry = a_store.add(a_case[0], Recipe(spacing=None))
    assert np.array_equal(entry.image(), a_volume().array[::-1, ::-1])
    with pytest.raises(InputError, match="without labels"):
        entry.label_map()


def test_one_scan_is_stored_once_and_a_changed_one_anew(a_case, a_store, tmp_path):
    first = a_store.add(a_case[0], Recipe())
    (tmp_path / "other.nrrd").write_bytes(a_case[0].read_bytes())
    same = a_store.add(tmp_path / "other.nrrd", Recipe())
    assert same.key == first.key and same.source.name == "other.nrrd"
    assert a_store.add(a_case[0], Recipe(spacing=(3.0, 3.0, 3.0))).key != first.key
    assert a_store.add(a_case[0], Recipe(), labels=a_case[1]).key != first.key
    write_volume(a_volume(1), a_case[0])
    changed = a_store.add(a_case[0], Recipe())
    assert changed.key != first.key and changed.content != first.content


def test_content_does_not_depend_on_format_axes_or_labels(a_case, a_store, tmp_path):
    write_volume(a_volume(), tmp_path / "b.nii.gz")
    turned = resample_to_ras(a_volume(), None)
    write_volume(turned, tmp_path / "c.mha")
    write_volume(replace(a_volume(), spacing=(1.0, 1.5, 2.0)), tmp_path / "d.mha")
    contents = [a_store.add(a_case[0], Recipe(), labels=a_case[1]).content]
    contents += [a_store.add(tmp_path / name, Recipe()).content for name in ("b.nii.gz", "c.mha", "d.mha")]
    assert contents[0] == contents[1] == contents[2] != contents[3]


def test_dicom_files_under_other_names_are_the_same_entry(a_store, tmp_path):
    write_series(tmp_path / "a", a_volume().array)
    (tmp_path / "b").mkdir()
    for number, path in enumerate(sorted((tmp_path / "a").iterdir())):
        (tmp_path / "b" / f"{1000 - number}").write_bytes(path.read_bytes())
    assert a_store.add(tmp_path / "a", Recipe()).key == a_store.add(tmp_path / "b", Recipe()).key
    next((tmp_path / "b").iterdir()).unlink()
    with pytest.raises(InputError, match="missing"):
        a_store.add(tmp_path / "b", Recipe())


@pytest.mark.parametrize("damage", ["truncate", "remove", "card", "half-card", "empty"])
def test_a_damaged_entry_is_rebuilt(a_case, a_store, damage):
    entry = a_store.add(a_case[0], Recipe(), labels=a_case[1])
    image, card = entry.folder / "image.npy", entry.folder / "entry.json"
    whole = image.read_bytes()
    match damage:
        case "truncate":
            image.write_bytes(whole[: len(whole) // 2])
        case "remove":
            (entry.folder / "labels.npy").unlink()
        case "card":
            card.unlink()
        case "half-card":
            card.write_text(card.read_text()[:100])
        case "empty":
            for file in entry.folder.iterdir():
                file.unlink()
    assert not a_store.verify(entry)
    again = a_store.add(a_case[0], Recipe(), labels=a_case[1])
    assert again == entry and a_store.verify(again) and image.read_bytes() == whole
    assert folders(a_store) == [entry.key]


def test_a_flipped_bit_is_found_by_the_checksum(a_case, a_store):
    entry = a_store.add(a_case[0], Recipe())
    content = bytearray((entry.folder / "image.npy").read_bytes())
    content[-100] ^= 1
    (entry.folder / "image.npy").write_bytes(content)
    assert not a_store.verify(entry)
    assert a_store.verify(a_store.add(a_case[0], Recipe(), thorough=True))


def test_a_truncated_array_is_never_read_as_voxels(a_case, a_store):
    entry = a_store.add(a_case[0], Recipe())
    with (entry.folder / "image.npy").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(InputError, match="damaged"):
        entry.image()


BUILD = """
import sys, time
from pathlib import Path
from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.data.store import Recipe, Store
root, go, *sources = map(Path, sys.argv[1:])
while not go.exists():
    time.sleep(0.001)
store = Store(root)
entries = [store.add(source, Recipe(spacing=(0.5, 0.5, 0.5))) for source in sources]
assert all(store.verify(entry) for entry in entries)
print(*(entry.key for entry in entries))
"""


def test_two_processes_build_the_same_entries_at_once(a_store, tmp_path):
    sources = [tmp_path / f"{number}.nrrd" for number in range(4)]
    for number, source in enumerate(sources):
        write_volume(a_volume(number), source)
    command = [sys.executable, "-c", BUILD, str(a_store.root), str(tmp_path / "go"), *map(str, sources)]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    time.sleep(1.0)  # both have started and wait for the sign
    (tmp_path / "go").touch()
    outputs = [builder.communicate(timeout=60)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert outputs[0] == outputs[1] and sorted(outputs[0].split()) == folders(a_store)


@pytest.mark.parametrize("whole", [True, False])
def test_an_entry_that_appears_during_the_build_is_kept_if_whole(a_case, a_store, tmp_path, monkeypatch, whole):
    rival = Store(tmp_path / "rival").add(a_case[0], Recipe())
    if not whole:
        (rival.folder / "image.npy").write_bytes(b"")
    write = store_module.write_entry

    def write_while_another_finishes(*arguments):
        write(*arguments)
        rival.folder.rename(a_store.root / rival.key)
        (a_store.root / rival.key / "mark").touch()

    monkeypatch.setattr(store_module, "write_entry", write_while_another_finishes)
    entry = a_store.add(a_case[0], Recipe())
    assert a_store.verify(entry) and folders(a_store) == [entry.key]
    assert (entry.folder / "mark").exists() == whole


def test_a_full_disk_leaves_nothing_behind(a_case, a_store, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match="No space left"):
        a_store.add(a_case[0], Recipe())
    assert folders(a_store) == [] and a_store.entries() == []


def test_what_a_killed_build_left_is_invisible_and_cleared_later(a_case, a_store):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    # The name that a process of this number gives its folder.
    name = leftovers.marked(".building-").replace(f"-{os.getpid()}-", f"-{dead.pid}-") + "x1y2z3w4"
    left = a_store.root / name / ("0" * 32)
    left.mkdir(parents=True)
    (left / "image.npy").write_bytes(b"half")
    assert a_store.entries() == []
    entry = a_store.add(a_case[0], Recipe())
    assert folders(a_store) == [entry.key]


def test_a_folder_that_cannot_be_written_is_said(a_case, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        Store(tmp_path / "file" / "cache").add(a_case[0], Recipe())


def test_entries_are_listed_and_deleted(a_store, tmp_path):
    assert a_store.entries() == [] and a_store.size == 0
    for number in range(3):
        write_volume(a_volume(number), tmp_path / f"{number}.mha")
    entries = [a_store.add(tmp_path / f"{number}.mha", Recipe()) for number in (2, 0, 1)]
    assert [entry.name for entry in a_store.entries()] == ["0", "1", "2"]
    before = a_store.size
    freed = a_store.delete([entries[0].key, "unknown", "../sources"])
    assert [entry.name for entry in a_store.entries()] == ["0", "1"]
    assert freed > 0 and a_store.size == before - freed
    assert (a_store.root / "sources").is_dir()


def test_unusable_sources_are_refused_before_anything_is_written(a_case, a_store, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        a_store.add(tmp_path / "missing.nrrd", Recipe())
    write_volume(replace(a_volume(), array=np.ones((5, 5, 5), np.uint8)), tmp_path / "small.mha")
    with pytest.raises(InputError, match="grid"):
        a_store.add(a_case[0], Recipe(), labels=tmp_path / "small.mha")
    assert a_store.entries() == []


def test_the_root_can_be_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SWINSSL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SWINSSL_CACHE")
    assert cache_folder().name.lower() in ("swinssl", "cache")


def test_arrays_that_are_let_go_hold_no_files(a_case, a_store):
    if not hasattr(psutil.Process, "num_fds"):
        pytest.skip("file descriptors cannot be counted here")
    entry = a_store.add(a_case[0], Recipe())
    before = psutil.Process().num_fds()
    total = sum(int(entry.image()[0, 0, 0]) for _ in range(50))
    assert psutil.Process().num_fds() == before and total == 50 * int(entry.image()[0, 0, 0])


def test_memory_does_not_grow_with_the_number_of_volumes():
    script = Path(__file__).parents[1] / "Benchmarks" / "many_volumes.py"
    options = ["--counts", "50", "400", "--shape", "96", "96", "96", "--roi", "64", "--draws", "400", "--json"]
    done = subprocess.run([sys.executable, script, *options], check=True, capture_output=True, text=True)
    few, many = json.loads(done.stdout)
    assert (few["touched"], many["touched"]) == (50, 400)
    # 350 volumes more are 600 MiB more of voxels; their cards are what may stay, a few KiB each
    assert many["rss_mib"] - many["start_mib"] < few["rss_mib"] - few["start_mib"] + 8
    assert many["open_files"] == few["open_files"]


def test_labels_from_slicer_are_read_by_their_names(a_store, tmp_path):
    """Slicer numbers segments as it likes: here the liver is 1 and the spleen 2."""
    phantom = make_phantom(2, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36))
    write_volume(phantom.image, tmp_path / "ct.nii.gz")
    swapped = np.select([phantom.labels.array == 6, phantom.labels.array == 1], [1, 2], 0).astype(np.uint8)
    lines = {"Segment0_ID": "a", "Segment0_Name": "Liver", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}
    lines |= {"Segment1_ID": "b", "Segment1_Name": "Spleen", "Segment1_LabelValue": "2", "Segment1_Layer": "0"}
    image = replace(phantom.labels, array=swapped).to_sitk()
    for key, value in lines.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(tmp_path / "corrected.seg.nrrd"))
    entry = a_store.add(tmp_path / "ct.nii.gz", Recipe((8.0, 8.0, 8.0)), labels=tmp_path / "corrected.seg.nrrd")
    plain = tmp_path / "plain.nii.gz"
    kept = np.where(np.isin(phantom.labels.array, (1, 6)), phantom.labels.array, 0)
    write_volume(replace(phantom.labels, array=kept), plain)
    expected = a_store.add(tmp_path / "ct.nii.gz", Recipe((8.0, 8.0, 8.0)), labels=plain)
    assert {1, 6} <= set(np.unique(entry.label_map()).tolist())
    assert np.array_equal(entry.label_map(), expected.label_map())


def test_too_little_memory_is_not_called_damage(tmp_path, monkeypatch):
    """A map that finds no room says nothing about the file: it must not be thrown away for it."""
    source = tmp_path / "ct.nii.gz"
    write_volume(make_phantom(3, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36)).image, source)
    entry = Store(tmp_path / "store").add(source, Recipe((8.0, 8.0, 8.0)))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(np, "load", full)
    with pytest.raises(OSError, match="memory") as caught:
        entry.image()
    assert isinstance(as_user_error(caught.value), MemoryShortage)

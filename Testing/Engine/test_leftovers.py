"""What a killed process left is cleared by the next one; nothing of anybody else is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from SwinSSLLib import leftovers
from SwinSSLLib.atomic import replacing


@pytest.fixture
def the_dead() -> int:
    """Number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def named(stem: str, pid: int, ending: str = "") -> str:
    return leftovers.marked(stem).replace(f"-{os.getpid()}-", f"-{pid}-") + "ab12cd_3" + ending


@pytest.mark.skipif(os.name == "nt", reason="there the age decides")
def test_files_and_folders_of_the_dead_go(tmp_path, the_dead):
    file = tmp_path / named(".last.ckpt.", the_dead, ".part")
    file.write_text("half")
    folder = tmp_path / named(".arriving-model-", the_dead)
    (folder / "inside").mkdir(parents=True)
    assert sorted(leftovers.clear(tmp_path)) == sorted([file, folder])
    assert list(tmp_path.iterdir()) == []


def test_those_of_the_living_and_of_others_stay(tmp_path, the_dead):
    kept = [
        tmp_path / named(".last.ckpt.", os.getpid(), ".part"),
        tmp_path / f".CT.seg.nrrd.0123abcd-{the_dead}-ab12cd_3.part",  # of another machine
        tmp_path / ".hidden.part",
        tmp_path / f".notes-{the_dead}-2026",
        tmp_path / "plain.txt",
    ]
    for file in kept:
        file.write_text("")
    leftovers.clear(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_those_of_another_machine_go_after_a_day(tmp_path):
    file = tmp_path / ".CT.seg.nrrd.0123abcd-7-ab12cd_3.part"
    file.write_text("")
    old = time.time() - 25 * 3600
    os.utime(file, (old, old))
    assert leftovers.clear(tmp_path) == [file]


@pytest.mark.skipif(os.name == "nt", reason="there the age decides")
def test_a_link_is_removed_and_not_followed(tmp_path, the_dead):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("")
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / named(".building-", the_dead)).symlink_to(tmp_path / "mine")
    leftovers.clear(tmp_path / "place")
    assert (tmp_path / "mine" / "file").exists()
    assert list((tmp_path / "place").iterdir()) == []


def test_a_missing_folder_holds_nothing(tmp_path):
    assert leftovers.clear(tmp_path / "none") == []


@pytest.mark.skipif(os.name == "nt", reason="there the age decides")
def test_what_a_killed_writer_left_is_recognised(tmp_path):
    code = "import os, sys; from pathlib import Path; from SwinSSLLib.atomic import replacing\n"
    code += "with replacing(Path(sys.argv[1]) / 'file.bin') as f: f.write(b'x'); f.flush(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=Path(__file__).parents[2])
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".part")
    assert leftovers.clear(tmp_path) == [left]
    with replacing(tmp_path / "file.bin") as file:
        file.write(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]

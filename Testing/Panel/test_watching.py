"""Following a run by its folder: late, early, dying, gone."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from SwinSSLPanel.watching import PIECE, RunWatch, Watcher, died, processExists
from waiting import waitFor

from SwinSSLLib.runs import RunFolder


class Eye:
    def __init__(self) -> None:
        self.events, self.status, self.problems = [], [], []
        self.watcher = Watcher(self.events.extend, self.status.append, self.problems.append)


@pytest.fixture
def a_watch(a_bench, tmp_path):
    """A watch of a run folder that does not exist yet, looking only when told to."""
    eye = Eye()
    watch = RunWatch(tmp_path / "run", eye.watcher, interval=0)
    yield watch, eye
    watch.close()


def status(**changes) -> dict:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"state": "running", "pid": os.getpid(), "host": platform.node(), "heartbeat": now, **changes}


def write(run: RunFolder, content: dict) -> None:
    run.path.mkdir(exist_ok=True)
    run.status_file.write_text(json.dumps(content))


def test_a_run_that_begins_later_is_followed_from_its_first_event(a_watch):
    watch, eye = a_watch
    watch.look()
    assert (eye.events, eye.status, eye.problems) == ([], [], [])
    write(watch.run, status(step=1))
    watch.run.events_file.write_bytes(b'{"event": "started"}\n{"event": "pro')
    watch.look()
    with watch.run.events_file.open("ab") as file:
        file.write(b'gress", "step": 1}\n')
    watch.look()
    assert [event["event"] for event in eye.events] == ["started", "progress"]
    assert len(eye.status) == 1
    assert watch.alive


def test_a_long_history_is_read_in_pieces(a_watch):
    watch, eye = a_watch
    write(watch.run, status())
    line = b'{"event": "metric", "name": "train/inpaint", "value": 0.5}\n'
    count = 3 * PIECE // len(line)
    watch.run.events_file.write_bytes(line * count)
    watch.look()
    assert 0 < len(eye.events) <= PIECE // len(line)
    for _ in range(4):
        watch.look()
    assert len(eye.events) == count


def test_a_run_whose_process_is_gone_is_called_dead(a_watch):
    watch, eye = a_watch
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write(watch.run, status(pid=ended.pid))
    watch.look()
    assert "gone without a word" in eye.problems[0]
    assert not watch.alive
    write(watch.run, status(state="finished", pid=ended.pid))
    watch.look()
    assert eye.problems[1:] == [""]


def test_a_run_of_another_machine_is_judged_by_its_heartbeat():
    old = (datetime.now(UTC) - timedelta(seconds=500)).isoformat()
    assert "Nothing was heard" in died(status(host="cluster", pid=1, heartbeat=old))
    assert died(status(host="cluster", pid=1)) == ""
    assert died(status(host="cluster", pid=1, heartbeat="rubbish")) == ""
    assert died(status(state="stopped", heartbeat=old)) == ""


def test_a_folder_that_vanishes_is_told_once(a_watch):
    watch, eye = a_watch
    write(watch.run, status())
    watch.look()
    shutil.rmtree(watch.folder)
    watch.look()
    watch.look()
    assert len(eye.problems) == 1
    assert "is gone" in eye.problems[0]


def test_a_damaged_status_is_told_and_forgotten_when_it_is_well_again(a_watch):
    watch, eye = a_watch
    watch.run.path.mkdir()
    watch.run.status_file.write_text("{")
    watch.look()
    write(watch.run, status())
    watch.look()
    assert "cannot be read" in eye.problems[0]
    assert eye.problems[1] == ""


def test_it_looks_by_itself_and_stops_when_closed(a_bench, tmp_path):
    eye = Eye()
    watch = RunWatch(tmp_path / "run", eye.watcher, interval=10)
    write(watch.run, status())
    assert waitFor(lambda: bool(eye.status))
    watch.close()
    write(watch.run, status(step=7))
    assert not waitFor(lambda: len(eye.status) > 1, seconds=0.2)


@pytest.mark.skipif(os.name == "nt", reason="numbers of processes")
def test_processes_are_seen():
    assert processExists(os.getpid())
    assert processExists(1)
    assert not processExists(0)
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    assert waitFor(lambda: not processExists(zombie.pid))  # ended, and not yet asked about
    zombie.wait()

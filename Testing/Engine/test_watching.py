"""``swinssl status`` and ``report``: from any machine, of any run."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from SwinSSLLib.runs import RunFolder


@pytest.fixture
def a_run(tmp_path, a_pretrained_run) -> RunFolder:
    shutil.copytree(a_pretrained_run, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_finished_run_tells_its_last_figures(a_run, swinssl):
    code, told, _ = swinssl("status", a_run.path, "--json")
    found = json.loads(told)
    assert (code, found["state"], found["step"], found["silent_seconds"]) == (0, "finished", 4, None)
    values = [event for event in a_run.events() if event.get("name") == "validation/rotation_accuracy"]
    assert found["metrics"]["validation/rotation_accuracy"] == values[-1]["value"]
    code, told, _ = swinssl("status", a_run.path)
    assert code == 0
    assert "finished: step 4 of 4" in told
    assert "validation/rotation_accuracy" in told


@pytest.mark.parametrize(("minutes", "silent"), [(0, False), (30, True)])
def test_a_run_that_died_is_told_from_one_at_work(a_run, swinssl, minutes, silent):
    beat = datetime.now(UTC) - timedelta(minutes=minutes)
    status = {**a_run.status(), "state": "running", "heartbeat": beat.isoformat(timespec="milliseconds")}
    a_run.status_file.write_text(json.dumps(status))
    code, told, _ = swinssl("status", a_run.path)
    assert code == 0
    assert told.startswith("running: step 4 of 4")
    assert ("no sign of life for 30 min" in told) == silent


def test_a_report_is_written_anew(a_run, swinssl, tmp_path):
    code, told, _ = swinssl("report", a_run.path, "--out", tmp_path / "of mine.html")
    assert code == 0
    assert "of mine.html" in told
    assert "What was learned" in (tmp_path / "of mine.html").read_text()


@pytest.mark.parametrize("command", ["status", "report"])
def test_no_run(command, tmp_path, swinssl):
    code, _, said = swinssl(command, tmp_path)
    assert code == 2
    assert "holds no run" in said

"""The folder of a long run stays small: losses are told less often, previews are thinned, progress leaves few lines."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from conftest import pretrain

from SwinSSLLib import fitting, reporting
from SwinSSLLib.reporting import Reporter
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.thinning import superfluous, tell_every, thin_previews


def test_losses_are_told_often_at_first_and_never_too_often():
    told = [step for step in range(1, 450_001) if step % tell_every(step) == 0]
    assert told[:1000] == list(range(10, 10_001, 10))
    assert len(told) < 3800
    # The last half of any run has between 250 and 500 points: a curve.
    for length in (20_000, 100_000, 450_000):
        assert 250 <= sum(length / 2 < step <= length for step in told) <= 500


@pytest.mark.parametrize("count", [61, 200, 3000])
def test_previews_stay_even_over_the_whole_run(count):
    steps: list[int] = []
    for number in range(count):  # as a run does it: one comes, one goes
        steps.append(number * 500)
        gone = superfluous(steps)
        steps = [step for step in steps if step not in gone]
    assert len(steps) == 60
    assert steps[0] == 0
    assert steps[-10:] == [number * 500 for number in range(count - 10, count)]
    gaps = [later - sooner for sooner, later in pairwise(steps)]
    assert max(gaps) <= 4 * math.ceil(count / 60) * 500


def test_few_previews_all_stay():
    assert superfluous([0, 5, 7]) == []


def test_each_kind_of_preview_is_thinned_by_itself(tmp_path):
    for kind, count in (("step", 30), ("segmentation", 5)):
        for number in range(count):
            (tmp_path / f"{kind}-{number * 10:06d}.npz").touch()
    (tmp_path / "notes-of-mine.npz").touch()
    thin_previews(tmp_path, 20)
    assert len(list(tmp_path.glob("step-*.npz"))) == 20
    assert len(list(tmp_path.glob("segmentation-*.npz"))) == 5
    assert (tmp_path / "notes-of-mine.npz").exists()
    assert (tmp_path / "step-000000.npz").exists()
    assert (tmp_path / "step-000290.npz").exists()


def test_a_run_thins_its_previews(tmp_path, a_cohort, monkeypatch):
    monkeypatch.setattr(fitting, "thin_previews", lambda folder: (folder / "step-000002.npz").unlink(missing_ok=True))
    pretrain(a_cohort, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert [file.name for file in run.preview_files()] == ["step-000000.npz", "step-000004.npz"]


def test_progress_leaves_few_lines_in_the_file_and_reaches_every_listener(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(reporting.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(reporting, "SPARSE", 100)
    heard = []
    run = RunFolder(tmp_path)
    reporter = Reporter(run, (heard.append,))
    for step in range(1, 401):
        clock[0] += 1
        reporter.progress(step, 400)
    kept = [event["step"] for event in run.events()]
    assert len(heard) == 400
    assert kept[:100] == list(range(1, 101))
    assert len(kept) < 100 * (1 + math.log(4))
    assert kept[-1] == 400
    assert run.status()["step"] == 400

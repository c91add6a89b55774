"""Who was at work on a run, and with how large a batch, is written down; a batch that changes is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from SwinSSLLib.launches import launches_of, remember_launch
from SwinSSLLib.reporting import Reporter
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import TrainingSettings


@pytest.fixture
def launch(tmp_path):
    """Starts a run with so many processes; gives the warnings that were told."""
    run = RunFolder(tmp_path / "run")
    run.create("pretrain", {}, [])

    def start(processes: int, step: int, *, first: bool = True) -> list[str]:
        heard: list[dict] = []
        fabric = SimpleNamespace(world_size=processes, is_global_zero=first, device=torch.device("cpu"))
        with Reporter(run, (heard.append,)) as reporter:
            remember_launch(fabric, TrainingSettings(batch=3, accumulate=2), run, reporter, step)
        return [event["message"] for event in heard if event["event"] == "warning"]

    start.run = run
    return start


def test_another_batch_than_before_is_told(launch):
    assert launch(4, 0) == []
    (warning,) = launch(1, 1700)
    assert "Up to step 1,700 this run had 4 processes, now it has 1 process" in warning
    assert "6 sub-volumes instead of 24" in warning
    assert "start 4." in warning
    assert [(each["step"], each["processes"], each["batch"]) for each in launches_of(launch.run)] == [
        (0, 4, 24), (1700, 1, 6),
    ]  # fmt: skip


def test_the_same_batch_is_no_news(launch):
    launch(2, 0)
    assert launch(2, 50) == []


def test_a_launch_that_saved_nothing_is_forgotten(launch):
    """Both began at the same checkpoint: no step of the first one is in the weights."""
    launch(2, 0)
    launch(4, 100)
    launch(2, 100)
    assert [(each["step"], each["processes"]) for each in launches_of(launch.run)] == [(0, 2), (100, 2)]


def test_one_process_writes(launch):
    launch(2, 0, first=False)
    assert launches_of(launch.run) == []

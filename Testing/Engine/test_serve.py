"""The worker that stays: what it keeps, what ends it and what does not, with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SwinSSLLib.data.volumes import Volume, write_volume
from SwinSSLLib.models import load_model, make_card, save_model
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.settings import InputSettings, NetworkSettings


class Worker:
    """A ``swinssl serve`` of one's own."""

    def __init__(self, *options: object) -> None:
        command = [sys.executable, "-X", "utf8", "-u", "-m", "SwinSSLLib", "serve", *map(str, options)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self._lines: Queue[dict[str, Any]] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def say(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def until(self, name: str, seconds: float = 120.0) -> list[dict[str, Any]]:
        """Its events up to one of this name."""
        found: list[dict[str, Any]] = []
        while not found or found[-1]["event"] != name:
            try:
                found.append(self._lines.get(timeout=seconds))
            except Empty:
                pytest.fail(f"no {name} after {found}")
            if found[-1]["event"] == "done" != name:
                pytest.fail(f"done without {name}: {found}")
        return found

    def segment(self, ct: Path, model: Path, out: Path, *more: object) -> None:
        words = [ct, "--model", model, "--out", out, "--device", "cpu", *more]
        self.say(json.dumps({"request": "segment", "arguments": [str(word) for word in words]}))

    def asked(self, ct: Path, model: Path, out: Path, *more: object) -> list[dict[str, Any]]:
        """The whole answer to a request."""
        self.segment(ct, model, out, *more)
        return self.until("done")


@contextmanager
def serving(*options: object) -> Iterator[Worker]:
    worker = Worker(*options)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()


@pytest.fixture(scope="module")
def a_worker() -> Iterator[Worker]:
    with serving() as worker:
        assert worker.until("ready")[-1]["pid"] == worker.process.pid
        yield worker


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A segmenter, a CT of eight windows, and one of hundreds."""
    folder = tmp_path_factory.mktemp("serve")
    torch.manual_seed(1)
    network = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8))
    card = make_card("segmenter", network, InputSettings(spacing=(8.0,) * 3, roi=(64, 32, 32)), {})
    save_model(folder / "model", card, build_segmenter(network).state_dict())
    for name, size in (("small", 40), ("large", 120)):
        array = np.random.default_rng(size).integers(-200, 300, (size,) * 3).astype(np.int16)
        write_volume(
            Volume(array, (8.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()), name=name), folder / f"{name}.nrrd"
        )
    return {"model": folder / "model", "small": folder / "small.nrrd", "large": folder / "large.nrrd"}


def names(events: list[dict[str, Any]]) -> list[str]:
    """Kinds of events, progress left out."""
    return [event["event"] for event in events if event["event"] != "progress"]


def test_the_second_request_loads_nothing_and_gives_the_same(a_worker, files, swinssl, tmp_path):
    first = a_worker.asked(files["small"], files["model"], tmp_path / "first.nii.gz")
    second = a_worker.asked(files["small"], files["model"], tmp_path / "second.nii.gz")
    assert names(first) == ["loaded", "finished", "done"]
    assert names(second) == ["finished", "done"]
    assert [answer[-1]["exit_code"] for answer in (first, second)] == [0, 0]
    command = ("segment", files["small"], "--model", files["model"], "--out", tmp_path / "alone.nii.gz")
    code, out, _ = swinssl(*command, "--device", "cpu", "--json")
    assert code == 0
    assert names([json.loads(line) for line in out.splitlines()]) == ["loaded", "finished"]
    labels = [sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in sorted(tmp_path.glob("*.nii.gz"))]
    assert len(labels) == 3
    assert all(np.array_equal(labels[0], other) for other in labels)
    assert np.unique(labels[0]).size > 3
    parts = second[-2]["timings"]
    assert parts.keys() == {"read", "prepare", "network", "paint", "write"}
    assert all(seconds >= 0 for seconds in parts.values())


def test_a_model_that_was_exchanged_meanwhile_is_read_again(a_worker, files, tmp_path):
    model = load_model(files["model"])
    save_model(tmp_path / "model", model.card, model.state)
    assert "loaded" in names(a_worker.asked(files["small"], tmp_path / "model", tmp_path / "a.nrrd"))
    assert "loaded" not in names(a_worker.asked(files["small"], tmp_path / "model", tmp_path / "b.nrrd"))
    state = {**model.state, "out.conv.conv.bias": model.state["out.conv.conv.bias"].clone()}
    state["out.conv.conv.bias"][0] += 1e4
    save_model(tmp_path / "model", model.card, state)
    answer = a_worker.asked(files["small"], tmp_path / "model", tmp_path / "c.nrrd")
    assert "loaded" in names(answer)
    assert not any(organ["voxels"] for organ in answer[-2]["organs"])


def test_what_goes_wrong_is_told_as_by_a_single_command_and_ends_nothing(a_worker, files, swinssl, tmp_path):
    (tmp_path / "broken.nrrd").write_bytes(b"NRRD0004\nrubbish")
    for words in (
        (tmp_path / "none.nrrd", files["model"], tmp_path / "o.nrrd"),
        (tmp_path / "broken.nrrd", files["model"], tmp_path / "o.nrrd"),
        (files["small"], tmp_path, tmp_path / "o.nrrd"),
        (files["small"], files["model"], tmp_path / "o.nrrd", "--overlap", "2"),
        (files["small"], files["model"], tmp_path / "o.nrrd", "--nonsense"),
    ):
        answer = a_worker.asked(*words)
        ct, model, out, *more = words
        code, told, _ = swinssl("segment", ct, "--model", model, "--out", out, "--device", "cpu", *more, "--json")
        assert code == 2
        assert answer[-1] == {"event": "done", "exit_code": 2}
        assert answer[-2] == json.loads(told.splitlines()[-1])
        assert answer[-2]["event"] == "error"
    assert names(a_worker.asked(files["small"], files["model"], tmp_path / "o.nrrd"))[-2:] == ["finished", "done"]


@pytest.mark.parametrize(
    "line", ["nonsense", "{", "[]", "3", '{"request": "segment"}', '{"request": "pretrain", "arguments": []}']
)
def test_what_is_no_request_is_answered_all_the_same(a_worker, line):
    a_worker.say("")
    a_worker.say("preview")
    a_worker.say(line)
    answer = a_worker.until("done")
    assert names(answer) == ["error", "done"]
    assert answer[-1]["exit_code"] == answer[0]["exit_code"] == 2


def test_stop_ends_the_request_and_not_the_worker(a_worker, files, tmp_path):
    a_worker.say("stop")  # nothing is at work: nobody is stopped by it later
    a_worker.segment(files["large"], files["model"], tmp_path / "large.nrrd")
    a_worker.until("progress")
    a_worker.say("stop")
    answer = a_worker.until("done")
    assert answer[-1]["exit_code"] == 0
    assert "finished" not in names(answer)
    assert not (tmp_path / "large.nrrd").exists()
    again = a_worker.asked(files["small"], files["model"], tmp_path / "small.nrrd")
    assert names(again) == ["finished", "done"]


def test_the_end_of_its_input_ends_it_in_the_midst_of_work(files, tmp_path):
    with serving() as worker:
        worker.segment(files["large"], files["model"], tmp_path / "large.nrrd")
        worker.until("progress")
        worker.process.stdin.close()
        assert worker.until("done")[-1]["exit_code"] == 0
        assert worker.process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []


def test_it_loads_ahead_and_ends_when_nothing_is_asked_for(files):
    with serving("--model", files["model"], "--idle", 0.02) as worker:
        assert names(worker.until("ready")) == ["loaded", "ready"]
        began = time.monotonic()
        assert worker.process.wait(60) == 0
        assert time.monotonic() - began > 0.5
        assert worker._lines.empty()


def test_an_impossible_idle_time_is_refused(swinssl):
    code, _, told = swinssl("serve", "--idle", "0")
    assert code == 2
    assert "idle time of 0 minutes" in told

"""A run that was stopped, killed or damaged goes on to the bit, or says why it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import StopAfter, metrics, pretrain, same_tensors

from SwinSSLLib.checkpoints import load_checkpoint
from SwinSSLLib.errors import InputError
from SwinSSLLib.models import load_model
from SwinSSLLib.preparing import StoppedWhilePreparing
from SwinSSLLib.runs import RunFolder


def test_a_resumed_run_ends_bit_equal(tmp_path, a_cohort, a_pretrained_run):
    """2 k steps equal k + stop + resume + k: weights, optimiser and every metric."""
    out = tmp_path / "run"
    progress = pretrain(a_cohort, out, control=StopAfter(len(list((a_cohort / "images").iterdir())) + 1))
    assert progress.step == 2
    assert RunFolder(out).status()["state"] == "stopped"
    assert pretrain(a_cohort, out, resume=True).step == 4
    assert same_tensors(load_model(a_pretrained_run).state, load_model(out).state)
    first, second = (load_checkpoint(path / "checkpoints" / "last.ckpt") for path in (a_pretrained_run, out))
    for number, state in first["optimizer"]["state"].items():
        assert same_tensors(state, second["optimizer"]["state"][number])
    expected, found = metrics(a_pretrained_run), metrics(out)
    for key, value in expected.items():
        if key[0].startswith("validation/"):
            assert found[key] == value, key


def test_a_run_stopped_before_its_first_step_resumes_from_its_beginning(tmp_path, a_cohort, a_pretrained_run):
    out = tmp_path / "run"
    with pytest.raises(StoppedWhilePreparing):
        pretrain(a_cohort, out, control=StopAfter(2))
    assert RunFolder(out).status()["state"] == "stopped"
    assert pretrain(a_cohort, out, resume=True).step == 4
    assert same_tensors(load_model(a_pretrained_run).state, load_model(out).state)


def test_when_no_checkpoint_can_be_read_the_run_is_named(tmp_path, a_cohort):
    out = tmp_path / "run"
    pretrain(a_cohort, out)
    for file in RunFolder(out).checkpoints.iterdir():
        file.write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"No checkpoint of .*run can be read"):
        pretrain(a_cohort, out, resume=True)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, a_cohort, a_pretrained_run):
    out = tmp_path / "run"
    pretrain(a_cohort, out)
    last = RunFolder(out).checkpoints / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    pretrain(a_cohort, out, resume=True)
    warnings = [event["message"] for event in RunFolder(out).events() if event["event"] == "warning"]
    assert any("last.ckpt is damaged" in message for message in warnings)
    assert same_tensors(load_model(a_pretrained_run).state, load_model(out).state)


def test_no_flipped_bit_of_a_checkpoint_is_taken_for_good(tmp_path, a_pretrained_run):
    """Anywhere in the file: it is refused, or the bit stood where nothing is (padding), and all is as it was."""
    whole = RunFolder(a_pretrained_run).checkpoints / "last.ckpt"
    content, random, refused = whole.read_bytes(), np.random.default_rng(0), 0
    expected = load_checkpoint(whole)
    file = tmp_path / "last.ckpt"
    for place in random.integers(0, len(content), 40):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        file.write_bytes(damaged)
        try:
            found = load_checkpoint(file)
        except InputError as error:
            refused += "damaged" in error.message or "not a checkpoint" in error.message
            continue
        assert found["step"] == expected["step"] and same_tensors(found["model"], expected["model"])
        refused += 1
    assert refused == 40


def test_a_checkpoint_that_would_run_code_is_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"step": Trap()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_resuming_as_something_else_is_refused(tmp_path, a_cohort, a_pretrained_run):
    with pytest.raises(InputError, match=r"training\.lr"):
        pretrain(a_cohort, a_pretrained_run, {"training": {"lr": 0.5}}, resume=True)
    with pytest.raises(InputError, match="already holds a run"):
        pretrain(a_cohort, a_pretrained_run)
    assert RunFolder(a_pretrained_run).status()["state"] == "finished"

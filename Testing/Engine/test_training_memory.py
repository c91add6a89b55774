"""Memory of training: estimated before it starts, and saved where it is short."""

from __future__ import annotations

import argparse
import json
import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from SwinSSLLib import training_memory as memory
from SwinSSLLib.commands.options import add_training_options, make_settings
from SwinSSLLib.errors import MemoryShortage
from SwinSSLLib.jobs import rehearsal_of
from SwinSSLLib.nets.fast import accelerate
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.presets import finetune_settings, pretrain_settings
from SwinSSLLib.running import as_user_error
from SwinSSLLib.training_memory import Thrift, largest_batch, training_memory

SMALL = {"network": {"feature_size": 12, "window": 4}, "input": {"roi": [64, 64, 64]}, "training": {"batch": 4}}


def without_base(settings, thrift=None) -> int:
    return training_memory(rehearsal_of(settings), settings.training, thrift) - memory.BASE


def test_what_is_alive_is_what_torch_counts_for_layers_of_known_size():
    """Two linear layers."""
    network = nn.Sequential(nn.Linear(64, 256), nn.Linear(256, 64)).to("meta")
    with memory._Alive() as alive:
        rows = torch.empty(1000, 64, device="meta")
        network(rows).sum().backward()
    hidden, narrow = 4 * 1000 * 256, 4 * 1000 * 64
    weights = 4 * sum(value.numel() for value in network.parameters())
    # At the top there are input, hidden layer, its gradient, weights, and gradients of the second layer's.
    assert 2 * hidden + narrow + weights <= alive.peak + 2000 <= 2 * hidden + 2 * narrow + 2 * weights
    assert alive._now == pytest.approx(narrow + 2 * weights, rel=0.01)  # only input, weights and gradients are left


def test_saved_tensors_of_a_real_step_are_within_the_estimate():
    """Against autograd itself: what a real forward pass keeps is counted, and is most of it."""
    settings = pretrain_settings("quick", SMALL)
    kept: dict[int, int] = {}

    def note(value: torch.Tensor) -> torch.Tensor:
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    network = accelerate(SSLNet(settings.network, settings.heads))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        found = network(torch.rand(8, 1, 64, 64, 64))
    parameters = sum(value.numel() * 4 for value in network.parameters())
    needed = without_base(settings) / rehearsal_of(settings).slack - memory.MOMENTS * parameters
    assert found.rotation.requires_grad
    assert sum(kept.values()) - parameters < needed < 3 * sum(kept.values())


@pytest.mark.parametrize("build", [pretrain_settings, finetune_settings])
def test_more_of_anything_needs_more(build):
    settings = build("quick", SMALL)
    base = without_base(settings)
    assert without_base(build("quick", {**SMALL, "training": {"batch": 8}})) > 1.6 * base
    assert without_base(build("quick", {**SMALL, "input": {"roi": [96, 64, 64]}})) > 1.2 * base
    assert without_base(build("quick", {**SMALL, "network": {"feature_size": 24, "window": 4}})) > 1.5 * base
    assert without_base(settings, Thrift(checkpointing=True)) < base
    assert without_base(settings, Thrift(True, 2)) < 0.8 * base


def test_nothing_of_the_estimate_stays_in_memory():
    """Windows are remembered per device; those without content must not be taken for real ones."""
    settings = pretrain_settings("quick", SMALL)
    without_base(settings)
    network = accelerate(SSLNet(settings.network, settings.heads))
    network(torch.rand(2, 1, 64, 64, 64)).reconstruction.mean().backward()
    assert all(value.grad is None or value.grad.device.type == "cpu" for value in network.parameters())


def test_the_largest_batch_is_the_largest_that_fits(monkeypatch):
    settings = pretrain_settings("quick", {**SMALL, "training": {"batch": 5, "device": "cpu"}})
    rehearse = rehearsal_of(settings)
    monkeypatch.setattr(memory, "free_memory", lambda device: int(1.01 * without_base(settings) / 0.9))
    assert largest_batch(rehearse, settings.training) == 5
    monkeypatch.setattr(memory, "free_memory", lambda device: int(0.99 * without_base(settings) / 0.9))
    assert largest_batch(rehearse, settings.training) == 4
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**20)
    assert largest_batch(rehearse, settings.training) == 1
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**50)
    assert largest_batch(rehearse, settings.training) == 64


def test_saving_goes_from_checkpointing_to_pieces_and_ends():
    ways = [Thrift()]
    while (smaller := ways[-1].next(8, contrast=True)) is not None:
        ways.append(smaller)
    assert ways == [Thrift(), Thrift(True), Thrift(True, 2), Thrift(True, 4)]  # two sub-volumes a piece are left
    assert Thrift(True, 4).next(8, contrast=False) == Thrift(True, 8)
    assert Thrift(True).next(1, contrast=False) is None
    assert "same" in Thrift(True).words(8) and "4 pieces" in Thrift(True, 4).words(8)


def sparing(run, settings) -> memory.Saving:
    network = SSLNet(settings.network, settings.heads)
    return memory.Saving(network, run, settings.training, rehearsal_of(settings), contrast=True)


def a_run(tmp_path, **content) -> SimpleNamespace:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(content))
    return SimpleNamespace(job_file=file, job=lambda: json.loads(file.read_text()))


def test_a_run_that_does_not_fit_saves_says_so_and_remembers(tmp_path):
    settings = pretrain_settings("quick", SMALL)
    run = a_run(tmp_path, kind="pretrain")
    method = sparing(run, settings)
    plenty, nothing = method.fit_into(2**40)
    assert method.thrift == Thrift() and nothing == "" and plenty["needed"] == without_base(settings)
    between = (without_base(settings) + without_base(settings, Thrift(True))) // 2
    _, warning = method.fit_into(between)
    assert method.thrift == Thrift(True) and "computed twice" in warning
    blocks = [module for module in method.network.modules() if hasattr(module, "use_checkpoint")]
    assert blocks and all(block.use_checkpoint for block in blocks)
    assert run.job() == {"kind": "pretrain", "thrift": {"checkpointing": True, "pieces": 1}}
    again = sparing(run, settings)
    again.fit_into(2**40)  # resumed where there is plenty: the run goes on as it was
    assert again.thrift == Thrift(True)


def test_a_run_that_cannot_fit_is_warned_of_and_not_refused(tmp_path):
    method = sparing(a_run(tmp_path), pretrain_settings("quick", SMALL))
    sizes, warning = method.fit_into(1000)
    assert method.thrift == Thrift(True, 2) and sizes["free"] == 1000
    assert "may end for lack of memory" in warning and "smaller batch" in warning
    several = sparing(a_run(tmp_path), pretrain_settings("quick", SMALL))
    _, warning = several.fit_into(1000, alone=False)
    assert several.thrift == Thrift() and "may end" in warning


def test_limits_of_the_process_count(monkeypatch):
    """As under ``ulimit -v`` and in a batch system."""
    import resource

    import psutil

    assert memory.free_memory(torch.device("cpu")) <= psutil.virtual_memory().total
    here = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda what: (here + 10_000_000, resource.RLIM_INFINITY))
    assert memory.free_memory(torch.device("cpu")) <= 10_100_000


def test_batch_auto_on_the_command_line(monkeypatch, capsys):
    parser = argparse.ArgumentParser()
    add_training_options(parser)
    arguments = parser.parse_args(["-o", "run", "-p", "quick", "-b", "auto", "--device", "cpu"])
    three = without_base(pretrain_settings("quick", {"training": {"batch": 3}}))
    monkeypatch.setattr(memory, "free_memory", lambda device: int(1.01 * three / 0.9))
    assert make_settings(arguments, pretrain_settings, None).training.batch == 3
    with pytest.raises(SystemExit):
        parser.parse_args(["-o", "run", "-b", "many"])
    assert "--batch" in capsys.readouterr().err


def test_a_shortage_anywhere_is_told_with_numbers():
    """Outside of a training step nobody knows what was wanted; what is there can be said all the same."""
    told = as_user_error(MemoryError())
    assert isinstance(told, MemoryShortage)
    assert re.search(r"holds \d+\.\d GiB and \d+\.\d GiB are free", told.message)
    assert "resume" in told.hint

"""Training where the memory does not suffice: smaller ways with the same result, and sentences with numbers."""

from __future__ import annotations

import pytest
import torch
from conftest import metrics, pretrain, same_tensors

from SwinSSLLib.errors import MemoryShortage
from SwinSSLLib.models import load_model
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.runs import RunFolder


def starve(monkeypatch, most: int, times: int = 10**9, error: type[Exception] = RuntimeError) -> None:
    """A network for which the memory does not suffice when a batch has more than ``most`` views."""
    whole, left = SSLNet.forward, [times]

    def forward(network, views):
        if views.device.type == "cpu" and torch.is_grad_enabled() and len(views) > most and left[0] > 0:
            left[0] -= 1
            raise error("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return whole(network, views)

    monkeypatch.setattr(SSLNet, "forward", forward)


def warnings_of(run: RunFolder) -> list[str]:
    return [event["message"] for event in run.events() if event["event"] == "warning"]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, torch.OutOfMemoryError])
def test_a_step_that_lacks_memory_once_is_taken_again_and_changes_nothing(
    tmp_path, a_cohort, a_pretrained_run, monkeypatch, error
):
    """Checkpointing computes the same: the run ends bit-equal to one that was never short."""
    starve(monkeypatch, 1, times=1, error=error)
    assert pretrain(a_cohort, tmp_path / "run").step == 4
    assert any("memory did not suffice" in words for words in warnings_of(RunFolder(tmp_path / "run")))
    assert RunFolder(tmp_path / "run").job()["thrift"] == {"checkpointing": True, "pieces": 1}
    assert same_tensors(load_model(a_pretrained_run).state, load_model(tmp_path / "run").state)


def test_batches_go_in_pieces_where_the_memory_holds_no_whole_one(tmp_path, a_cohort, monkeypatch):
    """Without the contrastive loss, which looks across a batch, the result is that of whole batches."""
    changes = {"loss": {"contrast": 0}, "training": {"steps": 2, "batch": 3}}
    pretrain(a_cohort, tmp_path / "whole", changes)
    starve(monkeypatch, 4)
    pretrain(a_cohort, tmp_path / "run", changes)
    run = RunFolder(tmp_path / "run")
    assert run.job()["thrift"] == {"checkpointing": True, "pieces": 2}  # of 2 and 1 sub-volumes
    assert sum("memory did not suffice" in words for words in warnings_of(run)) == 2
    expected, found = metrics(tmp_path / "whole"), metrics(tmp_path / "run")
    assert found[("train/total", 2)] == pytest.approx(expected[("train/total", 2)], rel=1e-5)
    whole, pieces = (load_model(tmp_path / name).state for name in ("whole", "run"))
    off = torch.cat([(value.float() - pieces[name].float()).abs().flatten() for name, value in whole.items()])
    # AdamW moves every weight by its learning rate at first, in either direction where its gradient is all but 0.
    assert (off > 1e-5).float().mean() < 0.01


def test_a_run_without_enough_memory_ends_with_numbers_and_can_be_resumed(
    tmp_path, a_cohort, a_pretrained_run, monkeypatch
):
    with monkeypatch.context() as poor:
        starve(poor, 0)
        with pytest.raises(MemoryShortage, match=r"about \d+\.\d GiB .* \d+\.\d GiB were free") as caught:
            pretrain(a_cohort, tmp_path / "run")
        assert caught.value.exit_code == 3 and "--batch" in caught.value.hint
    assert RunFolder(tmp_path / "run").status()["state"] == "failed"
    assert pretrain(a_cohort, tmp_path / "run", resume=True).step == 4
    found = load_model(tmp_path / "run").state
    assert same_tensors(load_model(a_pretrained_run).state, found)

"""The three losses against closed forms, against two independent libraries, and across processes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.multiprocessing as mp
from monai.losses import ContrastiveLoss
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss
from torch.nn import functional as F

from SwinSSLLib.nets.heads import SSLOutput
from SwinSSLLib.pretrain.objectives import CHANCE_ROTATION, Gather, chance_contrast, nt_xent, ssl_objectives
from SwinSSLLib.pretrain.views import Views
from SwinSSLLib.settings import LossSettings

N, T = 4, 0.5


def orthonormal() -> torch.Tensor:
    return torch.eye(N, 16, dtype=torch.float64)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (torch.ones(N, 16), torch.ones(N, 16), 1.945910),  # all equal: ln(2N - 1)
        (orthonormal(), orthonormal(), 0.594438),  # perfect pairs: ln(1 + (2N - 2) e^(-1/t))
        (orthonormal(), -orthonormal(), 3.814065),  # antipodal pairs: ln(1 + (2N - 2) e^(1/t))
        (torch.randn(1, 16), torch.randn(1, 16), 0.0),  # nobody else to mistake it for
    ],
)
def test_nt_xent_equals_its_closed_forms(first, second, expected):
    assert float(nt_xent(first, second, T)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("count", [2, 5])
def test_nt_xent_equals_two_independent_libraries(count, temperature):
    torch.manual_seed(count)
    first, second = torch.randn(count, 32), torch.randn(count, 32)
    ours = float(nt_xent(first, second, temperature))
    assert ours == pytest.approx(float(ContrastiveLoss(temperature)(first, second)), abs=1e-6)
    metric_learning = SelfSupervisedLoss(NTXentLoss(temperature=temperature))
    assert ours == pytest.approx(float(metric_learning(first, second)), abs=1e-6)


def test_nt_xent_does_not_care_for_length_or_order_of_views():
    torch.manual_seed(0)
    first, second = torch.randn(5, 8), torch.randn(5, 8)
    ours = nt_xent(first, second, T)
    torch.testing.assert_close(nt_xent(3 * first, 0.1 * second, T), ours)
    torch.testing.assert_close(nt_xent(second, first, T), ours)


def test_chance_lines():
    assert chance_contrast(N) == pytest.approx(math.log(7))
    assert pytest.approx(math.log(4)) == CHANCE_ROTATION
    torch.testing.assert_close(float(F.cross_entropy(torch.zeros(3, 4), torch.tensor([0, 1, 2]))), CHANCE_ROTATION)


def an_output(views: int = 4) -> tuple[SSLOutput, Views]:
    torch.manual_seed(1)
    target = torch.rand(views, 1, 6, 6, 6)
    mask = torch.rand(views, 1, 6, 6, 6) < 0.3
    output = SSLOutput(torch.randn(views, 4), torch.randn(views, 8), torch.rand(views, 1, 6, 6, 6))
    return output, Views(torch.where(mask, 0.0, target), target, mask, torch.arange(views) % 4)


def test_the_total_is_the_weighted_sum():
    output, views = an_output()
    losses = ssl_objectives(output, views, LossSettings(inpaint=2.0, contrast=0.5, rotation=3.0))
    expected = (
        2.0 * F.l1_loss(output.reconstruction, views.target)
        + 0.5 * ContrastiveLoss(0.5)(*output.embedding.chunk(2))
        + 3.0 * F.cross_entropy(output.rotation, views.rotation)
    )
    torch.testing.assert_close(losses.total, expected)


def test_l1_splits_into_removed_and_visible_voxels():
    output, views = an_output()
    losses = ssl_objectives(output, views, LossSettings())
    share = views.mask.float().mean()
    visible = (output.reconstruction - views.target).abs()[~views.mask].mean()
    torch.testing.assert_close(losses.inpaint, share * losses.inpaint_masked + (1 - share) * visible)
    masked_only = ssl_objectives(output, views, LossSettings(contrast=0, rotation=0, masked_only=True))
    torch.testing.assert_close(masked_only.total, losses.inpaint_masked)


def test_a_constant_error_is_that_constant():
    output, views = an_output()
    shifted = output._replace(reconstruction=views.target + 0.25)
    losses = ssl_objectives(shifted, views, LossSettings())
    assert float(losses.inpaint) == pytest.approx(0.25, abs=1e-6)
    assert float(losses.inpaint_masked) == pytest.approx(0.25, abs=1e-6)


def _one_of_two(rank: int, file: str, embeddings: torch.Tensor, weight: torch.Tensor, results) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    layer = torch.nn.Linear(6, 5, bias=False)
    layer.weight.data.copy_(weight)
    network = torch.nn.parallel.DistributedDataParallel(layer)
    mine = embeddings[:, rank * 2 : rank * 2 + 2]
    first, second = network(mine.flatten(0, 1)).chunk(2)
    loss = nt_xent(first, second, T, Gather())
    loss.backward()
    results[rank] = (float(loss.detach()), layer.weight.grad.clone())
    torch.distributed.destroy_process_group()


def test_two_processes_give_loss_and_gradient_of_one_with_the_full_batch(tmp_path):
    torch.manual_seed(2)
    embeddings, weight = torch.randn(2, 4, 6), torch.randn(5, 6)  # (views, N, features)
    layer = torch.nn.Linear(6, 5, bias=False)
    layer.weight.data.copy_(weight)
    loss = nt_xent(layer(embeddings[0]), layer(embeddings[1]), T)
    loss.backward()
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_one_of_two, (str(tmp_path / "meet"), embeddings, weight, results), nprocs=2)
        for rank in (0, 1):
            value, gradient = results[rank]
            assert value == pytest.approx(float(loss.detach()), abs=1e-6)
            torch.testing.assert_close(gradient, layer.weight.grad, atol=1e-6, rtol=1e-5)

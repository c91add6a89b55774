"""A convolution of one small volume in two halves is torch's convolution, where it is used."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from SwinSSLLib.nets import halves
from SwinSSLLib.nets.fast import accelerate, plain
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.settings import NetworkSettings


def both_ways(conv: nn.Conv3d, volume: torch.Tensor) -> list[list[torch.Tensor]]:
    """Result and gradients by halves and by torch."""
    found = []
    for layer in (accelerate(copy.deepcopy(conv)), conv):
        given = volume.clone().requires_grad_()
        made = layer(given)
        weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(3), dtype=made.dtype)
        found.append([made.detach(), *torch.autograd.grad((made * weights).sum(), [given, *layer.parameters()])])
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(2, 1, 1), (4, 3, 5), (16, 8, 8)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_result_and_gradients_are_torchs(bias, size, layout, monkeypatch):
    """In float64, where the order of sums does not hide a plane too many or too few."""
    torch.manual_seed(1)
    conv = nn.Conv3d(3, 5, 3, padding=1, bias=bias).double()
    volume = torch.randn(1, 3, *size, dtype=torch.float64).to(memory_format=layout)
    monkeypatch.setattr(halves, "pays", lambda volume: True)
    for mine, theirs in zip(*both_ways(conv, volume), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def kernels(network: nn.Module, volume: torch.Tensor) -> set[str]:
    """Names of torch's convolutions that a forward pass calls."""
    with torch.profiler.profile() as profile:
        network(volume)
    return {event.key for event in profile.key_averages() if "conv3d" in event.key or "mkldnn_conv" in event.key}


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_it_takes_the_place_of_the_slow_kernel_and_of_no_other():
    """What our rule says is asked of torch itself: the threshold is its, and may move."""
    small, large = torch.randn(1, 8, 16, 16, 16), torch.randn(1, 8, 64, 64, 4)
    conv = nn.Conv3d(8, 8, 3, padding=1)
    faster = accelerate(copy.deepcopy(conv))
    assert any("slow" in name for name in kernels(conv, small)) and halves.pays(small)
    assert not any("slow" in name for name in kernels(faster, small))
    assert not any("slow" in name for name in kernels(conv, large)) and not halves.pays(large)


@pytest.mark.parametrize(
    "volume",
    [
        torch.zeros(2, 4, 4, 4, 4),  # a batch: oneDNN anyway
        torch.zeros(1, 4, 3, 4, 4),  # no two equal halves
        torch.zeros(1, 4, 4, 4, 4, dtype=torch.bfloat16),  # oneDNN anyway
        torch.zeros(4, 4, 4, 4),  # no batch
    ],
)
def test_others_go_torchs_way(volume):
    assert not halves.pays(volume)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv3d(2, 2, 1),
        nn.Conv3d(2, 2, 3),
        nn.Conv3d(2, 2, 3, padding=1, stride=2),
        nn.Conv3d(2, 2, 3, padding=1, groups=2),
        nn.Conv3d(2, 2, 3, padding="same"),
        nn.Conv3d(2, 2, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(2, 2, 3, padding=1),
    ],
)
def test_other_layers_are_left_alone(conv):
    before = type(conv)
    assert type(accelerate(nn.Sequential(conv))[0]) is before


def test_a_segmenter_is_the_same_network():
    """The whole network in float32: equal but for rounding, names and tensors untouched, and it can be undone."""
    settings = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8))
    torch.manual_seed(2)
    network = build_segmenter(settings).eval()
    faster = accelerate(copy.deepcopy(network))
    assert sum(type(module) is halves.HalvedConv3d for module in faster.modules()) > 10
    volume = torch.randn(1, 1, 64, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(faster(volume), network(volume), rtol=1e-3, atol=1e-3)
    assert faster.state_dict().keys() == network.state_dict().keys()
    kept = [type(module) for module in network.modules()]
    assert [type(module) for module in plain(faster).modules()] == kept

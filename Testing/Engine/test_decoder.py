"""Faster blocks of the decoder are MONAI's: in float64 results agree to 11 digits, and what learns is MONAI's own."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrUpBlock
from torch import nn

from SwinSSLLib.nets import decoder
from SwinSSLLib.nets.fast import accelerate, plain
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.settings import NetworkSettings

AFFINE = ("instance", {"affine": True})


def an_up_block(channels: int = 6, fine: int = 3, norm="instance") -> UnetrUpBlock:
    torch.manual_seed(1)
    block = UnetrUpBlock(3, channels, fine, 3, 2, norm, res_block=True).double()
    for value in block.parameters():
        nn.init.normal_(value)
    return block


@pytest.fixture
def always(monkeypatch):
    """Small volumes of these tests pay, too."""
    monkeypatch.setattr(decoder, "SHARE", 1e9)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 4), (5, 2, 1)])
@pytest.mark.parametrize("norm", ["instance", AFFINE])
def test_upsampling_and_convolution_in_one_are_monais(size, norm, always):
    """Rims included: the outermost voxels are a third to all of these volumes."""
    block = an_up_block(norm=norm)
    coarse, skip = torch.randn(2, 6, *size).double(), torch.randn(2, 3, *(2 * one for one in size)).double()
    faster = accelerate(copy.deepcopy(block))
    assert type(faster) is decoder.ComposedUpBlock
    with torch.no_grad():
        torch.testing.assert_close(faster(coarse, skip), block(coarse, skip), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("value", [1.0, 1e-4])
def test_the_shortcut_of_one_channel_is_monais(value):
    """With weights so small that the norm's epsilon matters, and with a window that holds one value only."""
    torch.manual_seed(2)
    block = UnetrBasicBlock(3, 1, 4, 3, 1, "instance", res_block=True).double()
    nn.init.normal_(block.layer.conv3.conv.weight, std=value)
    window = torch.rand(2, 1, 4, 5, 6).double() * torch.tensor([1.0, 0.0]).view(2, 1, 1, 1, 1) + 0.5
    faster = accelerate(copy.deepcopy(block))
    assert type(faster.layer) is decoder.OneChannelResBlock
    with torch.no_grad():
        torch.testing.assert_close(faster(window), block(window), rtol=1e-10, atol=1e-10)


def test_gradients_are_computed_monais_way(always, monkeypatch):
    """No convolution of composed kernels while something learns: what is measured is segmentation."""
    block = accelerate(an_up_block())
    monkeypatch.setattr(decoder.ComposedUpBlock, "_composed", lambda *_, **__: pytest.fail("composed"))
    block(torch.randn(1, 6, 2, 2, 2).double(), torch.randn(1, 3, 4, 4, 4).double()).sum().backward()
    assert all(value.grad is not None for value in block.parameters())


def test_only_where_it_saves_arithmetic():
    """Full resolution of a window: yes; the deepest level, whose kernels are larger than its volume: no."""
    with torch.device("meta"):
        top = UnetrUpBlock(3, 48, 48, 3, 2, "instance", res_block=True)
        deep = UnetrUpBlock(3, 768, 384, 3, 2, "instance", res_block=True)
        accelerate(nn.ModuleList([top, deep]))
        assert top._pays(torch.empty(1, 48, 48, 48, 48)) and not top._pays(torch.empty(1, 48, 4, 4, 4))
        assert not deep._pays(torch.empty(1, 768, 3, 3, 3))


def test_a_window_has_the_scores_of_monais_network():
    """The whole Swin UNETR in 32 and in 16 bits, beside MONAI's modules in float64."""
    torch.manual_seed(3)
    settings = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8), out_channels=3)
    network = build_segmenter(settings).eval()
    window = torch.rand(1, 1, 64, 64, 64)
    with torch.no_grad():
        expected = plain(copy.deepcopy(network)).double()(window.double())
        network = accelerate(network).to(memory_format=torch.channels_last_3d)
        assert network.decoder1._pays(torch.empty(1, 12, 32, 32, 32)), "or nothing is tested here"
        exact = network(window)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(window)
            by_monai = plain(network)(window)
    torch.testing.assert_close(exact.double(), expected, rtol=1e-4, atol=1e-4)
    off = [(found.double() - expected).norm() / expected.norm() for found in (rounded, by_monai)]
    assert off[0] < 0.02 and off[0] < 1.2 * off[1], "not less exact than MONAI's in the same 16 bits"


@pytest.mark.parametrize(
    "changed",
    [
        lambda: UnetrUpBlock(3, 4, 2, 3, 2, "instance", res_block=False),
        lambda: UnetrUpBlock(2, 4, 2, 3, 2, "instance", res_block=True),
        lambda: UnetrUpBlock(3, 4, 2, 3, 3, "instance", res_block=True),
        lambda: UnetrUpBlock(3, 4, 2, 5, 2, "instance", res_block=True),
        lambda: UnetResBlock(3, 2, 4, 3, 1, "instance"),
        lambda: UnetResBlock(3, 1, 1, 3, 1, "instance"),
        lambda: UnetResBlock(3, 1, 4, 3, 2, "instance"),
        lambda: UnetResBlock(3, 1, 4, 3, 1, AFFINE),
        lambda: UnetResBlock(3, 1, 4, 3, 1, "batch"),
        lambda: UnetResBlock(3, 1, 4, 3, 1, "instance", dropout=0.5),
    ],
)
def test_what_is_not_known_to_be_equal_is_left_alone(changed):
    block = changed()
    assert type(accelerate(block)) is type(changed())


def test_the_way_back_is_complete():
    network = nn.ModuleList([an_up_block(), UnetResBlock(3, 1, 4, 3, 1, "instance")])
    kinds = [type(module) for module in network.modules()]
    assert [type(module) for module in accelerate(network).modules()] != kinds
    assert [type(module) for module in plain(network).modules()] == kinds

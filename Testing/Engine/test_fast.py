"""Faster Swin blocks are MONAI's blocks: in float64 their results and gradients agree to 12 digits."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.nets.swin_unetr import (
    BasicLayer,
    SwinTransformer,
    SwinTransformerBlock,
    compute_mask,
    window_partition,
)
from torch import nn

from SwinSSLLib.nets import attention, chunks
from SwinSSLLib.nets.fast import FastBlock, FastLayer, accelerate, plain
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.nets.swin import build_encoder, build_segmenter
from SwinSSLLib.nets.token_windows import token_windows
from SwinSSLLib.settings import HeadSettings, NetworkSettings

CPU = torch.device("cpu")
#: Grids of tokens and windows: fitting, padded, shorter than a window along some or all axes, oblong.
GRIDS = [
    ((8, 8, 8), 4),
    ((7, 6, 5), 4),
    ((4, 4, 4), 4),
    ((3, 8, 9), 4),
    ((3, 2, 1), 4),
    ((12, 5, 8), 3),
    ((14, 7, 10), 7),
]


def randomised(network: nn.Module) -> nn.Module:
    """Parameters of which none is small or equal to another, in float64."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
    return network.double()


def outcome(network: nn.Module, *inputs: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """All results in one row, and the gradients of a weighted sum of them; those of the input first."""
    inputs = tuple(value.clone().requires_grad_() for value in inputs)
    found = network(*inputs)
    rows = torch.cat([value.flatten() for value in (found if isinstance(found, list | tuple) else [found])])
    weights = torch.randn(rows.shape, generator=torch.Generator().manual_seed(2), dtype=rows.dtype)
    wanted = [*inputs, *(value for value in network.parameters() if value.requires_grad)]
    gradients = torch.autograd.grad((rows * weights).sum(), wanted, allow_unused=True)
    return rows.detach(), [torch.zeros(()) if value is None else value for value in gradients]


def assert_equal(ours, theirs) -> None:
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-11, atol=1e-11)
    for mine, other in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("grid, window", GRIDS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_stage_is_monais_with_its_gradients(grid, window, bias):
    """Blocks without and with shift; every input has tokens that see padding."""
    stage = BasicLayer(dim=12, depth=2, num_heads=3, window_size=(window,) * 3, drop_path=[0.0, 0.0], qkv_bias=bias)
    randomised(stage)
    tokens = torch.randn(2, 12, *grid, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = outcome(stage, tokens)
    assert_equal(outcome(accelerate(copy.deepcopy(stage)), tokens), expected)
    with torch.no_grad():  # torch's fused attention, used without gradients
        found = accelerate(copy.deepcopy(stage))(tokens).flatten()
    torch.testing.assert_close(found, expected[0], rtol=1e-11, atol=1e-11)


def numbers_and_masks(grid, window):
    """MONAI's windows (W, n) of token numbers, -1 where there is padding, and the mask (W, n, n) of each."""
    shift = tuple(0 if have <= window else window // 2 for have in grid)
    size = tuple(min(have, window) for have in grid)
    padded = [-(-have // of) * of for have, of in zip(grid, size, strict=True)]
    numbers = torch.full(padded, -1)
    numbers[tuple(slice(0, have) for have in grid)] = torch.arange(math.prod(grid)).view(grid)
    numbers = window_partition(numbers.roll([-by for by in shift], (0, 1, 2))[None, ..., None], size)[..., 0]
    return numbers, compute_mask(padded, size, shift, CPU)


@pytest.mark.parametrize("grid, window", GRIDS)
def test_windows_and_masks_are_monais(grid, window):
    """Where each token stands and what each window masks, against MONAI's functions on the padded, rolled grid."""
    windows = token_windows(grid, (window,) * 3, (window // 2,) * 3, CPU, apart=False)
    numbers, masks = numbers_and_masks(grid, window)
    seen = 0
    for one in windows.classes:
        padding = torch.empty(0, dtype=torch.long) if one.padding is None else one.padding
        order = torch.cat([one.places, padding])
        assert torch.equal(order.sort().values, torch.arange(numbers.shape[1]))
        for tokens in one.tokens:
            row = int((numbers == tokens[0]).any(dim=1).nonzero())
            assert torch.equal(numbers[row][one.places], tokens) and (numbers[row][padding] == -1).all()
            expected = masks[row][one.places][:, order]
            assert torch.equal(torch.zeros_like(expected) if one.mask is None else one.mask, expected)
            seen += 1
    assert seen == len(numbers)
    assert_each_token_comes_back(windows)
    assert token_windows(grid, (window,) * 3, (window // 2,) * 3, CPU, apart=False) is windows


@pytest.mark.parametrize("grid, window", GRIDS)
def test_boxes_are_what_monais_masks_leave(grid, window):
    """Tokens of a box see each other and nothing else, as many of padding as there are, with the same biases."""
    windows = token_windows(grid, (window,) * 3, (window // 2,) * 3, CPU, apart=True)
    numbers, masks = numbers_and_masks(grid, window)
    block = SwinTransformerBlock(dim=6, num_heads=1, window_size=(window,) * 3, shift_size=(0, 0, 0))
    index = block.attn.relative_position_index
    for one in windows.classes:
        assert one.mask is None
        seen = one.places if one.padding is None else torch.cat([one.places, one.padding])
        for tokens in one.tokens:
            row = int((numbers == tokens[0]).any(dim=1).nonzero())
            real = torch.tensor([int((numbers[row] == token).nonzero()) for token in tokens])
            visible = masks[row][real] == 0
            assert (visible == visible[0]).all()
            of_padding = (visible[0] & (numbers[row] == -1)).nonzero().flatten()
            assert set(real.tolist()) == set((visible[0] & (numbers[row] >= 0)).nonzero().flatten().tolist())
            expected = index[real][:, torch.cat([real, of_padding])]
            assert torch.equal(index[one.places][:, seen], expected)
    assert_each_token_comes_back(windows)


def assert_each_token_comes_back(windows) -> None:
    tokens = torch.cat([one.tokens.flatten() for one in windows.classes])
    assert torch.equal(tokens[windows.back], torch.arange(windows.count)) and len(tokens) == windows.count


def test_no_share_is_a_denormal_number():
    """With them a processor computes thirty times as slowly; MONAI's masks leave e^-100."""
    stage = BasicLayer(dim=12, depth=2, num_heads=3, window_size=(4, 4, 4), drop_path=[0.0, 0.0])
    tokens = torch.randn(1, 12, 8, 8, 8)
    smallest = []

    def softmax(scores, dim):
        shares = torch.nn.functional.softmax(scores, dim)
        smallest.append(float(shares.min()))
        return shares

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention.torch, "softmax", softmax)
        accelerate(stage)(tokens).sum().backward()
    assert min(smallest) > torch.finfo(torch.float32).tiny


@pytest.mark.parametrize("changes", [{}, {"merging": "legacy"}, {"merging": "v2"}, {"use_v2": True}])
def test_the_encoder_is_monais_with_its_gradients(changes):
    network = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8), **changes)
    encoder = randomised(build_encoder(network))
    image = torch.rand(1, 1, 32, 64, 32, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert_equal(outcome(accelerate(copy.deepcopy(encoder)), image), outcome(encoder, image))


def test_checkpointing_changes_nothing():
    network = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8))
    encoder = randomised(build_encoder(network))
    sparing = build_encoder(network, checkpointing=True).double()
    sparing.load_state_dict(encoder.state_dict())
    image = torch.rand(1, 1, 32, 32, 32, dtype=torch.float64)
    assert_equal(outcome(accelerate(sparing), image), outcome(encoder, image))


def test_small_blocks_and_one_block_are_equal(monkeypatch):
    stage = randomised(BasicLayer(dim=12, depth=2, num_heads=3, window_size=(4, 4, 4), drop_path=[0.0, 0.0]))
    tokens = torch.randn(2, 12, 10, 9, 8, dtype=torch.float64)
    accelerate(stage)
    expected = outcome(stage, tokens)
    monkeypatch.setattr(attention, "BLOCK", 1)
    monkeypatch.setattr(chunks, "CHUNK", 7)
    assert_equal(outcome(stage, tokens), expected)


def test_shares_that_are_kept_and_shares_computed_again_are_equal(monkeypatch):
    """Bit for bit: whether a stage is small enough to keep them changes no run."""
    stage = randomised(BasicLayer(dim=12, depth=2, num_heads=3, window_size=(4, 4, 4), drop_path=[0.0, 0.0]))
    tokens = torch.randn(2, 12, 10, 9, 8, dtype=torch.float64)
    kept = outcome(accelerate(stage), tokens)
    monkeypatch.setattr(attention, "KEPT", 0)
    again = outcome(stage, tokens)
    assert all(torch.equal(*pair) for pair in zip([kept[0], *kept[1]], [again[0], *again[1]], strict=True))


def test_frozen_parameters_and_inputs_without_gradient_are_allowed():
    """As in fine-tuning with a frozen encoder, and in the first stage, whose input is the image."""
    stage = accelerate(BasicLayer(dim=12, depth=2, num_heads=3, window_size=(4, 4, 4), drop_path=[0.0, 0.0]))
    stage.blocks[0].requires_grad_(False)
    stage.blocks[1].mlp.linear1.requires_grad_(False)
    stage(torch.randn(1, 12, 8, 8, 8)).square().mean().backward()
    assert all((value.grad is not None) == value.requires_grad for value in stage.parameters())


def test_the_way_for_gpus_has_the_same_gradients():
    """On other devices gradients go through torch's fused attention; here it is asked for on the CPU."""
    block = SwinTransformerBlock(dim=12, num_heads=3, window_size=(4, 4, 4), shift_size=(2, 2, 2))
    table, index = randomised(block).attn.relative_position_bias_table, block.attn.relative_position_index
    masked, boxes = (token_windows((7, 8, 6), (4, 4, 4), (2, 2, 2), CPU, apart=apart) for apart in (False, True))
    inputs = [torch.randn(2, masked.count, 3, 3, 4).double(), torch.randn(2, 3, 4).double(), table.detach()]
    results = []
    # The first way is MONAI's by the tests of stages; only here do scores of masked windows take part.
    for way, windows in (
        (attention.window_attention, boxes),
        (attention._by_class, boxes),
        (attention.window_attention, masked),
        (attention._by_class, masked),
    ):
        leaves = [value.clone().requires_grad_() for value in inputs]
        found = way(*leaves[:2], attention.class_biases(leaves[2], index, windows), windows)
        results.append((found.detach(), torch.autograd.grad((found * found.detach().cos()).sum(), leaves)))
    for result in results[1:]:
        assert_equal(result, results[0])


def test_neither_scores_of_large_stages_nor_hidden_layers_are_kept_for_the_gradient(monkeypatch):
    """What is saved is no larger than queries, keys and values together, three times the tokens."""
    monkeypatch.setattr(attention, "KEPT", 100_000)
    stage = accelerate(BasicLayer(dim=12, depth=2, num_heads=3, window_size=(4, 4, 4), drop_path=[0.0, 0.0]))
    saved: list[int] = []

    def save(value: torch.Tensor) -> torch.Tensor:
        saved.append(value.numel())
        return value

    with torch.autograd.graph.saved_tensors_hooks(save, lambda value: value):
        stage(torch.randn(1, 12, 16, 16, 16, requires_grad=True))
    scores = 64 * 3 * 64 * 64
    assert max(saved) == 3 * 12 * 16**3 < scores


@pytest.mark.parametrize("reconstruction", ["vae", "transposed", "deconv"])
def test_the_heads_are_the_layers_in_their_stated_order(reconstruction):
    """Against the layers one after the other, and features that were all normalised."""
    network = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8))
    ours = SSLNet(network, HeadSettings(reconstruction=reconstruction, contrast_channels=8)).double()
    image = torch.rand(2, 1, 64, 64, 32, dtype=torch.float64)
    deepest = SwinTransformer.forward(ours.swinViT, image)[4]
    expected = deepest
    head = ours.reconstruction_head
    for layer in head if isinstance(head, nn.Sequential) else [head]:
        expected = layer(expected)
    found = ours(image)
    torch.testing.assert_close(found.reconstruction, expected, rtol=1e-11, atol=1e-11)
    assert torch.equal(found.embedding, ours.contrast_head(deepest.flatten(2).mean(2)))


def test_names_and_values_stay_and_the_way_back_is_complete():
    network = build_segmenter(NetworkSettings(feature_size=12))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    classes = [type(module) for module in network.modules()]
    assert accelerate(network) is network
    kinds = [type(module) for module in network.modules()]
    assert kinds.count(FastBlock) == 8 and kinds.count(FastLayer) == 4
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [type(module) for module in plain(network).modules()] == classes


def test_what_is_not_known_to_be_equal_is_left_alone():
    flat = BasicLayer(dim=12, depth=2, num_heads=3, window_size=(4, 4), drop_path=[0.0, 0.0])
    dropping = BasicLayer(dim=12, depth=1, num_heads=3, window_size=(4, 4, 4), drop_path=[0.0], attn_drop=0.1)
    for layer in (flat, dropping):
        assert type(accelerate(layer)) is BasicLayer
        assert {type(block) for block in layer.blocks} == {SwinTransformerBlock}


def test_scores_keep_32_bits_where_all_else_has_16():
    """The last layer of MONAI's class on the same features, in float32; in training it is MONAI's in every bit."""
    torch.manual_seed(5)
    last = UnetOutBlock(3, 8, 14).eval()
    faster = accelerate(nn.Sequential(copy.deepcopy(last))).eval()
    features = (torch.randn(1, 8, 6, 5, 4) * 20).bfloat16()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        scores, rounded = faster(features), last(features)
        in_training = faster.train()(features)
    with torch.no_grad():
        assert torch.equal(scores, last(features.float()))
    assert rounded.dtype == in_training.dtype == torch.bfloat16
    assert torch.equal(in_training, rounded)
    assert (scores - rounded).abs().max() > 0.01, "what rounding would have cost"


@pytest.mark.parametrize("kind, off", [(torch.float64, 1e-10), (torch.float32, 5e-3)])
@pytest.mark.parametrize("proxy", [False, True])
def test_a_network_learns_from_monais_gradients(proxy, kind, off):
    """A whole network in the order in memory that its trainer gives it, against MONAI's modules in float64.

    What 32 bits are off is LeakyReLU's: where a value comes out on the other side of zero, its slope is another one.
    """
    torch.manual_seed(7)
    settings = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8), out_channels=3)
    network = SSLNet(settings, HeadSettings(contrast_channels=8)) if proxy else build_segmenter(settings)
    image, weights = torch.rand(1, 1, 64, 32, 32), torch.randn(1, 3, 64, 32, 32)

    def gradients(network: nn.Module, kind: torch.dtype) -> torch.Tensor:
        found = network.to(kind)(image.to(kind))
        values = found.reconstruction.square() if proxy else found.softmax(1)
        (values * weights).sum().backward()
        return torch.cat([value.grad.flatten().double() for value in network.parameters() if value.grad is not None])

    ours, theirs = accelerate(copy.deepcopy(network)), plain(network)
    if not proxy:
        ours = ours.to(memory_format=torch.channels_last_3d)
    expected = gradients(theirs, torch.float64)
    assert (gradients(ours, kind) - expected).norm() < off * expected.norm()


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_keeps_channels_last_and_is_instance_norm(kind, affine):
    """Two samples of different means, against PyTorch's norm of the same values in its own order."""
    torch.manual_seed(6)
    norm = nn.InstanceNorm3d(8, affine=affine)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    values = (torch.randn(2, 8, 6, 5, 4) * torch.rand(2, 8, 1, 1, 1) + torch.randn(2, 8, 1, 1, 1)).to(kind)
    norm = norm.to(kind if kind is torch.float64 else torch.float32)
    expected = norm(values)
    (faster,) = accelerate(nn.Sequential(norm))
    with torch.no_grad():
        found = faster(values.contiguous(memory_format=torch.channels_last_3d))
    assert found.is_contiguous(memory_format=torch.channels_last_3d) and not found.is_contiguous()
    tolerance = 1e-12 if kind is torch.float64 else 0.01
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    assert torch.equal(faster(values), expected), "in PyTorch's own order nothing changes"
    assert type(plain(nn.Sequential(faster))[0]) is nn.InstanceNorm3d


def test_what_counts_its_statistics_is_no_instance_norm_of_ours():
    counting = nn.InstanceNorm3d(4, track_running_stats=True)
    assert type(accelerate(nn.Sequential(counting))[0]) is nn.InstanceNorm3d

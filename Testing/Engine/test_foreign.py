"""Weights of others: for each published layout a file is made from the public key lists, and every tensor arrives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from SwinSSLLib.errors import InputError
from SwinSSLLib.nets.foreign import inflate, read_foreign
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.nets.swin import build_encoder, build_segmenter
from SwinSSLLib.nets.weights import load_encoder
from SwinSSLLib.settings import HeadSettings, NetworkSettings

NETWORK = NetworkSettings(feature_size=12, out_channels=14, merging="legacy")


def random_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }


def fc(name: str) -> str:
    return name.replace(".mlp.linear", ".mlp.fc")


def an_encoder(**changes) -> dict[str, torch.Tensor]:
    return random_state(build_encoder(NetworkSettings(**{**NETWORK.__dict__, **changes})))


def published(encoder) -> dict:
    heads = {
        "norm.weight": torch.ones(192), "norm.bias": torch.zeros(192),
        "convTrans3d.weight": torch.randn(192, 1, 32, 32, 32), "convTrans3d.bias": torch.zeros(1),
        "rotation_head.weight": torch.randn(4, 192), "rotation_head.bias": torch.zeros(4),
        "contrastive_head.weight": torch.randn(512, 192), "contrastive_head.bias": torch.zeros(512),
    }  # fmt: skip
    return {
        "state_dict": {f"module.{fc(name)}": value for name, value in (encoder | heads).items()},
        "optimizer": {"x": 1},
    }


def autoencoder(encoder) -> dict:
    nested = {re.sub(r"^(layers\d)\.0\.", r"encoder.\1.0.0.", name): value for name, value in encoder.items()}
    nested = {name.replace("patch_embed", "encoder.patch_embed", 1): value for name, value in nested.items()}
    rest = {
        "encoder.mask_token": torch.zeros(1),
        "encoder.norm.weight": torch.ones(192),
        "decoder1.conv.weight": torch.ones(3),
    }
    return {"model": nested | rest | {"out.conv.conv.weight": torch.ones(1, 12, 1, 1, 1)}}


LAYOUTS = {
    "published": (published, "pretrained"),
    "SSLHead": (lambda e: {f"swinViT.{name}": value for name, value in e.items()}, "encoder"),
    "SSLHead, DDP": (
        lambda e: {"state_dict": {f"module.swinViT.{name}": value for name, value in e.items()}},
        "encoder",
    ),
    "before #89": (lambda e: {f"swin_vit.{fc(name)}": value for name, value in e.items()}, "encoder"),
    "SuPreM": (lambda e: {"net": {f"module.backbone.swinViT.{name}": value for name, value in e.items()}}, "encoder"),
    "compiled": (lambda e: {"model": {f"_orig_mod.module.{name}": value for name, value in e.items()}}, "encoder"),
    "autoencoder": (autoencoder, "encoder"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_arrives_whole(tmp_path, layout):
    make, kind = LAYOUTS[layout]
    encoder = an_encoder()
    torch.save(make(encoder), tmp_path / "weights.pt")
    foreign = read_foreign(tmp_path / "weights.pt")
    assert foreign.kind == kind
    assert (foreign.network.feature_size, foreign.network.window, foreign.network.merging) == (12, 7, "legacy")
    receiver = build_segmenter(NETWORK)
    coverage = load_encoder(receiver, foreign.state, source=layout)
    assert (len(coverage.loaded), coverage.missing, coverage.mismatched) == (126, (), ())
    for name, value in encoder.items():
        assert torch.equal(receiver.swinViT.state_dict()[name], value), name


def test_a_plain_load_of_the_published_layout_changes_nothing(tmp_path):
    """The silent zero of the official script, as a regression test: strict=False takes 0 tensors over, ours 126."""
    content = published(an_encoder())
    torch.save(content, tmp_path / "model_swinvit.pt")
    network = build_segmenter(NETWORK)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stripped = {name.replace("module.", ""): value for name, value in content["state_dict"].items()}
    network.load_state_dict(stripped, strict=False)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    foreign = read_foreign(tmp_path / "model_swinvit.pt")
    assert len(load_encoder(network, foreign.state, source="published").loaded) == 126
    assert foreign.left_out == ("norm.bias", "norm.weight")


def test_heads_of_the_published_file_fit_ours(tmp_path):
    torch.save(published(an_encoder()), tmp_path / "w.pt")
    foreign = read_foreign(tmp_path / "w.pt")
    network = SSLNet(foreign.network, HeadSettings(reconstruction="transposed"))
    result = network.load_state_dict(foreign.state, strict=False)
    assert not result.missing_keys
    assert not result.unexpected_keys


@pytest.mark.parametrize("use_v2", [False, True])
def test_a_fine_tuned_network_is_recognised(tmp_path, use_v2):
    wanted = NetworkSettings(feature_size=24, out_channels=21, use_v2=use_v2, in_channels=2, merging="legacy")
    state = random_state(build_segmenter(wanted))
    torch.save({"epoch": 3, "best_acc": 0.8, "state_dict": state}, tmp_path / "w.pt")
    foreign = read_foreign(tmp_path / "w.pt")
    assert (foreign.kind, foreign.network, foreign.renamed, foreign.left_out) == ("segmenter", wanted, 0, ())
    assert foreign.state.keys() == state.keys()


def test_more_input_channels_give_the_same_response():
    weight, image = torch.randn(12, 1, 2, 2, 2), torch.randn(1, 1, 4, 4, 4)
    expected = torch.nn.functional.conv3d(image, weight, stride=2)
    found = torch.nn.functional.conv3d(image.expand(1, 3, 4, 4, 4), inflate(weight, 3), stride=2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("encoder.stages.0.blocks.0.conv1.weight",), "nnU-Net"),
        (("vit.blocks.0.attn.qkv.weight",), "vision transformer"),
        (("something.weight",), "holds no Swin encoder"),
    ],
)
def test_other_networks_are_named(tmp_path, names, words):
    torch.save({"network_weights": {name: torch.ones(2) for name in names}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=words):
        read_foreign(tmp_path / "other.pth")


def test_code_in_a_file_does_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"state_dict": {"module.patch_embed.proj.weight": torch.ones(1)}, "extra": Trap()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"evil\.pt cannot be read"):
        read_foreign(tmp_path / "evil.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"text"])
def test_damaged_files(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.pt"):
        read_foreign(tmp_path / "w.pt")
    with pytest.raises(InputError, match="not a file"):
        read_foreign(tmp_path / "none.pt")

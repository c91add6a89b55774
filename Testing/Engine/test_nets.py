"""Networks: merging against both versions of MONAI, sizes against the public code, weights accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import SwinUNETR

from SwinSSLLib.errors import InputError
from SwinSSLLib.models import load_model, make_card, save_model
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.nets.swin import build_encoder, build_segmenter, parameters_of
from SwinSSLLib.nets.weights import load_encoder
from SwinSSLLib.settings import HeadSettings, InputSettings, NetworkSettings

SMALL = NetworkSettings(feature_size=12, out_channels=5)


def outputs(network, image):
    network.eval()
    with torch.no_grad():
        return network(image)


def test_legacy_merging_is_bit_equal_to_monai_1_4(swin_unetr_of_monai_1_4):
    torch.manual_seed(0)
    oracle = swin_unetr_of_monai_1_4.SwinUNETR(
        img_size=(64, 32, 32), in_channels=1, out_channels=5, feature_size=12, spatial_dims=3
    )
    image = torch.rand(1, 1, 64, 32, 32)
    legacy = build_segmenter(NetworkSettings(feature_size=12, out_channels=5, merging="legacy"))
    fixed = build_segmenter(SMALL)
    for network in (legacy, fixed):
        network.load_state_dict(oracle.state_dict())
    expected = outputs(oracle, image)
    assert torch.equal(outputs(legacy, image), expected)
    different = outputs(fixed, image)
    assert float((different - expected).norm() / expected.norm()) > 0.05
    deepest, other = (outputs(network.swinViT, image)[4] for network in (oracle, fixed))
    assert float((other - deepest).norm() / deepest.norm()) > 0.05


def test_fixed_merging_is_bit_equal_to_the_installed_monai():
    torch.manual_seed(0)
    oracle = SwinUNETR(in_channels=1, out_channels=5, feature_size=12)
    ours = build_segmenter(SMALL)
    ours.load_state_dict(oracle.state_dict())
    image = torch.rand(1, 1, 64, 32, 32)
    assert torch.equal(outputs(ours, image), outputs(oracle, image))


def test_sizes_are_those_of_the_public_code():
    """Pretrain/models/ssl_head.py: 8,062,002 values in the encoder; 142 and 132 tensors in all."""
    network = NetworkSettings()
    assert parameters_of(build_encoder(network)) == 8_062_002
    vae = SSLNet(network, HeadSettings(reconstruction="vae", pooling="corner"))
    transposed = SSLNet(network, HeadSettings())
    assert (len(vae.state_dict()), len(transposed.state_dict())) == (142, 132)
    assert sum(name.startswith("swinViT.") for name in transposed.state_dict()) == 126
    assert parameters_of(vae) == pytest.approx(19.10e6, abs=5e3)
    assert parameters_of(transposed) == pytest.approx(33.62e6, abs=5e3)
    assert (parameters_of(build_segmenter(network)), len(build_segmenter(network).state_dict())) == (62_187_296, 159)


@pytest.mark.parametrize("feature_size", [12, 24, 48])
@pytest.mark.parametrize("reconstruction", ["transposed", "vae"])
def test_every_feature_size_reads_a_sub_volume_that_is_not_cubic(feature_size, reconstruction):
    network = SSLNet(NetworkSettings(feature_size=feature_size, window=4), HeadSettings(reconstruction=reconstruction))
    output = outputs(network, torch.rand(2, 1, 64, 32, 32))
    assert output.rotation.shape == (2, 4)
    assert output.embedding.shape == (2, 512)
    assert output.reconstruction.shape == (2, 1, 64, 32, 32)


def test_corner_heads_read_tokens_0_and_1_and_pooled_heads_read_all():
    torch.manual_seed(0)
    image = torch.rand(1, 1, 64, 32, 32)
    corner = SSLNet(NetworkSettings(feature_size=12, window=4), HeadSettings(pooling="corner"))
    pooled = SSLNet(NetworkSettings(feature_size=12, window=4), HeadSettings())
    pooled.load_state_dict(corner.state_dict())
    tokens = corner.eval().swinViT(image)[4].flatten(2)  # (1, C, 2)
    with torch.no_grad():
        assert torch.equal(corner(image).rotation, corner.rotation_head(tokens[..., 0]))
        assert torch.equal(corner(image).embedding, corner.contrast_head(tokens[..., 1]))
        torch.testing.assert_close(pooled.eval()(image).rotation, corner.rotation_head(tokens.mean(2)))


def test_the_whole_encoder_arrives_and_nothing_else_changes():
    torch.manual_seed(0)
    donor, receiver = SSLNet(SMALL, HeadSettings()), build_segmenter(SMALL)
    before = {name: value.clone() for name, value in receiver.state_dict().items()}
    coverage = load_encoder(receiver, donor.state_dict(), source="donor")
    assert (len(coverage.loaded), coverage.complete) == (126, True)
    after, given = receiver.state_dict(), donor.state_dict()
    for name, value in after.items():
        assert torch.equal(value, given[name] if name.startswith("swinViT.") else before[name]), name
    assert "126 of 126" in coverage.sentence()


def test_weights_under_foreign_names_never_load_silently():
    """What the official script does on the published file: 0 tensors changed and a cheerful message."""
    receiver = build_segmenter(SMALL)
    before = {name: value.clone() for name, value in receiver.state_dict().items()}
    foreign = {f"module.{name.removeprefix('swinViT.')}": value for name, value in before.items()}
    with pytest.raises(InputError, match=r"0 of 126 encoder tensors .*126 missing"):
        load_encoder(receiver, foreign, source="foreign.pt")
    assert all(torch.equal(value, before[name]) for name, value in receiver.state_dict().items())


def test_another_feature_size_is_refused_unless_forced():
    donor = SSLNet(NetworkSettings(feature_size=24), HeadSettings()).state_dict()
    receiver = build_segmenter(SMALL)
    with pytest.raises(InputError, match="of another shape") as caught:
        load_encoder(receiver, donor, source="donor")
    assert "--force" in caught.value.hint
    coverage = load_encoder(receiver, donor, source="donor", force=True)
    assert coverage.mismatched
    assert not coverage.complete


def a_model(folder: Path) -> Path:
    torch.manual_seed(0)
    network = build_segmenter(SMALL)
    save_model(folder, make_card("segmenter", SMALL, InputSettings(), {"steps": 1}), network.state_dict())
    return folder


def test_a_model_folder_keeps_everything(tmp_path):
    torch.manual_seed(0)
    expected = build_segmenter(SMALL).state_dict()
    model = load_model(a_model(tmp_path / "model"))
    assert model.network == SMALL
    assert model.state.keys() == expected.keys()
    assert all(torch.equal(model.state[name], value) for name, value in expected.items())
    assert [label["name"] for label in model.card["labels"]][:2] == ["spleen", "right kidney"]
    assert (model.card["input"]["orientation"], model.card["network"]["merging"]) == ("RAS", "fixed")


@pytest.mark.parametrize("damage", ["flip", "truncate", "exchange", "no weights", "no card", "card"])
def test_a_model_that_is_not_what_its_card_says_is_refused(tmp_path, damage):
    folder = a_model(tmp_path / "model")
    weights, card = folder / "weights.safetensors", folder / "model.json"
    content = bytearray(weights.read_bytes())
    if damage == "flip":
        content[-5] ^= 1
        weights.write_bytes(content)
    elif damage == "truncate":
        weights.write_bytes(content[:-100])
    elif damage == "exchange":
        weights.write_bytes((a_model(tmp_path / "other") / "model.json").read_bytes())
    elif damage == "card":
        card.write_text(card.read_text().replace('"feature_size": 12', '"feature_size": 13'))
    else:
        (weights if damage == "no weights" else card).unlink()
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert str(folder) in caught.value.message

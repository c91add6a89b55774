"""Weights of others: for each published layout a file is made from the public key lists, and every tensor arrives."""

from __future__ import annotations

from pathlib import Path

import layouts
import pytest
import torch
from layouts import LAYOUTS

from SwinSSLLib.errors import InputError
from SwinSSLLib.nets.foreign import read_foreign
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.nets.weights import adapt_channels, load_encoder
from SwinSSLLib.settings import NetworkSettings


@pytest.fixture(scope="module")
def oracle(swin_unetr_of_monai_1_4):
    return layouts.encoder_of_monai_1_4(swin_unetr_of_monai_1_4)


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 1, 64, 32, 32, generator=torch.Generator().manual_seed(1))


def hidden(encoder, image):
    with torch.no_grad():
        return encoder.eval()(image)


def accounted(foreign) -> int:
    return len(foreign.coverage.loaded) + len(foreign.coverage.mismatched) + len(foreign.coverage.unexpected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_outputs_that_it_was_trained_with(tmp_path, layout, oracle, image):
    make, kind, tensors, unused = LAYOUTS[layout]
    torch.save(make(oracle.state_dict()), tmp_path / "weights.pt")
    foreign = read_foreign(tmp_path / "weights.pt")
    assert foreign.kind == kind
    assert (foreign.network.feature_size, foreign.network.window, foreign.network.merging) == (12, 7, "legacy")
    assert accounted(foreign) == tensors
    assert len(foreign.coverage.unexpected) == unused
    assert foreign.coverage.complete
    receiver = build_segmenter(foreign.network)
    coverage = load_encoder(receiver, foreign.state, source=layout)
    assert (len(coverage.loaded), coverage.complete) == (126, True)
    for ours, theirs in zip(hidden(receiver.swinViT, image), hidden(oracle, image), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("use_v2", [False, True])
def test_a_fine_tuned_network_gives_the_outputs_that_it_was_trained_with(
    tmp_path, use_v2, swin_unetr_of_monai_1_4, image
):
    oracle = swin_unetr_of_monai_1_4.SwinUNETR(
        img_size=(64, 32, 32), in_channels=1, out_channels=14, feature_size=12, use_v2=use_v2
    )
    layouts.random_(oracle)
    torch.save({"epoch": 3, "best_acc": 0.8, "state_dict": oracle.state_dict()}, tmp_path / "w.pt")
    foreign = read_foreign(tmp_path / "w.pt")
    wanted = NetworkSettings(feature_size=12, out_channels=14, use_v2=use_v2, merging="legacy")
    assert (foreign.kind, foreign.network) == ("segmenter", wanted)
    assert len(oracle.state_dict()) == len(foreign.state) == 159 + (8 if use_v2 else 0)
    assert (foreign.coverage.complete, foreign.coverage.unexpected, foreign.coverage.renamed) == (True, (), {})
    network = build_segmenter(foreign.network)
    network.load_state_dict(foreign.state)
    assert torch.equal(hidden(network, image), hidden(oracle, image))


def test_an_encoder_of_version_two_gives_its_outputs(tmp_path, swin_unetr_of_monai_1_4, image):
    """VoCo's files: bare, with ``layersNc``."""
    oracle = layouts.encoder_of_monai_1_4(swin_unetr_of_monai_1_4, use_v2=True)
    torch.save({f"swinViT.{name}": value for name, value in oracle.state_dict().items()}, tmp_path / "w.pt")
    foreign = read_foreign(tmp_path / "w.pt")
    assert (foreign.network.use_v2, foreign.kind, accounted(foreign)) == (True, "encoder", 134)
    receiver = build_segmenter(foreign.network)
    load_encoder(receiver, foreign.state, source="VoCo")
    for ours, theirs in zip(hidden(receiver.swinViT, image), hidden(oracle, image), strict=True):
        assert torch.equal(ours, theirs)


def test_a_plain_load_of_the_published_layout_changes_nothing(tmp_path, oracle):
    """The silent zero of the official script, as a regression test: strict=False takes 0 tensors over, ours 126."""
    content = layouts.published(oracle.state_dict())
    torch.save(content, tmp_path / "model_swinvit.pt")
    network = build_segmenter(NetworkSettings(feature_size=12, merging="legacy"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stripped = {name.replace("module.", ""): value for name, value in content["state_dict"].items()}
    network.load_state_dict(stripped, strict=False)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    foreign = read_foreign(tmp_path / "model_swinvit.pt")
    assert len(load_encoder(network, foreign.state, source="published").loaded) == 126
    for name, value in oracle.state_dict().items():
        assert torch.equal(network.swinViT.state_dict()[name], value), name
    assert foreign.coverage.unexpected == ("module.norm.bias", "module.norm.weight")


@pytest.mark.parametrize("layout", [name for name, entry in LAYOUTS.items() if entry[1] == "pretrained"])
def test_heads_arrive_too(tmp_path, layout, oracle):
    content = LAYOUTS[layout][0](oracle.state_dict())
    torch.save(content, tmp_path / "w.pt")
    foreign = read_foreign(tmp_path / "w.pt")
    assert foreign.heads and foreign.heads.pooling == "corner"
    network = SSLNet(foreign.network, foreign.heads)
    network.load_state_dict(foreign.state)  # strict: no more and no fewer
    given = content.get("state_dict", content)
    head = next(value for name, value in given.items() if name.endswith("contrastive_head.weight"))
    assert torch.equal(network.contrast_head.weight, head)


def test_the_report_names_every_renamed_tensor(tmp_path, oracle):
    torch.save(layouts.published(oracle.state_dict()), tmp_path / "w.pt")
    coverage = read_foreign(tmp_path / "w.pt").coverage
    assert coverage.renamed["swinViT.layers2.0.blocks.1.mlp.linear1.weight"] == (
        "module.layers2.0.blocks.1.mlp.fc1.weight"
    )
    assert len(coverage.renamed) == 132
    text = coverage.text()
    assert "132 of 132 encoder and head tensors taken over (2 not used, 132 renamed)" in text
    assert "module.norm.weight" in text
    assert "and 120 more" in text
    assert coverage.to_dict()["unexpected"] == ["module.norm.bias", "module.norm.weight"]


def test_half_precision_becomes_single_and_is_reported(tmp_path, oracle):
    state = {name: value.half() if value.is_floating_point() else value for name, value in oracle.state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    foreign = read_foreign(tmp_path / "w.pt")
    assert {value.dtype for value in foreign.state.values()} == {torch.float32, torch.int64}
    assert len(foreign.coverage.converted) == sum(value.is_floating_point() for value in state.values())
    assert "torch.float16 to torch.float32" in foreign.coverage.converted[0]


@pytest.mark.parametrize(("there", "here"), [(1, 3), (4, 1)])
def test_another_number_of_input_channels_gives_the_same_response(there, here):
    weight, image = torch.randn(12, there, 2, 2, 2), torch.randn(1, 1, 4, 4, 4)
    adapted = adapt_channels(weight, torch.empty(12, here, 2, 2, 2))
    expected = torch.nn.functional.conv3d(image.expand(1, there, 4, 4, 4), weight, stride=2)
    found = torch.nn.functional.conv3d(image.expand(1, here, 4, 4, 4), adapted, stride=2)
    torch.testing.assert_close(found, expected)
    assert adapt_channels(weight, torch.empty(12, there, 2, 2, 2)) is None
    assert adapt_channels(weight, torch.empty(24, here, 2, 2, 2)) is None


def test_an_encoder_for_four_channels_starts_one_for_ct(tmp_path, swin_unetr_of_monai_1_4):
    oracle = layouts.encoder_of_monai_1_4(swin_unetr_of_monai_1_4, in_chans=4)
    torch.save(layouts.prefixed("swinViT.")(oracle.state_dict()), tmp_path / "w.pt")
    foreign = read_foreign(tmp_path / "w.pt")
    assert foreign.network.in_channels == 4
    coverage = load_encoder(build_segmenter(NetworkSettings(feature_size=12)), foreign.state, source="four")
    assert coverage.complete
    assert coverage.converted == ("swinViT.patch_embed.proj.weight: from 4 to 1 input channels",)


@pytest.mark.parametrize("lost", ["layers3.0.blocks.1.", "layers1.0.downsample.", "patch_embed.proj.bias"])
def test_less_than_the_whole_encoder_is_refused_unless_forced(tmp_path, oracle, lost):
    state = {name: value for name, value in oracle.state_dict().items() if not name.startswith(lost)}
    torch.save(state, tmp_path / "w.pt")
    missing = 126 - len(state)
    with pytest.raises(InputError, match=rf"{126 - missing} of 126 encoder tensors .*{missing} missing") as caught:
        read_foreign(tmp_path / "w.pt")
    assert "--force" in caught.value.hint
    forced = read_foreign(tmp_path / "w.pt", force=True)
    assert len(forced.state) == 126
    assert all(lost in name for name in forced.coverage.missing)


def test_a_wrapped_segmenter_arrives_whole(tmp_path, swin_unetr_of_monai_1_4):
    network = swin_unetr_of_monai_1_4.SwinUNETR(img_size=(64, 32, 32), in_channels=1, out_channels=14, feature_size=12)
    state = layouts.random_(network).state_dict()
    for wrapper in ("model.", "swinunetr.", "network.net."):
        torch.save({"state_dict": {f"{wrapper}{name}": value for name, value in state.items()}}, tmp_path / "w.ckpt")
        foreign = read_foreign(tmp_path / "w.ckpt")
        assert (foreign.kind, foreign.coverage.complete, len(foreign.coverage.renamed)) == ("segmenter", True, 159)
        assert all(torch.equal(foreign.state[name], value) for name, value in state.items())


def test_of_several_networks_the_trained_one_is_taken_or_they_are_named(tmp_path, oracle):
    state = oracle.state_dict()

    def save(*wrappers: str) -> Path:
        several = {f"{w}swinViT.{name}": value + n for n, w in enumerate(wrappers) for name, value in state.items()}
        torch.save(several, tmp_path / "w.pt")
        return tmp_path / "w.pt"

    foreign = read_foreign(save("ema_model.", "model."))
    first = "patch_embed.proj.weight"
    assert torch.equal(foreign.state[f"swinViT.{first}"], state[first] + 1)
    assert len(foreign.coverage.unexpected) == 126
    with pytest.raises(InputError, match=r"several Swin encoders: under one\., two\."):
        read_foreign(save("one.", "two."))


@pytest.mark.parametrize(
    ("lost", "words"),
    [("layers3.", "stage 3 is missing"), ("patch_embed.", "the patch embedding is missing")],
)
def test_what_a_part_of_an_encoder_lacks_is_said(tmp_path, oracle, lost, words):
    for wrapper in ("swinViT.", "model.swinViT.", ""):
        state = {f"{wrapper}{name}": v for name, v in oracle.state_dict().items() if not name.startswith(lost)}
        torch.save(state, tmp_path / "w.pt")
        with pytest.raises(InputError, match=words) as caught:
            read_foreign(tmp_path / "w.pt")
        assert "vision transformer" not in caught.value.message


def test_numbers_that_are_none_are_refused(tmp_path, oracle):
    state = dict(oracle.state_dict())
    state["layers4.0.blocks.0.norm1.weight"] = torch.full_like(state["layers4.0.blocks.0.norm1.weight"], torch.nan)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"layers4\.0\.blocks\.0\.norm1\.weight holds values that are not numbers"):
        read_foreign(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("encoder.stages.0.blocks.0.conv1.weight",), "nnU-Net"),
        (("vit.blocks.0.attn.qkv.weight",), "vision transformer"),
        (("something.weight",), "holds no Swin encoder"),
        (("encoder.patch_embed.proj.weight", "encoder.blocks.0.attn.qkv.weight"), "vision transformer"),
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


def test_a_whole_module_is_refused_with_what_to_do_where_it_was_made(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(InputError, match="asks to execute torch") as caught:
        read_foreign(tmp_path / "module.pt")
    assert "torch.save(model.state_dict(), 'weights.pt')" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"text"])
def test_damaged_files(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.pt"):
        read_foreign(tmp_path / "w.pt")
    with pytest.raises(InputError, match="not a file"):
        read_foreign(tmp_path / "none.pt")

"""Models in and out: foreign files with cards, exports that stock MONAI runs, round trips."""

from __future__ import annotations

import json

import layouts
import monai
import pytest
import torch
from conftest import same_tensors
from layouts import LAYOUTS
from monai.networks.nets import SwinUNETR

from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.about import About
from SwinSSLLib.exchange.exporting import FORMATS, export_model, to_ssl_head
from SwinSSLLib.exchange.importing import import_model
from SwinSSLLib.exchange.labels import labels_from_names, read_label_names
from SwinSSLLib.models import load_model
from SwinSSLLib.nets.merging import LegacyPatchMerging
from SwinSSLLib.nets.swin import build_encoder, build_segmenter
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.settings import NetworkSettings


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_foreign_encoder_gets_a_card_that_says_what_is_assumed(tmp_path, a_published_encoder, layout):
    make, kind, _, unused = LAYOUTS[layout]
    torch.save(make(a_published_encoder.state_dict()), tmp_path / "w.pt")
    card = import_model(tmp_path / "w.pt").card
    assert (card["kind"], card["network"]["merging"]) == (kind, "legacy")
    assert (card["input"]["spacing"], card["input"]["hu_window"]) == (None, [-1000.0, 1000.0])
    assert card["finetune_input"]["hu_window"] == [-175.0, 250.0]
    assert len(card["coverage"]["unexpected"]) == unused
    assert any("merging = legacy" in sentence for sentence in card["provenance"]["assumed"])


def test_what_the_user_states_is_not_assumed(tmp_path, a_published_encoder):
    torch.save(a_published_encoder.state_dict(), tmp_path / "w.pt")
    about = About(
        merging="fixed", input={"spacing": [2.0, 2.0, 2.0], "hu_window": [-100.0, 240.0], "roi": [64, 64, 64]}
    )
    card = import_model(tmp_path / "w.pt", about).card
    assert card["network"]["merging"] == "fixed"
    assert card["input"]["spacing"] == [2.0, 2.0, 2.0]
    assert card["provenance"]["assumed"] == []
    with pytest.raises(InputError, match="hu_window"):
        import_model(tmp_path / "w.pt", About(input={"hu_window": [5.0, -5.0]}))


def test_a_foreign_segmenter_of_14_classes_is_taken_for_btcv_and_says_so(tmp_path):
    network = build_segmenter(NetworkSettings(feature_size=12))
    torch.save(network.state_dict(), tmp_path / "w.pt")
    card = import_model(tmp_path / "w.pt").card
    assert [label["name"] for label in card["labels"]] == [organ.name for organ in ORGANS]
    assert any("BTCV" in sentence for sentence in card["provenance"]["assumed"])
    assert card["input"]["hu_window"] == [-175.0, 250.0]


def test_a_foreign_segmenter_of_other_classes_has_numbered_labels_until_somebody_names_them(tmp_path):
    torch.save(build_segmenter(NetworkSettings(feature_size=12, out_channels=4)).state_dict(), tmp_path / "w.pt")
    labels = import_model(tmp_path / "w.pt").card["labels"]
    assert [label["name"] for label in labels] == ["class 1", "class 2", "class 3"]
    assert len({tuple(label["colour"]) for label in labels}) == 3
    (tmp_path / "labels.json").write_text('["background", "Pancreas", "cyst", "IVC"]')
    stated = About(labels=read_label_names(tmp_path / "labels.json"))
    labels = import_model(tmp_path / "w.pt", stated).card["labels"]
    assert [(label["id"], label["name"]) for label in labels] == [
        (1, "pancreas"),
        (2, "cyst"),
        (3, "inferior vena cava"),
    ]
    assert labels[0]["code"] == ORGANS[10].code


@pytest.mark.parametrize("text", ["[", "3", '{"a": "spleen"}', '["background"]'])
def test_a_bad_list_of_labels(tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(InputError, match=r"labels\.json"):
        read_label_names(tmp_path / "labels.json")


def test_names_of_others_find_their_organs():
    names = ["background", "spleen", "Right Kidney", "Left Kideny", "Gallbladder", "Esophagus", "Liver", "Stomach"]
    names += ["Aorta", "IVC", "Portal and Splenic Veins", "Pancreas", "Right adrenal gland", "Left adrenal gland"]
    assert labels_from_names(dict(enumerate(names))) == ORGANS  # as the model zoo spells them


def test_stock_monai_loads_the_swinvit_layout_and_gives_equal_hidden_states(tmp_path, a_segmenter_of_each_merging):
    export_model(a_segmenter_of_each_merging, "swinvit", tmp_path / "model_swinvit.pt")
    merging = {"legacy": LegacyPatchMerging, "fixed": "merging", "v2": "mergingv2"}[
        a_segmenter_of_each_merging.network.merging
    ]
    stock = SwinUNETR(
        in_channels=1, out_channels=3, feature_size=12, window_size=4, num_heads=(1, 2, 4, 8), downsample=merging
    )
    stock.load_from(torch.load(tmp_path / "model_swinvit.pt", weights_only=True))
    ours = build_segmenter(a_segmenter_of_each_merging.network).eval()
    ours.load_state_dict(a_segmenter_of_each_merging.state)
    image = torch.rand(1, 1, 64, 32, 32)
    with torch.no_grad():
        for theirs, own in zip(stock.eval().swinViT(image), ours.swinViT(image), strict=True):
            assert torch.equal(theirs, own)


def test_monai_1_4_loads_the_swinvit_layout_and_gives_equal_hidden_states(
    tmp_path, a_published_encoder, swin_unetr_of_monai_1_4
):
    torch.save(a_published_encoder.state_dict(), tmp_path / "w.pt")
    export_model(import_model(tmp_path / "w.pt"), "swinvit", tmp_path / "model_swinvit.pt")
    stock = swin_unetr_of_monai_1_4.SwinUNETR(
        img_size=(64, 32, 32), in_channels=1, out_channels=3, feature_size=12
    ).eval()
    stock.load_from(torch.load(tmp_path / "model_swinvit.pt", weights_only=True))
    image = torch.rand(1, 1, 64, 32, 32)
    with torch.no_grad():
        for theirs, own in zip(stock.swinViT(image), a_published_encoder(image), strict=True):
            assert torch.equal(theirs, own)


@pytest.mark.parametrize("format", ["folder", "monai", "bundle"])
def test_a_segmenter_comes_back_as_it_went(tmp_path, a_segmenter_of_each_merging, format):
    out = tmp_path / ("out.pt" if format == "monai" else "out")
    files = export_model(a_segmenter_of_each_merging, format, out)
    assert all(file.is_file() for file in files)
    back = import_model(out)
    assert same_tensors(back.state, a_segmenter_of_each_merging.state)
    assert {**back.card, "sha256": 0} == {**a_segmenter_of_each_merging.card, "sha256": 0}


@pytest.mark.parametrize("format", ["folder", "swinvit", "sslhead"])
def test_a_pretrained_model_comes_back_as_it_went(tmp_path, a_pretrained_run, format):
    model = load_model(a_pretrained_run)
    out = tmp_path / ("out" if format == "folder" else "out.pt")
    export_model(model, format, out)
    back = import_model(out)
    assert same_tensors(back.state, model.state)
    assert {**back.card, "sha256": 0} == {**model.card, "sha256": 0}


@pytest.mark.parametrize("layout", [name for name, entry in LAYOUTS.items() if entry[1] == "pretrained"])
def test_heads_go_out_under_the_public_codes_names(tmp_path, a_published_encoder, layout):
    make, _, tensors, unused = LAYOUTS[layout]
    torch.save(make(a_published_encoder.state_dict()), tmp_path / "w.pt")
    names = to_ssl_head(import_model(tmp_path / "w.pt"))
    assert len(names) == tensors - unused
    given = torch.load(tmp_path / "w.pt", weights_only=False)
    if layout.startswith("SSLHead"):
        assert names.keys() == given.keys()
        assert all(torch.equal(names[name], value) for name, value in given.items())


def test_without_its_card_a_state_dict_still_is_a_model(tmp_path, a_segmenter_of_each_merging):
    files = export_model(a_segmenter_of_each_merging, "monai", tmp_path / "out.pt")
    files[1].unlink()
    state = torch.load(files[0], weights_only=True)
    stock = SwinUNETR(in_channels=1, out_channels=14, feature_size=12, window_size=4, num_heads=(1, 2, 4, 8))
    stock.load_state_dict(state)
    # 12 channels of 1, 2, 4, 8 heads: the shapes say so
    back = import_model(files[0])
    assert same_tensors(back.state, a_segmenter_of_each_merging.state)
    assert back.network.num_heads == (1, 2, 4, 8)


def test_an_export_says_what_it_cannot_do(tmp_path, a_segmenter_of_each_merging, a_pretrained_run):
    pretrained = load_model(a_pretrained_run)
    for model, format in ((pretrained, "bundle"), (pretrained, "monai"), (a_segmenter_of_each_merging, "sslhead")):
        with pytest.raises(InputError, match=f"The format {format} is for"):
            export_model(model, format, tmp_path / "x.pt")
    with pytest.raises(InputError, match="no format"):
        export_model(a_segmenter_of_each_merging, "onnx", tmp_path / "x")
    with pytest.raises(InputError, match="ending"):
        export_model(a_segmenter_of_each_merging, "swinvit", tmp_path / "x.bin")
    (tmp_path / "there.pt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export_model(a_segmenter_of_each_merging, "swinvit", tmp_path / "there.pt")
    assert (tmp_path / "there.pt").read_text() == "mine"
    assert set(FORMATS) == {"folder", "monai", "swinvit", "sslhead", "bundle"}


@pytest.mark.parametrize("damage", ["weights", "card"])
def test_a_card_that_was_written_for_another_file_is_refused(tmp_path, a_segmenter_of_each_merging, damage):
    file, card = export_model(a_segmenter_of_each_merging, "monai", tmp_path / "out.pt")
    if damage == "weights":
        other = {name: value + 1 for name, value in a_segmenter_of_each_merging.state.items()}
        torch.save(other, file)
    else:
        card.write_text(card.read_text().replace('"beside_sha256": "', '"beside_sha256": "0'))
    with pytest.raises(InputError, match=r"SHA-256 differs"):
        import_model(file)


def test_a_card_that_describes_another_network_is_refused(tmp_path, a_segmenter_of_each_merging):
    file, card = export_model(a_segmenter_of_each_merging, "monai", tmp_path / "out.pt")
    content = json.loads(card.read_text())
    content["network"]["feature_size"] = 24
    card.write_text(json.dumps(content))
    with pytest.raises(InputError, match="does not hold what its card describes"):
        import_model(file)


def test_the_encoder_of_an_import_starts_training(tmp_path, a_published_encoder, a_cohort):
    """--init takes a file of others as it is; the network and the input follow from its card."""
    from conftest import finetune

    torch.save(layouts.published(a_published_encoder.state_dict()), tmp_path / "model_swinvit.pt")
    network = {"feature_size": 12, "window": 7, "num_heads": [3, 6, 12, 24], "merging": "legacy"}
    finetune(
        a_cohort, tmp_path / "run", {"network": network, "training": {"steps": 1}}, init=tmp_path / "model_swinvit.pt"
    )
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert "126 of 126 encoder tensors taken over" in events
    assert load_model(tmp_path / "run").network.merging == "legacy"
    start = build_encoder(NetworkSettings(feature_size=12, merging="legacy"))
    assert len(start.state_dict()) == 126


def test_this_monai_is_one_that_changed_the_merging():
    """If this fails MONAI has changed again, and what the bundle says about `mergingv2` must be looked at."""
    assert tuple(int(part) for part in monai.__version__.split(".")[:2]) >= (1, 5)

"""Models in and out: foreign files with cards, exports that stock MONAI runs, bundles, round trips, hostile files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import layouts
import monai
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conftest import same_tensors
from layouts import LAYOUTS
from monai.bundle import ConfigParser
from monai.bundle.workflows import ConfigWorkflow
from monai.networks.nets import SwinUNETR

from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.data.volumes import write_volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.about import About
from SwinSSLLib.exchange.exporting import FORMATS, export_model, to_ssl_head
from SwinSSLLib.exchange.importing import import_model
from SwinSSLLib.exchange.labels import labels_from_names, read_label_names
from SwinSSLLib.models import load_model, make_card, save_model
from SwinSSLLib.nets.merging import LegacyPatchMerging
from SwinSSLLib.nets.swin import build_encoder, build_segmenter
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.segment import pipeline
from SwinSSLLib.segment.files import segment_files
from SwinSSLLib.settings import InputSettings, NetworkSettings

INPUT = InputSettings(spacing=(3.0, 3.0, 3.0), roi=(64, 64, 32))


@pytest.fixture(scope="module")
def encoder(swin_unetr_of_monai_1_4):
    return layouts.encoder_of_monai_1_4(swin_unetr_of_monai_1_4)


def a_segmenter_folder(folder: Path, merging: str, **network) -> Path:
    """A segmenter of random but lively weights, in a model folder."""
    settings = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8), merging=merging, **network)
    torch.manual_seed(1)
    state = layouts.random_(build_segmenter(settings)).state_dict()
    card = make_card("segmenter", settings, INPUT, {"created": "2026-11-23", "data": []})
    card["metrics"] = {"validation": {"dice": 0.5, "cases": ["a"]}}
    save_model(folder, card, state)
    return folder


@pytest.fixture(scope="module", params=["legacy", "fixed", "v2"])
def segmenter(request, tmp_path_factory):
    return load_model(a_segmenter_folder(tmp_path_factory.mktemp("model") / "m", request.param))


@pytest.fixture(scope="module")
def a_phantom_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ct") / "phantom.nii.gz"
    write_volume(make_phantom(3, spacing=(3.0, 3.0, 3.0), shape=(80, 72, 48)).image, path)
    return path


def labels_of(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


# --- in


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_foreign_encoder_gets_a_card_that_says_what_is_assumed(tmp_path, encoder, layout):
    make, kind, _, unused = LAYOUTS[layout]
    torch.save(make(encoder.state_dict()), tmp_path / "w.pt")
    card = import_model(tmp_path / "w.pt").card
    assert (card["kind"], card["network"]["merging"]) == (kind, "legacy")
    assert (card["input"]["spacing"], card["input"]["hu_window"]) == (None, [-1000.0, 1000.0])
    assert card["finetune_input"]["hu_window"] == [-175.0, 250.0]
    assert len(card["coverage"]["unexpected"]) == unused
    assert any("merging = legacy" in sentence for sentence in card["provenance"]["assumed"])


def test_what_the_user_states_is_not_assumed(tmp_path, encoder):
    torch.save(encoder.state_dict(), tmp_path / "w.pt")
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


# --- out


def test_stock_monai_loads_the_swinvit_layout_and_gives_equal_hidden_states(tmp_path, segmenter):
    export_model(segmenter, "swinvit", tmp_path / "model_swinvit.pt")
    merging = {"legacy": LegacyPatchMerging, "fixed": "merging", "v2": "mergingv2"}[segmenter.network.merging]
    stock = SwinUNETR(
        in_channels=1, out_channels=3, feature_size=12, window_size=4, num_heads=(1, 2, 4, 8), downsample=merging
    )
    stock.load_from(torch.load(tmp_path / "model_swinvit.pt", weights_only=True))
    ours = build_segmenter(segmenter.network).eval()
    ours.load_state_dict(segmenter.state)
    image = torch.rand(1, 1, 64, 32, 32)
    with torch.no_grad():
        for theirs, own in zip(stock.eval().swinViT(image), ours.swinViT(image), strict=True):
            assert torch.equal(theirs, own)


def test_monai_1_4_loads_the_swinvit_layout_and_gives_equal_hidden_states(tmp_path, encoder, swin_unetr_of_monai_1_4):
    torch.save(encoder.state_dict(), tmp_path / "w.pt")
    export_model(import_model(tmp_path / "w.pt"), "swinvit", tmp_path / "model_swinvit.pt")
    stock = swin_unetr_of_monai_1_4.SwinUNETR(
        img_size=(64, 32, 32), in_channels=1, out_channels=3, feature_size=12
    ).eval()
    stock.load_from(torch.load(tmp_path / "model_swinvit.pt", weights_only=True))
    image = torch.rand(1, 1, 64, 32, 32)
    with torch.no_grad():
        for theirs, own in zip(stock.swinViT(image), encoder(image), strict=True):
            assert torch.equal(theirs, own)


@pytest.mark.parametrize("format", ["folder", "monai", "bundle"])
def test_a_segmenter_comes_back_as_it_went(tmp_path, segmenter, format):
    out = tmp_path / ("out.pt" if format == "monai" else "out")
    files = export_model(segmenter, format, out)
    assert all(file.is_file() for file in files)
    back = import_model(out)
    assert same_tensors(back.state, segmenter.state)
    assert {**back.card, "sha256": 0} == {**segmenter.card, "sha256": 0}


@pytest.mark.parametrize("format", ["folder", "swinvit", "sslhead"])
def test_a_pretrained_model_comes_back_as_it_went(tmp_path, a_pretrained_run, format):
    model = load_model(a_pretrained_run)
    out = tmp_path / ("out" if format == "folder" else "out.pt")
    export_model(model, format, out)
    back = import_model(out)
    assert same_tensors(back.state, model.state)
    assert {**back.card, "sha256": 0} == {**model.card, "sha256": 0}


@pytest.mark.parametrize("layout", [name for name, entry in LAYOUTS.items() if entry[1] == "pretrained"])
def test_heads_go_out_under_the_public_codes_names(tmp_path, encoder, layout):
    make, _, tensors, unused = LAYOUTS[layout]
    torch.save(make(encoder.state_dict()), tmp_path / "w.pt")
    names = to_ssl_head(import_model(tmp_path / "w.pt"))
    assert len(names) == tensors - unused
    given = torch.load(tmp_path / "w.pt", weights_only=False)
    if layout.startswith("SSLHead"):
        assert names.keys() == given.keys()
        assert all(torch.equal(names[name], value) for name, value in given.items())


def test_without_its_card_a_state_dict_still_is_a_model(tmp_path, segmenter):
    files = export_model(segmenter, "monai", tmp_path / "out.pt")
    files[1].unlink()
    state = torch.load(files[0], weights_only=True)
    stock = SwinUNETR(in_channels=1, out_channels=14, feature_size=12, window_size=4, num_heads=(1, 2, 4, 8))
    stock.load_state_dict(state)
    # 12 channels of 1, 2, 4, 8 heads: the shapes say so
    back = import_model(files[0])
    assert same_tensors(back.state, segmenter.state)
    assert back.network.num_heads == (1, 2, 4, 8)


def test_an_export_says_what_it_cannot_do(tmp_path, segmenter, a_pretrained_run):
    pretrained = load_model(a_pretrained_run)
    for model, format in ((pretrained, "bundle"), (pretrained, "monai"), (segmenter, "sslhead")):
        with pytest.raises(InputError, match=f"The format {format} is for"):
            export_model(model, format, tmp_path / "x.pt")
    with pytest.raises(InputError, match="no format"):
        export_model(segmenter, "onnx", tmp_path / "x")
    with pytest.raises(InputError, match="ending"):
        export_model(segmenter, "swinvit", tmp_path / "x.bin")
    (tmp_path / "there.pt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export_model(segmenter, "swinvit", tmp_path / "there.pt")
    assert (tmp_path / "there.pt").read_text() == "mine"
    assert set(FORMATS) == {"folder", "monai", "swinvit", "sslhead", "bundle"}


# --- bundles


def test_monai_runs_the_bundle_and_finds_the_same_labels(tmp_path, segmenter, a_phantom_file, monkeypatch):
    """monai.bundle.run on a phantom at the model's own spacing: Dice 1.0 with our own segmentation.

    That holds with MONAI's own blocks. Ours sum in another order: of the phantom's voxels, where two classes of these
    random weights are all but equal, a few in a million may fall the other way.
    """
    bundle = tmp_path / "bundle"
    export_model(segmenter, "bundle", bundle)
    options = {
        "config_file": "configs/inference.json",
        "bundle_root": ".",
        "output_dir": str(tmp_path / "eval"),
        "dataset_dir": str(a_phantom_file.parent),
        "device": "$torch.device('cpu')",
    }
    command = [sys.executable, "-c", f"from monai.bundle import run; run(**{options!r})"]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = labels_of(tmp_path / "eval" / "phantom_seg.nii.gz")
    segment_files([a_phantom_file], segmenter, tmp_path / "faster.nii.gz")
    faster = labels_of(tmp_path / "faster.nii.gz")
    assert np.mean(faster != theirs) < 1e-5
    monkeypatch.setattr(pipeline, "accelerate", lambda network: network)
    segment_files([a_phantom_file], segmenter, tmp_path / "ours.nii.gz")
    ours = labels_of(tmp_path / "ours.nii.gz")
    assert theirs.shape == ours.shape
    assert len(np.unique(ours)) > 3
    for label in np.unique(ours):
        assert (
            2 * np.sum((ours == label) & (theirs == label)) / np.sum((ours == label) + 0.0 + (theirs == label)) == 1.0
        )


def test_monai_finds_everything_in_the_bundle_that_it_looks_for(tmp_path, segmenter):
    export_model(segmenter, "bundle", tmp_path / "bundle")
    configs = tmp_path / "bundle" / "configs"
    workflow = ConfigWorkflow(
        config_file=str(configs / "inference.json"),
        meta_file=str(configs / "metadata.json"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(tmp_path / "bundle"),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    metadata = json.loads((configs / "metadata.json").read_text())
    for name in ("schema", "version", "changelog", "monai_version", "network_data_format", "task", "authors"):
        assert metadata[name]
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["6"] == "liver"


def test_the_legacy_merging_in_a_bundle_is_that_of_monai_1_4(tmp_path, swin_unetr_of_monai_1_4):
    """Weights of MONAI 1.4 in, bundle out, run by the MONAI of today: the outputs of MONAI 1.4."""
    oracle = swin_unetr_of_monai_1_4.SwinUNETR(img_size=(64, 32, 32), in_channels=1, out_channels=14, feature_size=12)
    layouts.random_(oracle)
    torch.save(oracle.state_dict(), tmp_path / "w.pt")
    export_model(import_model(tmp_path / "w.pt"), "bundle", tmp_path / "bundle")
    parser = ConfigParser()
    parser.read_config(tmp_path / "bundle" / "configs" / "inference.json")
    parser["bundle_root"] = str(tmp_path / "bundle")
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(tmp_path / "bundle" / "models" / "model.pt", weights_only=True))
    image = torch.rand(1, 1, 64, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(image), oracle(image))


def zoo_bundle(folder: Path, **changes) -> Path:
    """A bundle laid out as in the model zoo, with its keys and our random weights."""
    network = build_segmenter(NetworkSettings(feature_size=12))
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    torch.save({"model": network.state_dict()}, folder / "models" / "model.pt")
    names = ["background", "spleen", "Right Kidney", "Left Kideny", *(organ.name for organ in ORGANS[3:])]
    metadata = {
        "version": "0.5.6",
        "monai_version": "1.4.0",
        "eval_metrics": {"mean_dice": 0.82},
        "network_data_format": {"outputs": {"pred": {"channel_def": {str(n): name for n, name in enumerate(names)}}}},
    }
    inference = {
        "imports": ["$import os", "$os.system('touch sprung')"],
        "network_def": {"_target_": "SwinUNETR", "img_size": 96},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.5], "mode": "bilinear"},
                {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -150, "a_max": 250},
            ],
        },
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 64], "overlap": 0.5},
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference | changes))
    return folder


def zipped(folder: Path, target: Path, extra: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{folder.name}/{file.relative_to(folder).as_posix()}")
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return target


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_bundle_of_the_zoo_states_its_own_preprocessing(tmp_path, monkeypatch, as_zip):
    monkeypatch.chdir(tmp_path)
    bundle = zoo_bundle(tmp_path / "swin_unetr_btcv_segmentation")
    model = import_model(zipped(bundle, tmp_path / "b.zip") if as_zip else bundle)
    assert model.card["input"]["spacing"] == [1.5, 1.5, 2.5]
    assert model.card["input"]["hu_window"] == [-150, 250]
    assert model.card["input"]["roi"] == [96, 96, 64]
    assert [label["name"] for label in model.card["labels"]] == [organ.name for organ in ORGANS]
    assert model.card["network"]["merging"] == "legacy"
    assert model.card["provenance"]["bundle"]["version"] == "0.5.6"
    assert not (tmp_path / "sprung").exists()


def test_a_bundle_says_which_merging_it_switches_on(tmp_path):
    bundle = zoo_bundle(tmp_path / "b", network_def={"_target_": "SwinUNETR", "downsample": "mergingv2"})
    assert import_model(bundle).card["network"]["merging"] == "v2"


def test_a_bundle_in_another_orientation_is_refused(tmp_path):
    bundle = zoo_bundle(tmp_path / "b", preprocessing={"transforms": [{"_target_": "Orientationd", "axcodes": "LPS"}]})
    with pytest.raises(InputError, match="orientation LPS"):
        import_model(bundle)


def test_a_bundle_without_its_weights_says_where_they_are(tmp_path):
    bundle = zoo_bundle(tmp_path / "b")
    (bundle / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"holds no models/model\.pt") as caught:
        import_model(bundle)
    assert "large_files.yml" in caught.value.hint


# --- hostile


@pytest.mark.parametrize("name", ["../outside.txt", "b/../../outside.txt", "/outside.txt", "..\\outside.txt", "C:x"])
def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path, name):
    bundle = zipped(zoo_bundle(tmp_path / "in" / "b"), tmp_path / "b.zip", {name: b"!"})
    with pytest.raises(InputError, match="leads out of it"):
        import_model(bundle)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip", "in"]


def test_a_zip_with_a_pickle_that_would_run_code_does_not_run_it(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    bundle = zoo_bundle(tmp_path / "b")
    torch.save({"model": {"x": torch.ones(1)}, "trap": Trap()}, bundle / "models" / "model.pt")
    for source in (bundle, zipped(bundle, tmp_path / "b.zip")):
        with pytest.raises(InputError, match="asks to execute"):
            import_model(source)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("damage", ["weights", "card"])
def test_a_card_that_was_written_for_another_file_is_refused(tmp_path, segmenter, damage):
    file, card = export_model(segmenter, "monai", tmp_path / "out.pt")
    if damage == "weights":
        other = {name: value + 1 for name, value in segmenter.state.items()}
        torch.save(other, file)
    else:
        card.write_text(card.read_text().replace('"beside_sha256": "', '"beside_sha256": "0'))
    with pytest.raises(InputError, match=r"SHA-256 differs"):
        import_model(file)


def test_a_card_that_describes_another_network_is_refused(tmp_path, segmenter):
    file, card = export_model(segmenter, "monai", tmp_path / "out.pt")
    content = json.loads(card.read_text())
    content["network"]["feature_size"] = 24
    card.write_text(json.dumps(content))
    with pytest.raises(InputError, match="does not hold what its card describes"):
        import_model(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x05\x06" + 18 * b"\0"])
def test_a_damaged_zip(tmp_path, content):
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.zip"):
        import_model(tmp_path / "b.zip")


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(InputError, match="no model and no bundle"):
        import_model(tmp_path)


def test_the_encoder_of_an_import_starts_training(tmp_path, encoder, a_cohort):
    """--init takes a file of others as it is; the network and the input follow from its card."""
    from conftest import finetune

    torch.save(layouts.published(encoder.state_dict()), tmp_path / "model_swinvit.pt")
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

"""Bundles: MONAI runs ours, we read the zoo's, and hostile ones are refused."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import layouts
import numpy as np
import pytest
import torch
from exchanged import labels_of
from monai.bundle import ConfigParser
from monai.bundle.workflows import ConfigWorkflow

from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.exporting import export_model
from SwinSSLLib.exchange.importing import import_model
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.segment import pipeline
from SwinSSLLib.segment.files import segment_files
from SwinSSLLib.settings import NetworkSettings


def test_monai_runs_the_bundle_and_finds_the_same_labels(
    tmp_path, a_segmenter_of_each_merging, a_phantom_file, monkeypatch
):
    """monai.bundle.run on a phantom at the model's own spacing: Dice 1.0 with our own segmentation.

    That holds with MONAI's own blocks. Ours sum in another order: of the phantom's voxels, where two classes of these
    random weights are all but equal, a few in a million may fall the other way.
    """
    bundle = tmp_path / "bundle"
    export_model(a_segmenter_of_each_merging, "bundle", bundle)
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
    segment_files([a_phantom_file], a_segmenter_of_each_merging, tmp_path / "faster.nii.gz")
    faster = labels_of(tmp_path / "faster.nii.gz")
    assert np.mean(faster != theirs) < 1e-5
    monkeypatch.setattr(pipeline, "accelerate", lambda network: network)
    segment_files([a_phantom_file], a_segmenter_of_each_merging, tmp_path / "ours.nii.gz")
    ours = labels_of(tmp_path / "ours.nii.gz")
    assert theirs.shape == ours.shape
    assert len(np.unique(ours)) > 3
    for label in np.unique(ours):
        assert (
            2 * np.sum((ours == label) & (theirs == label)) / np.sum((ours == label) + 0.0 + (theirs == label)) == 1.0
        )


def test_monai_finds_everything_in_the_bundle_that_it_looks_for(tmp_path, a_segmenter_of_each_merging):
    export_model(a_segmenter_of_each_merging, "bundle", tmp_path / "bundle")
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


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x05\x06" + 18 * b"\0"])
def test_a_damaged_zip(tmp_path, content):
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.zip"):
        import_model(tmp_path / "b.zip")


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(InputError, match="no model and no bundle"):
        import_model(tmp_path)

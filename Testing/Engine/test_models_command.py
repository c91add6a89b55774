"""``swinssl models`` as a person and a program use it, and published weights in the other commands."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import layouts
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SwinSSLLib.commands import models
from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.data.volumes import write_volume
from SwinSSLLib.exchange import catalogue, obtaining
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.settings import NetworkSettings


@pytest.fixture
def library(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SWINSSL_MODELS", str(tmp_path / "library"))
    return tmp_path / "library"


@pytest.fixture
def a_segmenter_file(tmp_path) -> Path:
    """A fine-tuned network of others, with a window of 64 voxels so that it is quick."""
    network = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8), out_channels=14)
    torch.manual_seed(0)
    torch.save({"state_dict": layouts.random_(build_segmenter(network)).state_dict()}, tmp_path / "theirs.pt")
    return tmp_path / "theirs.pt"


def test_import_show_list_export_remove(swinssl, library, a_segmenter_file, tmp_path):
    stated = ("--spacing", 4, 4, 4, "--window", -150, 250, "--roi", 64, 64, 64)
    code, out, _ = swinssl("models", "import", a_segmenter_file, "--name", "mine", *stated)
    assert code == 0
    assert "159 of 159 tensors taken over" in out
    assert "--model mine" in out
    last = out.splitlines()[-1]
    assert "--merging fixed" in last and "--labels FILE" in last and "--spacing" not in last
    code, out, _ = swinssl("models", "show", "mine")
    assert code == 0
    assert "legacy merging" in out
    assert "spacing [4.0, 4.0, 4.0] mm" in out
    assert "assumed 1" in out
    code, out, _ = swinssl("models", "list")
    assert code == 0
    assert "mine" in out
    assert "swinvit-ssl" in out
    listed = json.loads(swinssl("models", "list", "--json")[1])
    assert [model["name"] for model in listed["installed"]] == ["mine"]
    assert "btcv-base" in listed["published"]
    code, out, _ = swinssl("models", "export", "mine", "--format", "swinvit", "--out", tmp_path / "encoder.pt")
    assert code == 0
    assert "encoder only" in out
    assert len(torch.load(tmp_path / "encoder.pt", weights_only=True)["state_dict"]) == 126
    code, out, _ = swinssl("models", "remove", "mine")
    assert (code, list(library.glob("*"))) == (0, [])


def test_show_says_how_a_run_was_trained(swinssl, a_pretrained_run, a_segmenter):
    out = swinssl("models", "show", a_pretrained_run)[1]
    job = json.loads((a_pretrained_run / "job.json").read_text())
    training = job["settings"]["training"]
    for words in (
        f"{training['steps']} steps", f"batch {training['batch']}", f"seed {training['seed']}", "6 CTs",
        f"torch {torch.__version__}", f"preset {job['settings']['preset']}", "rotation_accuracy",
    ):  # fmt: skip
        assert words in " ".join(out.split()), words
    assert not [line for line in out.splitlines() if line.strip().startswith("sub_volumes")]
    assert "validation on " in out
    assert "126 of 126 encoder tensors" in swinssl("models", "show", a_segmenter)[1]


def test_nothing_is_to_be_checked_that_was_stated(swinssl, library, a_segmenter_file, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps([f"organ {number}" for number in range(14)]))
    stated = ("--spacing", 4, 4, 4, "--window", -150, 250, "--roi", 64, 64, 64, "--merging", "fixed")
    out = swinssl("models", "import", a_segmenter_file, *stated, "--labels", tmp_path / "labels.json")[1]
    assert "Check" not in out


def test_a_name_that_is_taken_is_kept(swinssl, library, a_segmenter_file):
    assert swinssl("models", "import", a_segmenter_file)[0] == 0
    before = (library / "theirs" / "model.json").read_bytes()
    code, _, err = swinssl("models", "import", a_segmenter_file, "--merging", "fixed")
    assert (code, "already" in err) == (2, True)
    assert (library / "theirs" / "model.json").read_bytes() == before


def test_what_cannot_be_imported_says_what_it_is(swinssl, library, tmp_path):
    torch.save({"network_weights": {"encoder.stages.0.x": torch.ones(1)}}, tmp_path / "nnunet.pth")
    code, _, err = swinssl("models", "import", tmp_path / "nnunet.pth")
    assert (code, "nnU-Net" in err) == (2, True)
    assert not library.exists()


def test_published_models_are_shown_before_they_are_fetched(swinssl, library):
    code, out, _ = swinssl("models", "show", "btcv-base")
    words = " ".join(out.split())
    assert code == 0
    assert "0.8225 on BTCV, the 6 validation cases" in words
    assert "not on this machine" in words
    assert json.loads(swinssl("models", "show", "btcv-base", "--json")[1])["name"] == "btcv-base"


def test_without_a_terminal_the_licence_must_be_accepted_by_option(swinssl, library, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    code, _, err = swinssl("models", "download", "btcv-tiny")
    assert code == 2
    assert "--accept-licence" in err
    assert swinssl("models", "download", "no-such-model")[0] == 2


@pytest.mark.parametrize(("answer", "fetched"), [("y", True), ("", False), ("no", False)])
def test_the_licence_is_shown_and_asked_for(swinssl, library, monkeypatch, offered, server, answer, fetched):
    entry = offered("btcv-tiny")
    monkeypatch.setattr(obtaining, "published", lambda: {"btcv-tiny": entry})
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda _: answer)
    if not fetched:
        monkeypatch.setattr(models, "Transfer", lambda *_, **__: pytest.fail("a bar for nothing"))
    code, out, err = swinssl("models", "download", "btcv-tiny")
    assert entry.licence["url"] in out
    assert "Apache License 2.0" in " ".join(out.split())
    assert (code, bool(server.asked)) == ((0, True) if fetched else (2, False)), err


def test_a_download_tells_programs_how_far_it_is(swinssl, library, monkeypatch, offered):
    entry = offered("btcv-tiny")
    monkeypatch.setattr(obtaining, "published", lambda: {"btcv-tiny": entry})
    code, out, _ = swinssl("models", "download", "btcv-tiny", "--accept-licence", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert events[-2]["event"] == "progress"
    assert events[-2]["step"] == events[-2]["total"] == entry.bytes
    assert events[-1]["card"]["provenance"]["published"] == "btcv-tiny"


def segmentation(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_segmenting_with_weights_of_others_uses_their_own_card(swinssl, library, a_segmenter_file, tmp_path):
    """By name, by file and as a model folder: the same labels; another stated window or merging: others."""
    write_volume(make_phantom(2, spacing=(4.0, 4.0, 4.0), shape=(64, 64, 40)).image, tmp_path / "ct.nii.gz")
    stated = ("--spacing", 4, 4, 4, "--roi", 64, 64, 32)
    for name, more in (
        ("soft", ()),
        ("wide", ("--window", -1000, 1000)),
        ("fixed", ("--merging", "fixed")),
    ):
        assert swinssl("models", "import", a_segmenter_file, "--name", name, *stated, *more)[0] == 0
        code, _, err = swinssl("segment", tmp_path / "ct.nii.gz", "-m", name, "-o", tmp_path / f"{name}.nii.gz")
        assert code == 0, err
    swinssl("segment", tmp_path / "ct.nii.gz", "-m", library / "soft", "-o", tmp_path / "folder.nii.gz")
    soft = segmentation(tmp_path / "soft.nii.gz")
    assert len(np.unique(soft)) > 3
    assert np.array_equal(soft, segmentation(tmp_path / "folder.nii.gz"))
    assert np.mean(soft != segmentation(tmp_path / "wide.nii.gz")) > 0.01
    assert np.mean(soft != segmentation(tmp_path / "fixed.nii.gz")) > 0.01


def test_labels_of_others_are_written_by_their_names(swinssl, library, tmp_path):
    network = NetworkSettings(feature_size=12, window=4, num_heads=(1, 2, 4, 8), out_channels=3)
    torch.save(layouts.random_(build_segmenter(network)).state_dict(), tmp_path / "two.pt")
    (tmp_path / "labels.json").write_text('{"1": "Liver", "2": "tumour"}')
    stated = ("--spacing", 4, 4, 4, "--roi", 64, 64, 32, "--labels", tmp_path / "labels.json")
    assert swinssl("models", "import", tmp_path / "two.pt", *stated)[0] == 0
    write_volume(make_phantom(2, spacing=(4.0, 4.0, 4.0), shape=(64, 64, 40)).image, tmp_path / "ct.nii.gz")
    assert swinssl("segment", tmp_path / "ct.nii.gz", "-m", "two", "-o", tmp_path / "out.seg.nrrd")[0] == 0
    organs = json.loads((tmp_path / "out.organs.json").read_text())["organs"]
    assert [(organ["id"], organ["name"]) for organ in organs] == [(1, "liver"), (2, "tumour")]


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_training_starts_from_published_weights(
    swinssl, library, command, a_cohort, tiny, tmp_path, offered, monkeypatch
):
    """--init takes a name of the library; network and merging follow, and fine-tuning gets its publisher's input."""
    entry = offered("swinvit-ssl")
    monkeypatch.setattr(obtaining, "published", lambda: {"swinvit-ssl": entry})
    assert swinssl("models", "download", "swinvit-ssl", "--accept-licence")[0] == 0
    settings = json.loads(tiny[command == "finetune"].read_text())
    del settings["network"]
    settings["training"]["steps"] = 1
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    data = a_cohort / "dataset.json" if command == "finetune" else a_cohort
    code, out, err = swinssl(
        command, "-d", data, "-o", tmp_path / "run", "--init", "swinvit-ssl", "-p", "quick",
        "--settings", tmp_path / "settings.json", "--no-report",
    )  # fmt: skip
    assert code == 0, err
    assert "126 of 126 encoder tensors taken over" in out
    job = json.loads((tmp_path / "run" / "job.json").read_text())
    assert job["init"] == "swinvit-ssl"
    network = job["settings"]["network"]
    assert (network["feature_size"], network["window"], network["merging"]) == (12, 7, "legacy")
    window = [-175.0, 250.0] if command == "finetune" else [-1000.0, 1000.0]
    assert job["settings"]["input"]["hu_window"] == window


def test_a_published_name_that_is_not_here_says_how_to_get_it(swinssl, library, tmp_path):
    write_volume(make_phantom(2, spacing=(8.0, 8.0, 8.0), shape=(32, 32, 32)).image, tmp_path / "ct.nii.gz")
    code, _, err = swinssl("segment", tmp_path / "ct.nii.gz", "-m", "btcv-base", "-o", tmp_path / "o.nii.gz")
    assert code == 2
    assert "swinssl models download btcv-base" in err


def test_entries_stay_what_they_are():
    """The functions above exchange the catalogue for a test; this one looks at the real one."""
    assert obtaining.published is catalogue.published
    assert replace(catalogue.published()["btcv-base"]).bytes == 256_300_000

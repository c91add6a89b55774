"""Fine-tuning: patches, validation that does not punish for missing organs, coverage, resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conftest import TINY_FINETUNE, StopAfter, finetune, same_tensors

from SwinSSLLib.checkpoints import load_checkpoint
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.data.volumes import read_labels, write_volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.finetune.patches import PatchSampler
from SwinSSLLib.finetune.validation import Validation
from SwinSSLLib.models import load_model
from SwinSSLLib.presets import finetune_settings
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.validation import merged


@pytest.fixture
def an_entry(a_cohort, tmp_path):
    case = json.loads((a_cohort / "dataset.json").read_text())["validation"][0]
    return Store(tmp_path).add(a_cohort / case["image"], Recipe((8.0, 8.0, 8.0)), labels=a_cohort / case["label"])


def settings(**changes):
    return finetune_settings("quick", merged(TINY_FINETUNE, changes))


def test_patches_follow_from_their_number_and_fit_their_labels(an_entry):
    plain = settings(patches={"scale_intensity": 0.0, "shift_intensity": 0.0})
    sampler = PatchSampler([an_entry], plain)
    first, again, other = sampler.draw(3), PatchSampler([an_entry], plain).draw(3), sampler.draw(4)
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)
    assert first.image.shape == first.labels.shape == (1, 64, 32, 32)
    # The liver is enhanced in every phantom: where the label says liver, the image is brighter than its surroundings.
    inside = torch.cat([patch.image[patch.labels == 6] for patch in map(sampler.draw, range(8))])
    assert float(inside.mean()) > 0.45


@pytest.mark.parametrize(("share", "on_organs"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_the_share_of_patches_on_organs_is_the_one_asked_for(a_cohort, tmp_path, share, on_organs):
    case = json.loads((a_cohort / "dataset.json").read_text())["validation"][0]
    entry = Store(tmp_path).add(a_cohort / case["image"], Recipe((3.0, 3.0, 3.0)), labels=a_cohort / case["label"])
    sampler = PatchSampler([entry], settings(patches={"positive_share": share}, input={"roi": [32, 32, 64]}))
    labels, half = np.asarray(entry.label_map()), np.array([16, 16, 32])
    corners = [
        np.array(sampler._corner(entry, entry.image(), labels, np.random.default_rng(number))) for number in range(300)
    ]
    # Where the patch did not have to be moved inwards, its middle is the drawn voxel.
    free = [corner + half for corner in corners if (corner > 0).all() and (corner + 2 * half < labels.shape).all()]
    assert len(free) > 30
    assert np.mean([labels[tuple(centre)] > 0 for centre in free]) == pytest.approx(
        on_organs, abs=0.25 * (share == 0.5)
    )


def test_augmentation_turns_image_and_labels_alike(an_entry):
    changes = {"flip": 1.0, "flip_axes": [0, 1, 2], "scale_intensity": 0.0, "shift_intensity": 0.0}
    plain = PatchSampler([an_entry], settings(patches={**changes, "flip": 0.0})).draw(0)
    flipped = PatchSampler([an_entry], settings(patches=changes)).draw(0)
    assert torch.equal(flipped.image, plain.image.flip(1, 2, 3))
    assert torch.equal(flipped.labels, plain.labels.flip(1, 2, 3))


class Knowing(torch.nn.Module):
    """A network that returns the truth, but for one organ that it never finds."""

    def __init__(self, labels: np.ndarray, blind: int) -> None:
        super().__init__()
        self.labels, self.blind = torch.from_numpy(labels.astype(np.int64)), blind

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = torch.where(self.labels == self.blind, 0, self.labels)
        return torch.nn.functional.one_hot(found, 14).permute(3, 0, 1, 2)[None].float() * 9


def test_a_missing_organ_is_not_a_zero(a_cohort, tmp_path, an_entry):
    """The case has no spleen, the network misses the liver: the mean is over the other 12 organs, liver included."""
    case = json.loads((a_cohort / "dataset.json").read_text())["validation"][0]
    labels = read_labels(a_cohort / case["label"])
    present = sorted(set(np.unique(labels.array).tolist()) - {0, 1})
    write_volume(
        replace(labels, array=np.where(labels.array == 1, 0, labels.array).astype(np.uint8)), tmp_path / "l.nii.gz"
    )
    entry = Store(tmp_path / "s").add(a_cohort / case["image"], Recipe((8.0, 8.0, 8.0)), labels=tmp_path / "l.nii.gz")
    validation = Validation([entry], settings(), torch.device("cpu"))
    truth = np.asarray(entry.label_map())
    validation.inferer = lambda image, network: network(image)
    found = validation.measure(Knowing(truth, blind=6))
    assert "dice/spleen" not in found
    assert found["dice/liver"] == 0
    assert found["dice/aorta"] == 1
    assert found["dice"] == pytest.approx((len(present) - 1) / len(present))


def test_dice_equals_simpleitk(an_entry):
    validation = Validation([an_entry], settings(), torch.device("cpu"))
    truth = np.asarray(an_entry.label_map())
    moved = np.roll(truth, 1, axis=0)
    validation.inferer = lambda image, network: network(image)
    found = validation.measure(Knowing(moved, blind=99))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.GetImageFromArray(truth), sitk.GetImageFromArray(moved))
    assert found["dice/liver"] == pytest.approx(overlap.GetDiceCoefficient(6), abs=1e-6)
    assert found["dice/left kidney"] == pytest.approx(overlap.GetDiceCoefficient(3), abs=1e-6)


def test_the_run_takes_the_encoder_over_and_leaves_a_segmenter(a_segmenter, a_pretrained_run):
    run = RunFolder(a_segmenter)
    started = next(event for event in run.events() if event["event"] == "started")
    assert started["coverage"] == "126 of 126 encoder tensors taken over"
    card = load_model(a_segmenter).card
    assert (card["kind"], len(card["labels"])) == ("segmenter", 13)
    assert card["provenance"]["encoder"] == "126 of 126 encoder tensors taken over"
    assert "dice" in card["metrics"]["validation"]
    shown = np.load(sorted(run.previews.glob("segmentation-*.npz"))[-1], allow_pickle=False)
    assert shown["image"].shape == shown["truth"].shape == shown["prediction"].shape


def test_the_best_model_is_kept(tmp_path, a_cohort):
    """With a destructive last half, the model is from before it."""
    out = tmp_path / "run"
    finetune(a_cohort, out, {"training": {"steps": 6, "best": "loss"}})
    events = list(RunFolder(out).events())
    losses = {event["step"]: event["value"] for event in events if event.get("name") == "validation/loss"}
    best = min((step for step in losses if step), key=losses.__getitem__)
    assert load_model(out).card["provenance"]["best_step"] == best
    kept = load_checkpoint(RunFolder(out).checkpoints / "best.ckpt")
    assert kept["step"] == best
    assert same_tensors(load_model(out).state, kept["model"])


def test_a_resumed_run_ends_bit_equal(tmp_path, a_cohort, a_segmenter, a_pretrained_run):
    out = tmp_path / "run"
    assert finetune(a_cohort, out, init=a_pretrained_run, control=StopAfter(3 + 1)).step == 2
    assert finetune(a_cohort, out, resume=True).step == 4
    first, second = (load_checkpoint(RunFolder(run).checkpoints / "last.ckpt") for run in (a_segmenter, out))
    assert same_tensors(first["model"], second["model"])
    for number, state in first["optimizer"]["state"].items():
        assert same_tensors(state, second["optimizer"]["state"][number])


def test_less_than_the_whole_encoder_is_an_error_unless_forced(tmp_path, a_cohort, a_pretrained_run):
    other = {"network": {"feature_size": 24}, "training": {"steps": 1}}
    with pytest.raises(InputError, match="does not fit this network"):
        finetune(a_cohort, tmp_path / "refused", other, init=a_pretrained_run)
    assert finetune(a_cohort, tmp_path / "forced", other, init=a_pretrained_run, force=True).step == 1


def test_unlabelled_data_is_refused(tmp_path, a_cohort):
    with pytest.raises(InputError, match="names no CT with labels") as caught:
        finetune(Path(a_cohort / "images"), tmp_path / "run")
    assert "datalist" in caught.value.hint
    assert not (tmp_path / "run").exists()

"""Pre-training: it learns, a seed is a seed, and what it leaves is what it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import TINY, metrics, pretrain, same_tensors

from SwinSSLLib.checkpoints import load_checkpoint
from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.discretion import revealed
from SwinSSLLib.errors import EnvironmentProblem, InputError
from SwinSSLLib.models import load_model
from SwinSSLLib.nets.fast import accelerate
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.optimizing import schedule
from SwinSSLLib.presets import pretrain_settings
from SwinSSLLib.pretrain.batches import to_input, two_views
from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.objectives import ssl_objectives
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import TrainingSettings
from SwinSSLLib.validation import merged


def test_a_run_folder_holds_what_it_promises(a_pretrained_run):
    run = RunFolder(a_pretrained_run)
    status, job = run.status(), run.job()
    assert (status["state"], status["step"], status["total"]) == ("finished", 4, 4)
    assert (job["kind"], len(job["inputs"])) == ("pretrain", 6)
    assert {"chance", "training", "validation"} <= next(e for e in run.events() if e["event"] == "started").keys()
    assert {file.name for file in run.checkpoints.iterdir()} >= {"last.ckpt", "previous.ckpt"}
    names = {name for name, _ in metrics(run.path)}
    for name in ("total", "inpaint", "inpaint_masked", "contrast", "rotation_loss", "rotation_accuracy"):
        assert f"validation/{name}" in names
    card = load_model(run.path).card
    assert (card["kind"], card["network"]["merging"], card["provenance"]["steps"]) == ("pretrained", "fixed", 4)


def test_a_preview_shows_fixed_sub_volumes_as_the_network_saw_them(a_pretrained_run):
    files = RunFolder(a_pretrained_run).preview_files()
    assert [file.name for file in files] == ["step-000000.npz", "step-000002.npz", "step-000004.npz"]
    first, last = (np.load(file, allow_pickle=False) for file in (files[0], files[-1]))
    for name in ("original", "masked", "reconstructed"):
        assert last[name].shape == (2, 32, 32, 32)
        assert last[name].dtype == np.float16
        assert 0 <= last[name].min() <= last[name].max() <= 1
    assert np.array_equal(first["original"], last["original"])  # steps can be compared
    assert np.array_equal(first["masked"], last["masked"])
    assert not np.array_equal(first["reconstructed"], last["reconstructed"])
    assert last["rotation_probability"].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.allclose(np.diag(last["similarity"]), 1, atol=1e-5)
    assert last["similarity"].shape == (4, 4)
    assert int(last["confusion"].sum()) == 2 * 4
    assert np.allclose(np.abs(np.diag(last["ijk_to_ras"][0]))[:3], 8)


def test_a_preview_lies_where_its_sub_volume_came_from(a_cohort, a_pretrained_run):
    """ijk_to_ras is of the unrotated sub-volume: turned back, it equals the CT there."""
    from SwinSSLLib.data.volumes import read_volume

    preview = np.load(RunFolder(a_pretrained_run).preview_files()[0], allow_pickle=False)
    job = RunFolder(a_pretrained_run).job()
    for number, turns in enumerate(preview["rotation_true"]):
        source = read_volume(a_cohort / "images" / revealed(str(preview["source"][number]), job))
        upright = np.rot90(preview["original"][number], -turns)
        low, high = preview["hu_window"]
        hu = upright.astype(float) * (high - low) + low
        middle = np.array([16, 16, 16, 1.0])
        i, j, k = np.round((np.linalg.inv(source.ijk_to_ras) @ preview["ijk_to_ras"][number] @ middle)[:3]).astype(int)
        if all(0 <= index < size for index, size in zip((i, j, k), source.shape, strict=True)):
            expected = np.clip(float(source.array[i, j, k]), low, high)
            assert hu[16, 16, 16] == pytest.approx(expected, abs=1.0)


def test_the_same_seed_gives_the_same_model_and_another_one_does_not(tmp_path, a_cohort, a_pretrained_run):
    pretrain(a_cohort, tmp_path / "same", {"training": {"workers": 0}})
    pretrain(a_cohort, tmp_path / "other", {"training": {"seed": 1}})
    first = load_model(a_pretrained_run).state
    assert same_tensors(first, load_model(tmp_path / "same").state)
    assert not same_tensors(first, load_model(tmp_path / "other").state)


def test_volumes_smaller_than_a_sub_volume(tmp_path, a_cohort):
    with pytest.raises(InputError, match=r"smaller than a sub-volume: 42 × 36 × 36 voxels .* 64 × 64 × 64 needed"):
        pretrain(a_cohort, tmp_path / "run", {"input": {"roi": [64, 64, 64]}})
    assert RunFolder(tmp_path / "run").status()["state"] == "failed"


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": {"pooling": "corner", "reconstruction": "vae"}, "input": {"roi": [64, 32, 32]}},
        {"network": {"merging": "legacy"}, "loss": {"contrast": 0, "rotation": 0, "masked_only": True}},
        {"views": {"rotation": "sagittal", "cutout": "official"}, "training": {"accumulate": 2}},
    ],
    ids=["official heads", "masked only", "official views"],
)
def test_every_variant_trains(tmp_path, a_cohort, changes):
    if changes.get("input"):  # 64 to the right needs a CT as wide; the phantoms are resampled finer
        changes = merged(changes, {"input": {"spacing": [4.0, 4.0, 8.0]}})
    before = merged({"training": {"steps": 2}}, changes)
    assert pretrain(a_cohort, tmp_path / "run", before).step == 2
    assert all(np.isfinite(value) for value in metrics(tmp_path / "run").values())


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_half_precision_is_for_graphics_cards(tmp_path, a_cohort, precision):
    """bf16 on a CPU: PyTorch's weight gradient of small 3D convolutions reads memory that nobody has written."""
    with pytest.raises(EnvironmentProblem, match=precision) as caught:
        pretrain(a_cohort, tmp_path / "run", {"training": {"precision": precision}})
    assert "32-true" in caught.value.hint


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, a_cohort):
    with pytest.raises(Exception, match="diverged"):
        pretrain(
            a_cohort,
            tmp_path / "run",
            {"training": {"lr": 1.0, "clip": 0.0, "weight_decay": 1e6, "steps": 40, "checkpoint_every": 1}},
        )
    kept = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert all(bool(torch.isfinite(value).all()) for value in kept["model"].values() if value.is_floating_point())


def test_the_schedule():
    training = TrainingSettings(steps=110, warmup=10, lr=1.0)
    rates = [schedule(step, training) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.5)
    assert rates[110] == pytest.approx(0.0)
    constant = TrainingSettings(steps=110, warmup=0, schedule="constant")
    assert {schedule(step, constant) for step in range(110)} == {1.0}


def test_two_sub_volumes_can_be_learned_by_heart():
    """The method learns: every rotation told right, removed voxels restored four times better than by the mean."""
    # The paper's head: one transposed convolution learns two images by heart sooner than five small ones.
    settings = pretrain_settings("quick", merged(TINY, {"heads": {"reconstruction": "transposed"}}))
    blocks = [make_phantom(seed, spacing=(8.0, 8.0, 8.0), shape=(32, 32, 32)).image.array for seed in (1, 2)]
    sub_volumes = to_input(blocks, settings.input, torch.device("cpu"))
    torch.manual_seed(0)
    network = accelerate(SSLNet(settings.network, settings.heads))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    steps = 230
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 20) * (1 - step / steps)
        views = two_views(sub_volumes, settings, Draws(step))
        loss = ssl_objectives(network(views.corrupted), views, settings.loss).total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    network.eval()
    right, restored, by_mean = [], [], []
    with torch.no_grad():
        for seed in range(10_000, 10_010):  # views that it has not seen
            views = two_views(sub_volumes, settings, Draws(seed))
            output = network(views.corrupted)
            right.append((output.rotation.argmax(1) == views.rotation).float().mean())
            restored.append((output.reconstruction - views.target).abs()[views.mask].mean())
            mean = views.target.mean(dim=(1, 2, 3, 4), keepdim=True)
            by_mean.append((mean - views.target).abs()[views.mask].mean())
    accuracy, ratio = (
        float(torch.stack(right).mean()),
        float(torch.stack(restored).mean() / torch.stack(by_mean).mean()),
    )
    print(f"rotation {accuracy:.1%}, masked L1 {ratio:.3f} of the mean image's")
    assert accuracy == 1.0
    assert ratio < 0.25


def test_a_collapsed_encoder_is_told_once(tmp_path, a_cohort, monkeypatch):
    """Equal embeddings for all: found in three of four quick runs at twice the learning rate."""
    from SwinSSLLib.nets.heads import SSLNet

    forward = SSLNet.forward

    def collapsed(self, views):
        output = forward(self, views)
        return output._replace(embedding=output.embedding * 0 + 1)

    pretrain(a_cohort, tmp_path / "well")
    monkeypatch.setattr(SSLNet, "forward", collapsed)
    pretrain(a_cohort, tmp_path / "collapsed")
    told = {
        name: [
            event["message"]
            for event in RunFolder(tmp_path / name).events()
            if event["event"] == "warning" and "collapsed" in event["message"]
        ]
        for name in ("well", "collapsed")
    }
    assert told["well"] == []
    assert len(told["collapsed"]) == 1
    assert "--lr" in told["collapsed"][0]


def test_the_chance_line_is_that_of_what_is_measured(tmp_path, a_cohort):
    """Six sub-volumes a batch, but four to validate with: ln 7 and not ln 11."""
    pretrain(a_cohort, tmp_path / "run", {"training": {"batch": 6, "steps": 1}, "validation_sub_volumes": 4})
    started = next(event for event in RunFolder(tmp_path / "run").events() if event["event"] == "started")
    assert started["chance"]["contrast"] == pytest.approx(math.log(7))


def test_a_batch_of_one_cannot_be_contrasted_and_that_is_said(a_cohort, tmp_path):
    heard: list[dict] = []
    changes = {"training": {"steps": 1, "batch": 1}}
    pretrain(a_cohort, tmp_path / "alone", changes, sinks=(heard.append,))
    pretrain(a_cohort, tmp_path / "off", {**changes, "loss": {"contrast": 0.0}}, sinks=(heard.append,))
    told = [event["message"] for event in heard if event["event"] == "warning" and "contrast" in event["message"]]
    assert len(told) == 1
    assert "Take a batch of 2 or more" in told[0]

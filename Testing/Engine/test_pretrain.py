"""Pre-training: it learns, it can be stopped and resumed to the bit, and a seed is a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, StopAfter, pretrain, same_tensors

from SwinSSLLib.checkpoints import load_checkpoint
from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.discretion import revealed
from SwinSSLLib.errors import EnvironmentProblem, InputError, MemoryShortage
from SwinSSLLib.fitting import schedule
from SwinSSLLib.models import load_model
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.preparing import StoppedWhilePreparing
from SwinSSLLib.presets import pretrain_settings
from SwinSSLLib.pretrain.batches import to_input, two_views
from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.objectives import ssl_objectives
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import TrainingSettings
from SwinSSLLib.validation import merged


def metrics(run: Path) -> dict[tuple[str, int], float]:
    events = RunFolder(run).events()
    return {(event["name"], event["step"]): event["value"] for event in events if event["event"] == "metric"}


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


def test_a_resumed_run_ends_bit_equal(tmp_path, a_cohort, a_pretrained_run):
    """2 k steps equal k + stop + resume + k: weights, optimiser and every metric."""
    out = tmp_path / "run"
    progress = pretrain(a_cohort, out, control=StopAfter(len(list((a_cohort / "images").iterdir())) + 1))
    assert progress.step == 2
    assert RunFolder(out).status()["state"] == "stopped"
    assert pretrain(a_cohort, out, resume=True).step == 4
    assert same_tensors(load_model(a_pretrained_run).state, load_model(out).state)
    first, second = (load_checkpoint(path / "checkpoints" / "last.ckpt") for path in (a_pretrained_run, out))
    for number, state in first["optimizer"]["state"].items():
        assert same_tensors(state, second["optimizer"]["state"][number])
    expected, found = metrics(a_pretrained_run), metrics(out)
    for key, value in expected.items():
        if key[0].startswith("validation/"):
            assert found[key] == value, key


def test_a_run_stopped_before_its_first_step_resumes_from_its_beginning(tmp_path, a_cohort, a_pretrained_run):
    out = tmp_path / "run"
    with pytest.raises(StoppedWhilePreparing):
        pretrain(a_cohort, out, control=StopAfter(2))
    assert RunFolder(out).status()["state"] == "stopped"
    assert pretrain(a_cohort, out, resume=True).step == 4
    assert same_tensors(load_model(a_pretrained_run).state, load_model(out).state)


def test_when_no_checkpoint_can_be_read_the_run_is_named(tmp_path, a_cohort):
    out = tmp_path / "run"
    pretrain(a_cohort, out)
    for file in RunFolder(out).checkpoints.iterdir():
        file.write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"No checkpoint of .*run can be read"):
        pretrain(a_cohort, out, resume=True)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, a_cohort, a_pretrained_run):
    out = tmp_path / "run"
    pretrain(a_cohort, out)
    last = RunFolder(out).checkpoints / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    pretrain(a_cohort, out, resume=True)
    warnings = [event["message"] for event in RunFolder(out).events() if event["event"] == "warning"]
    assert any("last.ckpt is damaged" in message for message in warnings)
    assert same_tensors(load_model(a_pretrained_run).state, load_model(out).state)


def test_no_flipped_bit_of_a_checkpoint_is_taken_for_good(tmp_path, a_pretrained_run):
    """Anywhere in the file: it is refused, or the bit stood where nothing is (padding), and all is as it was."""
    whole = RunFolder(a_pretrained_run).checkpoints / "last.ckpt"
    content, random, refused = whole.read_bytes(), np.random.default_rng(0), 0
    expected = load_checkpoint(whole)
    file = tmp_path / "last.ckpt"
    for place in random.integers(0, len(content), 40):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        file.write_bytes(damaged)
        try:
            found = load_checkpoint(file)
        except InputError as error:
            refused += "damaged" in error.message or "not a checkpoint" in error.message
            continue
        assert found["step"] == expected["step"] and same_tensors(found["model"], expected["model"])
        refused += 1
    assert refused == 40


def test_a_checkpoint_that_would_run_code_is_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"step": Trap()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_resuming_as_something_else_is_refused(tmp_path, a_cohort, a_pretrained_run):
    with pytest.raises(InputError, match=r"training\.lr"):
        pretrain(a_cohort, a_pretrained_run, {"training": {"lr": 0.5}}, resume=True)
    with pytest.raises(InputError, match="already holds a run"):
        pretrain(a_cohort, a_pretrained_run)
    assert RunFolder(a_pretrained_run).status()["state"] == "finished"


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
    network = SSLNet(settings.network, settings.heads)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    steps = 350
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


def starve(monkeypatch, most: int, times: int = 10**9, error: type[Exception] = RuntimeError) -> None:
    """A network for which the memory does not suffice when a batch has more than ``most`` views."""
    whole, left = SSLNet.forward, [times]

    def forward(network, views):
        if views.device.type == "cpu" and torch.is_grad_enabled() and len(views) > most and left[0] > 0:
            left[0] -= 1
            raise error("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return whole(network, views)

    monkeypatch.setattr(SSLNet, "forward", forward)


def warnings_of(run: RunFolder) -> list[str]:
    return [event["message"] for event in run.events() if event["event"] == "warning"]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, torch.OutOfMemoryError])
def test_a_step_that_lacks_memory_once_is_taken_again_and_changes_nothing(
    tmp_path, a_cohort, a_pretrained_run, monkeypatch, error
):
    """Checkpointing computes the same: the run ends bit-equal to one that was never short."""
    starve(monkeypatch, 1, times=1, error=error)
    assert pretrain(a_cohort, tmp_path / "run").step == 4
    assert any("memory did not suffice" in words for words in warnings_of(RunFolder(tmp_path / "run")))
    assert RunFolder(tmp_path / "run").job()["thrift"] == {"checkpointing": True, "pieces": 1}
    assert same_tensors(load_model(a_pretrained_run).state, load_model(tmp_path / "run").state)


def test_batches_go_in_pieces_where_the_memory_holds_no_whole_one(tmp_path, a_cohort, monkeypatch):
    """Without the contrastive loss, which looks across a batch, the result is that of whole batches."""
    changes = {"loss": {"contrast": 0}, "training": {"steps": 2, "batch": 3}}
    pretrain(a_cohort, tmp_path / "whole", changes)
    starve(monkeypatch, 4)
    pretrain(a_cohort, tmp_path / "run", changes)
    run = RunFolder(tmp_path / "run")
    assert run.job()["thrift"] == {"checkpointing": True, "pieces": 2}  # of 2 and 1 sub-volumes
    assert sum("memory did not suffice" in words for words in warnings_of(run)) == 2
    expected, found = metrics(tmp_path / "whole"), metrics(tmp_path / "run")
    assert found[("train/total", 2)] == pytest.approx(expected[("train/total", 2)], rel=1e-5)
    whole, pieces = (load_model(tmp_path / name).state for name in ("whole", "run"))
    off = torch.cat([(value.float() - pieces[name].float()).abs().flatten() for name, value in whole.items()])
    # AdamW moves every weight by its learning rate at first, in either direction where its gradient is all but 0.
    assert (off > 1e-5).float().mean() < 0.01


def test_a_run_without_enough_memory_ends_with_numbers_and_can_be_resumed(
    tmp_path, a_cohort, a_pretrained_run, monkeypatch
):
    with monkeypatch.context() as poor:
        starve(poor, 0)
        with pytest.raises(MemoryShortage, match=r"about \d+\.\d GiB .* \d+\.\d GiB were free") as caught:
            pretrain(a_cohort, tmp_path / "run")
        assert caught.value.exit_code == 3 and "--batch" in caught.value.hint
    assert RunFolder(tmp_path / "run").status()["state"] == "failed"
    assert pretrain(a_cohort, tmp_path / "run", resume=True).step == 4
    found = load_model(tmp_path / "run").state
    assert same_tensors(load_model(a_pretrained_run).state, found)


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

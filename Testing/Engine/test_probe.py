"""The linear probe: what one linear layer reads from frozen features."""

from __future__ import annotations

import json
import shutil
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from SwinSSLLib.cli import main as swinssl
from SwinSSLLib.data.datalists import read_datalist
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.errors import InputError
from SwinSSLLib.evaluate import probe as probing
from SwinSSLLib.evaluate.probe import build_encoder_of, probe
from SwinSSLLib.models import load_model
from SwinSSLLib.presets import finetune_settings

SETTINGS = finetune_settings("quick", {"input": {"spacing": [8.0, 8.0, 8.0], "roi": [64, 32, 32]}})


@pytest.fixture(scope="module")
def entries(a_cohort, tmp_path_factory):
    """The three labelled phantoms in a store, 42 × 36 × 36 voxels: one of several tiles on each axis."""
    listed = read_datalist(a_cohort)
    store = Store(tmp_path_factory.mktemp("store"))
    cases = (*listed.training, *listed.validation)
    return [store.add(case.image, Recipe(SETTINGS.input.spacing), labels=case.labels) for case in cases]


class Oracle(nn.Module):
    """Knows the answer: one channel a class at the finest level; the others say nothing.

    It finds the place of a sub-volume by its voxels, so it also says whether features and labels meet.
    """

    def __init__(self, entries, inputs) -> None:
        super().__init__()
        self.labels = {}
        for entry in entries:
            image, labels = entry.image(), entry.label_map()
            for corner in product(*(range(0, size, step) for size, step in zip(image.shape, inputs.roi, strict=True))):
                block = torch.from_numpy(probing.cut(image, corner, inputs.roi)).float()
                self.labels[self.sign(probing.scale_window(block, inputs.hu_window))] = probing.cut(
                    labels, corner, inputs.roi, outside=0
                )

    @staticmethod
    def sign(image: torch.Tensor) -> bytes:
        return image.numpy().tobytes()

    def forward(self, image, normalize):
        assert normalize
        whole = torch.from_numpy(self.labels[self.sign(image[0, 0])]).long()
        finest = nn.functional.avg_pool3d(nn.functional.one_hot(whole, 14).permute(3, 0, 1, 2)[None].float(), 2)
        labels = whole[::2, ::2, ::2]
        return [finest, *(torch.zeros(1, 2, *(size // 2**level for size in labels.shape)) for level in range(1, 5))]


def test_an_encoder_that_knows_the_organs_is_read_and_one_that_knows_nothing_is_not(entries):
    knows = probe(Oracle(entries, SETTINGS.input), SETTINGS.input, entries[:2], entries[2:])
    assert knows.balanced_accuracy > 0.99
    assert set(knows.recall) > {"background", "liver", "spleen"}

    class Blind(Oracle):
        def forward(self, image, normalize):
            return [torch.zeros_like(found) for found in super().forward(image, normalize)]

    blind = probe(Blind(entries, SETTINGS.input), SETTINGS.input, entries[:2], entries[2:])
    assert blind.balanced_accuracy == pytest.approx(blind.chance)
    assert blind.tokens == knows.tokens


def test_the_linear_layer_is_a_logistic_regression():
    """Against SciPy's minimum of the same convex function."""
    from scipy.optimize import minimize

    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 300)
    features = random.normal(0, 1, (300, 5)) + np.eye(3, 5)[classes] * 1.5
    model = probing._fit(torch.tensor(features, dtype=torch.float32), torch.tensor(classes), torch.device("cpu"))
    x = torch.tensor((features - features.mean(0)) / features.std(0, ddof=1))
    y = torch.tensor(classes)
    weights = torch.tensor([1 / max(1, int((y == n).sum())) if (y == n).any() else 0.0 for n in range(14)]).double()

    def loss(flat):
        parameters = torch.tensor(flat, requires_grad=True)
        weight, bias = parameters[:70].view(14, 5), parameters[70:]
        value = nn.functional.cross_entropy(x @ weight.T + bias, y, weights) + 1e-3 * weight.square().sum()
        value.backward()
        return float(value.detach()), parameters.grad.numpy()

    best = minimize(loss, np.zeros(84), jac=True, method="BFGS")
    own = np.concatenate([model.layer.weight.detach().numpy().ravel(), model.layer.bias.detach().numpy()])
    assert loss(own.astype(float))[0] == pytest.approx(best.fun, abs=1e-4)
    told = model(torch.tensor(features, dtype=torch.float32)).numpy()
    assert (
        told == (x @ torch.tensor(best.x[:70]).view(14, 5).T + torch.tensor(best.x[70:])).argmax(1).numpy()
    ).mean() > 0.99


def test_features_are_those_of_the_encoder_at_the_tokens_place(entries):
    encoder = build_encoder_of(SETTINGS.network, None, seed=3)
    chosen = np.array([[2, 3, 4, 6], [20, 17, 17, 1]])  # in the first tile and in the last one
    found = list(probing._columns(encoder, SETTINGS.input, entries[0], chosen, torch.device("cpu")))
    assert [int(classes) for _, classes in found] == [6, 1]
    for (columns, _), corner, place in zip(found, ((0, 0, 0), (0, 32, 32)), ((2, 3, 4), (20, 1, 1)), strict=True):
        block = torch.from_numpy(probing.cut(entries[0].image(), corner, SETTINGS.input.roi)).float()
        image = ((block + 175) / 425).clamp(0, 1)[None, None]
        with torch.no_grad():
            maps = encoder(image)
        expected = [level[0, :, place[0] >> n, place[1] >> n, place[2] >> n] for n, level in enumerate(maps)]
        torch.testing.assert_close(columns[0], torch.cat(expected))
        assert columns.shape[1] == (1 + 2 + 4 + 8 + 16) * SETTINGS.network.feature_size


def test_the_encoder_is_the_models(a_pretrained_run):
    model = load_model(a_pretrained_run)
    encoder = build_encoder_of(SETTINGS.network, model.state)
    name = "patch_embed.proj.weight"
    assert torch.equal(encoder.state_dict()[name], model.state[f"swinViT.{name}"])
    assert not torch.equal(build_encoder_of(SETTINGS.network, None).state_dict()[name], model.state[f"swinViT.{name}"])


def test_on_the_command_line_and_in_the_report(a_cohort, a_pretrained_run, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "probe.json"
    shutil.copytree(a_pretrained_run, run)
    words = ["probe", "-i", run, "-d", a_cohort, "-o", out, "--cache", tmp_path / "cache"]
    assert swinssl([str(word) for word in words]) == 0
    told = capsys.readouterr().out
    assert "balanced accuracy" in told
    assert "liver" in told
    found = json.loads(out.read_text())
    assert found == json.loads((run / "probe.json").read_text())
    assert 0 <= found["model"]["balanced_accuracy"] <= 1
    assert found["model"]["tokens"] == found["random"]["tokens"] > 100
    assert "Linear probe" in (run / "report.html").read_text()


def test_no_labels_no_probe(a_cohort, a_pretrained_run, entries, tmp_path):
    assert swinssl(["probe", "-i", str(a_pretrained_run), "-d", str(a_cohort / "images")]) == 2
    with pytest.raises(InputError, match="labelled CTs"):
        probe(build_encoder_of(SETTINGS.network, None), SETTINGS.input, [], entries)

"""What Docs/method.md says in numbers and names is what the code has. (Its tables of presets: test_reference.py.)"""

from __future__ import annotations

import ast
import inspect
import math
import re
from pathlib import Path

import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.networks.nets.swin_unetr import PatchMerging, PatchMergingV2
from torch import nn

from SwinSSLLib.data import sampling
from SwinSSLLib.finetune.patches import PatchSampler
from SwinSSLLib.finetune.validation import make_loss
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.nets.merging import LegacyPatchMerging
from SwinSSLLib.nets.swin import build_segmenter, deepest_channels, parameters_of
from SwinSSLLib.presets import finetune_settings, pretrain_settings
from SwinSSLLib.pretrain import trainer
from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.views import ViewSettings, cutout_mask, make_views
from SwinSSLLib.settings import PretrainSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "Docs" / "method.md").read_text(encoding="utf-8")


def said(*words: str) -> None:
    """That the page says these words, however its lines are broken."""
    flat = " ".join(PAGE.split())
    for one in words:
        assert " ".join(one.split()) in flat, one


def test_sizes_of_the_networks():
    networks = {name: SSLNet(*_parts(pretrain_settings(name))) for name in ("recommended", "paper")}
    segmenter = build_segmenter(finetune_settings().network)
    said(
        f"`recommended` encoder and heads have {parameters_of(networks['recommended']):,} values",
        f"with `paper` {parameters_of(networks['paper']):,}",
        f"({parameters_of(networks['paper'].swinViT):,} values in all)",
        f"{parameters_of(segmenter):,} values, 14 classes",
    )
    channels = deepest_channels(pretrain_settings().network)
    said(
        f"$3^3$ tokens of {channels} channels",
        f"one linear layer, {channels} → 4",
        f"one linear layer, {channels} → 512",
    )
    assert pretrain_settings().heads.contrast_channels == 512


def _parts(settings: PretrainSettings):
    return settings.network, settings.heads


def test_chance_lines():
    numbers = re.findall(r"\\ln (\d+)\$ = ([\d.]+)", PAGE)
    assert [number for number, _ in numbers] == ["4", "3", "7", "31"]
    for number, value in numbers:
        assert f"{math.log(int(number)):.3f}" == value
    for count, others in re.findall(r"\\ln (\d+)\$ = [\d.]+ for \$N = (\d+)\$", PAGE):
        assert int(count) == 2 * int(others) - 1
    settings = pretrain_settings()
    views = 2 * settings.validation_sub_volumes
    said(f"{settings.validation_sub_volumes} fixed sub-volumes", f"over the {views} views", "comes within 0.0003 of")
    assert trainer._COLLAPSED == 3e-4


def test_cutout_and_air():
    mask = cutout_mask(2, (96, 96, 96), 0.3, (0.05, 0.25), Draws(1))
    assert mask.flatten(1).sum(1).tolist() == [265_421] * 2
    said("(265,421 of $96^3$)", "sides of 5 to 25 %", "at most 20 times", "more than 85 % below −500 HU")
    views = pretrain_settings().views
    assert (views.cutout_share, views.box_sides) == (0.3, (0.05, 0.25))
    assert (sampling._TRIES, pretrain_settings().most_air, pretrain_settings().air_below) == (20, 0.85, -500.0)
    whole = make_views(torch.full((4, 1, 96, 96, 96), 2.0), ViewSettings(), (96, 96, 96), Draws(2))
    noise = whole.corrupted[whole.mask]
    said("normal noise of mean 0.5 and standard deviation 1/6, clipped to 0..1")
    assert noise.mean() == pytest.approx(0.5, abs=2e-3) and noise.std() == pytest.approx(1 / 6, abs=2e-3)


def test_the_orders_of_patch_merging():
    """Read out of the classes: eight voxels with their own numbers, and a reduction that lets them through."""
    kinds = {"legacy": LegacyPatchMerging, "fixed": PatchMerging, "v2": PatchMergingV2}
    for name, kind in kinds.items():
        merging = kind(dim=1, spatial_dims=3)
        merging.norm, merging.reduction = nn.Identity(), nn.Identity()
        numbers = torch.arange(8.0).view(1, 2, 2, 2, 1)  # 4 i + 2 j + k
        order = [f"{int(number):03b}" for number in merging(numbers).flatten()]
        said(f"| `{name}` | {' '.join(order)} |")


def test_fine_tuning():
    settings = finetune_settings()
    plain, squared = (make_loss(finetune_settings(changes={"dice": dice})) for dice in ("plain", "squared"))
    for loss, power, batch in ((plain, False, False), (squared, True, True)):
        dice = loss.dice
        assert (dice.squared_pred, dice.batch, dice.smooth_nr, dice.smooth_dr) == (power, batch, 1e-5, 1e-5)
        assert dice.include_background and (loss.lambda_dice, loss.lambda_ce) == (1.0, 1.0)
    assert settings.patches.positive_share == 0.5
    augmentation = inspect.getsource(PatchSampler._augmentation)
    assert "factors=0.1" in augmentation and "offsets=0.1" in augmentation
    assert settings.patches.scale_intensity == settings.patches.shift_intensity == 0.1
    assert settings.overlap == 0.5
    weights = compute_importance_map((96, 96, 96), mode="gaussian")
    middle = (96 - 1) / 2
    distance = torch.tensor([40.0, 50.0, 60.0]) - middle
    expected = torch.exp(-(distance**2).sum() / (2 * (0.125 * 96) ** 2))
    assert weights[40, 50, 60] / weights.max() == pytest.approx(float(expected), rel=0.01)
    assert float(weights.min()) == pytest.approx(1e-3)
    said("at least 0.001", r"\sigma_a = 0.125 \cdot r_a", r"\epsilon = 10^{-5}")


def test_formulas_hold_nothing_that_markdown_takes_for_itself():
    """A backslash before a sign is Markdown's escape: ``\\,`` would be shown as a comma; ``}_`` may begin italics."""
    outside_code = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", PAGE)
    formulas = re.findall(r"(?s)\$\$(.+?)\$\$|\$([^$\n]+)\$", outside_code)
    assert len([block for block, _ in formulas if block]) == 7
    for formula in ("".join(pair) for pair in formulas):
        assert not re.search(r"\\[^A-Za-z\s]|\}_|[*<&]", formula), formula
        assert not re.search(r"\n\s*[-+=#>\d]", formula), f"{formula}: a line that begins like a list or a heading"
        assert formula.count("{") == formula.count("}"), formula


def test_every_file_and_function_that_is_named_exists():
    files = set(re.findall(r"`((?:\w+/)*\w+\.py)`", PAGE))
    assert len(files) > 15
    for name in files:
        assert (ROOT / name).is_file() or (ROOT / "SwinSSLLib" / name).is_file(), name
    named = re.findall(r"`((?:\w+/)*\w+\.py)`: `([\w.]+)`", PAGE)
    assert len(named) > 6
    for file, name in named:
        tree = ast.parse((ROOT / "SwinSSLLib" / file).read_text(encoding="utf-8"))
        every = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert set(name.split(".")) <= every, f"{file}: {name}"

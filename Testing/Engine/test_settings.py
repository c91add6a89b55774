"""Settings: presets are valid, and a bad file is told off once, for everything."""

from __future__ import annotations

import json
import math

import pytest

from SwinSSLLib.errors import InputError
from SwinSSLLib.presets import PRESETS, finetune_settings, pretrain_settings
from SwinSSLLib.settings import PretrainSettings, read_settings_file
from SwinSSLLib.validation import build, to_dict


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("make", [pretrain_settings, finetune_settings])
def test_a_preset_survives_the_way_through_a_file(preset, make):
    settings = make(preset)
    assert build(type(settings), json.loads(json.dumps(to_dict(settings)))) == settings
    assert settings.preset == preset


def test_presets_say_what_the_sources_say():
    paper, official = pretrain_settings("paper"), pretrain_settings("official")
    assert (paper.views.rotation, paper.views.cutout, paper.views.cutout_share) == ("axial", "exact", 0.3)
    assert (paper.training.lr, paper.training.weight_decay, paper.loss.temperature) == (4e-4, 1e-5, 0.5)
    assert paper.heads.reconstruction == "transposed"
    assert (official.views.rotation, official.views.cutout, official.heads.pooling) == (
        "sagittal",
        "official",
        "corner",
    )
    assert (official.heads.reconstruction, official.input.spacing) == ("vae", None)
    for preset in PRESETS:
        loss = pretrain_settings(preset).loss
        assert (loss.inpaint, loss.contrast, loss.rotation) == (1, 1, 1)
    recommended, tuning = pretrain_settings(), finetune_settings()
    assert recommended.input == tuning.input  # pre-training sees what fine-tuning sees


def test_all_problems_are_listed_at_once():
    with pytest.raises(InputError) as caught:
        pretrain_settings(
            "quick",
            {
                "trainig": {},
                "input": {"roi": [64, 65, 64], "spacing": [1.0, 1.0]},
                "loss": {"inpaint": "much", "temperature": 0},
                "training": {"steps": True, "lr": math.nan, "precision": "8-bit"},
                "most_air": 1.5,
            },
            "my.json",
        )
    message = caught.value.message
    for part in (
        "my.json", "9 problems", "did you mean training?", "multiple of 32", "3 numbers", "loss.inpaint",
        "loss.temperature", "training.steps", "training.lr", "'32-true'", "most_air",
    ):  # fmt: skip
        assert part in message, part
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"input": {"hu_window": [250, -175]}}, "below the second"),
        ({"input": {"spacing": [1.0, 2.0, 2.0]}}, "equal spacing"),
        ({"views": {"rotation": "sagittal"}, "input": {"roi": [64, 32, 64]}}, "equal sizes along j and k"),
        ({"heads": {"pooling": "corner"}, "input": {"roi": [32, 32, 32]}}, "only one"),
        ({"loss": {"inpaint": 0, "contrast": 0, "rotation": 0}}, "all three weights are 0"),
        ({"training": {"best": "dice"}}, "training.best"),
        ({"network": {"num_heads": [5, 6, 12, 24]}}, "does not divide"),
    ],
)
def test_settings_that_exclude_each_other(changes, part):
    with pytest.raises(InputError, match=part):
        pretrain_settings("quick", changes)


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.json", "{", "not valid JSON"),
        ("a.toml", "x = = 1", "not valid TOML"),
        ("a.json", "[1]", "no named settings"),
        ("a.json", "[" * 100_000, "not valid JSON"),
    ],
)
def test_a_settings_file_that_is_none(tmp_path, name, text, part):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError, match=part) as caught:
        read_settings_file(file)
    assert str(file) in caught.value.message


def test_toml_and_json_mean_the_same(tmp_path):
    (tmp_path / "a.toml").write_text("[training]\nsteps = 7\n[loss]\ncontrast = 0.0\n")
    (tmp_path / "a.json").write_text('{"training": {"steps": 7}, "loss": {"contrast": 0.0}}')
    first, second = (read_settings_file(tmp_path / name) for name in ("a.toml", "a.json"))
    assert build(PretrainSettings, first) == build(PretrainSettings, second)

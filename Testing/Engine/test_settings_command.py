"""``swinssl settings``: what it prints is complete, explained, and taken back by ``--settings``."""

from __future__ import annotations

import dataclasses
import json
import tomllib

import pytest

from SwinSSLLib.presets import PRESETS, finetune_settings, pretrain_settings
from SwinSSLLib.settings import read_settings_file
from SwinSSLLib.settings_text import meanings
from SwinSSLLib.validation import to_dict

JOBS = {"pretrain": pretrain_settings, "finetune": finetune_settings}


def leaves(values: dict, path: str = "") -> list[str]:
    return [
        leaf
        for name, value in values.items()
        for leaf in (leaves(value, f"{path}{name}.") if isinstance(value, dict) else [f"{path}{name}"])
    ]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("job", JOBS)
def test_what_is_printed_is_read_back(swinssl, tmp_path, job, preset):
    for ending, more in ((".toml", ()), (".json", ("--json",))):
        code, out, _ = swinssl("settings", job, "--preset", preset, *more)
        assert code == 0
        file = tmp_path / f"settings{ending}"
        file.write_text(out, encoding="utf-8")
        assert JOBS[job](changes=read_settings_file(file)) == JOBS[job](preset)
    # With every line in force it is every setting there is.
    text = swinssl("settings", job, "--preset", preset)[1]
    whole = "\n".join(line[1:] if line[:1] == "#" and line[1:2] != " " else line for line in text.splitlines())
    assert leaves(tomllib.loads(whole)) and sorted(leaves(tomllib.loads(whole))) == sorted(leaves(to_dict(JOBS[job]())))


def test_changes_are_in_force_and_go_through_the_file(swinssl, tmp_path):
    changes = ("--set", "network.feature_size=24", "--set", "input.spacing=none", "--set", "loss.contrast=0.25")
    code, out, _ = swinssl("settings", "pretrain", "--preset", "quick", *changes)
    (tmp_path / "mine.toml").write_text(out)
    again = swinssl("settings", "pretrain", "--settings", tmp_path / "mine.toml", "--json")[1]
    found = json.loads(again)
    assert (code, found["network"]["feature_size"], found["input"]["spacing"]) == (0, 24, None)
    assert found["loss"]["contrast"] == 0.25
    assert again == swinssl("settings", "pretrain", "--preset", "quick", *changes, "--json")[1]


def test_every_key_has_a_word_about_it():
    for make in JOBS.values():
        settings = make()
        for part in (settings, *(getattr(settings, field.name) for field in dataclasses.fields(settings))):
            if dataclasses.is_dataclass(part):
                plain = {
                    f.name for f in dataclasses.fields(part) if not dataclasses.is_dataclass(getattr(part, f.name))
                }
                assert plain - meanings(type(part)).keys() == set(), type(part)


def test_a_complete_file_does_not_overrule_the_model_to_start_from(swinssl, tmp_path, a_pretrained_run):
    (tmp_path / "all.toml").write_text(swinssl("settings", "finetune")[1])
    code, out, _ = swinssl(
        "settings", "finetune", "--init", a_pretrained_run, "--settings", tmp_path / "all.toml", "--json"
    )
    own = json.loads((a_pretrained_run / "model" / "model.json").read_text())
    assert code == 0
    assert json.loads(out)["network"]["feature_size"] == own["network"]["feature_size"] == 12
    assert json.loads(out)["input"]["spacing"] == own["input"]["spacing"]
    code, _, said = swinssl("settings", "finetune", "--init", a_pretrained_run, "--set", "network.merging=legacy")
    assert (code, "'fixed'" in said and "network.merging" in said) == (2, True), said


@pytest.mark.parametrize("text", ["1.5,1.5,2", "1.5 1.5 2", "1.5x1.5x2", "1.5, 1.5, 2", "[1.5, 1.5, 2]"])
def test_several_numbers_as_people_write_them(swinssl, text):
    out = swinssl("settings", "finetune", "--set", f"input.spacing={text}", "--json")[1]
    assert json.loads(out)["input"]["spacing"] == [1.5, 1.5, 2.0]


def test_an_error_shows_the_form_and_where_all_settings_are(swinssl):
    code, _, said = swinssl("settings", "pretrain", "--set", "input.spacing=1.5,1.5")
    assert code == 2
    assert "1.5,1.5,2 with --set" in said
    assert "`swinssl settings pretrain`" in said


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("learning_rate", "training.lr"), ("batch_size", "training.batch"), ("max_iter", "training.steps"),
        ("epochs", "training.steps"), ("training.num_workers", "training.workers"), ("roi_size", "input.roi"),
        ("training.warmup_steps", "training.warmup"), ("lr", "training.lr"), ("loss.contrst", "loss.contrast"),
        ("patch-size", "input.roi"), ("trainig", "training"),
    ],
)  # fmt: skip
def test_names_of_other_tools_are_understood(swinssl, given, meant):
    code, _, said = swinssl("settings", "pretrain", "--set", f"{given}=3")
    assert (code, f"did you mean {meant}?" in said) == (2, True), said


def test_the_help_says_where_a_settings_file_comes_from(capsys):
    from SwinSSLLib.cli import make_parser

    for job in JOBS:
        with pytest.raises(SystemExit):
            make_parser().parse_args([job, "--help"])
        assert "swinssl settings" in capsys.readouterr().out

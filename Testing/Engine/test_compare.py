"""The comparison: paired runs, honest words about noise."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_FINETUNE
from scipy.stats import norm
from scipy.stats import t as student

from SwinSSLLib.cli import main as swinssl
from SwinSSLLib.control import Control
from SwinSSLLib.errors import InputError, SwinSSLError
from SwinSSLLib.evaluate.compare import Question, compare
from SwinSSLLib.evaluate.comparison import Comparison, Study, bootstrap
from SwinSSLLib.models import WEIGHTS, read_card
from SwinSSLLib.preparing import Preparation
from SwinSSLLib.presets import finetune_settings
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.validation import merged

ONE_STEP = finetune_settings("quick", merged(TINY_FINETUNE, {"training": {"steps": 1}}))


def a_comparison(gain: float, noise: float, seeds: int = 4, cases: int = 10) -> Comparison:
    random = np.random.default_rng(0)
    scratch = 0.6 + random.normal(0, 0.1, (seeds, cases))
    pretrained = scratch + gain + random.normal(0, noise, (seeds, cases))
    names = tuple(f"case {number}" for number in range(cases))
    dice = {"scratch": scratch.tolist(), "pretrained": pretrained.tolist()}
    return Comparison(tuple(range(seeds)), names, dice, {"scratch": {}, "pretrained": {}}, independent=True)


@pytest.mark.parametrize(
    ("gain", "words"), [(0.05, "pre-training helps"), (-0.05, "pre-training harms"), (0.0, "not more than noise")]
)
def test_a_difference_is_told_from_noise(gain, words):
    comparison = a_comparison(gain, noise=0.02)
    assert words in comparison.sentence()
    difference = comparison.difference("pretrained")
    assert difference.low < difference.mean < difference.high
    assert comparison.more_than_noise("pretrained") == (gain != 0)


def test_the_interval_is_as_wide_as_theory_says():
    """Noise of its own in every pair: the interval of the mean is about that of a normal distribution."""
    difference = a_comparison(0.0, noise=0.05, seeds=12, cases=12).difference("pretrained")
    independent = 2 * norm.ppf(0.975) * 0.05 / 12
    # Drawing rows and columns anew is the cautious way, and so is Student's t.
    assert independent < difference.high - difference.low < 3 * independent


def test_the_bootstrap_is_that_of_drawn_rows_and_columns():
    """Counts of draws times values, against indices drawn one by one."""
    values = np.random.default_rng(3).normal(0.1, 0.05, (5, 16))
    random = np.random.default_rng(1)
    means = [values[np.ix_(random.integers(5, size=5), random.integers(16, size=16))].mean() for _ in range(20_000)]
    found = bootstrap(values)
    assert found.mean == pytest.approx(values.mean())
    wider = student.ppf(0.975, 4) / norm.ppf(0.975) * np.sqrt(5 / 4)
    expected = values.mean() + wider * (np.quantile(means, [0.025, 0.975]) - values.mean())
    assert [found.low, found.high] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("seeds, cases", [(2, 16), (3, 16), (5, 16), (12, 4)])
def test_intervals_of_few_seeds_or_cases_hold_the_truth(seeds, cases, monkeypatch):
    """200 simulated studies without any difference, whose noise is mostly that of the fewer; plain percentiles miss."""
    monkeypatch.setattr("SwinSSLLib.evaluate.comparison._RESAMPLES", 1000)
    random, held = np.random.default_rng(seeds), 0
    of_seeds, of_cases = (0.03, 0.01) if seeds < cases else (0.01, 0.03)
    for _ in range(200):
        values = random.normal(0, of_seeds, (seeds, 1)) + random.normal(0, of_cases, (1, cases))
        held += not bootstrap(values + random.normal(0, 0.02, (seeds, cases))).leaves_out_zero
    assert held >= 190


def test_one_seed_or_one_case_says_nothing():
    for seeds, cases in ((1, 10), (10, 1)):
        comparison = a_comparison(0.5, noise=0.01, seeds=seeds, cases=cases)
        assert not comparison.more_than_noise("pretrained")
        assert "says nothing about noise" in comparison.sentence()


def test_what_pre_training_saves():
    """Dice 0.3, 0.5, 0.6 from scratch: 0.45 with one labelled case is worth the second one, 0.7 more than all four."""

    def study(*pretrained: float) -> Study:
        values = zip((1, 2, 4), (0.3, 0.5, 0.6), pretrained, strict=True)
        return Study(
            {count: Comparison((0,), ("x",), {"scratch": [[a]], "p": [[b]]}, {}, True) for count, a, b in values}
        )

    assert study(0.45, 0.55, 0.6).saved("p") == "p with 1 labelled reaches 0.450; scratch needs 2"
    assert study(0.7, 0.7, 0.7).saved("p") == "p with 1 labelled reaches more (0.700) than scratch with 4"
    assert study(0.3, 0.5, 0.9).saved("p") is None


def check_a_pair(scratch: dict[str, Any], pretrained: dict[str, Any], seed: int) -> None:
    assert scratch["settings"] == pretrained["settings"]
    assert scratch["inputs"] == pretrained["inputs"]
    assert scratch["settings"]["training"]["seed"] == seed


def test_pairs_differ_in_the_start_of_the_encoder_only(tmp_path, a_cohort, a_pretrained_run):
    preparation, question = Preparation((a_cohort,)), Question({"pretrained": a_pretrained_run}, seeds=1)
    comparison = compare(preparation, ONE_STEP, question, tmp_path).last
    assert np.shape(comparison.dice["scratch"]) == np.shape(comparison.dice["pretrained"]) == (1, 1)
    assert not comparison.independent
    scratch, pretrained = (RunFolder(tmp_path / f"{arm}-0").job() for arm in ("scratch", "pretrained"))
    assert (scratch["init"], Path(pretrained["init"])) == ("scratch", a_pretrained_run)
    check_a_pair(scratch, pretrained, 0)
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["dice"] == comparison.dice
    assert written["probe"]["chance"] < 0.5
    assert comparison.sentence().split(";")[0] in (tmp_path / "report.html").read_text()
    before = (tmp_path / "scratch-0" / "events.jsonl").stat().st_mtime_ns
    again = compare(preparation, ONE_STEP, replace(question, test=a_cohort, probing=False), tmp_path).last
    assert (tmp_path / "scratch-0" / "events.jsonl").stat().st_mtime_ns == before  # finished runs are used again
    assert again.independent
    assert len(again.cases) == 3


def test_a_file_of_weights_is_compared_as_the_run_that_it_is_from(tmp_path, a_cohort, a_pretrained_run):
    """A file has no card of ours: what it is told from others by is its own hash, in the probe and in the record."""
    (file := tmp_path / "encoder.safetensors").write_bytes((a_pretrained_run / "model" / WEIGHTS).read_bytes())
    question = Question({"run": a_pretrained_run, "file": file}, seeds=1)
    study = compare(Preparation((a_cohort,)), ONE_STEP, question, tmp_path / "out")
    assert study.last.dice["file"] == study.last.dice["run"]
    assert study.probes["file"] == study.probes["run"]
    starts = {name: read_card(tmp_path / "out" / f"{name}-0")["provenance"]["init_sha256"] for name in ("run", "file")}
    assert starts == dict.fromkeys(starts, hashlib.sha256(file.read_bytes()).hexdigest())


def test_fewer_labelled_cases_are_some_of_more(a_cohort):
    def learned(count: int | None, seed: int) -> list[str]:
        return [case.name for case in Preparation((a_cohort,), labelled=count).datalist(seed, 0.2).training]

    assert len(learned(None, 0)) == len(learned(2, 0)) == 2
    assert {learned(1, seed)[0] for seed in range(8)} == set(learned(2, 0)), "each seed draws its own"
    validation = Preparation((a_cohort,), labelled=1).datalist(0, 0.2).validation
    assert validation == Preparation((a_cohort,)).datalist(0, 0.2).validation
    with pytest.raises(InputError, match=r"3 labelled cases .* there are 2"):
        learned(3, 0)


def test_a_curve_over_labelled_cases_goes_on_where_it_was_stopped(tmp_path, a_cohort, a_pretrained_run):
    """Each seed with a model of its own; stopped after the first seed, whose result is there."""
    for seed in (0, 1):
        (tmp_path / f"own-{seed}").symlink_to(a_pretrained_run)
    question = Question({"own": tmp_path / "own-{seed}"}, (1,), seeds=2, runs=tmp_path / "runs")
    control = StopAfterRuns(2)
    with pytest.raises(SwinSSLError, match="topped"):
        compare(Preparation((a_cohort,)), ONE_STEP, question, tmp_path / "out", sinks=(control.see,), control=control)
    assert Study.from_dict(json.loads((tmp_path / "out" / "comparison.json").read_text())).last.seeds == (0,)
    before = (tmp_path / "runs" / "own-1-0" / "test-scores.json").stat().st_mtime_ns
    heard: list[dict[str, Any]] = []
    study = compare(Preparation((a_cohort,)), ONE_STEP, question, tmp_path / "out", sinks=(heard.append,))
    turns = [(event["number"], event["arm"], event["seed"]) for event in heard if event["event"] == "run"]
    assert turns == [(1, "scratch", 0), (2, "own", 0), (3, "scratch", 1), (4, "own", 1)]
    assert {event["total"] for event in heard if event["event"] == "run"} == {4}
    assert (tmp_path / "runs" / "own-1-0" / "test-scores.json").stat().st_mtime_ns == before  # nor tested again
    assert (study.counts, study.arms, study.last.seeds) == ((1,), ("scratch", "own"), (0, 1))
    job = RunFolder(tmp_path / "runs" / "own-1-1").job()
    check_a_pair(RunFolder(tmp_path / "runs" / "scratch-1-1").job(), job, 1)
    assert (Path(job["init"]).name, len(job["inputs"])) == ("own-1", 2)  # one to learn from, one to validate on
    assert study.probes["own"][0] != study.probes["scratch"][0]


class StopAfterRuns(Control):
    """Lets so many runs come to their end, and stops the next one."""

    def __init__(self, runs: int) -> None:
        super().__init__()
        self.runs = runs

    def see(self, event: dict[str, Any]) -> None:
        self.runs -= event["event"] == "finished"

    @property
    def stop(self) -> bool:
        return self.runs <= 0


def test_nothing_to_test_on(tmp_path, a_cohort, a_pretrained_run):
    question = Question({"pretrained": a_pretrained_run}, test=a_cohort / "images")
    with pytest.raises(InputError, match="no labelled case"):
        compare(Preparation((a_cohort / "images",)), ONE_STEP, question, tmp_path)


@pytest.mark.parametrize(
    ("inits", "words"),
    [(["a=RUN", "a=RUN"], "Two starts are called a"), (["scratch=RUN"], "No model may be called scratch")],
)
def test_names_of_arms(inits, words, tmp_path, a_cohort, a_pretrained_run, capsys):
    words_of = [part for init in inits for part in ("--init", init.replace("RUN", str(a_pretrained_run)))]
    assert swinssl(["compare", "-d", str(a_cohort), "-o", str(tmp_path / "c"), *words_of]) == 2
    assert words in capsys.readouterr().err


def test_a_missing_model_is_told_before_hours_of_training(tmp_path, a_cohort):
    question = Question({"own": tmp_path / "own-{seed}"})
    with pytest.raises(InputError, match="own-0"):
        compare(Preparation((a_cohort,)), ONE_STEP, question, tmp_path / "out")
    assert not (tmp_path / "out").exists()

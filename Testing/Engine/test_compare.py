"""The comparison: paired runs, honest words about noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_FINETUNE
from scipy.stats import norm

from SwinSSLLib.errors import InputError
from SwinSSLLib.evaluate.compare import Comparison, compare
from SwinSSLLib.preparing import Preparation
from SwinSSLLib.presets import finetune_settings
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.validation import merged


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
    low, high = comparison.interval
    assert low < comparison.difference < high
    assert comparison.more_than_noise == (gain != 0)


def test_the_interval_is_as_wide_as_theory_says():
    """Noise of its own in every pair: the interval of the mean is about that of a normal distribution."""
    comparison = a_comparison(0.0, noise=0.05, seeds=12, cases=12)
    low, high = comparison.interval
    independent = 2 * norm.ppf(0.975) * 0.05 / 12
    assert independent < high - low < 2.5 * independent  # drawing rows and columns anew is the cautious way


def test_one_seed_or_one_case_says_nothing():
    for seeds, cases in ((1, 10), (10, 1)):
        comparison = a_comparison(0.5, noise=0.01, seeds=seeds, cases=cases)
        assert not comparison.more_than_noise
        assert "says nothing about noise" in comparison.sentence()


def test_pairs_differ_in_the_start_of_the_encoder_only(tmp_path, a_cohort, a_pretrained_run):
    settings = finetune_settings("quick", merged(TINY_FINETUNE, {"training": {"steps": 1}}))
    preparation = Preparation((a_cohort,))
    comparison = compare(preparation, settings, a_pretrained_run, tmp_path, seeds=2)
    assert np.shape(comparison.dice["scratch"]) == np.shape(comparison.dice["pretrained"]) == (2, 1)
    assert not comparison.independent
    for seed in (0, 1):
        scratch, pretrained = (RunFolder(tmp_path / f"{arm}-{seed}").job() for arm in ("scratch", "pretrained"))
        assert scratch["settings"] == pretrained["settings"]
        assert scratch["inputs"] == pretrained["inputs"]
        assert (scratch["init"], Path(pretrained["init"])) == ("scratch", a_pretrained_run)
        assert scratch["settings"]["training"]["seed"] == seed
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["dice"] == comparison.dice
    assert comparison.sentence().split(";")[0] in (tmp_path / "report.html").read_text()
    before = (tmp_path / "scratch-0" / "events.jsonl").stat().st_mtime_ns
    again = compare(preparation, settings, a_pretrained_run, tmp_path, seeds=2, test=a_cohort)
    assert (tmp_path / "scratch-0" / "events.jsonl").stat().st_mtime_ns == before  # finished runs are used again
    assert again.independent
    assert len(again.cases) == 3


def test_nothing_to_test_on(tmp_path, a_cohort, a_pretrained_run):
    settings = finetune_settings("quick", merged(TINY_FINETUNE, {"training": {"steps": 1}}))
    with pytest.raises(InputError, match="no labelled case"):
        compare(Preparation((a_cohort / "images",)), settings, a_pretrained_run, tmp_path, test=a_cohort / "images")

"""Reports of comparisons and studies: pairs, curves, verdicts."""

from __future__ import annotations

import json

from report_pages import Page, check_self_contained

from SwinSSLLib.evaluate.comparison import Comparison, Study
from SwinSSLLib.evaluate.report_comparison import write_comparison


def test_a_comparison_report_tells_pairs_organs_and_verdict(tmp_path):
    scratch, pretrained = [[0.60, 0.70], [0.50, 0.72]], [[0.66, 0.75], [0.61, 0.79]]
    organs = {"scratch": {"liver": 0.8, "spleen": 0.5}, "pretrained": {"liver": 0.78, "spleen": 0.7}}
    comparison = Comparison((3, 4), ("x", "y"), {"scratch": scratch, "pretrained": pretrained}, organs, True)
    page = Page(write_comparison(Study({6: comparison}), tmp_path / "c.html"))
    check_self_contained(page)
    for words in (comparison.sentence(), "seed 3", "0.650", "0.705", "+0.055", "liver", "−0.020", "+0.200", "0.630"):
        assert words in page.text, words
    assert "When labels are few" not in page.text
    assert "Linear probe" not in page.text


def test_a_study_report_has_curves_over_the_labelled_cases_and_the_probe(tmp_path):
    def of(count: int) -> Comparison:
        arms = {"scratch": 0.1 * count, "on 8": 0.1 * count + 0.03, "on 64": 0.1 * count + 0.11}
        dice = {arm: [[value, value + 0.01], [value + 0.02, value]] for arm, value in arms.items()}
        return Comparison((3, 4), ("x", "y"), dice, {arm: {"liver": value} for arm, value in arms.items()}, True)

    probes = {"scratch": [0.2, 0.21], "on 8": [0.3, 0.31], "on 64": [0.5, 0.54]}
    study = Study({count: of(count) for count in (1, 2, 4)}, probes, 1 / 14)
    page = Page(write_comparison(study, tmp_path / "c.html"))
    check_self_contained(page)
    for words in ("When labels are few", "0.218 +0.110 (+0.110 to +0.110)", "untrained", "0.520", "reaches 0.071"):
        assert words in page.text.replace("  ", " "), words
    assert "on 64 with 1 labelled reaches 0.218; scratch needs 4" in page.text
    again = Study.from_dict(json.loads(json.dumps(study.to_dict())))
    assert again.sentences() == study.sentences()

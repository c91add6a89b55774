"""The studies' own arithmetic: what their figures rest on beside the engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from SwinSSLLib.models import load_model

STUDIES = Path(__file__).resolve().parents[1] / "Studies"


@pytest.fixture(scope="module", autouse=True)
def studies_can_be_imported():
    sys.path.insert(0, str(STUDIES))
    yield
    sys.path.remove(str(STUDIES))


def test_interpolation_from_the_rim_is_exact_where_the_rim_is_linear():
    from baselines import from_the_rim

    i, j, k = np.meshgrid(*(np.arange(n, dtype=float) for n in (9, 8, 7)), indexing="ij")
    volume = 1 + 2 * i - 3 * j + 0.5 * k
    hole = np.zeros(volume.shape, bool)
    hole[2:6, 3:5, 1:6] = True
    hole[4:7, 2:4, 3:5] = True
    broken = np.where(hole, np.random.default_rng(0).normal(size=volume.shape), volume)
    np.testing.assert_allclose(from_the_rim(broken, hole), volume, atol=1e-12)


def test_interpolation_at_the_border_takes_the_side_that_there_is():
    from baselines import from_the_rim

    volume = np.broadcast_to(np.arange(6.0)[:, None, None], (6, 1, 1)).copy()
    hole = np.zeros(volume.shape, bool)
    hole[:2] = hole[5:] = True
    assert from_the_rim(volume, hole).ravel().tolist() == [2, 2, 2, 3, 4, 4]
    assert from_the_rim(volume, np.ones_like(hole)).ravel().tolist() == [0] * 6


def test_retrieval_counts_neighbours():
    """Three patients with two sub-volumes each; embeddings like those of the own second view, but for one."""
    from real_ct import retrieval

    first = torch.eye(6) + 0.5 * torch.block_diag(*[torch.ones(2, 2)] * 3)
    second = first.clone()
    second[0], second[2] = first[2], first[0]
    found = retrieval(first, second, [0, 0, 1, 1, 2, 2])
    assert found["retrieval_sub_volume"] == pytest.approx(4 / 6)
    assert found["retrieval_patient_chance"] == pytest.approx(1 / 5)
    assert found["retrieval_sub_volume_chance"] == pytest.approx(1 / 6)
    assert retrieval(first, first, [0, 0, 1, 1, 2, 2])["retrieval_patient"] == 1


def test_every_combination_of_tasks_once():
    from label_efficiency import COMBINATIONS, TASKS

    assert len(set(COMBINATIONS)) == 7
    assert {len(tasks) for tasks in COMBINATIONS} == {1, 2, 3}
    assert COMBINATIONS[-1] == TASKS


def check_that_one_answer_leaves_the_others(out: Path, docs: Path, elsewhere: Path) -> None:
    """Another machine, which asked one question only, and found something else."""
    from study_page import write_page

    before = json.loads((docs / "study.json").read_text())
    other = json.loads((out / "frozen" / "comparison.json").read_text())
    (count,) = other["labelled"]
    other["labelled"][count]["dice"]["scratch"] = other["dice"]["scratch"] = [[0.987]]
    (elsewhere / "frozen").mkdir(parents=True)
    (elsewhere / "frozen" / "comparison.json").write_text(json.dumps(other))
    text = (docs / "study.md").read_text()
    write_page(elsewhere, docs)
    after = json.loads((docs / "study.json").read_text())
    assert {name for name in after if after[name] != before[name]} == {"frozen"}
    assert after.keys() == before.keys()
    changed = set((docs / "study.md").read_text().splitlines()) - set(text.splitlines())
    assert all("frozen" in line or "scratch" in line for line in changed)
    assert any("0.987" in line for line in changed)


def check_that_the_chart_shows_the_table(ablation) -> None:
    """The ablation's: one point and one row of probes for each arm, in the table's order."""
    from study_page import figure_of_arms

    left, right = figure_of_arms(ablation).axes
    arms = ablation.last.others
    shown = [line.get_xdata()[0] for line in left.lines if line.get_marker() == "o"]
    assert shown == [ablation.last.difference(arm).mean for arm in arms]
    probes = [tuple(line.get_xdata()) for line in right.lines if line.get_marker() == "o"]
    assert probes == [tuple(ablation.probes[arm]) for arm in arms]
    assert [label.get_text() for label in left.get_yticklabels()] == ["inpaint + rotation", "all three"]


def check_the_page(out: Path, study, ablation) -> None:
    """Tables between their marks and both charts, of all three questions."""
    from study_page import write_page

    docs = out / "docs"
    docs.mkdir()
    names = ("labels", "organs", "probe", "frozen", "ablation", "tasks")
    places = "".join(f"<!-- {name} -->\nold\n<!-- end -->\n" for name in names)
    (docs / "study.md").write_text(places)
    write_page(out, docs)
    text = (docs / "study.md").read_text()
    assert "old" not in text
    assert f"{study.last.mean('scratch'):.3f}" in text
    assert "inpaint + rotation" in text and "untrained, frozen" in text
    assert any(line.startswith("| inpaint + rotation | 0.") and "| not learned |" in line for line in text.splitlines())
    assert (docs / "study.png").stat().st_size > 10_000
    assert (docs / "study-ablation.png").stat().st_size > 10_000
    check_that_the_chart_shows_the_table(ablation)
    check_that_one_answer_leaves_the_others(out, docs, out / "elsewhere")


def test_the_whole_study_at_the_smallest_size(tmp_path, monkeypatch):
    """One labelled case, one step each, two of the seven combinations: all that comes after it is there."""
    import label_efficiency
    from label_efficiency import SETTINGS, TASKS, Work

    told = {
        "cohort": {"seed": 1, "unlabelled": 3, "watched": 1, "labelled": 1, "validation": 1, "test": 1, "spacing": 8.0},
        "question": {"labelled": [1], "pretrained_on": [2], "seeds": 1, "frozen_labelled": 1, "ablation_labelled": 1},
        "pretrain": {
            "preset": "quick",
            "input": {"spacing": [8, 8, 8], "roi": [32, 32, 32]},
            "training": {"steps": 1, "batch": 2},
            "validation_sub_volumes": 2,
        },
        "finetune": {
            "preset": "quick",
            "input": {"spacing": [8, 8, 8], "roi": [64, 32, 32]},
            "training": {"steps": 1, "batch": 1},
        },
    }
    monkeypatch.setattr(label_efficiency, "COMBINATIONS", (("inpaint", "rotation"), TASKS))
    work = Work(tmp_path, told)
    work.make_cohort()
    study = work.label_efficiency(range(1))
    assert (study.counts, study.arms) == ((1,), ("scratch", "pre-trained on 2"))
    ablation = work.ablation(range(1))
    assert (ablation.counts, ablation.arms) == ((1,), ("scratch", "inpaint + rotation", "pre-trained on 2"))
    assert ablation.last.dice["pre-trained on 2"] == study.last.dice["pre-trained on 2"]
    frozen = work.frozen(range(1))
    assert frozen.arms == (
        "scratch",
        "untrained, frozen",
        "pre-trained on 2, frozen",
        "trained with 1 labelled, frozen",
    )
    untrained = load_file(tmp_path / "runs" / "untrained-0.safetensors")
    kept = load_model(tmp_path / "runs-frozen" / "untrained, frozen-1-0").state
    for name, value in untrained.items():
        assert torch.equal(kept[f"swinViT.{name}"], value), name
    assert frozen.probes["untrained, frozen"] == frozen.probes["scratch"], "one encoder of one seed"
    job = json.loads((tmp_path / "runs" / "only-inpaint-rotation-0" / "job.json").read_text())
    assert {task: job["settings"]["loss"][task] for task in ("inpaint", "contrast", "rotation")} == {
        "inpaint": 1.0,
        "contrast": 0.0,
        "rotation": 1.0,
    }
    check_the_page(tmp_path, study, ablation)
    assert set(SETTINGS.read_text().split()) > {"unlabelled", "pretrained_on"}

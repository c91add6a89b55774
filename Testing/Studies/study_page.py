"""Table and chart of a study for Docs/study.md: from comparison.json to Markdown and a picture. No training here."""

from __future__ import annotations

import json
import re
from pathlib import Path

from matplotlib.figure import Figure

from SwinSSLLib import atomic
from SwinSSLLib.evaluate.charts import draw_levels
from SwinSSLLib.evaluate.comparison import Interval, Study
from SwinSSLLib.evaluate.record import Points, Record

#: Colours that can be told apart without red and green (Okabe and Ito), the baseline first.
_COLOURS = ("#444444", "#e69f00", "#56b4e9", "#0072b2")

#: Proxy task: head of its column, metric of the validation, digits.
_TASKS = {
    "inpaint": ("masked L1", "inpaint_masked", ".3f"),
    "contrast": ("contrastive loss", "contrast", ".2f"),
    "rotation": ("angles right", "rotation_accuracy", ".0%"),
}


def write_page(out: Path, docs: Path) -> None:
    """Put the figures of a study between the marks of ``docs/study.md``, and its chart beside it.

    What ``out`` does not answer stays as the page has it: questions may be asked on several machines.

    Args:
        out: folder of the study, with any of label_efficiency/, frozen/ and ablation/.
        docs: folder of study.md.
    """
    file = docs / "study.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    parts: dict[str, str] = {}
    for name in ("label_efficiency", "frozen", "ablation"):
        if not (out / name / "comparison.json").exists():
            continue
        study = _read(out / name)
        kept[name] = study.to_dict()
        if name == "label_efficiency":
            parts |= {"labels": table(study), "organs": organs(study), "probe": probe(study)}
            draw(study, docs / "study.png")
        else:
            parts[name] = rows_of_arms(study)
        if name == "ablation":
            parts["tasks"] = tasks(out / "runs", study)
            figure_of_arms(study).savefig(docs / "study-ablation.png", dpi=130)
    page = docs / "study.md"
    text = page.read_text(encoding="utf-8")
    for name, content in parts.items():
        text = filled(text, name, content)
    page.write_text(text, encoding="utf-8")
    atomic.write_json(file, kept)


def filled(text: str, name: str, content: str) -> str:
    """The page with what stands between the marks of a part replaced."""
    marks = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    found, count = re.subn(marks, lambda match: f"{match[1]}{content}\n{match[2]}", text, flags=re.S)
    if count != 1:
        raise ValueError(f"the page has no place for {name}")
    return found


def table(study: Study) -> str:
    """Mean Dice by number of labelled cases and arm, with the difference to scratch."""
    head = ["labelled", "from scratch", *study.arms[1:]]
    rows = [
        [
            str(count),
            f"{each.mean(each.baseline):.3f}",
            *(_gain(each.mean(arm), each.difference(arm)) for arm in each.others),
        ]
        for count, each in study.comparisons.items()
    ]
    return _markdown(head, rows)


def organs(study: Study) -> str:
    """Mean Dice by organ with the most labelled cases."""
    last = study.last
    rows = [
        [organ, *(f"{last.organs[arm].get(organ, 0.0):.3f}" for arm in last.arms)]
        for organ in last.organs[last.baseline]
    ]
    return _markdown([f"with {study.counts[-1]} labelled", "from scratch", *study.arms[1:]], rows)


def probe(study: Study) -> str:
    """Balanced accuracy of a linear layer on each encoder."""
    rows = []
    for arm, values in study.probes.items():
        name = "untrained" if arm == study.arms[0] else arm
        rows.append([name, f"{sum(values) / len(values):.3f}", f"{min(values):.3f} to {max(values):.3f}"])
    rows.append(["guessing", f"{study.probe_chance or 0:.3f}", ""])
    return _markdown(["encoder", "balanced accuracy", "seeds"], rows)


def rows_of_arms(study: Study) -> str:
    """One row for each arm of a study with one number of labelled cases."""
    last = study.last
    rows = [["from scratch", f"{last.mean(last.baseline):.3f}", ""]]
    rows += [[arm, f"{last.mean(arm):.3f}", _interval(last.difference(arm))] for arm in last.others]
    for row, arm in zip(rows, last.arms, strict=True):
        found = study.probes.get(arm)
        row.append(f"{sum(found) / len(found):.3f}" if found else "")
    return _markdown([f"{study.counts[-1]} labelled", "mean Dice", "difference to scratch", "linear probe"], rows)


def tasks(runs: Path, study: Study) -> str:
    """What each combination of tasks came to on the CTs kept aside: mean over seeds, lowest and highest."""
    rows = []
    for arm in study.last.others:
        together = _named(arm) != arm
        learned = list(_TASKS) if together else arm.split(" + ")
        name = f"on-{arm.split()[-1]}" if together else f"only-{'-'.join(learned)}"
        found = [Record.read(runs / f"{name}-{seed}").metrics for seed in study.last.seeds]
        cells = [_came_to(task, found) if task in learned else "not learned" for task in _TASKS]
        rows.append([_named(arm), *cells])
    return _markdown(["pre-trained with", *(head for head, _, _ in _TASKS.values())], rows)


def _named(arm: str) -> str:
    """An arm of the ablation by its tasks; all of them are called by the number of CTs, as in the other question."""
    return "all three" if arm.startswith("pre-trained on ") else arm


def _came_to(task: str, found: list[dict[str, Points]]) -> str:
    _, metric, digits = _TASKS[task]
    values = [max(each[f"validation/{metric}"].items())[1] for each in found]  # at the last step
    low, mean, high = (
        f"{value:{digits}}".replace("%", " %") for value in (min(values), sum(values) / len(values), max(values))
    )
    return mean if low == high else f"{mean} ({low} to {high})"


def draw(study: Study, file: Path) -> None:
    """The curves, and the differences to scratch."""
    levels, gains = (
        {
            arm: {count: _triple(of(each, arm)) for count, each in study.comparisons.items()}
            for arm in study.arms[first:]
        }
        for first, of in ((0, lambda each, arm: each.level(arm)), (1, lambda each, arm: each.difference(arm)))
    )
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_levels(left, levels, _COLOURS)
    draw_levels(right, gains, _COLOURS, first=1)
    right.axhline(0, color=_COLOURS[0], lw=1)
    for axes, title in ((left, "mean Dice"), (right, "difference to scratch")):
        axes.set_xlabel("labelled CTs learned from")
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", lw=0.6)
    left.legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=130)


def figure_of_arms(study: Study) -> Figure:
    """One line for each arm: its difference to scratch with the interval, and the linear probe of every seed."""
    last = study.last
    names = [_named(arm) for arm in last.others]
    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for line, arm in enumerate(last.others):
        mean, low, high = _triple(last.difference(arm))
        left.errorbar(mean, line, xerr=[[mean - low], [high - mean]], fmt="o", color=_COLOURS[3], capsize=3)
        found = study.probes.get(arm, ())
        right.plot(found, [line] * len(found), "o", color=_COLOURS[3], alpha=0.5, markeredgewidth=0)
        right.plot([sum(found) / len(found)] if found else [], [line] if found else [], "|", ms=16, color=_COLOURS[0])
    left.axvline(0, color=_COLOURS[0], lw=1)
    untrained = study.probes.get(last.baseline, ())
    if untrained:
        right.axvspan(min(untrained), max(untrained), color="#dddddd", label="untrained encoder, all seeds")
        right.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.08))
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    for axes, title in ((left, "difference to scratch, mean Dice, 95 %"), (right, "linear probe, balanced accuracy")):
        axes.set_xlabel(title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#eeeeee", lw=0.6)
    return figure


def _read(folder: Path) -> Study:
    return Study.from_dict(json.loads((folder / "comparison.json").read_text(encoding="utf-8")))


def _gain(mean: float, difference: Interval) -> str:
    words = f"{mean:.3f} ({_interval(difference)})"
    return f"**{words}**" if difference.leaves_out_zero else words


def _interval(difference: Interval) -> str:
    return f"{difference.mean:+.3f}, {difference.low:+.3f} to {difference.high:+.3f}".replace("-", "\N{MINUS SIGN}")


def _triple(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))

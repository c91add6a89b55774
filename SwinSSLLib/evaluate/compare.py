"""Does pre-training help? Fine-tuning from scratch against fine-tuning from models: same splits, seeds and budget.

Paired runs differ in one thing, the start of the encoder. All are tested on whole CTs in their own geometry, through
the same pipeline that segments for users. With several numbers of labelled cases this is the study of the paper's
section 4.4 (figure 8): how much pre-training is worth when labels are few.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from SwinSSLLib import atomic
from SwinSSLLib.control import Control
from SwinSSLLib.data.datalists import Case
from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.store import Entry, Recipe
from SwinSSLLib.data.volumes import read_volume
from SwinSSLLib.errors import InputError, SwinSSLError
from SwinSSLLib.evaluate.comparison import SCRATCH, Comparison, Study
from SwinSSLLib.evaluate.metrics import evaluate
from SwinSSLLib.evaluate.probe import Probe, build_encoder_of, probe
from SwinSSLLib.exchange.library import find_model
from SwinSSLLib.jobs import Job, finetune_job
from SwinSSLLib.models import load_model, read_card, weights_sha256
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.preparing import Preparation
from SwinSSLLib.reporting import Sink
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.segment.pipeline import Options, load_network, segment_volume
from SwinSSLLib.settings import FinetuneSettings
from SwinSSLLib.validation import to_dict

#: The name of the single arm where only one model is compared.
PRETRAINED = "pretrained"
#: Stands in the path of a model for the seed of the pair, where every seed has a pre-training of its own.
SEED = "{seed}"
#: File in a run folder that keeps its test scores.
_SCORES = "test-scores.json"
#: A probe learns from so many labelled CTs at most.
_PROBED = 16

#: Dice of each organ by its id as text, None where the case has it not.
CaseScores = dict[str, float | None]


@dataclass(frozen=True)
class Question:
    """What is to be compared.

    Attributes:
        inits: models by name of the arm; ``{seed}`` in a path stands for the seed of the pair.
        labelled: numbers of labelled cases to learn from; empty for all.
        seeds: how many pairs of runs.
        test: datalist of labelled cases that nothing is chosen by; None tests on the validation cases.
        probing: whether a linear probe of each encoder is made, too.
        names: whether cases are called by their names in the result.
        runs: where the runs lie; None for the folder of the result.
    """

    inits: Mapping[str, Path]
    labelled: tuple[int, ...] = ()
    seeds: int = 3
    test: Path | None = None
    probing: bool = True
    names: bool = False
    runs: Path | None = None

    def start_of(self, arm: str, seed: int) -> Path | None:
        """The model that a run starts from."""
        return None if arm == SCRATCH else Path(str(self.inits[arm]).replace(SEED, str(seed)))


def compare(
    preparation: Preparation,
    settings: FinetuneSettings,
    question: Question,
    out: Path,
    *,
    sinks: Sequence[Sink] = (),
    control: Control | None = None,
) -> Study:
    """Fine-tune from every start for each seed and number of labelled cases, and test all on the same CTs.

    comparison.json and report.html in ``out`` are written anew after every seed. Finished runs are used again, so a
    comparison that was stopped goes on where it was, and more seeds, numbers or models can be asked for later.

    Raises:
        InputError: no labelled cases to test on, or the data cannot be used.
        SwinSSLError: it was stopped.
    """
    work = _Work(preparation, settings, question, out, sinks, control or Control())
    numbers = [settings.training.seed + number for number in range(question.seeds)]
    for arm in question.inits:
        for seed in numbers:  # a missing model is told now and not after hours
            find_model(question.start_of(arm, seed) or Path())
    results: dict[int, dict[str, list[list[CaseScores]]]] = {}
    probes: dict[str, list[Probe]] = {}
    for done, seed in enumerate(numbers, start=1):
        turns = list(product(work.counts(seed), work.arms))
        for turn, (count, arm) in enumerate(turns, start=1):
            work.tell_turn((done - 1) * len(turns) + turn, len(numbers) * len(turns), arm, count, seed)
            results.setdefault(count, {}).setdefault(arm, []).append(work.scores_of(arm, count, seed))
        if question.probing:
            for arm in work.arms:
                probes.setdefault(arm, []).append(work.probe_of(arm, seed))
        study = _study(tuple(numbers[:done]), work.called(), results, probes, independent=question.test is not None)
        atomic.write_json(out / "comparison.json", {**study.to_dict(), "settings": to_dict(settings)})
        _write_report(study, out)
    return study


@dataclass
class _Work:
    """The runs of a comparison."""

    preparation: Preparation
    settings: FinetuneSettings
    question: Question
    out: Path
    sinks: Sequence[Sink]
    control: Control
    tested: tuple[Case, ...] = field(init=False)

    def __post_init__(self) -> None:
        settings, test = self.settings, self.question.test
        if test:
            listed = replace(self.preparation, data=(test,)).datalist(settings.training.seed, 0.0)
            self.tested = tuple(case for case in (*listed.training, *listed.validation) if case.labels)
        else:
            self.tested = self.preparation.datalist(settings.training.seed, settings.validation_share).validation
        if not self.tested:
            raise InputError(
                "There is no labelled case to test on.", "Name some with --test, or as validation in the datalist."
            )

    @property
    def arms(self) -> tuple[str, ...]:
        return (SCRATCH, *self.question.inits)

    def called(self) -> list[str]:
        """The tested cases in the order of the datalist; who shares the report shares no names with it."""
        return [case.name if self.question.names else f"test CT {n}" for n, case in enumerate(self.tested, start=1)]

    def counts(self, seed: int) -> tuple[int, ...]:
        """Numbers of labelled cases to learn from; all of them in a split unless asked for."""
        if self.question.labelled:
            return tuple(sorted(self.question.labelled))
        return (sum(bool(case.labels) for case in self._learned(seed)),)

    def tell_turn(self, number: int, total: int, arm: str, count: int, seed: int) -> None:
        """Say which run comes; event ``run``."""
        told = {"event": "run", "number": number, "total": total, "arm": arm, "labelled": count, "seed": seed}
        for sink in self.sinks:
            sink(told)

    def _learned(self, seed: int) -> tuple[Case, ...]:
        return self.preparation.datalist(seed, self.settings.validation_share).training

    def scores_of(self, arm: str, count: int, seed: int) -> list[CaseScores]:
        """Train and test one run, unless that was done."""
        limited = bool(self.question.labelled)
        name = f"{arm}-{count}-{seed}" if limited else f"{arm}-{seed}"
        preparation = replace(self.preparation, labelled=count) if limited else self.preparation
        folder = (self.question.runs or self.out) / name
        settings = replace(self.settings, training=replace(self.settings.training, seed=seed))
        job = Job(folder, preparation, self.question.start_of(arm, seed), names=self.question.names)
        _fine_tune(job, settings, self.sinks, self.control)
        return _test(folder, self.tested, Options(overlap=settings.overlap))

    def probe_of(self, arm: str, seed: int) -> Probe:
        """What a linear layer reads from the encoder that an arm starts with; remembered beside the runs."""
        start, settings = self.question.start_of(arm, seed), self.settings
        most = max(self.question.labelled, default=_PROBED)
        learned = [case for case in self._learned(seed) if case.labels][: min(most, _PROBED)]
        model = find_model(start) if start else None
        file = (self.question.runs or self.out) / f"probe-{arm}-{seed}.json"
        weights = weights_sha256(model.card) if model else "untrained"
        key = _key(weights, (*learned, *self.tested), (to_dict(settings.network), to_dict(settings.input)))
        known = _remembered(file)
        if known.get("key") == key:
            return Probe.from_dict(known["probe"])
        encoder = build_encoder_of(settings.network, model.state if model else None, source=str(start), seed=seed)
        entries = self._entries(learned), self._entries(self.tested)
        found = probe(encoder, settings.input, *entries, device=Options().torch_device(), seed=seed)
        atomic.write_json(file, {"key": key, "probe": found.to_dict()})
        return found

    def _entries(self, cases: Iterable[Case]) -> list[Entry]:
        store, recipe = self.preparation.store(), Recipe(self.settings.input.spacing)
        return [store.add(case.image, recipe, labels=case.labels) for case in cases]


def _fine_tune(job: Job, settings: FinetuneSettings, sinks: Sequence[Sink], control: Control) -> None:
    run = RunFolder(job.out)
    if RunFolder.is_run(job.out):
        run.check_same("finetune", to_dict(settings))
        if run.status().get("state") == "finished":
            return
        job = replace(job, init=None if run.has_checkpoint() else job.init, resume=True)
    progress = finetune_job(job, settings, sinks, control)
    if progress.step < settings.training.steps:
        raise SwinSSLError(
            "The comparison was stopped.", "Start it again with the same options: finished runs are kept."
        )


def _test(run: Path, cases: Sequence[Case], options: Options) -> list[CaseScores]:
    """Segment every case with the run's model and score it against its labels; remembered beside the run."""
    key = _key(read_card(run)["sha256"], cases, options)
    known = _remembered(run / _SCORES)
    if known.get("key") == key:
        found: list[CaseScores] = known["dice"]
        return found
    model = load_model(run)
    network = load_network(model, options)
    result: list[CaseScores] = []
    for case in cases:
        assert case.labels is not None
        volume = read_volume(case.image)
        labels = segment_volume(volume, model.card, network, options).labels
        scores = evaluate(labels, read_label_map(case.labels, volume))
        result.append({str(score.id): None if score.state == "absent" else score.dice for score in scores})
    atomic.write_json(run / _SCORES, {"key": key, "dice": result})
    return result


def _key(weights: str, cases: Sequence[Case], how: object) -> str:
    """Changes with the weights, with any file that is tested on, and with how it is tested; tells no names."""
    files = [(path.absolute(), path.stat()) for case in cases for path in (case.image, case.labels) if path]
    parts = [weights, repr(how), *(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _remembered(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _study(
    seeds: tuple[int, ...],
    cases: Sequence[str],
    results: Mapping[int, Mapping[str, list[list[CaseScores]]]],
    probes: Mapping[str, list[Probe]],
    *,
    independent: bool,
) -> Study:
    comparisons = {}
    for count, by_arm in results.items():
        dice = {arm: [[_mean(case) for case in by_case] for by_case in by_seed] for arm, by_seed in by_arm.items()}
        organs = {arm: _by_organ(case for by_case in by_seed for case in by_case) for arm, by_seed in by_arm.items()}
        comparisons[count] = Comparison(seeds, tuple(cases), dice, organs, independent)
    accuracies = {arm: [each.balanced_accuracy for each in found] for arm, found in probes.items()}
    chance = next((found[0].chance for found in probes.values()), None)
    return Study(comparisons, accuracies, chance)


def _mean(case: CaseScores) -> float:
    """Mean Dice over the organs that the case has, or that were found though it has them not."""
    there = [dice for dice in case.values() if dice is not None]
    return float(np.mean(there)) if there else 0.0


def _by_organ(cases: Iterable[CaseScores]) -> dict[str, float]:
    every = list(cases)
    found = {organ.name: [case[str(organ.id)] for case in every] for organ in ORGANS}
    there = {name: [dice for dice in values if dice is not None] for name, values in found.items()}
    return {name: float(np.mean(values)) for name, values in there.items() if values}


def _write_report(study: Study, out: Path) -> None:
    from SwinSSLLib.evaluate.report_comparison import write_comparison

    write_comparison(study, out / "report.html")

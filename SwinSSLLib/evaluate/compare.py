"""Does pre-training help? Fine-tuning from scratch against fine-tuning from a model: same splits, same seeds.

Every pair of runs differs in one thing, the start of the encoder. Both are tested on whole CTs in their own
geometry, through the same pipeline that segments for users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from SwinSSLLib import atomic
from SwinSSLLib.control import Control
from SwinSSLLib.data.datalists import Case
from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.volumes import read_volume
from SwinSSLLib.errors import InputError, SwinSSLError
from SwinSSLLib.evaluate.metrics import OrganScore, evaluate, mean_of
from SwinSSLLib.jobs import Job, finetune_job
from SwinSSLLib.models import load_model
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.preparing import Preparation
from SwinSSLLib.reporting import Sink
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.segment.pipeline import Options, load_network, segment_volume
from SwinSSLLib.settings import FinetuneSettings
from SwinSSLLib.validation import to_dict

ARMS = ("scratch", "pretrained")
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """Dice of paired runs on the same cases.

    Attributes:
        seeds: of the pairs.
        cases: tested cases.
        dice: by arm, [seed][case], mean over the organs that the case has.
        organs: by arm and organ, mean over seeds and cases.
        independent: whether no choice was made by the tested cases.
    """

    seeds: tuple[int, ...]
    cases: tuple[str, ...]
    dice: dict[str, list[list[float]]]
    organs: dict[str, dict[str, float]]
    independent: bool

    @property
    def difference(self) -> float:
        """Mean Dice of pre-trained minus scratch."""
        return float(self._differences().mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the difference; seeds and cases are drawn anew, pairs stay together."""
        differences = self._differences()
        random = np.random.default_rng(0)
        seeds = random.integers(len(differences), size=(_RESAMPLES, len(differences), 1))
        cases = random.integers(differences.shape[1], size=(_RESAMPLES, 1, differences.shape[1]))
        low, high = np.quantile(differences[seeds, cases].mean(axis=(1, 2)), (0.025, 0.975))
        return float(low), float(high)

    @property
    def more_than_noise(self) -> bool:
        """Whether the interval leaves 0 out; with a single seed or case nothing can be said."""
        low, high = self.interval
        return min(self._differences().shape) > 1 and (low > 0 or high < 0)

    def sentence(self) -> str:
        """The result in words."""
        scratch, pretrained = (float(np.mean(self.dice[arm])) for arm in ARMS)
        low, high = self.interval
        if min(self._differences().shape) < 2:
            verdict = "one seed or one case says nothing about noise"
        elif self.more_than_noise:
            verdict = "more than noise: pre-training " + ("helps" if self.difference > 0 else "harms") + " here"
        else:
            verdict = "not more than noise"
        caveat = "" if self.independent else " The models were chosen by the tested cases, in both arms alike."
        pairs = f"{len(self.seeds)} seeds × {len(self.cases)} cases"
        return (
            f"Mean Dice {scratch:.3f} from scratch, {pretrained:.3f} from pre-training; "
            f"difference {self.difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f}, {pairs}): {verdict}.{caveat}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self),
            "difference": self.difference,
            "interval": list(self.interval),
            "more_than_noise": self.more_than_noise,
            "sentence": self.sentence(),
        }

    def _differences(self) -> np.ndarray:
        return np.asarray(self.dice["pretrained"]) - np.asarray(self.dice["scratch"])


def compare(
    preparation: Preparation,
    settings: FinetuneSettings,
    init: Path,
    out: Path,
    *,
    seeds: int = 3,
    test: Path | None = None,
    names: bool = False,
    sinks: Sequence[Sink] = (),
    control: Control | None = None,
) -> Comparison:
    """Fine-tune twice for each seed, test both, and write comparison.json and report.html to ``out``.

    Finished runs in ``out`` are used again, so a comparison that was stopped goes on where it was.

    Raises:
        InputError: no labelled cases to test on, or the data cannot be used.
    """
    control = control or Control()
    numbers = tuple(settings.training.seed + number for number in range(seeds))
    listed = preparation.datalist(settings.training.seed, settings.validation_share)
    tested = _labelled(replace(preparation, data=(test,)), settings) if test else listed.validation
    if not tested:
        raise InputError(
            "There is no labelled case to test on.", "Name some with --test, or as validation in the datalist."
        )
    scores: dict[str, list[list[list[OrganScore]]]] = {arm: [] for arm in ARMS}
    for seed in numbers:
        seeded = replace(settings, training=replace(settings.training, seed=seed))
        for arm in ARMS:
            start = init if arm == "pretrained" else None
            job = Job(out / f"{arm}-{seed}", preparation, start, names=names)
            _fine_tune(job, seeded, sinks, control)
            scores[arm].append(_test(job.out, tested))
    # In the order of the datalist; who shares the report shares no names with it.
    called = [case.name if names else f"test CT {number}" for number, case in enumerate(tested, start=1)]
    comparison = _summary(numbers, called, scores, independent=test is not None)
    atomic.write_json(out / "comparison.json", {**comparison.to_dict(), "settings": to_dict(settings)})
    from SwinSSLLib.evaluate.report_comparison import write_comparison

    write_comparison(comparison, out / "report.html")
    return comparison


def _labelled(preparation: Preparation, settings: FinetuneSettings) -> tuple[Case, ...]:
    listed = preparation.datalist(settings.training.seed, 0.0)
    return tuple(case for case in (*listed.training, *listed.validation) if case.labels)


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


def _test(run: Path, cases: Sequence[Case]) -> list[list[OrganScore]]:
    """Segment every case with the run's model and score it against its labels."""
    model, options = load_model(run), Options()
    network = load_network(model, options)
    result = []
    for case in cases:
        assert case.labels is not None
        volume = read_volume(case.image)
        labels = segment_volume(volume, model.card, network, options).labels
        result.append(evaluate(labels, read_label_map(case.labels, volume)))
    return result


def _summary(
    seeds: tuple[int, ...], cases: Sequence[str], scores: dict[str, list[list[list[OrganScore]]]], *, independent: bool
) -> Comparison:
    dice = {
        arm: [[mean_of(case).dice or 0.0 for case in by_case] for by_case in by_seed] for arm, by_seed in scores.items()
    }
    organs: dict[str, dict[str, float]] = {arm: {} for arm in ARMS}
    for arm, by_seed in scores.items():
        flat = [score for by_case in by_seed for case in by_case for score in case if score.dice is not None]
        for organ in ORGANS:
            values = [score.dice for score in flat if score.id == organ.id and score.dice is not None]
            if values:
                organs[arm][organ.name] = float(np.mean(values))
    return Comparison(seeds, tuple(cases), dice, organs, independent)

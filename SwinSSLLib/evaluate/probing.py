"""The linear probe as a job: a model against an untrained encoder of the same kind, and a place in the run's report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from SwinSSLLib import atomic
from SwinSSLLib.data.datalists import Case
from SwinSSLLib.data.store import Recipe
from SwinSSLLib.errors import InputError
from SwinSSLLib.evaluate.probe import Probe, build_encoder_of, probe
from SwinSSLLib.evaluate.record import PROBE_FILE
from SwinSSLLib.exchange.library import find_model
from SwinSSLLib.models import input_of, network_of
from SwinSSLLib.organs import CLASSES
from SwinSSLLib.preparing import Preparation
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.segment.pipeline import Options

#: Share of the labelled patients that is asked where no test cases are named.
_ASKED = 0.3


@dataclass(frozen=True)
class Probing:
    """What a linear layer reads from a model, and from the same encoder before it learned anything.

    Attributes:
        model, random: of either.
        report: the report that shows it, if the model is a run's.
    """

    model: Probe
    random: Probe
    report: Path | None = None

    def sentence(self) -> str:
        """The result in words."""
        return (
            f"Organ of a token told by a linear layer: balanced accuracy {self.model.balanced_accuracy:.3f}; "
            f"untrained encoder {self.random.balanced_accuracy:.3f}, guessing {self.model.chance:.3f} "
            f"({self.model.tokens:,} tokens of {self.model.cases} CTs that it did not learn from)."
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"model": self.model.to_dict(), "random": self.random.to_dict(), "sentence": self.sentence()}


def probe_model(
    init: Path, preparation: Preparation, *, test: Path | None = None, seed: int = 0, out: Path | None = None
) -> Probing:
    """Probe a model, run, file of weights or model of the library.

    Args:
        init: what to probe; a run keeps the result as probe.json, and its report is written anew.
        preparation: labelled CTs. Without ``test``, 30 % of their patients are asked, or the list's validation part.
        test: datalist of the labelled CTs to ask instead.
        seed: of the split, of the choice of tokens and of the untrained encoder.
        out: write the result here, too.

    Raises:
        InputError: no labelled CTs, or the encoder does not arrive whole.
    """
    model = find_model(init)
    card = {**model.card, "input": {**model.card["input"], **(model.card.get("finetune_input") or {})}}
    inputs = input_of(card, str(init))
    network = replace(network_of(card, str(init)), in_channels=1, out_channels=CLASSES)
    listed = preparation.datalist(seed, _ASKED)
    asked: tuple[Case, ...] = listed.validation
    if test:
        others = replace(preparation, data=(test,)).datalist(seed, 0.0)
        asked = (*others.training, *others.validation)
    store, recipe = preparation.store(), Recipe(inputs.spacing)
    known, unseen = (
        [store.add(case.image, recipe, labels=case.labels) for case in cases if case.labels]
        for cases in (listed.training, asked)
    )
    if not known or not unseen:
        raise InputError(
            "A probe needs labelled CTs to learn from and others to test on.",
            'Give a datalist with "training": [{"image": ..., "label": ...}] of several patients, or --test.',
        )
    device = Options().torch_device()

    def of(state: Mapping[str, Any] | None) -> Probe:
        encoder = build_encoder_of(network, state, source=str(init), seed=seed)
        return probe(encoder, inputs, known, unseen, device=device, seed=seed)

    found = Probing(of(model.state), of(None))
    if out:
        atomic.write_json(out, found.to_dict())
    if RunFolder.is_run(init):
        from SwinSSLLib.evaluate.report import write_report

        atomic.write_json(init / PROBE_FILE, found.to_dict())
        found = replace(found, report=write_report(init))
    return found

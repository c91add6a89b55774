"""How much is pre-training worth when labels are few? The paper's figure 8 in small, and its ablation, on phantoms.

    python3 Testing/run.py study label_efficiency --out study [--settings FILE] [--seeds N] [--question NAME]

Phantoms without labels, with labels to learn from, and others that are only tested. Fine-tuning from scratch and from
pre-training on 8, 24 and 64 CTs, with 1, 2, 4, 8 and 16 labelled ones, five times with another seed each: other
labelled cases, other draws, another pre-training. Same splits and the same number of steps in all arms. The question
``frozen`` leaves the encoder as it came, untrained, pre-trained, or trained with all labels: how much is there to win?
``ablation`` leaves out one or two of the three proxy tasks. Everything goes on where it was stopped, seed by seed; what
is finished is in ``study/label_efficiency``, ``study/frozen`` and ``study/ablation`` (comparison.json, report.html).
``--docs`` writes tables and chart for Docs/study.md. Whichever way it comes out, it is written down.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from SwinSSLLib.allocator import keep_large_buffers
from SwinSSLLib.cli import main as swinssl
from SwinSSLLib.commands.console import Display
from SwinSSLLib.evaluate.compare import Question, compare
from SwinSSLLib.evaluate.comparison import SCRATCH, Study
from SwinSSLLib.evaluate.probe import build_encoder_of
from SwinSSLLib.jobs import Job, pretrain_job
from SwinSSLLib.preparing import Preparation
from SwinSSLLib.presets import finetune_settings, pretrain_settings
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.validation import merged

SETTINGS = Path(__file__).with_suffix(".toml")
TASKS = ("inpaint", "contrast", "rotation")
#: Names of what is asked, and of the methods of :class:`Work` and the folders of the results.
QUESTIONS = ("label_efficiency", "frozen", "ablation")
#: Each proxy task alone, pairs, all.
COMBINATIONS = tuple(tuple(task for bit, task in enumerate(TASKS) if number >> bit & 1) for number in range(1, 8))


def main() -> int:
    """Run the study, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", type=Path, default=SETTINGS)
    parser.add_argument("--seeds", type=int, help="fewer than the settings say")
    parser.add_argument("--only-seed", type=int, help="runs of this seed only; several processes then share the work")
    parser.add_argument("--question", choices=QUESTIONS, help="this one only")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="write study.json, table and chart there and end")
    arguments = parser.parse_args()
    if arguments.docs:
        from study_page import write_page

        write_page(arguments.out, arguments.docs)
        return 0
    keep_large_buffers()
    told = tomllib.loads(arguments.settings.read_text(encoding="utf-8"))
    work = Work(arguments.out, told)
    work.make_cohort()
    began = time.monotonic()
    only = arguments.only_seed
    rounds = range(1, (arguments.seeds or told["question"]["seeds"]) + 1)
    for seeds in [range(count) for count in rounds] if only is None else [range(only, only + 1)]:
        for question in [arguments.question] if arguments.question else QUESTIONS:
            for line in getattr(work, question)(seeds).sentences():
                print(line)
        print(f"seeds up to {seeds[-1]}: {(time.monotonic() - began) / 60:.0f} min", flush=True)
    return 0


class Work:
    """The study's folder: cohort, runs and results.

    Args:
        out: where everything lies.
        told: content of the settings file.
    """

    def __init__(self, out: Path, told: Mapping[str, Any]) -> None:
        self.out, self.told, self.question = out, told, told["question"]
        self.cohort, self.runs, self.cache = out / "cohort", out / "runs", out / "cache"

    def make_cohort(self) -> None:
        """Phantoms, each of its own seed, and the lists of who is who."""
        parts = self.told["cohort"]
        learned = parts["labelled"] + parts["validation"] + parts["test"]
        spare = parts["unlabelled"] + parts["watched"]
        if not (self.cohort / "dataset.json").exists():
            spacing = ("--spacing", *[parts["spacing"]] * 3)
            split = ("--split", learned, 0, spare)
            words = ("-c", learned + spare, "-s", parts["seed"], "-o", self.cohort, *spacing, *split)
            if swinssl(["phantoms", *map(str, words)]):
                sys.exit(1)
        listed = json.loads((self.cohort / "dataset.json").read_text(encoding="utf-8"))
        first, second = parts["labelled"], parts["labelled"] + parts["validation"]
        cases = listed["training"]
        self._write("labelled", training=cases[:first], validation=cases[first:second])
        self._write("test", training=cases[second:])

    def _write(self, name: str, **parts: list[Any]) -> Path:
        """A list of some of the phantoms; untouched where it says so already."""
        file, text = self.cohort / f"{name}.json", json.dumps(parts, indent=1)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
        return file

    def label_efficiency(self, seeds: range) -> Study:
        """Scratch against pre-training on some, more and all CTs, over the number of labelled ones."""
        inits = {}
        for count in self.question["pretrained_on"]:
            for seed in seeds:
                self._pretrain(f"on-{count}-{seed}", count, seed, TASKS)
            inits[f"pre-trained on {count}"] = self.runs / f"on-{count}-{{seed}}"
        return self._compare("label_efficiency", inits, tuple(self.question["labelled"]), seeds)

    def frozen(self, seeds: range) -> Study:
        """Encoders that fine-tuning does not touch, beside one that learns from scratch with few labels.

        Untrained, pre-trained, and trained with the most labels of :meth:`label_efficiency`, which comes first: what
        that one does not bring no pre-training can.
        """
        labelled = max(self.question["labelled"])
        most, network = max(self.question["pretrained_on"]), finetune_settings(changes=self.told["finetune"]).network
        for seed in seeds:
            self._pretrain(f"on-{most}-{seed}", most, seed, TASKS)
            file = self.runs / f"untrained-{seed}.safetensors"
            if not file.exists():
                save_file(build_encoder_of(network, None, seed=seed).state_dict(), file)
        inits = {
            "untrained, frozen": self.runs / "untrained-{seed}.safetensors",
            f"pre-trained on {most}, frozen": self.runs / f"on-{most}-{{seed}}",
            f"trained with {labelled} labelled, frozen": self.runs / f"{SCRATCH}-{labelled}-{{seed}}",
        }
        return self._compare("frozen", inits, (self.question["frozen_labelled"],), seeds, encoder_lr=0.0)

    def ablation(self, seeds: range) -> Study:
        """Scratch against each of the seven combinations of proxy tasks."""
        most, inits = max(self.question["pretrained_on"]), {}
        for tasks in COMBINATIONS:
            every = tasks == TASKS
            name = f"on-{most}" if every else "only-" + "-".join(tasks)
            for seed in seeds:
                self._pretrain(f"{name}-{seed}", most, seed, tasks)
            # All tasks are an arm of the other question: under its name there, its runs are used again.
            inits[f"pre-trained on {most}" if every else " + ".join(tasks)] = self.runs / f"{name}-{{seed}}"
        return self._compare("ablation", inits, (self.question["ablation_labelled"],), seeds)

    def _pretrain(self, name: str, count: int, seed: int, tasks: tuple[str, ...]) -> None:
        """One pre-training, unless it is there."""
        run = RunFolder(self.runs / name)
        if RunFolder.is_run(run.path) and run.status().get("state") == "finished":
            return
        cases = json.loads((self.cohort / "dataset.json").read_text(encoding="utf-8"))["unlabelled"]
        most = self.told["cohort"]["unlabelled"]
        chosen = [cases[number] for number in np.random.default_rng([seed, 5]).permutation(most)[:count]]
        listed = self._write(f"unlabelled-{count}-{seed}", unlabelled=chosen, validation=cases[most:])
        loss = {task: float(task in tasks) for task in TASKS}
        changes = merged(dict(self.told["pretrain"]), {"loss": loss, "training": {"seed": seed}})
        job = Job(run.path, Preparation((listed,), self.cache), resume=RunFolder.is_run(run.path))
        print(f"{name}:", flush=True)
        with Display("Pre-training") as display:
            pretrain_job(job, pretrain_settings(changes=changes), (display,))

    def _compare(
        self, name: str, inits: dict[str, Path], labelled: tuple[int, ...], seeds: range, **changes: Any
    ) -> Study:
        first = {"training": {"seed": seeds[0]}, **changes}
        settings = finetune_settings(changes=merged(dict(self.told["finetune"]), first))
        # Runs of other settings lie elsewhere: scratch has the same name in all questions.
        runs = self.out / f"runs-{name}" if changes else self.runs
        question = Question(inits, labelled, len(seeds), self.cohort / "test.json", runs=runs)
        preparation = Preparation((self.cohort / "labelled.json",), self.cache)
        # Results of a part of the seeds do not take the place of those of all.
        out = self.out / (f"{name}-of-{seeds[0]}" if seeds[0] else name)
        with Display("Fine-tuning") as display:
            return compare(preparation, settings, question, out, sinks=(display,))


if __name__ == "__main__":
    sys.exit(main())

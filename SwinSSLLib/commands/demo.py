"""``swinssl demo``: the whole method once, on phantoms and one real CT, in minutes on a laptop."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SwinSSLLib import atomic
from SwinSSLLib.commands.console import Display, print_json, span
from SwinSSLLib.errors import InputError
from SwinSSLLib.presets import finetune_settings, pretrain_settings

if TYPE_CHECKING:
    from SwinSSLLib.evaluate.metrics import Evaluation

#: Phantoms to fine-tune on, to choose the model by, and without labels; one more is kept unseen.
_SPLIT = (6, 4, 14)
_SEED = 1
_UNSEEN_SEED = 9
#: Phantoms are sampled as coarsely as the quick preset looks at them.
_SPACING = (4.0, 4.0, 4.0)

#: The embedded real CT, where the command runs from a clone of the project.
_SAMPLE = Path(__file__).resolve().parents[2] / "Testing" / "Data"


def add_parsers(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = add("demo", demo, "pre-train, fine-tune, segment and evaluate once on made-up CTs and one real one")
    parser.add_argument("-o", "--out", type=Path, required=True, help="new folder for everything")
    parser.add_argument("--sample", type=Path, metavar="FOLDER", default=_SAMPLE, help="folder with *-ct and *-labels")
    # Less pre-training than the quick preset, so that all of it stays below six minutes on two cores; after 160 steps
    # of fine-tuning instead of 200 only four organs were found.
    parser.add_argument("--pretrain-steps", type=int, default=80, help="fewer is faster and worse (default 80)")
    parser.add_argument("--finetune-steps", type=int, default=200, help="fewer is faster and worse (default 200)")
    parser.add_argument("--json", action="store_true", help="the summary as one JSON object on standard output")


def demo(arguments: argparse.Namespace) -> int:
    """Run ``swinssl demo``."""
    out: Path = arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not an empty folder.", "Choose a new folder for the demo.")
    demonstration = _Demonstration(out, arguments)
    demonstration.make_phantoms()
    demonstration.pretrain()
    demonstration.finetune()
    demonstration.segment()
    demonstration.tell()
    return 0


@dataclass
class _Demonstration:
    out: Path
    arguments: argparse.Namespace
    started: float = field(default_factory=time.monotonic)
    summary: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Evaluation] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.console = Display("").console
        self.console.quiet = self.arguments.json

    def make_phantoms(self) -> None:
        """A cohort to learn from, and one patient that nothing is learned from."""
        from SwinSSLLib.commands.tools import same_field
        from SwinSSLLib.data.phantom import write_cohort

        self._say("1 of 4", f"{sum(_SPLIT)} phantoms: synthetic abdominal CTs, no patient, exact labels")
        shape = same_field(_SPACING)
        write_cohort(sum(_SPLIT), _SEED, self.out / "phantoms", spacing=_SPACING, shape=shape, split=_SPLIT)
        write_cohort(1, _UNSEEN_SEED, self.out / "unseen", spacing=_SPACING, shape=shape, split=(1, 0, 0))

    def pretrain(self) -> None:
        """The three proxy tasks on the phantoms, labels unused."""
        from SwinSSLLib.evaluate.report import write_report
        from SwinSSLLib.jobs import pretrain_job

        self._say("2 of 4", "pre-training on their images alone: inpainting, contrast, rotation")
        settings = pretrain_settings("quick", _steps(self.arguments.pretrain_steps))
        with self._display("Pre-training") as display:
            pretrain_job(self._job("pretraining"), settings, (display,))
        self.summary["pretraining"] = self._model_metrics("pretraining")
        write_report(self.out / "pretraining")

    def finetune(self) -> None:
        """Swin UNETR from the pre-trained encoder on the labelled phantoms."""
        from SwinSSLLib.evaluate.report import write_report
        from SwinSSLLib.jobs import finetune_job

        self._say("3 of 4", f"fine-tuning from it on {_SPLIT[0]} labelled phantoms")
        settings = finetune_settings("quick", _steps(self.arguments.finetune_steps))
        with self._display("Fine-tuning") as display:
            finetune_job(self._job("finetuning", self.out / "pretraining"), settings, (display,))
        self.summary["finetuning"] = self._model_metrics("finetuning")
        write_report(self.out / "finetuning")

    def segment(self) -> None:
        """An unseen phantom and, where it is there, the embedded real CT."""
        self._say("4 of 4", "segmenting and evaluating an unseen phantom and a real CT")
        phantom = next((self.out / "unseen" / "images").iterdir())
        self._segment_one("phantom", phantom, self.out / "unseen" / "labels" / phantom.name)
        sample: Path = self.arguments.sample
        for image in sorted(sample.glob("*-ct.nii.gz")) if sample.is_dir() else []:
            self._segment_one("real CT", image, image.with_name(image.name.replace("-ct.", "-labels.")))

    def tell(self) -> None:
        """What came out, where it is, and what it does not mean."""
        from SwinSSLLib.commands.evaluating import score_table

        self.summary["seconds"] = round(time.monotonic() - self.started, 1)
        self.summary["dice"] = {name: evaluation.to_dict() for name, evaluation in self.scores.items()}
        self.summary["pictures"] = [str(picture) for picture in self.pictures]
        atomic.write_json(self.out / "summary.json", self.summary)
        if self.arguments.json:
            print_json(self.summary)
            return
        for evaluation in self.scores.values():
            self.console.print(score_table(evaluation))
        accuracy = self.summary["pretraining"]["rotation_accuracy"]
        lines = (
            f"\n[bold]Done in {span(self.summary['seconds'])}.[/] "
            f"Rotation of unseen phantoms told right: {accuracy:.0%} (chance 25%).",
            "All numbers of pre-training and fine-tuning, and the first table, are from [bold]phantoms[/].",
            "The second table is a real CT against labels that are themselves a model's output.",
            "[bold]A model trained for minutes on phantoms is no clinical model[/]: on a real CT it shows that",
            "the way is open from file to file, no more.\n",
        )
        for line in lines:
            self.console.print(line, soft_wrap=True)
        for title, path in self._places():
            self.console.print(f"  {title:<28}{path}", soft_wrap=True)

    def _places(self) -> list[tuple[str, Path]]:
        return [
            ("pre-training report", self.out / "pretraining" / "report.html"),
            ("fine-tuning report", self.out / "finetuning" / "report.html"),
            ("segmenter", self.out / "finetuning" / "model"),
            ("segmentations", self.out / "segmentations"),
            *((f"picture, {picture.stem}", picture) for picture in self.pictures),
        ]

    def _segment_one(self, name: str, image: Path, reference: Path) -> None:
        from SwinSSLLib.data.labelmaps import read_label_map
        from SwinSSLLib.data.volumes import read_volume
        from SwinSSLLib.evaluate.metrics import evaluate_files
        from SwinSSLLib.evaluate.pictures import overlay_figure
        from SwinSSLLib.segment.files import segment_files

        stem = name.replace(" ", "-")
        out = self.out / "segmentations" / f"{stem}.seg.nrrd"
        segment_files([image], self.out / "finetuning", out)
        self.scores[name] = evaluate_files(out, reference)
        volume = read_volume(image)
        truth = read_label_map(reference, volume)
        for what, labels in (("found", read_label_map(out, volume)), ("reference", truth)):
            picture = self.out / "pictures" / f"{stem}-{what}.png"
            figure = overlay_figure(volume, labels, title=f"{name}: {what}", slices_of=truth)
            with atomic.replacing(picture) as file:
                figure.savefig(file, dpi=110)
            self.pictures.append(picture)

    def _job(self, name: str, init: Path | None = None) -> Any:
        from SwinSSLLib.jobs import Job
        from SwinSSLLib.preparing import Preparation

        return Job(self.out / name, Preparation((self.out / "phantoms",), cache=self.out / "cache"), init)

    def _display(self, title: str) -> Display:
        return Display(title, self.console)

    def _model_metrics(self, name: str) -> dict[str, Any]:
        from SwinSSLLib.models import read_card

        metrics: dict[str, Any] = read_card(self.out / name)["metrics"]["validation"]
        return metrics

    def _say(self, number: str, text: str) -> None:
        self.console.print(f"[bold cyan]{number}[/]  {text}")


def _steps(steps: int) -> dict[str, Any]:
    return {"training": {"steps": steps}}

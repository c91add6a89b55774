"""The jobs that are disturbed, and what must be true of them afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks

from SwinSSLLib.runs import RunFolder, read_events

#: The smallest network and sub-volume that train; a checkpoint, a preview and a validation every other step.
TRAINING: dict[str, Any] = {
    "network": {"feature_size": 12, "window": 4, "num_heads": [1, 2, 4, 8]},
    "input": {"spacing": [8.0, 8.0, 8.0], "roi": [32, 32, 32]},
    "training": {
        "steps": 6,
        "batch": 2,
        "warmup": 1,
        "validate_every": 3,
        "checkpoint_every": 2,
        "preview_every": 3,
        "workers": 1,
        "device": "cpu",
    },
}
PRETRAIN = {**TRAINING, "validation_sub_volumes": 2, "preview_sub_volumes": 1}
FINETUNE = {
    **TRAINING,
    "input": {"spacing": [8.0, 8.0, 8.0], "roi": [64, 32, 32]},
    "training": {**TRAINING["training"], "best": "dice"},
    "overlap": 0.0,
}


@dataclass
class Place:
    """Where everything lies: inputs made once, references, a folder for each trial.

    Args:
        root: an empty folder.
    """

    root: Path

    def make(self) -> None:
        """Make phantoms, settings and a model."""
        self.root.mkdir(parents=True, exist_ok=True)
        for name, content in (("pretrain", PRETRAIN), ("finetune", FINETUNE)):
            (self.root / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        _in_a_fork(lambda: _cohort(self.data), self.root / "out.txt")
        self._run(*self.pretraining(self.root / "first"), "--cache", self.cache)
        self._run(*self.finetuning(self.root / "second"), "--cache", self.cache)

    @property
    def data(self) -> Path:
        """The phantoms."""
        return self.root / "phantoms"

    @property
    def cache(self) -> Path:
        """A store in which all of them lie already."""
        return self.root / "cache"

    def pretraining(self, out: Path) -> list[object]:
        """Command line of a pre-training."""
        return self._training("pretrain", out)

    def finetuning(self, out: Path) -> list[object]:
        """Command line of a fine-tuning."""
        return [*self._training("finetune", out), "--init", "scratch"]

    def _training(self, kind: str, out: Path) -> list[object]:
        words = [kind, "--data", self.data / "dataset.json", "--out", out, "--preset", "quick", "--start-or-resume"]
        return [*words, "--settings", self.root / f"{kind}.json", "--control", "--json"]

    def segmenting(self, out: Path) -> list[object]:
        """Command line of a segmentation of two CTs."""
        inputs = sorted((self.data / "images").iterdir())[:2]
        return ["segment", *inputs, "--model", self.root / "second", "--out", out, "--exact", "--json", "--control"]

    def trial(self, name: str) -> Path:
        """A new folder."""
        folder = self.root / "trials" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _run(self, *words: object) -> None:
        code, said = forks.run(words, self.root / "out.txt")
        if code:
            raise RuntimeError(f"swinssl {' '.join(map(str, words))}: exit code {code}\n{said}")


def _cohort(folder: Path) -> None:
    from SwinSSLLib.data.phantom import write_cohort

    write_cohort(6, 5, folder, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36), split=(2, 1, 3))


def _in_a_fork(work: Callable[[], None], output: Path) -> None:
    """Compute elsewhere: the process that forks must have no threads of torch."""
    code, said = forks.run(["--version"], output, before=work)
    if code:
        raise RuntimeError(said)


def content_of(file: Path) -> str:
    """A short name of a file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def files_in(folder: Path) -> set[str]:
    """Names of all files and folders below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} if folder.exists() else set()


def run_kept(folder: Path) -> dict[str, str]:
    """What a training leaves: its weights, its optimiser, its last preview; and the names of all files."""
    from SwinSSLLib.checkpoints import digest_of, load_checkpoint

    run = RunFolder(folder)
    checkpoint = load_checkpoint(run.checkpoints / "last.ckpt")
    kept = {
        "weights": content_of(run.model / "weights.safetensors"),
        "checkpoint": digest_of(checkpoint),
        "state": str(run.status().get("state")),
        "names": " ".join(sorted(name for name in files_in(folder) if not name.startswith("wishes"))),
    }
    last = run.preview_files()[-1:]
    return kept | {f"preview {file.name}": content_of(file) for file in last}


def last_checkpoint(folder: Path) -> int:
    """Step of the last checkpoint that the run has told of."""
    steps = [e["step"] for e in RunFolder(folder).events() if e["event"] == "checkpoint" and "best" not in e["file"]]
    return max(steps, default=0)


def steps_since(folder: Path, offset: int) -> list[int]:
    """Steps told in progress events after ``offset`` bytes of the events file."""
    events, _ = read_events(RunFolder(folder).events_file, offset)
    return [event["step"] for event in events if event["event"] == "progress" and "stage" not in event]

"""What several tests start from. Names read as sentences: a test takes ``a_cohort`` or ``a_pretrained_run``."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ct_files import a_ct  # noqa: F401 - a fixture
from exchanged import a_phantom_file, a_published_encoder, a_segmenter_of_each_merging  # noqa: F401 - fixtures
from file_server import offered, server  # noqa: F401 - fixtures

from SwinSSLLib.control import Control

# Two cores are shared by everything; set before torch is imported anywhere.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# The fuzzing lies beside this folder, and its tests in it.
sys.path.append(str(Path(__file__).resolve().parents[1]))

#: The smallest network and sub-volume that train: for behaviour, not for quality.
TINY: dict[str, Any] = {
    "network": {"feature_size": 12, "window": 4, "num_heads": [1, 2, 4, 8]},
    "input": {"spacing": [8.0, 8.0, 8.0], "roi": [32, 32, 32]},
    "training": {
        "steps": 4,
        "batch": 2,
        "warmup": 1,
        "validate_every": 2,
        "checkpoint_every": 2,
        "preview_every": 2,
        "workers": 1,
        "device": "cpu",
    },
    "validation_sub_volumes": 4,
    "preview_sub_volumes": 2,
}
TINY_FINETUNE: dict[str, Any] = {
    "network": TINY["network"],
    "input": {"spacing": [8.0, 8.0, 8.0], "roi": [64, 32, 32]},
    "training": {**TINY["training"], "best": "dice"},
    "overlap": 0.0,
}


@pytest.fixture(scope="session", autouse=True)
def a_cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No test reads or fills the cache or the models of whoever runs it."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["SWINSSL_CACHE"] = str(folder)
    os.environ["SWINSSL_MODELS"] = str(tmp_path_factory.mktemp("library"))
    return folder


@pytest.fixture(scope="session")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of six coarse phantoms: two for training, one for validation, three unlabelled."""
    from SwinSSLLib.data.phantom import write_cohort

    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(6, 5, folder, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36), split=(2, 1, 3))
    return folder


@pytest.fixture(scope="session")
def a_pretrained_run(tmp_path_factory: pytest.TempPathFactory, a_cohort: Path) -> Path:
    """A finished pre-training run of four steps."""
    out = tmp_path_factory.mktemp("runs") / "pretrained"
    pretrain(a_cohort, out)
    return out


@pytest.fixture(scope="session")
def a_segmenter(tmp_path_factory: pytest.TempPathFactory, a_cohort: Path, a_pretrained_run: Path) -> Path:
    """A finished fine-tuning run of four steps."""
    out = tmp_path_factory.mktemp("runs") / "segmenter"
    finetune(a_cohort, out, init=a_pretrained_run)
    return out


def pretrain(data: Path, out: Path, changes: dict[str, Any] | None = None, **options: Any) -> Any:
    """Run a pre-training job with :data:`TINY` settings."""
    from SwinSSLLib.jobs import pretrain_job
    from SwinSSLLib.presets import pretrain_settings
    from SwinSSLLib.validation import merged

    job, more = _job(data, out, options)
    return pretrain_job(job, pretrain_settings("quick", merged(TINY, changes or {})), **more)


def finetune(data: Path, out: Path, changes: dict[str, Any] | None = None, **options: Any) -> Any:
    """Run a fine-tuning job with :data:`TINY_FINETUNE` settings."""
    from SwinSSLLib.jobs import finetune_job
    from SwinSSLLib.presets import finetune_settings
    from SwinSSLLib.validation import merged

    job, more = _job(data, out, options)
    return finetune_job(job, finetune_settings("quick", merged(TINY_FINETUNE, changes or {})), **more)


def _job(data: Path, out: Path, options: dict[str, Any]) -> Any:
    from SwinSSLLib.jobs import Job
    from SwinSSLLib.preparing import Preparation

    own = {name: options.pop(name) for name in ("init", "force", "resume", "names") if name in options}
    return Job(out, Preparation((data,)), **own), options


def metrics(run: Path) -> dict[tuple[str, int], float]:
    """What a run measured, by name and step."""
    from SwinSSLLib.runs import RunFolder

    events = RunFolder(run).events()
    return {(event["name"], event["step"]): event["value"] for event in events if event["event"] == "metric"}


def same_tensors(first: dict, second: dict) -> bool:
    """Whether two state dicts are equal to the bit."""
    import torch

    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class StopAfter(Control):
    """Asks for a stop once it has been asked so many times."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    @property
    def stop(self) -> bool:
        self.steps -= 1
        return self.steps < 0


@pytest.fixture
def swinssl(capsys):
    """Run a command; gives exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        from SwinSSLLib.cli import main

        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> tuple[Path, Path]:
    """Settings files of the smallest pre-training and fine-tuning."""
    folder = tmp_path_factory.mktemp("settings")
    for name, content in (("pretrain", TINY), ("finetune", TINY_FINETUNE)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / "pretrain.json", folder / "finetune.json"


@pytest.fixture(scope="session")
def swin_unetr_of_monai_1_4(tmp_path_factory) -> ModuleType:
    """The module swin_unetr.py of the MONAI 1.4.0 wheel, run against the installed MONAI's other parts."""
    wheels = sorted((Path(sys.prefix) / "oracles").glob("monai-1.4.0-*.whl"))
    if not wheels:
        pytest.skip("the MONAI 1.4.0 wheel is not in .venv/oracles (python3 Testing/run.py setup puts it there)")
    source = zipfile.ZipFile(wheels[0]).read("monai/networks/nets/swin_unetr.py").decode()
    # Its decorator says "removed in 1.5" of an argument and would raise on a newer MONAI; nothing else is changed.
    source = source.replace('removed="1.5"', 'removed="99.0"')
    file = tmp_path_factory.mktemp("oracle") / "swin_unetr_1_4.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location("swin_unetr_1_4", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["swin_unetr_1_4"] = module
    spec.loader.exec_module(module)
    return module

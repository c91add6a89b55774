"""Real CT: the embedded sample always, the folder of real CTs beside the project when it is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import pretrain

from SwinSSLLib.cli import main
from SwinSSLLib.data.volumes import read_volume
from SwinSSLLib.evaluate.metrics import evaluate_files
from SwinSSLLib.runs import RunFolder

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "Testing" / "Data" / "lidc-idri-0001-ct.nii.gz"
SHARED = ROOT.parent / "shared" / "data"


def test_the_sample_is_segmented_on_its_own_grid(tmp_path, a_segmenter):
    out = tmp_path / "sample.nii.gz"
    assert main(["segment", str(SAMPLE), "--model", str(a_segmenter), "--out", str(out)]) == 0
    source, labels = read_volume(SAMPLE), evaluate_files(out, SAMPLE.with_name("lidc-idri-0001-labels.nii.gz"))
    assert len(labels.scores) == 13
    assert next(score.state for score in labels.scores if score.name == "gallbladder") in ("absent", "extra")
    import SimpleITK as sitk

    written = sitk.ReadImage(str(out))
    assert written.GetSize() == source.shape
    assert np.allclose(written.GetSpacing(), source.spacing, atol=1e-6)
    assert np.allclose(written.GetOrigin(), source.origin, atol=1e-4)
    assert np.allclose(written.GetDirection(), source.direction, atol=1e-6)


@pytest.mark.shared
def test_pre_training_runs_over_all_real_cts(tmp_path):
    volumes = sorted(SHARED.glob("*/ct.nii.gz"))
    if not volumes:
        pytest.skip("there is no folder of real CTs beside the project")
    from SwinSSLLib.jobs import Job, pretrain_job
    from SwinSSLLib.preparing import Preparation
    from SwinSSLLib.presets import pretrain_settings

    small = {"training": {"steps": 2, "validate_every": 2, "preview_every": 2, "batch": 2}, "validation_sub_volumes": 4}
    job = Job(tmp_path / "run", Preparation(tuple(volumes)))
    assert pretrain_job(job, pretrain_settings("quick", small)).step == 2
    run = RunFolder(tmp_path / "run")
    assert len(run.job()["inputs"]) == len(volumes)
    warnings = [event["message"] for event in run.events() if event["event"] == "warning"]
    assert any("padded with air" in message for message in warnings)  # there are slabs among them
    values = [event["value"] for event in run.events() if event["event"] == "metric"]
    assert values
    assert np.isfinite(values).all()


def test_one_ct_alone_validates_on_itself_and_says_so(tmp_path):
    pretrain(SAMPLE, tmp_path / "run", {"input": {"roi": [32, 32, 32], "spacing": [6.0, 6.0, 6.0]}})
    warnings = [event["message"] for event in RunFolder(tmp_path / "run").events() if event["event"] == "warning"]
    assert any("only one patient" in message for message in warnings)

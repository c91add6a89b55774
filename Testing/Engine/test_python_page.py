"""The blocks of Docs/python.md run as they stand, and give what they promise."""

from __future__ import annotations

import shutil
from itertools import pairwise

import pytest
import torch
from conftest import TINY, same_tensors
from documented import ROOT, blocks_of
from monai.networks.nets import SwinUNETR

from SwinSSLLib import presets
from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.library import find_model
from SwinSSLLib.nets.swin import build_encoder
from SwinSSLLib.nets.weights import ENCODER, load_encoder
from SwinSSLLib.validation import merged

PAGE = ROOT / "Docs" / "python.md"


def test_the_blocks_of_the_page_run_in_order(tmp_path, monkeypatch, a_cohort, a_pretrained_run, a_segmenter):
    monkeypatch.chdir(tmp_path)
    for source, name in ((a_pretrained_run, "run"), (a_segmenter, "tuned"), (a_cohort, "cohort")):
        shutil.copytree(source, name)
    shutil.copy(next((a_cohort / "images").iterdir()), "CT.nii.gz")
    asked = presets._with_changes
    monkeypatch.setattr(presets, "_with_changes", lambda *words: merged(asked(*words), TINY))  # as it says, but small
    found: dict = {"__name__": "page"}
    blocks = [block for block in blocks_of(PAGE) if block.language == "python"]
    for block in blocks:
        if "load_from" in block.text:  # MONAI's own loading has to bring every tensor itself
            found["same"].load_state_dict({k: torch.zeros_like(v) for k, v in found["same"].state_dict().items()})
        exec(compile(block.text, block.where, "exec"), found)
    assert len(blocks) == 6
    levels = found["levels"]
    assert len(levels) == 5
    assert all(fine.shape[2] == 2 * coarse.shape[2] for fine, coarse in pairwise(levels))
    encoder = {name: value for name, value in found["model"].state.items() if name.startswith(ENCODER)}
    assert isinstance(found["same"], SwinUNETR)
    own = found["same"].state_dict()
    assert encoder
    assert same_tensors({name: own[name] for name in encoder}, encoder)
    assert (tmp_path / "organs.nii.gz").exists()
    assert found["losses"]


def test_a_bare_encoder_takes_the_weights(a_pretrained_run):
    model = find_model(str(a_pretrained_run))
    encoder = build_encoder(model.network)
    coverage = load_encoder(encoder, model.state, source="run")
    assert coverage.complete
    assert coverage.wanted == len(encoder.state_dict())
    assert all(torch.equal(value, model.state[ENCODER + name]) for name, value in encoder.state_dict().items())


def test_a_network_without_an_encoder_is_refused(a_pretrained_run):
    model = find_model(a_pretrained_run)
    with pytest.raises(InputError, match="this Linear holds no encoder named swinViT"):
        load_encoder(torch.nn.Linear(2, 2), model.state, source="run")
    with pytest.raises(InputError, match="holds no encoder"):
        load_encoder(torch.nn.Linear(2, 2), model.state, source="run", force=True)

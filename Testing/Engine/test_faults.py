"""A small part of the fault campaign with every test run; the whole is ``python3 Testing/run.py faults``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).resolve().parents[1] / "Faults" / "campaign.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="trials are forks")
@pytest.mark.parametrize(("what", "trials", "kinds"), [("kills", 5, 5), ("damage", 10, 9)])
def test_nothing_is_lost(tmp_path, what, trials, kinds):
    command = [sys.executable, CAMPAIGN, what, "--trials", str(trials), "--seed", "7", "--out", tmp_path / "found"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "SWINSSL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([*command, "--keep", tmp_path / "work"], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    faults = json.loads((tmp_path / "found" / "faults.json").read_text())["faults"]
    assert len(faults) == kinds
    assert sum(row["trials"] for row in faults) >= trials
    assert not [problem for row in faults for problem in row["problems"]]

"""Tests of the panel: the real module on real Qt and real MRML, with real worker processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("OMP_NUM_THREADS", "1")
for folder in (ROOT / "Testing", ROOT / "SwinSSL", ROOT):
    sys.path.insert(0, str(folder))
pytest_plugins = ["Bench.fixtures", "segmenting", "panels", "modelling"]

from Bench import application  # noqa: E402 - only now can it be found

# Test files import qt and slicer at their top, as modules of Slicer do.
application.start(testing=True)


@pytest.fixture(scope="session", autouse=True)
def places_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or fills the cache or the models of whoever runs it."""
    os.environ["SWINSSL_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["SWINSSL_MODELS"] = str(tmp_path_factory.mktemp("library"))

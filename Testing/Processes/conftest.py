"""The fixtures of Testing/Engine, for tests that take minutes and are run by ``python3 Testing/run.py processes``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[1] / "Engine"
sys.path.insert(0, str(ENGINE))
_spec = importlib.util.spec_from_file_location("engine_fixtures", ENGINE / "conftest.py")
assert _spec and _spec.loader
_engine = importlib.util.module_from_spec(_spec)
sys.modules["engine_fixtures"] = _engine
_spec.loader.exec_module(_engine)

for _name in ("a_cache_of_its_own", "a_cohort", "a_pretrained_run", "a_segmenter", "tiny"):
    globals()[_name] = getattr(_engine, _name)

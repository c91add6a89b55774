"""The store of prepared CTs in the section Models."""

from __future__ import annotations

import shutil
from pathlib import Path

import engine_files
from modelling import ended
from waiting import waitFor

from SwinSSLLib.places import cache_folder


def test_prepared_cts_are_shown_by_size_and_deleted_after_asking(a_models_section, answers, tmp_path):
    shutil.rmtree(cache_folder(), ignore_errors=True)
    a_models_section.fill()
    assert not a_models_section.ui.cacheButton.enabled
    assert "0.0 MB" in a_models_section.ui.cacheLabel.text
    _prepare(tmp_path)
    a_models_section.enter()
    assert a_models_section.ui.cacheButton.enabled
    answers["confirm"] = False
    a_models_section.ui.cacheButton.click()
    assert ended(a_models_section)
    assert "Delete all prepared CTs (1: ct)" in answers["asked"][0]
    assert list(cache_folder().glob("*/image*"))
    answers["confirm"] = True
    a_models_section.ui.cacheButton.click()
    assert waitFor(lambda: "are deleted" in a_models_section.ui.messageLabel.text)
    assert ended(a_models_section)
    assert not list(cache_folder().glob("*/image*"))


def _prepare(folder: Path) -> None:
    """One CT in the cache, put there by the engine."""
    import subprocess
    import sys

    code = """
import sys
from pathlib import Path
from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.data.volumes import write_volume
from SwinSSLLib.places import cache_folder
ct = Path(sys.argv[1]) / "ct.nii.gz"
write_volume(make_phantom(1, spacing=(8.0, 8.0, 8.0), shape=(42, 36, 36)).image, ct)
Store(cache_folder()).add(ct, Recipe(spacing=(8.0, 8.0, 8.0)))
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=engine_files.ROOT, check=True)

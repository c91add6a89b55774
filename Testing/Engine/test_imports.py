"""A worker starts without what it does not need, and nothing is missing afterwards."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from SwinSSLLib.imports import left_out

SCRIPT = """
import json, sys
from SwinSSLLib.imports import NOT_FOR_SEGMENTING, left_out
with left_out():
    import SwinSSLLib.serving
    import SwinSSLLib.segment.pipeline
print(json.dumps([name for name in (*NOT_FOR_SEGMENTING, "monai", "torch.distributed.fsdp") if name in sys.modules]))
import matplotlib.pyplot, scipy.signal
"""


def test_what_segmenting_does_not_need_is_not_imported_and_can_be_later():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["monai"]


def test_what_is_there_stays_and_what_is_left_out_comes_back():
    with pytest.raises(ValueError, match="on the way"), left_out(("json", "wave")):
        assert sys.modules["json"] is json
        with pytest.raises(ImportError):
            import wave
        raise ValueError("on the way")
    import wave

    assert wave.open

"""The short part of the fuzzing; ``python3 Testing/run.py fuzz`` is the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from Fuzz.child import NOTE
from Fuzz.readers import all_readers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SwinSSLLib.data.datalists import read_datalist
from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.labels import read_label_names
from SwinSSLLib.models import CARD, read_card
from SwinSSLLib.presets import pretrain_settings

ROOT = Path(__file__).resolve().parents[2]
ROOT = Path(__file__).resolve().parents[2]
#: Inputs of each reader here.
EACH = 16


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured as Linux does it")
def test_no_input_of_any_reader_leads_to_anything_but_a_value_or_a_sentence(tmp_path):
    names = list(all_readers())
    note = tmp_path / "note"
    command = [sys.executable, ROOT / "Testing/Fuzz/child.py", "--reader", *names, "--seed", "7", "--first", "0"]
    command += ["--last", EACH, "--place", tmp_path / "place", "--note", note]
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=300, cwd=ROOT, stdin=subprocess.PIPE)
    told = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith(b"@")]
    ready = [what["ready"] for what in told if "ready" in what]
    where = f"{ready[-1:]} input {NOTE.unpack(note.read_bytes())[0]}"
    assert done.returncode == 0, f"{where}: {done.stderr.decode(errors='replace')[-2000:]}"
    assert ready == names
    assert [what for what in told if "sign" in what] == []


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
_SECTIONS = st.sampled_from(("training", "input", "network", "views", "loss", "image", "label", "kind", "1", "seed"))
_OBJECTS = st.dictionaries(_SECTIONS | st.text(max_size=8), _VALUES, max_size=4)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(_OBJECTS | _VALUES, st.sampled_from(("dataset.json", CARD, "names.json", "settings")))
def test_documents_of_any_shape_are_used_or_refused(tmp_path_factory, content, name):
    folder = tmp_path_factory.mktemp("any")
    file = folder / name
    file.write_text(json.dumps(content), encoding="utf-8")
    readers = {
        "dataset.json": lambda: read_datalist(file),
        CARD: lambda: read_card(folder),
        "names.json": lambda: read_label_names(file),
        "settings": lambda: pretrain_settings(changes=content if isinstance(content, dict) else {"x": content}),
    }
    try:
        readers[name]()
    except InputError as error:
        assert error.message.split("\n")[0].isprintable()
        assert len(error.message) < 6000

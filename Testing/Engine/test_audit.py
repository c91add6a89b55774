"""The audit of dependencies is a report: it never waits for a network, and says what it could not ask."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="PyYAML comes with the developers' tools")

AUDIT = Path(__file__).resolve().parents[1] / "audit.py"
CONSTRAINTS = AUDIT.with_name("constraints.txt")


def audit(*words: object, **variables: str) -> tuple[int, str]:
    """Exit code and output."""
    surroundings = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    command = [sys.executable, str(AUDIT), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**surroundings, **variables}
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture
def a_port():
    """A port of this machine at which somebody listens and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def test_without_a_network_it_says_so_and_ends_well():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        code, said = audit(HTTPS_PROXY=f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert code == 0
    for title in ("tested versions", "oldest versions"):
        assert f"{title}: nothing could be asked about" in said
    assert "this says nothing of them" in said


def test_a_network_that_hangs_is_waited_for_no_longer_than_told(a_port):
    code, said = audit("--seconds", 2, HTTPS_PROXY=f"http://127.0.0.1:{a_port}")
    assert code == 0
    assert "tested versions: nothing could be asked about" in said
    assert "no answer from PyPI within 2 s" in said
    assert "the time is up" in said  # for the second list


def test_a_vulnerability_of_a_tested_version_stands_out(tmp_path):
    name, version = next(
        line.split("==") for line in CONSTRAINTS.read_text().splitlines() if line.startswith("numpy==")
    )
    folder = tmp_path / "vulns" / name.lower()
    folder.mkdir(parents=True)
    advisory = f"id: PYSEC-1\naliases: [CVE-1]\naffected:\n- versions: ['{version}']\n"
    (folder / "PYSEC-1.yaml").write_text(advisory)
    code, said = audit("--database", tmp_path)
    assert code == 1
    told = said.split("!!! Known vulnerabilities", 1)[1]
    assert f"{name} {version}: PYSEC-1 (CVE-1)" in told
    (folder / "PYSEC-1.yaml").write_text(advisory + "withdrawn: 2020-01-01T00:00:00Z\n")
    code, said = audit("--database", tmp_path)
    assert code == 0
    assert "!!!" not in said


def test_the_machine_that_tests_every_change_only_reports_it():
    lines = (AUDIT.parents[1] / ".ci" / "run").read_text().splitlines()
    calls = [line for line in lines if "run.py audit" in line]
    assert len(calls) == 1
    assert calls[0].startswith("timeout ") and "|| echo" in calls[0]

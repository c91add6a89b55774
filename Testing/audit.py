"""Known vulnerabilities of what we build on: ``python3 Testing/run.py audit [--database FOLDER]``.

Two lists are looked at: the versions that we test with (Testing/constraints.txt), and the oldest ones that an install
may bring (lower bounds of pyproject.toml). pip-audit asks PyPI about both; with ``--database``, a copy of
https://github.com/pypa/advisory-database (PyPI's own source), no network is needed. It is a report: the exit code is 0
unless a vulnerability of a version that we test with is found. Where nothing can be asked (no network, or no answer
within ``--seconds``) it says so and ends with 0: not knowing is no finding.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
Packages = dict[str, str]


def main() -> int:
    """Audit both lists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path, help="folder with a copy of pypa/advisory-database")
    parser.add_argument("--seconds", type=float, default=55.0, help="longest time to wait for PyPI, in all (55)")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    serious: list[str] = []
    for title, packages in (("tested versions", tested()), ("oldest versions", oldest())):
        if arguments.database:
            problems, asked, why = list(offline(packages, arguments.database)), len(packages), ""
        else:
            problems, asked, why = online(packages, end - time.monotonic())
        if asked == 0:
            print(f"{title}: nothing could be asked about {len(packages)} packages ({why}); this says nothing of them")
            continue
        print(f"{title}: {asked} of {len(packages)} packages asked about, {len(problems)} known vulnerabilities")
        for problem in problems:
            print(f"  {problem}")
        serious += problems if title == "tested versions" else []
    if serious:
        lines = ["!!! Known vulnerabilities in versions that we test with (Testing/constraints.txt):", *serious]
        print("\n".join(["", "!" * 100, *lines, "!" * 100, ""]))
    return 1 if serious else 0


def tested() -> Packages:
    """Name and version of everything in constraints.txt."""
    lines = (ROOT / "Testing" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.strip().split("==") for line in lines if "==" in line and not line.startswith("#"))


def oldest() -> Packages:
    """Lower bounds of what users install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = [*project["dependencies"], *project["optional-dependencies"]["cpu-fast"]]
    return {name: version for name, _, version in (word.partition(">=") for word in words)}


def online(packages: Packages, seconds: float) -> tuple[list[str], int, str]:
    """What pip-audit says, about how many packages it could say something, and why about none."""
    if seconds <= 0:
        return [], 0, "the time is up"
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "packages.txt"
        listing.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()))
        options = ("-r", listing, "--no-deps", "--disable-pip", "--timeout", "10", "--progress-spinner", "off")
        command = [sys.executable, "-m", "pip_audit", *map(str, options), "-f", "json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
        except subprocess.TimeoutExpired:
            return [], 0, f"no answer from PyPI within {seconds:.0f} s"
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return [], 0, f"PyPI was not reached: {last[:200]}"
    known = [answer for answer in answers if "vulns" in answer]
    problems = [
        f"{answer['name']} {answer['version']}: {vulnerability['id']}, mended in {vulnerability['fix_versions']}"
        for answer in known
        for vulnerability in answer["vulns"]
    ]
    skipped = next((str(answer["skip_reason"]) for answer in answers if "skip_reason" in answer), "no answer")
    return problems, len(known), skipped


def offline(packages: Packages, database: Path) -> Iterator[str]:
    """What the advisories in a folder say."""
    for name, version in packages.items():
        folder = database / "vulns" / re.sub(r"[-_.]+", "-", name).lower()
        for file in sorted(folder.glob("*.yaml")):
            advisory = yaml.safe_load(file.read_text(encoding="utf-8"))
            if not advisory.get("withdrawn") and any(affects(entry, version) for entry in advisory["affected"]):
                yield f"{name} {version}: {advisory['id']} ({', '.join(advisory.get('aliases', ()))})"


def affects(entry: dict[str, Any], version: str) -> bool:
    """Whether a version is among those that an advisory names or lies in one of its ranges (OSV schema)."""
    if version in entry.get("versions", ()):
        return True
    return any(
        _inside(version, scope["events"]) for scope in entry.get("ranges", ()) if scope.get("type") == "ECOSYSTEM"
    )


def _inside(version: str, events: list[dict[str, str]]) -> bool:
    inside, here = False, Version(version)
    for event in events:
        try:
            if "introduced" in event and here >= Version(event["introduced"]):
                inside = True
            if "fixed" in event and here >= Version(event["fixed"]):
                inside = False
            if "last_affected" in event and here > Version(event["last_affected"]):
                inside = False
        except InvalidVersion:
            continue
    return inside


if __name__ == "__main__":
    sys.exit(main())

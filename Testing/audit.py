"""Known vulnerabilities of what we build on: ``python3 Testing/run.py audit [--database FOLDER]``.

Two lists are looked at: the versions that we test with (Testing/constraints.txt), and the oldest ones that an install
may bring (lower bounds of pyproject.toml). pip-audit asks PyPI about both; with ``--database``, a copy of
https://github.com/pypa/advisory-database (PyPI's own source), no network is needed. It is a report: the exit code is 0
unless a vulnerability of a version that we test with is found.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
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
    arguments = parser.parse_args()
    found = 0
    for title, packages in (("tested versions", tested()), ("oldest versions", oldest())):
        if arguments.database:
            problems, asked = list(offline(packages, arguments.database)), len(packages)
        else:
            problems, asked = online(packages)
        print(f"{title}: {asked} of {len(packages)} packages asked about, {len(problems)} known vulnerabilities")
        for problem in problems:
            print(f"  {problem}")
        found += len(problems) if title == "tested versions" else 0
    return 1 if found else 0


def tested() -> Packages:
    """Name and version of everything in constraints.txt."""
    lines = (ROOT / "Testing" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.strip().split("==") for line in lines if "==" in line and not line.startswith("#"))


def oldest() -> Packages:
    """Lower bounds of what users install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = [*project["dependencies"], *project["optional-dependencies"]["cpu-fast"]]
    return {name: version for name, _, version in (word.partition(">=") for word in words)}


def online(packages: Packages) -> tuple[list[str], int]:
    """What pip-audit says, and about how many packages it could say something."""
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "packages.txt"
        listing.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()))
        options = ("-r", listing, "--no-deps", "--disable-pip", "--timeout", "10", "--progress-spinner", "off")
        command = [sys.executable, "-m", "pip_audit", *map(str, options), "-f", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit could not ask PyPI: {done.stderr.strip().splitlines()[-1:]}")
        return [], 0
    known = [answer for answer in answers if "vulns" in answer]
    problems = [
        f"{answer['name']} {answer['version']}: {vulnerability['id']}, mended in {vulnerability['fix_versions']}"
        for answer in known
        for vulnerability in answer["vulns"]
    ]
    return problems, len(known)


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

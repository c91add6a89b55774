# ruff: noqa: N803 - the names are those of Slicer
"""``slicer.packaging``: requirements are really checked; installation is recorded, not done, while testing."""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import slicer
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement

#: What would have been installed or uninstalled, oldest first: the words given to pip.
recorded: list[list[str]] = []
#: A test may put a function here that stands in for pip: it gets the words and may raise.
instead_of_pip: Callable[[list[str]], None] | None = None


def load_requirements(path: str | Path) -> list[Requirement]:
    """Requirements of a ``requirements.txt``; comments, options and empty lines are passed over."""
    lines = (line.partition(" #")[0].strip() for line in Path(path).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def load_pyproject_dependencies(path: str | Path) -> list[Requirement]:
    """``project.dependencies`` of a ``pyproject.toml``."""
    content = tomllib.loads(Path(path).read_text())
    return [Requirement(each) for each in content.get("project", {}).get("dependencies", [])]


def _as_requirements(given: str | Requirement | Iterable[str | Requirement]) -> list[Requirement]:
    if isinstance(given, Requirement):
        return [given]
    if isinstance(given, str):
        try:
            return [Requirement(given)]
        except InvalidRequirement:
            return [Requirement(word) for word in given.split()]
    return [each for one in given for each in _as_requirements(one)]


def pip_check(req: str | Requirement | list[str | Requirement]) -> bool:
    """Whether requirements are met by what is installed, extras included."""
    seen: set[tuple[str, frozenset[str]]] = set()
    return all(_met(each, seen) for each in _as_requirements(req))


def _met(requirement: Requirement, seen: set[tuple[str, frozenset[str]]]) -> bool:
    key = (requirement.name.lower(), frozenset(requirement.extras))
    if key in seen or (requirement.marker and not requirement.marker.evaluate(dict(default_environment()))):
        return True
    seen.add(key)
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    if not requirement.specifier.contains(installed, prereleases=True):
        return False
    for text in metadata.requires(requirement.name) or [] if requirement.extras else []:
        needed = Requirement(text)
        wanted = (needed.marker and needed.marker.evaluate({"extra": extra}) for extra in requirement.extras)
        if any(wanted):
            needed.marker = None
            if not _met(needed, seen):
                return False
    return True


def pip_ensure(
    requirements: str | Requirement | list[str | Requirement],
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Install what is missing, after asking.

    Raises:
        RuntimeError: the user declined.
    """
    missing = [str(each) for each in _as_requirements(requirements) if not pip_check(each)]
    if not missing:
        return None
    if skip_in_testing and slicer.app.testingEnabled():
        logging.info("Testing mode is enabled: skipping pip_ensure for [%s]", ", ".join(missing))
        recorded.append(["skipped", *missing])
        return None
    if prompt_install:
        title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
        question = f"{len(missing)} Python package(s) need to be installed.\n\nContinue?"
        if not slicer.util.confirmOkCancelDisplay(question, title, detailedText="\n".join(missing)):
            raise RuntimeError("User declined package installation")
    return pip_install(missing, constraints=constraints, skip_packages=skip_packages)


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    no_deps_requirements: str | list[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> list[str] | None:
    """Give words to ``pip install``: recorded while testing, done otherwise.

    Raises:
        subprocess.CalledProcessError: pip failed.
    """
    words = shlex.split(requirements) if isinstance(requirements, str) else [str(each) for each in requirements]
    if constraints is not None:
        words += ["-c", str(constraints)]
    _pip(["install", *words])
    if no_deps_requirements:
        few = shlex.split(no_deps_requirements) if isinstance(no_deps_requirements, str) else no_deps_requirements
        _pip(["install", "--no-deps", *few])
    if completedCallback is not None:
        completedCallback(0)
    return [] if skip_packages else None


def pip_uninstall(requirements: str | list[str], **_: Any) -> None:
    """Give words to ``pip uninstall``: recorded while testing, done otherwise."""
    words = shlex.split(requirements) if isinstance(requirements, str) else [str(each) for each in requirements]
    _pip(["uninstall", "--yes", *words])


def isPipInstallInProgress() -> bool:
    """Installation is never left running here."""
    return False


def _pip(words: list[str]) -> None:
    recorded.append(words)
    if instead_of_pip is not None:
        instead_of_pip(words)
    elif slicer.app.testingEnabled():
        logging.info("Testing mode is enabled: not running pip %s", " ".join(words))
    else:
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)

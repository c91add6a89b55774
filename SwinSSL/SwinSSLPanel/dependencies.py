"""What the engine needs in Slicer's Python, and how it is installed: asked for, never replacing torch or numpy.

Whether it works is found out in a child process: a half-broken torch must not come near Slicer's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

#: Packages whose version must stay what it is, whatever another package would like.
KEPT = ("torch", "numpy", "SimpleITK")


@dataclass(frozen=True)
class Finding:
    """What the check found.

    Attributes:
        works: everything is there and a network runs on every device.
        missing: packages that are not installed.
        lines: what to show, one device or problem a line.
        torchBroken: torch is installed and cannot be used.
    """

    works: bool
    missing: tuple[str, ...] = ()
    lines: tuple[str, ...] = field(default=())
    torchBroken: bool = False


def finding(report: dict[str, Any]) -> Finding:
    """The report of ``swinssl doctor --json`` in words."""
    packages = report.get("packages", {})
    missing = tuple(name for name, version in packages.items() if version is None)
    problem = report.get("torch_problem") or ""
    lines = [deviceLine(device) for device in report.get("devices", [])]
    if report.get("torch"):
        build = report["torch"]
        cuda = _("CUDA {version}").format(version=build["cuda"]) if build.get("cuda") else _("without CUDA")
        lines.append(_("PyTorch {version}, {cuda}").format(version=build.get("version"), cuda=cuda))
    if problem:
        lines.append(_("PyTorch is installed but broken: {problem}").format(problem=problem))
    if missing:
        lines.append(_("Missing: {names}").format(names=", ".join(missing)))
    return Finding(bool(report.get("works")), missing, tuple(lines), bool(problem))


def deviceLine(device: dict[str, Any]) -> str:
    """One device: name, memory, and whether a network really ran there."""
    line = str(device.get("name", "?"))
    if device.get("total_gib"):
        line += "  " + _("{free:.1f} of {total:.1f} GiB free").format(
            free=device.get("free_gib", 0.0), total=device["total_gib"]
        )
    if device.get("works"):
        return f"✓ {line}"
    return f"✗ {line}: {device.get('problem', '')}"


def requirements(resourcePath: Callable[[str], str]) -> list[str]:
    """The lines of requirements.txt, without torch, which comes by another way."""
    text = Path(resourcePath("requirements.txt")).read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line]


def constraints() -> list[str]:
    """What must stay as it is: the versions of packages that others in Slicer rely on."""
    found = []
    for name in KEPT:
        try:
            found.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def installTorch(torchVersion: str = ">=2.6") -> None:
    """Install PyTorch through the PyTorch extension, which knows this machine's graphics card.

    Raises:
        RuntimeError: the extension is not there, or the installation did not succeed.
    """
    try:
        import PyTorchUtils
    except ImportError as error:
        raise RuntimeError(
            _("The PyTorch extension is not installed. Install it in the Extensions Manager.")
        ) from error
    logic = PyTorchUtils.PyTorchUtilsLogic()
    try:
        torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=torchVersion)
    except TypeError:  # older and newer releases name the arguments differently
        torch = logic.installTorch(True)
    if torch is None:
        raise RuntimeError(_("PyTorch was not installed."))


def installRest(lines: list[str]) -> None:
    """Install the rest by pip, keeping torch and numpy as they are.

    Raises:
        RuntimeError: it did not succeed.
    """
    kept = constraints()
    try:
        if hasattr(slicer, "packaging"):
            slicer.packaging.pip_ensure([*lines, *kept], requester="SwinSSL")
        else:  # Slicer 5.10
            slicer.util.pip_install(" ".join(f'"{line}"' for line in [*lines, *kept]))
    except Exception as error:  # pip fails in many ways; all of them are one sentence here
        raise RuntimeError(_("The installation failed: {error}").format(error=error)) from error


def torchIsInstalled() -> bool:
    """Whether there is a torch, good or broken; it is not imported."""
    try:
        metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False
    return True

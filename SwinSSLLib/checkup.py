"""What is installed and whether it works: a real forward and backward pass on every device."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from SwinSSLLib.places import cache_folder

_PACKAGES = (
    "torch", "monai", "einops", "lightning-fabric", "safetensors", "SimpleITK", "slicerio", "numpy", "scipy", "psutil",
    "rich", "matplotlib",
)  # fmt: skip


def checkup() -> dict[str, Any]:
    """Look around.

    Returns:
        ``packages`` (name to version or None), ``torch`` (its build: version, CUDA, processors it has kernels for),
        ``torch_problem`` (why an installed torch cannot be imported, or None), ``devices`` (name, memory in GiB,
        whether a step of a small network works there, the problem if not), ``cache`` and the space left there, and
        ``works``. Nothing but Python is needed to be told what is missing.
    """
    packages = {name: _version(name) for name in _PACKAGES}
    problem = _import_problem() if packages["torch"] else None
    usable = bool(packages["torch"]) and problem is None
    devices = _devices() if usable and packages["psutil"] else []
    cache = cache_folder()
    return {
        "packages": packages,
        "torch": _torch_build() if usable else None,
        "torch_problem": problem,
        "devices": devices,
        "cache": str(cache),
        "cache_free_gib": shutil.disk_usage(_existing(cache)).free / 2**30,
        "works": usable and all(packages.values()) and all(device["works"] for device in devices),
    }


def _import_problem() -> str | None:
    """Half-installed packages fail in every way when they are imported; each is a finding."""
    try:
        import torch

        torch.zeros(1).add_(1)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def _torch_build() -> dict[str, Any]:
    import torch

    return {"version": torch.__version__, "cuda": torch.version.cuda, "kernels": torch.cuda.get_arch_list()}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _devices() -> list[dict[str, Any]]:
    import psutil
    import torch

    memory = psutil.virtual_memory()
    found = [_try("cpu", "CPU", memory.available, memory.total)]
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found.append(_try(f"cuda:{index}", torch.cuda.get_device_name(index), free, total))
    if torch.backends.mps.is_available():
        found.append(_try("mps", "Apple GPU", 0, 0))
    return found


def _try(device: str, name: str, free: int, total: int) -> dict[str, Any]:
    """One training step of a small encoder."""
    import torch

    from SwinSSLLib.nets.swin import build_encoder
    from SwinSSLLib.settings import NetworkSettings

    result = {"device": device, "name": name, "free_gib": free / 2**30, "total_gib": total / 2**30}
    try:
        encoder = build_encoder(NetworkSettings(feature_size=12, window=4)).to(device)
        deepest = encoder(torch.rand(1, 1, 32, 32, 32, device=device))[4]
        deepest.square().mean().backward()
        works = bool(torch.isfinite(deepest).all())
        return {**result, "works": works, "problem": "" if works else "the network's output is not finite"}
    except Exception as error:  # whatever a driver, a kernel or a package throws is the finding
        return {**result, "works": False, "problem": f"{type(error).__name__}: {error}".splitlines()[0]}

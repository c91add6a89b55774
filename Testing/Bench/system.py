"""Which system libraries Qt and EGL miss, found by trying to load them, and how to get them."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

#: Library and the Debian package that brings it: what Qt's widgets and VTK's off-screen windows load.
NEEDED = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libGLX.so.0": "libglx0",
    "libOpenGL.so.0": "libopengl0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libX11.so.6": "libx11-6",
    "libgomp.so.1": "libgomp1",
}
#: What Qt's window on an X server loads besides; without a display nobody asks for it.
NEEDED_FOR_X = {
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
#: Loaded by name at run time, so that no library misses them: a driver for EGL, and letters.
DRIVERS = ("libEGL_mesa.so.0", "libEGL_nvidia.so.0")
FONTS = ("/usr/share/fonts", "/usr/local/share/fonts")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_display() -> bool:
    """Whether a window can be seen; on other systems than Linux there is always a screen to ask for."""
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return False
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def missing_packages(on_display: bool | None = None) -> list[str]:
    """Debian packages of what cannot be loaded; of X only what a display needs."""
    if not sys.platform.startswith("linux"):
        return []
    display = bool(os.environ.get("DISPLAY")) if on_display is None else on_display
    wanted = NEEDED | (NEEDED_FOR_X if display else {})
    packages = [package for library, package in wanted.items() if not _loads(library)]
    if not any(map(_loads, DRIVERS)):
        packages += ["libegl-mesa0", "libgl1-mesa-dri"]
    if not any(next(Path(folder).rglob("*.ttf"), None) for folder in FONTS if Path(folder).is_dir()):
        packages += ["fontconfig", "fonts-dejavu-core"]
    return packages


def missing_modules() -> list[str]:
    """Python packages that the bench is made of, and that are not there."""
    modules = {"PySide6": "PySide6-Essentials==6.10.3", "slicer_core": "slicer-core==5.13.31053.0"}
    return [package for module, package in modules.items() if importlib.util.find_spec(module) is None]


def command(packages: list[str]) -> str:
    """The one command that installs packages."""
    return f"sudo apt-get install -y --no-install-recommends {' '.join(packages)}"


def can_install() -> bool:
    """Whether we are root on Debian or Ubuntu."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


def ensure() -> str | None:
    """Install what is missing where we may.

    Returns:
        None when all is there, else one sentence with the command to run.
    """
    modules = missing_modules()
    if modules:
        return f"Python packages are missing: run  {sys.executable} -m pip install {' '.join(modules)}"
    packages = missing_packages()
    if not packages:
        return None
    if can_install():
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", *words], env=environment, check=False)
        packages = missing_packages()
        if not packages:
            return None
    return f"System libraries are missing: run  {command(packages)}"

"""Where things are kept on this machine unless somebody names another place."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Prepared CTs: can be deleted at any time. The environment variable SWINSSL_CACHE names another folder."""
    return _folder("SWINSSL_CACHE", "Cache", "XDG_CACHE_HOME", ".cache", "")


def library_folder() -> Path:
    """Models: imported and downloaded. The environment variable SWINSSL_MODELS names another folder."""
    return _folder("SWINSSL_MODELS", "Models", "XDG_DATA_HOME", ".local/share", "models")


def _folder(variable: str, name: str, xdg: str, unix: str, below: str) -> Path:
    if named := os.environ.get(variable):
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "SwinSSL" / name
    if sys.platform == "darwin":
        library = Path.home() / "Library"
        return library / "Caches" / "SwinSSL" if name == "Cache" else library / "Application Support" / "SwinSSL" / name
    return Path(os.environ.get(xdg) or Path.home() / unix) / "swinssl" / below

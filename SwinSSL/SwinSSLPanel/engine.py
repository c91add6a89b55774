"""Where the engine is, and how a worker process of it is started.

The panel imports only the parts of ``SwinSSLLib`` that need no torch (organs, settings, presets, runs, catalogue);
everything else happens in a child process.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: Oldest Slicer that is supported: Python 3.12.
OLDEST_SLICER = (5, 10)


def engineRoot() -> Path:
    """The folder that holds ``SwinSSLLib``: beside this module in an installed extension, above it in a clone.

    Raises:
        FileNotFoundError: the extension is not installed whole.
    """
    moduleFolder = Path(__file__).resolve().parents[1]
    for folder in (moduleFolder, moduleFolder.parent):
        if (folder / "SwinSSLLib" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError(f"SwinSSLLib is missing beside {moduleFolder}; install the extension again.")


def makeEngineImportable() -> None:
    """Let ``import SwinSSLLib`` work in Slicer's own process."""
    root = str(engineRoot())
    if root not in sys.path:
        sys.path.insert(0, root)


def workerArguments(arguments: list[str]) -> list[str]:
    """What Python is started with for a command of the engine; UTF-8 whatever the system's language is."""
    return ["-X", "utf8", "-u", "-m", "SwinSSLLib", *arguments]


def workerVariables() -> dict[str, str]:
    """Variables of the environment that a worker gets besides Slicer's own."""
    return {"PYTHONPATH": str(engineRoot()), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1"}


def pythonProgram() -> str:
    """The interpreter itself and not Slicer's launcher of it: a launcher that is killed leaves its child running."""
    return sys.executable

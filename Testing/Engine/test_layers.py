"""The two rules that hold the house up: the halves stay apart, and imports point downwards."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "SwinSSLLib"
MODULES = sorted(LIBRARY.rglob("*.py"))
SLICER = {"slicer", "vtk", "qt", "ctk", "PySide6", "PythonQt", "mrml"}
HEAVY = {"torch", "monai", "SimpleITK", "numpy", "lightning_fabric", "matplotlib", "scipy", "rich"}

#: Floors of the house from the ground up; a module may import from its own floor and from those below.
FLOORS = (
    ("errors", "leftovers", "discretion"),
    ("organs", "atomic", "validation", "allocator", "places", "ranks", "launching", "thinning", "wakeup", "imports"),
    ("locking",),
    ("settings", "runs", "reporting", "control", "checkpoints", "meeting", "peers", "rounds", "shares"),
    ("presets", "models", "devices", "optimizing", "settings_text"),
    ("launches",),
    ("data", "nets"),
    ("exchange",),
    ("training_memory",),
    ("preparing", "fitting", "checkup", "running"),
    ("pretrain", "finetune", "segment"),
    ("jobs",),
    ("evaluate",),
    ("commands",),
    ("cli", "serving", "__main__"),
)
#: Rooms of one floor that must not know each other.
APART = ({"pretrain", "finetune", "segment"},)


def imports_of(file: Path) -> set[str]:
    """Names of all modules that a file imports anywhere, relative imports excluded (there are none)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(node.module or "")
            if node.module == "SwinSSLLib":
                found |= {f"SwinSSLLib.{alias.name}" for alias in node.names}
    return found


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_engine_knows_nothing_of_slicer(file: Path):
    assert not {name.split(".")[0] for name in imports_of(file)} & SLICER


def test_the_slicer_side_knows_nothing_of_torch():
    for file in sorted((ROOT / "SwinSSL").rglob("*.py")):
        assert not {name.split(".")[0] for name in imports_of(file)} & {"torch", "monai", "lightning_fabric"}, file


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_downwards(file: Path):
    floors = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    own = file.relative_to(LIBRARY).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module in imports_of(file):
        other = room_of(module) if module.startswith("SwinSSLLib") else ""
        if not other or other == own or other == "__version__":
            continue
        assert floors[other] <= floors[own], f"{own} imports {other} from a floor above"
        assert not any({own, other} <= rooms for rooms in APART), f"{own} and {other} must not know each other"


@pytest.mark.parametrize("module", ["SwinSSLLib", "SwinSSLLib.organs", "SwinSSLLib.presets", "SwinSSLLib.runs"])
def test_importing_costs_nothing(module: str):
    code = f"import sys, {module}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["--data", "nowhere"], ["--data", ".", "--set", "loss.contrst=1"]])
def test_what_is_wrong_with_the_words_is_told_before_torch_is_imported(words: list[str]):
    code = (
        "import sys\nfrom SwinSSLLib.cli import main\n"
        f"assert main(['pretrain', '--out', 'no-such-run', *{words!r}]) == 2\n"
        "assert 'torch' not in sys.modules and 'monai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_showing_help_imports_no_torch():
    code = (
        "import sys\nfrom SwinSSLLib.cli import main\n"
        "try:\n    main(['pretrain', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'monai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

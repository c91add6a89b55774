"""Set up and run: ``python3 Testing/run.py demo``, ``test``, and ``panel`` for the panel without Slicer.

Needs nothing but Python 3.11 or newer. It makes ``.venv`` in the clone and installs the versions that we test
with (Testing/constraints.txt); when nothing has changed since the last call it starts at once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
CONSTRAINTS = ROOT / "Testing" / "constraints.txt"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "installed.txt"
ORACLES = VENV / "oracles"
#: Where PyTorch publishes builds without CUDA.
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
#: Folders of tests; each runs in a process of its own: the bench stands in for Slicer in the whole of its process.
SUITES = ("Testing/Engine", "Testing/BenchTests", "Testing/Panel")
#: Tests of one file stay in one process, for they share what takes long to make; a process waits for workers mostly.
#: A process that dies is not replaced: pytest-xdist then waits for ever instead of naming the test.
PARALLEL = ("-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "--max-worker-restart", "0")
#: pytest's exit code when nothing was selected.
NO_TESTS = 5
#: A wheel that is only read by a test: the network before its patch merging changed.
ORACLE_WHEELS = ("monai==1.4.0",)


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=tuple(TASKS))
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="handed on, e.g. the name of a benchmark or a test")
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this may have an older one
        print(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
        return 4
    rest: list[str] = arguments.rest
    try:
        set_up(develop=arguments.task != "demo")
        return TASKS[arguments.task](rest)
    except subprocess.CalledProcessError as error:
        print(f"\nThis command failed (exit code {error.returncode}):\n  {' '.join(map(str, error.cmd))}")
        return 4


def set_up(*, develop: bool) -> None:
    """Make ``.venv`` and install into it, unless that was done for these very files."""
    extras = ("test", "develop", "panel") if develop else ()
    wanted = _fingerprint(extras)
    have = STAMP.read_text() if STAMP.exists() else ""
    if PYTHON.exists() and (have == wanted or (not develop and have == _fingerprint(("test", "develop", "panel")))):
        return
    started = time.monotonic()
    what = "the tests and the panel: about 3 GB" if develop else "the demo: about 1.5 GB"
    print(f"Setting up {VENV} for {what}, more with CUDA (once; some minutes) ...", flush=True)
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True, clear=VENV.exists())
    _install_torch()
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    pip("install", "-c", CONSTRAINTS, "-e", target)
    if develop:
        pip("download", "--no-deps", "-d", ORACLES, *ORACLE_WHEELS)
    STAMP.write_text(wanted)
    print(f"Set up in {time.monotonic() - started:.0f} s.\n", flush=True)


def demo(rest: Sequence[str]) -> int:
    """The main job on the embedded sample and on phantoms; everything lands in ``demo/``, or ``demo-2/`` after that."""
    if "--out" not in rest:
        names = ("demo", *(f"demo-{number}" for number in range(2, 1000)))
        rest = ["--out", str(next(ROOT / name for name in names if not (ROOT / name).exists())), *rest]
    return run("-m", "SwinSSLLib", "demo", *rest)


def test(rest: Sequence[str]) -> int:
    """All suites, with what was skipped and why; ``rest`` goes to pytest, a folder or file in it in place of all."""
    if problem := system_libraries():
        print(problem)
        return 4
    if any(word.startswith("Testing") for word in rest):
        return run("-m", "pytest", *rest)
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    codes = [run("-m", "pytest", suite, *PARALLEL, *rest, **threads) for suite in SUITES]
    found = [code for code in codes if code != NO_TESTS]  # with -k not every suite has something to run
    return max(found, default=NO_TESTS)


def processes(rest: Sequence[str]) -> int:
    """Runs of many processes: killed ones, uneven shares, two nodes, the examples of Docs/cluster.md. Takes minutes."""
    return run("-m", "pytest", "Testing/Processes", *rest, OMP_NUM_THREADS="1")


def panel(rest: Sequence[str]) -> int:
    """The panel in a window with the sample CT, in a stand-in for Slicer; ``--screenshot FILE`` for a picture of it,
    ``--load FILE`` for another CT, ``--help`` for the rest."""
    if problem := system_libraries():
        print(problem)
        return 4
    words = list(rest)
    if "--module" not in rest:
        words = ["--module", str(ROOT / "SwinSSL" / "SwinSSL.py"), *words]
        if "--load" not in rest:
            words += ["--load", str(ROOT / "Testing" / "Data" / "lidc-idri-0001-ct.nii.gz")]
    return run("-m", "Bench.panel", *words, PYTHONPATH=str(ROOT / "Testing"))


def screenshots(rest: Sequence[str]) -> int:
    """The pictures of the tutorials, by the real panel; ``--only TUTORIAL ...`` for some. Takes 20 minutes."""
    if problem := system_libraries():
        print(problem)
        return 4
    return run(ROOT / "Docs" / "make_screenshots.py", *rest)


def system_libraries() -> str:
    """Install what Qt and EGL miss where we may; the command to run where we may not, or nothing."""
    code = "import sys; from Bench import system; sys.exit(system.ensure())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "Testing")}
    done = subprocess.run([PYTHON, "-c", code], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def check(rest: Sequence[str]) -> int:
    """Lint, format and types."""
    results = [
        run("-m", "ruff", "check", "."),
        run("-m", "ruff", "format", "--check", "."),
        run("-m", "mypy"),
    ]
    return max(results)


def script(folder: str) -> Callable[[Sequence[str]], int]:
    """``run.py benchmark NAME`` and ``run.py study NAME``: a script of a folder in Testing."""

    def start(rest: Sequence[str]) -> int:
        files = (ROOT / "Testing" / folder).glob("*.py")
        known = sorted(path.stem for path in files if "__main__" in path.read_text(encoding="utf-8"))
        if not rest or rest[0] not in known:
            print(f"Name one of: {', '.join(known)}")
            return 2
        if rest[0].startswith("panel") and (problem := system_libraries()):
            print(problem)
            return 4
        return run(ROOT / "Testing" / folder / f"{rest[0]}.py", *rest[1:])

    return start


def fuzz(rest: Sequence[str]) -> int:
    """Every reader of files against damaged, lying and hostile ones: ``--inputs N --seed S --only READER``."""
    return run(ROOT / "Testing" / "Fuzz" / "campaign.py", *rest)


def faults(rest: Sequence[str]) -> int:
    """Kills, full disks, damaged files and the like; afterwards the same command must come to the same result."""
    return run(ROOT / "Testing" / "Faults" / "campaign.py", *rest, OMP_NUM_THREADS="1")


def audit(rest: Sequence[str]) -> int:
    """Known vulnerabilities of what we build on; ``--database FOLDER`` asks a copy of PyPI's advisories."""
    return run(ROOT / "Testing" / "audit.py", *rest)


def reference(rest: Sequence[str]) -> int:
    """Write the pages that are made from the code: Docs/api, and the tables of presets in Docs/method.md."""
    return run(ROOT / "Testing" / "reference.py", *rest)


def oldest(rest: Sequence[str]) -> int:
    """The engine's tests with the oldest versions that pyproject.toml allows, in ``.venv-oldest``."""
    import tomllib  # not at the top: an older Python shall hear our sentence

    home = ROOT / ".venv-oldest"
    python = home / PYTHON.relative_to(VENV)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = [re.sub(r">=(\S+).*", r"==\1", word) for word in project["dependencies"]]
    if not python.exists():
        venv.create(home, with_pip=True)
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, *bounds], check=True)
    subprocess.run([*install, *bounds, *project["optional-dependencies"]["test"]], check=True)
    subprocess.run([*install, "--no-deps", "-e", ROOT], check=True)
    command = [python, "-m", "pytest", "Testing/Engine", *PARALLEL, *rest]
    return subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode


def soak(rest: Sequence[str]) -> int:
    """Two hours of pre-training with a panel that follows; nothing may grow."""
    return run(ROOT / "Testing" / "Faults" / "soak.py", *rest)


def run(*command: str | Path, **variables: str) -> int:
    """Run Python of ``.venv`` in the clone; returns its exit code."""
    return subprocess.run([PYTHON, *command], cwd=ROOT, check=False, env={**os.environ, **variables}).returncode


def pip(*arguments: str | Path) -> None:
    """Run pip of ``.venv``, showing the command and little else."""
    print("  pip", *(str(argument).replace(str(ROOT), ".") for argument in arguments), flush=True)
    quiet = ("-q", "--disable-pip-version-check")
    subprocess.run([PYTHON, "-m", "pip", arguments[0], *quiet, *arguments[1:]], cwd=ROOT, check=True)


def _install_torch() -> None:
    """torch alone first: with it in place no other package asks for another build of it.

    On Linux PyPI's build brings gigabytes of CUDA libraries; where there is no NVIDIA card, PyTorch's own index has one
    without.
    """
    if sys.platform == "linux" and shutil.which("nvidia-smi") is None:
        try:
            return pip("install", "--retries", "0", "--timeout", "30", "--index-url", CPU_WHEELS, _pinned("torch"))
        except subprocess.CalledProcessError:
            print("  PyTorch's index cannot be reached: from PyPI, then, with CUDA libraries.", flush=True)
    pip("install", _pinned("torch"))


def _pinned(name: str) -> str:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return next(line.strip() for line in lines if line.startswith(f"{name}=="))


def _fingerprint(extras: Sequence[str]) -> str:
    """Changes when what is to be installed changes."""
    content = CONSTRAINTS.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + " ".join(ORACLE_WHEELS).encode()
    return f"{hashlib.sha256(content).hexdigest()} {' '.join(extras)} {ROOT}\n"


TASKS: dict[str, Callable[[Sequence[str]], int]] = {
    "demo": demo,
    "test": test,
    "processes": processes,
    "panel": panel,
    "screenshots": screenshots,
    "check": check,
    "setup": lambda _: 0,
    "benchmark": script("Benchmarks"),
    "study": script("Studies"),
    "fuzz": fuzz,
    "faults": faults,
    "soak": soak,
    "audit": audit,
    "reference": reference,
    "oldest": oldest,
}

if __name__ == "__main__":
    sys.exit(main())

"""What the pages tell people to type, and whether the commands, options, tasks and settings that they name exist."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from SwinSSLLib.errors import InputError
from SwinSSLLib.presets import finetune_settings, pretrain_settings
from SwinSSLLib.validation import to_dict

ROOT = Path(__file__).resolve().parents[2]
#: Written by hand; Docs/api is made from the parser itself.
PAGES = (*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")), *sorted(ROOT.glob("Docs/*.md")))
#: Languages of blocks that people type; "sbatch" is handed to SLURM.
TYPED = ("", "bash", "sh", "shell", "console", "sbatch")
#: What `python3 Testing/run.py TASK` is run by, for tasks that pages name.
TASKS_ELSEWHERE = {
    "setup": "precedes every other task",
    "check": ".ci/run calls it",
    "test": ".ci/run calls it: it is what runs this test",
    "demo": "minutes long; its parts are commands that are run here",
    "panel": "Testing/BenchTests/test_application.py opens the bench's window",
    "processes": "minutes long; two nodes and killed processes need more than a test's time",
    "faults": "half an hour long; Testing/Engine/test_faults.py runs its parts",
    "fuzz": "hours long; Testing/Engine/test_fuzz.py runs the short part",
    "soak": "two hours long",
    "oldest": "needs a network and an environment of its own",
    "audit": "Testing/Engine/test_audit.py",
    "reference": "Testing/Engine/test_reference.py",
    "benchmark": "figures, and no test; minutes long",
    "study": "figures, and no test; hours long",
    "screenshots": "pictures for the pages, and no test",
}
#: Blocks in another language hold no commands; one that begins like this does all the same.
_OURS = re.compile(r"^\s*\$? ?(swinssl |python3? Testing/run\.py |python3? -m SwinSSLLib )", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: where it stands.
        line: number of its first line of code.
        language: what stands behind the fence.
        text: its code.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def typed(self) -> bool:
        """Whether people are to type it."""
        return self.language in TYPED or bool(_OURS.search(self.text))


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, those in lists too."""
    found, inside = [], None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = re.match(r"( *)```(\S*)", line)
        if inside is None and fence:
            inside = (number + 1, fence[2], len(fence[1]), [])
        elif inside is not None and fence:
            start, language, _, lines = inside
            found.append(Block(page, start, language, "\n".join(lines)))
            inside = None
        elif inside is not None:
            inside[3].append(line[min(inside[2], len(line) - len(line.lstrip())) :])
    assert inside is None, f"{page}: a block is not closed"
    return found


def commands_of(block: Block) -> list[str]:
    """Its commands, one each, without prompts and comments; lines that go on are joined."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = (re.sub(r"^\$ ", "", line.strip()) for line in joined.splitlines())
    bare = (" ".join(_without_comment(line).split()) for line in lines)
    return [line for line in bare if line]


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line)


def words_of(command: str) -> list[str]:
    """A command's words as a shell splits them; one that needs more of a shell than that is refused."""
    assert not re.search(r"[|;&<>]|\$\(|`", command), (
        f"{command!r}: write a command that needs no shell, or run it elsewhere"
    )
    return shlex.split(command)


def inline_code(page: Path) -> Iterator[str]:
    """Code within sentences."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text(encoding="utf-8"))
    for found in re.finditer(r"`([^`]+)`", text):
        yield " ".join(found[1].split())


def options_in(text: str) -> list[str]:
    """Long options in a text, without their values."""
    return re.findall(r"(?<![\w-])--[a-z][\w-]*", text)


def assignments_in(text: str) -> list[str]:
    """What follows each ``--set``."""
    return re.findall(r"--set[ =]([\w.]+=[^\s`]+)", text)


def children(parser) -> dict:
    """The commands of a parser by name."""
    found = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    return found[0] if found else {}


def options_of(parser, deep: bool = True) -> set[str]:
    """All options of a parser, and of its commands."""
    own = {option for action in parser._actions for option in action.option_strings}
    return own.union(*(options_of(child) for child in children(parser).values())) if deep else own


def tasks() -> dict:
    """The tasks of Testing/run.py."""
    spec = importlib.util.spec_from_file_location("run_of_testing", ROOT / "Testing" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TASKS


def unknown_options(block: Block, parser) -> list[str]:
    """Options of ``swinssl`` commands in a script that their commands do not have."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    used = re.findall(r"(?:swinssl|-m SwinSSLLib) (\w+)([^\n;|&]*)", joined)
    assert used, f"{block.where} uses no swinssl"
    return [
        option for name, rest in used for option in options_in(rest) if option not in options_of(children(parser)[name])
    ]


def known_task(words: list[str]) -> str:
    """Whether ``run.py`` has a task, its options and scripts, and somebody runs it."""
    if words[0] not in tasks():
        return f"run.py has no task {words[0]}"
    if words[0] not in TASKS_ELSEWHERE:
        return f"nobody runs the task {words[0]}: say in TASKS_ELSEWHERE who does"
    sources = [
        ROOT / "Testing" / "run.py",
        ROOT / "Testing" / "audit.py",
        *(ROOT / "Testing" / "Bench").glob("panel.py"),
    ]
    if words[0] in ("benchmark", "study") and len(words) > 1 and not words[1].isupper():
        script = ROOT / "Testing" / {"benchmark": "Benchmarks", "study": "Studies"}[words[0]] / f"{words[1]}.py"
        if not script.is_file():
            return f"there is no {script}"
        sources.append(script)
    sources += [ROOT / "Testing" / folder / "campaign.py" for folder in ("Fuzz", "Faults")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    unknown = [option for option in options_in(" ".join(words)) if f'"{option}"' not in text]
    return f"no script knows {', '.join(unknown)}" if unknown else ""


def known_extras(words: list[str]) -> str:
    """Whether what pip is asked for is this project with extras that it has."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in words:
        wanted = re.fullmatch(r"\.(?:\[([\w,-]+)\])?", word)
        if wanted is None:
            return f"pip is asked for {word}"
        if missing := set((wanted[1] or "").split(",")) - {"", *extras}:
            return f"there is no extra {', '.join(missing)}"
    return ""


def has_setting(name: str) -> bool:
    """Whether pre-training or fine-tuning has a setting of this name."""
    for build in (pretrain_settings, finetune_settings):
        found = to_dict(build())
        for part in name.split("."):
            found = found.get(part, {}) if isinstance(found, dict) else {}
        if found != {}:
            return True
    return False


def is_setting(assignment: str) -> bool:
    """Whether ``--set`` takes it."""
    name, _, text = assignment.partition("=")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    for part in reversed(name.split(".")):
        value = {part: value}
    return fits(value)


def fits(content: dict) -> bool:
    """Whether pre-training or fine-tuning takes these settings."""
    for build in (pretrain_settings, finetune_settings):
        try:
            build(changes=content)
            return True
        except InputError:
            continue
    return False

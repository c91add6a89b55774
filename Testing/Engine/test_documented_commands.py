"""Every command that a page gives is run, in the order of the page, or is known to be run elsewhere.

A new page needs nothing here: what its commands read is laid out on a desk (``trying.py``), runs are made small, and
published weights come from a server of our own. A command of a program that nobody knows fails.
"""

from __future__ import annotations

import builtins
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from documented import (
    PAGES,
    ROOT,
    TASKS_ELSEWHERE,
    Block,
    assignments_in,
    blocks_of,
    children,
    commands_of,
    fits,
    has_setting,
    inline_code,
    is_setting,
    known_extras,
    known_task,
    options_in,
    options_of,
    tasks,
    unknown_options,
    words_of,
)
from trying import Desk, small_catalogue

from SwinSSLLib.errors import InputError
from SwinSSLLib.settings import PretrainSettings
from SwinSSLLib.validation import to_dict

#: Pages whose examples another test runs as they stand, and how many blocks of each language that test knows.
PAGES_ELSEWHERE = {"Docs/cluster.md": ("Testing/Processes/test_cluster_page.py", {"bash": 6, "sbatch": 3})}
#: Commands that are not run here, and who runs them or why nobody does.
COMMANDS_ELSEWHERE = {
    "pip install .": "Testing/run.py installs the clone before any test runs",
    ".venv/bin/pre-commit install": "changes the clone's .git; its checks are those of `run.py check`",
}
#: Options of other programs within sentences.
OTHERS = {
    "torchrun": "--nproc-per-node --nnodes --max-restarts --shutdown-timeout --rdzv-backend --rdzv-endpoint --rdzv-id "
    "--rdzv-conf --local-addr --standalone",
    "sbatch and srun": "--nodes --ntasks --ntasks-per-node --gpus-per-node --cpus-per-task --time --signal --requeue "
    "--open-mode --job-name --kill-on-bad-exit --array --gpus --pty",
    "pip and rsync": "--exclude --upgrade",
}


@pytest.fixture(scope="session")
def parser():
    from SwinSSLLib.cli import make_parser

    return make_parser()


@pytest.fixture(scope="module")
def done() -> set[str]:
    """Commands that were run for an earlier page."""
    return set()


@pytest.fixture
def desk(tmp_path, monkeypatch, swinssl, server, a_cohort, a_pretrained_run, a_segmenter):
    """A folder of its own with an empty library; whoever is asked says yes."""
    from SwinSSLLib.exchange import catalogue, library, obtaining

    (tmp_path / "desk").mkdir()
    entries = small_catalogue(server)
    for module in (catalogue, library, obtaining):
        monkeypatch.setattr(module, "published", lambda: entries)
    monkeypatch.setenv("SWINSSL_MODELS", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    return Desk(tmp_path / "desk", a_cohort, a_pretrained_run, a_segmenter, swinssl)


def typed_blocks(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.typed]


def run_elsewhere() -> set[str]:
    """Commands of the pages that another test runs."""
    return {
        command for name in PAGES_ELSEWHERE for block in typed_blocks(ROOT / name) for command in commands_of(block)
    }


@pytest.mark.parametrize("page", [page for page in PAGES if typed_blocks(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_work_in_the_order_of_the_page(page, desk, parser, done):
    name = page.relative_to(ROOT).as_posix()
    if name in PAGES_ELSEWHERE:
        file, known = PAGES_ELSEWHERE[name]
        languages = [block.language for block in typed_blocks(page)]
        assert {language: languages.count(language) for language in languages} == known, f"{file} knows others"
        source = (ROOT / file).read_text(encoding="utf-8")
        assert all(f'examples("{language}")) == {count}' in source for language, count in known.items())
        assert [option for block in typed_blocks(page) for option in unknown_options(block, parser)] == []
        return
    elsewhere = run_elsewhere()
    for block in typed_blocks(page):
        desk.next_block()
        for command in commands_of(block):
            if command not in elsewhere | done:
                assert follow(command, desk, parser) == "", f"{block.where}: {command}"
                done.add(command)


def follow(command: str, desk: Desk, parser) -> str:
    """Do what a page says; what is wrong, or nothing."""
    if command in COMMANDS_ELSEWHERE:
        return ""
    words = desk.here(words_of(command))
    if words[0] == "swinssl":
        return use(words[1:], desk, parser)
    if words[:2] == ["python3", "Testing/run.py"]:
        return known_task(words[2:])
    if words[:2] == ["pip", "install"]:
        return known_extras(words[2:])
    if words[0] == "cd":
        return "" if (ROOT / words[1]).is_dir() else f"there is no folder {words[1]}"
    return f"nobody runs {words[0]!r}: write it for a desk here, or say in COMMANDS_ELSEWHERE who does"


def use(words: list[str], desk: Desk, parser) -> str:
    """Run ``swinssl`` with small settings."""
    try:
        asked = parser.parse_args(words)
    except InputError as error:
        return error.message
    desk.fill(asked)
    made = getattr(asked, "out", None)
    if made is not None and not getattr(asked, "resume", False) and not getattr(asked, "start_or_resume", False):
        desk.make_way(made)
    code, _, said = desk.swinssl(*words, *desk.shrink(asked))
    if code or "Traceback" in said:
        return f"exit code {code}: {said}"
    return "" if made is None or (desk.folder / made).exists() else f"{made} was not made"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_within_sentences_exist(page, parser):
    known = options_of(parser) | {word for words in OTHERS.values() for word in words.split()}
    every = tasks()
    for text in inline_code(page):
        if found := re.match(r"(?:python3 Testing/)?run\.py (\w+)", text):
            assert found[1] in every, f"{text}: run.py has no such task"
            continue
        command = parser
        for word in text.split()[1:] if text.startswith("swinssl ") else ():
            if not children(command) or word.startswith("-"):
                break
            assert word in children(command), f"{text}: there is no command {word}"
            command = children(command)[word]
        have = options_of(command) if command is not parser else known
        assert [option for option in options_in(text) if option not in have] == [], text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    for assignment in assignments_in(text):
        if assignment.lower() != "name=value":
            assert is_setting(assignment), assignment
    sections = [name for name, value in to_dict(PretrainSettings()).items() if isinstance(value, dict)]
    for code in inline_code(page):
        if found := re.match(rf"((?:{'|'.join(sections)}|patches)\.\w+)\b(?!\()", code):
            assert found[1].endswith((".py", ".md")) or has_setting(found[1]), code
    for block in blocks_of(page):
        if block.language in ("toml", "json") and not block.typed:
            content = tomllib.loads(block.text) if block.language == "toml" else json.loads(block.text)
            # A datalist is read by test_datalists.py.
            assert isinstance(content.get("training"), list) or fits(content), f"{block.where}: no settings file"


def test_tests_that_are_said_to_run_something_exist():
    reasons = [*TASKS_ELSEWHERE.values(), *COMMANDS_ELSEWHERE.values(), *(file for file, _ in PAGES_ELSEWHERE.values())]
    named = [name for reason in reasons for name in re.findall(r"Testing/[\w/]+\.py", reason)]
    assert len(named) > 4
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("frobnicate --all", "nobody runs 'frobnicate'"),
        ("swinssl segmnt CT.nii.gz", "invalid choice"),
        ("swinssl segment CT.nii.gz --model m --outt x", "required"),
        ("swinssl pretrain --data cts --out run --fast", "nrecognized"),
        ("swinssl models remove nobody", "exit code 2"),
        ("python3 Testing/run.py nonsense", "no task nonsense"),
        ("python3 Testing/run.py panel --photograph", "no script knows --photograph"),
        ("python3 Testing/run.py benchmark no_such", "there is no"),
        ('pip install ".[no-such]"', "no extra no-such"),
        ("pip install somebody-elses", "pip is asked for somebody-elses"),
        ("cd Nowhere", "no folder Nowhere"),
    ],
)
def test_what_a_page_must_not_say_is_found(desk, parser, command, problem):
    assert problem in follow(command, desk, parser)


def test_no_block_gets_past(tmp_path):
    page = tmp_path / "page.md"
    fence = "```"
    page.write_text(
        f"{fence}text\nswinssl doctor\n{fence}\n1. a\n\n"
        f"   {fence}bash\n   $ swinssl a \\\n       --b 3  # c\n   {fence}\n"
        f"{fence}toml\n[a]\n{fence}\nSay `swinssl x --y 1`, `--set a.b=3`.\n"
    )
    blocks = blocks_of(page)
    assert [block.typed for block in blocks] == [True, True, False]
    assert commands_of(blocks[1]) == ["swinssl a --b 3"]
    assert list(inline_code(page)) == ["swinssl x --y 1", "--set a.b=3"]
    assert (options_in("x --y-z 1 a--b"), assignments_in(page.read_text())) == (["--y-z"], ["a.b=3"])
    assert not (is_setting("loss.contrst=0") or is_setting("training.lr=fast"))
    assert is_setting("loss.contrast=0") and is_setting("encoder_lr=0.1") and has_setting("patches.flip")
    with pytest.raises(AssertionError, match="needs no shell"):
        words_of("swinssl models list | less")

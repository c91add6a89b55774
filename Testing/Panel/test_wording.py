"""Nothing that the panel shows speaks of options and commands: the engine's advice is told in buttons."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from opening import opened
from SwinSSLPanel.sections.models import ModelsSection
from SwinSSLPanel.wording import inPanelWords

from SwinSSLLib.exchange.catalogue import published
from SwinSSLLib.exchange.obtaining import elsewhere

LIBRARY = Path(__file__).resolve().parents[2] / "SwinSSLLib"
COMMAND_LINE = re.compile(r"(?<![\w-])--[a-z]|swinssl [a-z]|`doctor`")
#: What only those read who sit at a command line, and whose commands the panel never runs.
NOT_IN_THE_PANEL = ("commands/", "evaluate/", "cli.py", "exchange/bundle_out.py", "settings_text.py")
#: Options that the panel never gives, so that these are never said to it; and processes of a cluster.
NEVER_SAID = ("segment/backends.py", "segment/files.py", "segment/results.py", "peers.py")


def sentences(file: Path) -> set[str]:
    """Strings of a module with spaces in them; values that are filled in stand as X."""
    found = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if node in parts or node in docstrings:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            found.add("".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values))
    return {text for text in found if " " in text.strip()}


def test_no_advice_of_the_engine_reaches_the_panel_as_a_command():
    untold, told = [], 0
    for file in sorted(LIBRARY.rglob("*.py")):
        name = file.relative_to(LIBRARY).as_posix()
        if name.startswith(NOT_IN_THE_PANEL) or name in NEVER_SAID:
            continue
        commands = [text for text in sentences(file) if COMMAND_LINE.search(text)]
        told += len(commands)
        untold += [f"{name}: {text}" for text in commands if COMMAND_LINE.search(inPanelWords(text))]
    assert told >= 15, "the test must find what it looks for"
    assert untold == [], "give them a line in SwinSSLPanel/wording.py"


@pytest.mark.parametrize(
    ("engine", "panel"),
    [
        (
            "the encoder has collapsed. Start again with half the learning rate (--lr) or a longer training.warmup.",
            "the encoder has collapsed. Start again with half the learning rate or twice the warm-up "
            "(lr and warmup under [training] in a Settings file).",
        ),
        ("What was saved is kept; continue with --resume.", "What was saved is kept; press Resume."),
        ("Wait for it, or stop it: swinssl stop /runs/a b", "Wait for it, or open it with Open run… and press Stop."),
        (
            "Choose another name, or `swinssl models remove a`.",
            "Choose another name, or press Delete… under Models first.",
        ),
        ("Choose a complete file, or accept random values for the rest with --force.", "Choose a complete file."),
        (
            "settings.toml cannot be used. Correct the values named above; `swinssl settings pretrain` prints all "
            "settings with their meaning.",
            "settings.toml cannot be used. Correct the values named above.",
        ),
        ("CT.nii.gz has NaN. Tick a volume.", "CT.nii.gz has NaN. Tick a volume."),
    ],
)
def test_advice_names_the_button_that_does_it(engine, panel):
    assert inPanelWords(engine) == panel


def test_a_download_that_fails_points_to_the_button_beside_it(a_bench, tmp_path):
    entry = published()["btcv-base"]
    with opened(ModelsSection, tmp_path / "runs") as section:
        section.tell("The address cannot be reached.", elsewhere(entry), isError=True)
        shown = section.ui.messageLabel.text
        assert entry.address in shown
        assert shown.endswith(f"press {section.ui.fileButton.text}")
        assert "swinssl" not in shown

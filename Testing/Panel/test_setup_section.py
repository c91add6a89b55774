"""Setup: nothing before a button is pressed; a real check; installing what is missing without replacing torch."""

from __future__ import annotations

import json
import sys
import types
from importlib import metadata

import pytest
import slicer
from opening import RESOURCES, parameters
from SwinSSLPanel import dependencies
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.jobs import Outcome
from SwinSSLPanel.sections.setup import SetupSection
from test_pretrain_section import grab
from waiting import waitFor

GOOD = {
    "packages": {"torch": "2.13.0", "monai": "1.6.1"},
    "torch": {"version": "2.13.0", "cuda": "12.8", "kernels": ["sm_90"]},
    "torch_problem": None,
    "devices": [
        {"device": "cpu", "name": "CPU", "free_gib": 20.1, "total_gib": 24.0, "works": True, "problem": ""},
        {
            "device": "cuda:0",
            "name": "NVIDIA RTX 4090",
            "free_gib": 21.3,
            "total_gib": 24.0,
            "works": True,
            "problem": "",
        },
    ],
    "works": True,
}


class Answering:
    """A runner that answers at once with what it was given."""

    def __init__(self, answer: object, outcome: Outcome | None = None) -> None:
        self.answer, self.outcome, self.asked, self.running = answer, outcome or Outcome(True), [], False

    def start(self, arguments, listener) -> None:
        self.asked.append(arguments)
        listener.onLog(self.answer if isinstance(self.answer, str) else json.dumps(self.answer))
        listener.onEnded(self.outcome)

    def requestStop(self) -> None: ...

    def abandon(self) -> None: ...


@pytest.fixture
def opened(a_bench):
    """Open the section with a runner of one's own, or with the real one."""
    sections = []

    def open_(runner=None) -> SetupSection:
        more = {"makeRunner": lambda: runner} if runner else {}
        section = SetupSection(PanelContext(lambda name: str(RESOURCES / name), parameters(), **more))
        section.root.resize(500, 200)
        section.root.show()
        sections.append(section)
        return section

    yield open_
    for section in sections:
        section.close()
        section.context.close()
        section.root.setParent(None)
        section.root.deleteLater()


def test_opening_starts_nothing_and_installs_nothing(opened):
    runner = Answering(GOOD)
    section = opened(runner)
    assert runner.asked == []
    assert slicer.packaging.recorded == []
    assert "Not checked yet" in section.ui.deviceLabel.text


def test_the_real_check_runs_a_network_in_another_process(opened):
    section = opened()
    section.ui.checkButton.click()
    assert not section.ui.checkButton.enabled
    assert waitFor(lambda: section.finding is not None, 120)
    assert section.finding.works, section.ui.messageLabel.text
    assert "✓ CPU" in section.ui.deviceLabel.text
    assert metadata.version("torch").partition("+")[0] in section.ui.deviceLabel.text
    assert "Everything works" in section.ui.messageLabel.text
    assert section.ui.checkButton.enabled
    grab(section.root, "setup-checked")


def test_a_graphics_card_is_shown_with_its_memory(opened):
    section = opened(Answering(GOOD))
    section.ui.checkButton.click()
    assert "✓ NVIDIA RTX 4090  21.3 of 24.0 GiB free" in section.ui.deviceLabel.text
    assert "PyTorch 2.13.0, CUDA 12.8" in section.ui.deviceLabel.text
    grab(section.root, "setup-gpu")


def test_a_card_without_kernels_is_named_with_the_reason(opened):
    bad = {**GOOD["devices"][1], "works": False, "problem": "no kernel image is available for execution on the device"}
    section = opened(Answering({**GOOD, "devices": [GOOD["devices"][0], bad], "works": False}))
    section.ui.checkButton.click()
    assert "✗ NVIDIA RTX 4090" in section.ui.deviceLabel.text
    assert "no kernel image" in section.ui.deviceLabel.text
    assert not section.finding.works


def test_a_broken_torch_offers_repair(opened):
    report = {
        **GOOD,
        "torch": None,
        "torch_problem": "OSError: libcudart.so: file too short",
        "devices": [],
        "works": False,
    }
    section = opened(Answering(report))
    section.ui.checkButton.click()
    assert section.ui.installButton.text == "Repair…"
    assert "file too short" in section.ui.deviceLabel.text
    assert "cannot be used" in section.ui.messageLabel.text


@pytest.mark.parametrize("answer", ["", "rubbish", "{broken", '{"no": "packages"}'])
def test_a_check_that_says_nothing_is_told(opened, answer):
    section = opened(Answering(answer, Outcome(False, "The worker died without a word.", "Try again.", -1)))
    section.ui.checkButton.click()
    assert "died without a word" in section.ui.messageLabel.text
    assert section.ui.checkButton.enabled


@pytest.fixture
def answering(monkeypatch):
    """The answer to every question of slicer.util, and the questions."""
    questions: list[str] = []

    def answer(yes: bool) -> list[str]:
        monkeypatch.setattr(
            slicer.util, "confirmOkCancelDisplay", lambda text, *_a, **_k: questions.append(text) or yes
        )
        return questions

    return answer


@pytest.fixture
def pytorch_extension(monkeypatch):
    """A stand-in for the PyTorch extension that records what it was asked."""
    asked: list[tuple] = []

    class Logic:
        def installTorch(self, askConfirmation=False, torchVersionRequirement=None):
            asked.append((askConfirmation, torchVersionRequirement))
            return types.ModuleType("torch")

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = Logic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return asked


def test_installing_asks_first_and_a_no_changes_nothing(opened, answering):
    questions = answering(False)
    section = opened(Answering(GOOD))
    section.ui.installButton.click()
    assert len(questions) == 1
    assert "monai" in questions[0]
    assert "Slicer does not react meanwhile, up to 15 minutes; do not close it." in questions[0]
    assert slicer.packaging.recorded == []


def test_what_is_there_is_not_replaced(opened, answering, pytorch_extension):
    answering(True)
    runner = Answering(GOOD)
    section = opened(runner)
    section.ui.installButton.click()
    assert pytorch_extension == []  # torch is there and good
    assert slicer.packaging.recorded == []  # and so is all the rest
    assert runner.asked == [["doctor", "--json"]]


def test_what_is_missing_is_installed_with_torch_and_numpy_kept(opened, answering, pytorch_extension, monkeypatch):
    answering(True)
    monkeypatch.setattr(dependencies, "requirements", lambda _path: ["no-such-package>=1.0"])
    section = opened(Answering(GOOD))
    section.ui.installButton.click()
    words = [word for line in slicer.packaging.recorded for word in line]
    assert any("no-such-package" in word for word in words)
    for name in ("torch", "numpy"):
        assert f"{name}=={metadata.version(name)}" in dependencies.constraints()


def test_a_missing_torch_comes_through_its_extension(opened, answering, pytorch_extension, monkeypatch):
    answering(True)
    monkeypatch.setattr(dependencies, "torchIsInstalled", lambda: False)
    section = opened(Answering(GOOD))
    assert "Press Install" in section.ui.deviceLabel.text
    section.ui.installButton.click()
    assert pytorch_extension == [(True, ">=2.6")]


def test_without_the_pytorch_extension_it_says_what_to_do(opened, answering, monkeypatch):
    answering(True)
    monkeypatch.setattr(dependencies, "torchIsInstalled", lambda: False)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    section = opened(Answering(GOOD))
    section.ui.installButton.click()
    assert "Extensions Manager" in section.ui.messageLabel.text


def test_an_older_pytorch_extension_is_asked_in_its_own_way(opened, answering, monkeypatch):
    answering(True)
    asked = []

    class Logic:
        def installTorch(self, ask):
            asked.append(ask)
            return types.ModuleType("torch")

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = Logic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    monkeypatch.setattr(dependencies, "torchIsInstalled", lambda: False)
    opened(Answering(GOOD)).ui.installButton.click()
    assert asked == [True]


def test_an_installation_that_fails_is_one_sentence(opened, answering, monkeypatch):
    answering(True)

    def fail(*_a, **_k):
        shown.append(section.ui.messageLabel.text)
        raise RuntimeError("no network")

    shown = []
    monkeypatch.setattr(slicer.packaging, "pip_ensure", fail)
    section = opened(Answering(GOOD))
    section.ui.installButton.click()
    assert "do not close it" in shown[0], "said while nothing can be clicked"
    assert "The installation failed: no network" in section.ui.messageLabel.text


def test_requirements_are_lower_bounds_without_torch():
    lines = dependencies.requirements(lambda name: str(RESOURCES / name))
    assert all(">=" in line and "==" not in line for line in lines)
    assert not any(line.startswith("torch") for line in lines)

"""A section of the panel by itself, in a window as wide as Slicer's panel may be; also one that follows a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
from Bench import application
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.parameters import SwinSSLParameters
from SwinSSLPanel.sections.pretrain import PretrainSection

RESOURCES = Path(__file__).resolve().parents[2] / "SwinSSL" / "Resources"


def parameters() -> SwinSSLParameters:
    """Parameters of a scene, as the module makes them."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "SwinSSL")
    return SwinSSLParameters(node)


@contextmanager
def opened(kind: type, runsFolder: Path) -> Iterator[Any]:
    """A section, bound and shown; ``words`` is what it announces. Nothing of it is left afterwards."""
    context = PanelContext(lambda name: str(RESOURCES / name), parameters())
    context.runsFolder = runsFolder
    section = kind(context)
    section.root.setMRMLScene(slicer.mrmlScene)
    binding = context.parameters.connectGui(section.root)
    section.words = []
    context.listen(section.words.append)
    section.root.resize(500, 900)
    section.root.show()
    yield section
    context.parameters.disconnectGui(binding)
    section.close()
    context.close()
    section.root.setParent(None)
    section.root.deleteLater()


@contextmanager
def following(run: Path) -> Iterator[PretrainSection]:
    """The section Pre-train, attached to a run and showing its previews in the slice views of a window."""
    with opened(PretrainSection, run.parent) as section:
        window = application.start().main_window()
        window.resize(1300, 900)
        window.show()
        section.attach(run)
        section.ui.showButton.click()
        yield section

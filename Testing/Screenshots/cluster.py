"""The picture of Docs/tutorial-cluster.md: a run folder that came from another machine."""

from __future__ import annotations

import shutil

from stage import Stage, answer, fileDialogs, wait


def shoot(stage: Stage) -> None:
    """All pictures of the tutorial."""
    copied = stage.work / "from-the-cluster" / "big"
    shutil.copytree(stage.finishedRun("pretrain"), copied, dirs_exist_ok=True)
    stage.newScene()
    section = stage.only("pretrain")
    back = answer(fileDialogs(), "getExistingDirectory", str(copied))
    section.ui.attachButton.click()
    back()
    wait(lambda: section.live.preview is not None and not section.live.busy, 60)
    stage.camera.shoot(
        "cluster-attached", stage.box("pretrain"), (section.ui.attachButton,), upto=section.ui.cardsLabel
    )
    section.open(stage.finishedRun("pretrain"))
    section.fillRuns()

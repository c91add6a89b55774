"""Setup: what this machine can do, and installing what is missing."""

from __future__ import annotations

import json

import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLPanel import dependencies
from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.jobs import Listener, Outcome
from SwinSSLPanel.sections.section import Section


class SetupSection(Section):
    """Device card, check and installation; nothing happens before a button is pressed."""

    name = "setup"

    def __init__(self, context: PanelContext) -> None:
        super().__init__(context)
        self.finding: dependencies.Finding | None = None
        self._runner = context.makeRunner()
        self._words: list[str] = []
        self.ui.checkButton.connect("clicked()", self.onCheck)
        self.ui.installButton.connect("clicked()", self.onInstall)
        self.ui.deviceLabel.text = (
            _("Not checked yet.")
            if dependencies.torchIsInstalled()
            else _("PyTorch is not installed yet. Press Install… to get everything that is needed.")
        )

    def close(self) -> None:
        """End a check that is under way."""
        self._runner.abandon()
        super().close()

    def onCheck(self) -> None:
        """Run the engine's own check in a process of its own."""
        if self._runner.running:
            return
        self.startLog()
        self._words = []
        self.ui.progressBar.visible = True
        self.ui.checkButton.enabled = False
        self._runner.start(["doctor", "--json"], Listener(onLog=self._onWord, onEnded=self._onChecked))

    def _onWord(self, line: str) -> None:
        self._words.append(line)
        self.onLog(line)

    def _onChecked(self, outcome: Outcome) -> None:
        self.ui.progressBar.visible = False
        self.ui.checkButton.enabled = True
        report = _report(self._words)
        if report is None:
            self.tell(outcome.message or _("The check said nothing."), outcome.hint, isError=True)
            return
        self.finding = dependencies.finding(report)
        self.ui.deviceLabel.text = "\n".join(self.finding.lines)
        self.ui.installButton.text = _("Repair…") if self.finding.torchBroken else _("Install…")
        if self.finding.works:
            self.tell(_("Everything works."))
        elif self.finding.torchBroken:
            self.tell(
                _("PyTorch is installed but cannot be used."), _("Press Repair… to install it again."), isError=True
            )
        else:
            self.tell(_("Not everything is there."), _("Press Install…"), isError=True)
        self.context.announce("setup")

    def onInstall(self) -> None:
        """Install what is missing, after asking; in the main thread, as pip needs it in Slicer."""
        if self.context.busy:
            self.tell(_("A job is at work; stop it or wait for it before packages are changed."), isError=True)
            return
        question = _(
            "SwinSSL will install Python packages into this Slicer: PyTorch through the PyTorch extension, and "
            "{names} by pip. Versions of PyTorch and numpy that are there stay as they are. Slicer does not react "
            "meanwhile, up to 15 minutes; do not close it. Go on?"
        )
        lines = dependencies.requirements(self.context.resourcePath)
        names = ", ".join(line.partition(">")[0] for line in lines)
        if not slicer.util.confirmOkCancelDisplay(question.format(names=names), _("SwinSSL")):
            return
        self.context.segmenter.release()  # it holds the packages, and Windows changes no file that is open
        self.tell(_("Installing. Slicer does not react meanwhile; do not close it."))
        slicer.app.processEvents()  # for the sentence to be on the screen
        qt.QApplication.setOverrideCursor(qt.QCursor(qt.Qt.WaitCursor))
        try:
            broken = self.finding is not None and self.finding.torchBroken
            if broken or not dependencies.torchIsInstalled():
                dependencies.installTorch()
            dependencies.installRest(lines)
        except RuntimeError as error:
            self.tell(str(error), isError=True)
            return
        finally:
            qt.QApplication.restoreOverrideCursor()
        self.onCheck()


def _report(lines: list[str]) -> dict | None:
    """The check's answer among the lines that the worker wrote."""
    for line in reversed(lines):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and "packages" in found:
                return found
    return None

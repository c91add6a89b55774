"""What every section of the panel is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SwinSSLPanel.context import PanelContext
from SwinSSLPanel.jobs import Outcome
from SwinSSLPanel.wording import inPanelWords


class Section:
    """One collapsible part of the panel: its widgets from Designer, and what they do.

    Args:
        context: what the sections share.
    """

    #: Name of the section; its button in SwinSSL.ui is ``<name>Button``, its file ``<Name>.ui``.
    name = ""

    def __init__(self, context: PanelContext) -> None:
        self.context = context
        self.root = slicer.util.loadUI(context.resourcePath(f"UI/{self.name.capitalize()}.ui"))
        self.ui = slicer.util.childWidgetVariables(self.root)
        self._log: list[str] = []
        self._logFile: Path | None = None
        self._logWindow: Any = None
        self._paths: dict[str, Any] = {}
        self.ui.logButton.connect("clicked()", self.onShowLog)
        context.listen(self.onAnnounced)

    def enter(self) -> None:
        """The user comes to the module."""

    def onExpanded(self) -> None:
        """The user opens this section."""

    def exit(self) -> None:
        """The user goes to another module."""

    def close(self) -> None:
        """The panel goes away."""
        if self._logWindow is not None:
            self._logWindow.close()
            self._logWindow = None

    def onSceneClosing(self) -> None:
        """The nodes of the scene go away."""

    def onSceneReady(self) -> None:
        """There is another scene, with parameters of its own."""
        self.showPaths()

    def rememberPath(self, widget: Any, parameter: str) -> None:
        """Keep what a path widget shows in a parameter: Slicer binds paths only, and an empty path is no path."""
        self._paths[parameter] = widget
        widget.currentPath = getattr(self.context.parameters, parameter)
        widget.connect("currentPathChanged(QString)", lambda path: self._onPath(parameter, path))

    def showPaths(self) -> None:
        """Show the paths of the scene's parameters."""
        for parameter, widget in self._paths.items():
            widget.currentPath = getattr(self.context.parameters, parameter)

    def _onPath(self, parameter: str, path: str) -> None:
        if getattr(self.context.parameters, parameter) != path:
            setattr(self.context.parameters, parameter, path)
        self.onPathChanged(parameter)

    def onPathChanged(self, parameter: str) -> None:
        """A path was chosen."""

    def onAnnounced(self, word: str) -> None:
        """Another section says that something has changed: "job", "models" or "setup"."""

    def tell(self, sentence: str, hint: str = "", *, isError: bool = False, log: Path | None = None) -> None:
        """Show one sentence; an error with a mark, in bold, and with the way to the log."""
        self._logFile = log
        mark = "⚠ " if isError else ""
        label = self.ui.messageLabel
        label.text = mark + inPanelWords(f"{sentence} {hint}")
        label.setStyleSheet("font-weight: bold" if isError else "")
        label.visible = bool(sentence)
        self.ui.logButton.visible = isError and (log is not None or bool(self._log))

    def tellOutcome(self, outcome: Outcome, log: Path | None = None) -> None:
        """Show how a job ended; nothing where all went well."""
        self.tell(outcome.message, outcome.hint, isError=not outcome.good, log=log)

    def startLog(self) -> None:
        """A new job begins: what the last one said is forgotten."""
        self._log = []
        self.tell("")

    def onLog(self, line: str) -> None:
        """A line of free text of a worker."""
        self._log.append(line)
        del self._log[:-2000]

    def logText(self) -> str:
        """What there is to read about the last job: its log file, else what the worker wrote."""
        if self._logFile is not None and self._logFile.is_file():
            text = self._logFile.read_text(encoding="utf-8", errors="replace")
            return f"{self._logFile}\n\n{text[-200_000:]}"
        return "\n".join(self._log)

    def onShowLog(self) -> None:
        """Show the log in a window of its own, from which it can be copied."""
        window = qt.QDialog(slicer.util.mainWindow())
        window.windowTitle = _("Log of SwinSSL")
        layout = qt.QVBoxLayout(window)
        view = qt.QPlainTextEdit()
        view.readOnly = True
        view.plainText = self.logText()
        view.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
        layout.addWidget(view)
        copyButton = qt.QPushButton(_("Copy"))
        copyButton.connect("clicked()", lambda: qt.QApplication.clipboard().setText(view.plainText))
        layout.addWidget(copyButton)
        window.resize(800, 500)
        window.setModal(False)
        window.show()
        if self._logWindow is not None:
            self._logWindow.close()
        self._logWindow = window


def span(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 90:
        return _("{n} s").format(n=whole)
    minutes = round(whole / 60)
    if minutes < 90:
        return _("{n} min").format(n=minutes)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _("{h} h {m:02d} min").format(h=hours, m=minutes)
    return _("{d} d {h} h").format(d=hours // 24, h=hours % 24)


def progressText(status: dict[str, Any]) -> str:
    """Step, rate and time left of a run, from its status."""
    step, total = status.get("step"), status.get("total")
    if step is None or not total:
        return ""
    text = _("step {step:,} / {total:,}").format(step=step, total=total)
    rate = status.get("rate")
    if rate:
        speed = _("{rate:.1f} steps/s").format(rate=rate) if rate >= 1 else _("{s:.1f} s a step").format(s=1 / rate)
        text += f" · {speed}"
    if status.get("seconds_left") is not None and step < total:
        text += " · " + _("{span} left").format(span=span(status["seconds_left"]))
    return text

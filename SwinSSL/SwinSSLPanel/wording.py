"""The engine's advice in the words of the panel: what it says to people at a command line is a button here."""

from __future__ import annotations

import re
from collections.abc import Callable

from slicer.i18n import tr as _

#: What the engine says, and which button or field of the panel does it. Functions, so that they are translated late.
_ADVICE: tuple[tuple[str, Callable[[], str]], ...] = (
    (
        r"You can fetch (\S+) on another machine and use that file: swinssl models download \S+ --file \S+",
        lambda: _(r"Fetch \1 on another machine, bring the file over, and press Use a local file…"),
    ),
    (r"Read it, then accept it with --accept-licence", lambda: _("Press Download… again and accept it")),
    (r"Use it, or `swinssl models remove [^`]*`", lambda: _("Use it, or press Delete… under Models first")),
    (r"`swinssl models remove [^`]*`", lambda: _("press Delete… under Models first")),
    (r"See `swinssl models list`", lambda: _("See the list under Models")),
    (r"a name of `swinssl models list`", lambda: _("a model of the list under Models")),
    (r"Fetch it with `swinssl models download [^`]*`", lambda: _("Fetch it under Models with Download…")),
    (r"Continue it with --resume, or choose another output folder", lambda: _("Choose it as Run and press Resume")),
    (r"Check --out, or start without --resume", lambda: _("Choose another run, or press Start for a new one")),
    (r"Continue with --resume", lambda: _("Press Resume")),
    (r"continue with --resume", lambda: _("press Resume")),
    (r"Wait for it, or stop it: swinssl stop .*", lambda: _("Wait for it, or open it with Open run… and press Stop.")),
    (
        r"half the learning rate \(--lr\) or a longer training\.warmup",
        lambda: _("half the learning rate or twice the warm-up (lr and warmup under [training] in a Settings file)"),
    ),
    (
        r"a lower learning rate \(--lr\)",
        lambda: _("a lower learning rate (lr under [training] in a Settings file)"),
    ),
    (
        r"Use a smaller batch \(--batch\), a smaller input\.roi, or a smaller network\.feature_size",
        lambda: _("Use fewer sub-volumes a step (batch), a smaller roi or feature_size in a Settings file"),
    ),
    (
        r"Choose a smaller batch\.",
        lambda: _("Choose fewer sub-volumes a step (batch under [training] in a Settings file)."),
    ),
    (
        r"Correct or remove them, or leave them out with --skip-bad",
        lambda: _("Correct or remove them and start again"),
    ),
    (r"\(swinssl finetune --init \.\.\.\)", lambda: _("(Fine-tune, Start from)")),
    (
        r"use a batch of 1 or another device \(--device cpu\)",
        lambda: _("or crop the CT to the abdomen with Crop Volume"),
    ),
    (r", or accept (?:the rest at random|random values for the rest) with --force", str),
    (r"Choose fewer with --devices", lambda: _("Choose fewer (devices under [training] in a Settings file)")),
    (r"see `swinssl doctor`", lambda: _("see Check under Setup")),
    (
        r"Install SwinSSL \(pip install \., or Install under Setup in Slicer\); `doctor` lists",
        lambda: _("Open Setup and press Install…; Check lists"),
    ),
    (r"Run it again with --debug to see the details", lambda: _("Show log has the details")),
    (r"There is no --data", lambda: _("There are no data to learn from")),
    (r"allow it with --allow-outside", lambda: _("press Start again and answer Yes")),
    (r"; `swinssl settings [^`]*` prints all settings with their meaning", str),
    (r" \(or [^()]* with --set\)", str),
    (r"See `[^`]* --help`\.", str),
    (r" \(--[a-z-]+\)", str),  # an option in brackets says nothing here
)


def inPanelWords(sentence: str) -> str:
    """A sentence of the engine as the panel says it; sentences of the panel stay as they are."""
    for said, ours in _ADVICE:
        sentence = re.sub(said, ours(), sentence)
    return sentence.strip()

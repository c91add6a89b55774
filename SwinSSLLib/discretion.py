"""What a run folder tells of the files that it was made from: numbers, not names.

Whoever shares a log, a report or a model shares no patient with it: there a CT is called "CT 003". Its path stands in
job.json alone, by which :func:`revealed` gives the name back to who works on the machine. Sentences on the screen of
the person who started the job name the file itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

#: Absolute paths in a text, as far as they can be told from it (a path with blanks up to its first blank).
_PATHS = re.compile(r"(?<![\w./\\<])(?<!http:)(?<!https:)(?:/|[A-Za-z]:[\\/]|\\\\)[^\s\"'<>|*?:;,()\[\]]+")
#: Frames of a traceback keep the file's end: without it a log says nothing.
_CODE = re.compile(r"(?:[^\\/]+[\\/]){0,2}[^\\/]+\.pyx?$")
_TOKENS = re.compile(r"[^\s\"'<>|*?;,()\[\]]+")
#: Names with fewer letters may be words or numbers of our own sentences.
_SHORTEST = 4
#: Those that are, whatever their case. "JD" or "Li" is hidden wherever it stands as a word; "12" and "of" cannot be,
#: for "step 12 of 20" must stay, and they name nobody.
_WORDS = re.compile(
    r"a|all|an|and|any|are|as|at|be|but|by|can|cpu|ct|cut|dim|do|end|fix|for|gib|gpu|had|has|he|how|hu|i|if|in|is|"
    r"it|its|k|kb|lr|mb|mib|mm|mri|my|no|not|of|off|on|one|or|our|out|own|ram|ran|ras|run|s|see|set|so|the|to|too|"
    r"top|two|up|us|use|was|way|we|who|why|yet|you",
    re.IGNORECASE,
)


def alias(number: int) -> str:
    """What the CT with this number is called, counted from 1."""
    return f"CT {number:03d}"


class Discretion:
    """Takes names and places of files out of texts.

    Args:
        run: folder of the run; paths inside it stay, as relative ones.
        on: False leaves every text as it is (the user asked for names).
    """

    def __init__(self, run: Path, *, on: bool = True) -> None:
        self.on = on
        self._run = sorted({str(run), str(run.absolute()), str(run.resolve())}, key=len, reverse=True)
        self._words: dict[str, str] = {}
        #: Names that are hidden where they are all that is said.
        self._short: dict[str, str] = {}
        #: Names with blanks by what stands before the first one.
        self._starts: dict[str, list[str]] = {}

    def learn(self, cases: Iterable[tuple[Path, Path | None]]) -> None:
        """Call the CTs of these images and label maps by their numbers from now on."""
        for number, (image, labels) in enumerate(cases, start=1):
            for path, words in ((labels, f"labels of {alias(number)}"), (image, alias(number))):
                for written in _ways(path) if path else ():
                    if len(written) < _SHORTEST and (written.isdigit() or _WORDS.fullmatch(written)):
                        self._short[written] = words
                        continue
                    self._words[written] = words
                    if " " in written.strip():
                        self._starts.setdefault(written.split()[0], []).append(written)

    def text(self, text: str) -> str:
        """The text without names and places."""
        if not self.on:
            return text
        if text in self._words or text in self._short:
            return self._words.get(text) or self._short[text]
        if self._words:
            text = "".join(self._without_names(text))
        for run in self._run:
            text = text.replace(run + "/", "").replace(run + "\\", "").replace(run, "the run folder")
        return _PATHS.sub(_shortened, text)

    def _without_names(self, text: str) -> Iterator[str]:
        done = 0
        for token in _TOKENS.finditer(text):
            if token.start() < done:
                continue
            name = re.split(r"[\\/]", token[0])[-1]
            # A name with blanks may stand behind a folder, and a path may have blanks itself.
            for begin, start in ((token[0], token.start()), (name, token.end() - len(name))):
                long = [word for word in self._starts.get(begin, ()) if _stands(word, text, start)]
                if long:
                    word = max(long, key=len)
                    yield text[done : token.start()] + self._words[word]
                    done = start + len(word)
                    break
            else:
                bare = name.rstrip(".:!?")
                known = name if name in self._words else bare
                if known in self._words:
                    yield text[done : token.start()] + self._words[known] + name[len(known) :]
                    done = token.end()
        yield text[done:]

    def of(self, value: Any) -> Any:
        """The same for every text in a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item) for item in value]
        return value


def revealed(text: str, job: Mapping[str, Any]) -> str:
    """Names of files back in the place of numbers, for who may read job.json.

    Args:
        text: "CT 003 is damaged".
        job: content of job.json; what it does not know stays.
    """
    names: dict[str, str] = {}
    for entry in job.get("inputs") or ():
        if isinstance(entry, Mapping) and isinstance(entry.get("name"), str) and isinstance(entry.get("path"), str):
            names[entry["name"]] = Path(entry["path"]).name

    def name(found: re.Match[str]) -> str:
        return names.get(found[0], found[0])

    return re.sub(r"\bCT \d{3,}\b", name, text)


def _ways(path: Path) -> set[str]:
    """How a path is written in sentences: its name, its name without ending, and whole where blanks tear it apart."""
    name = path.name
    stem = re.sub(r"(\.nii\.gz|\.seg\.nrrd|\.[A-Za-z0-9]{1,5})$", "", name)
    return {name, stem} | {str(one) for one in (path, path.absolute()) if " " in str(one)}


def _stands(word: str, text: str, start: int) -> bool:
    return text.startswith(word, start) and not text[start + len(word) : start + len(word) + 1].isalnum()


def _shortened(found: re.Match[str]) -> str:
    code = _CODE.search(found[0])
    return f"…/{code[0]}" if code else "[a path]"

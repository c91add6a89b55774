"""An input of a reader: a few small files, one of which is the one that is opened."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

#: What is opened where the folder itself is the input.
FOLDER = "."


@dataclass(frozen=True)
class Input:
    """Files by their name.

    Attributes:
        main: the file that is opened, or :data:`FOLDER`.
        files: content by relative name.
        links: symbolic links: name and target.
        target: the file that is damaged first; ``main`` unless it is a folder.
        raw: whether the content is used as it is, whatever the reader's way of wrapping it.
    """

    main: str
    files: Mapping[str, bytes]
    links: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    raw: bool = False

    @property
    def name(self) -> str:
        """The file that mutators change."""
        return self.target or (self.main if self.main != FOLDER else next(iter(self.files)))

    @property
    def content(self) -> bytes:
        """Content of that file."""
        return self.files[self.name]

    def with_content(self, content: bytes, name: str = "") -> Input:
        """The same with another content of one file."""
        return replace(self, files={**self.files, name or self.name: content})

    def write(self, folder: Path) -> Path:
        """Put the files into an empty folder; returns what is to be opened."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, target in self.links.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(target)
        return folder / self.main if self.main != FOLDER else folder


def one(name: str, content: bytes | str, **more: bytes) -> Input:
    """A single file, with others beside it."""
    data = content.encode() if isinstance(content, str) else content
    return Input(name, {name: data, **more})

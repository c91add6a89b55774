"""The models of this machine by name: imported, downloaded, or one's own."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SwinSSLLib import leftovers
from SwinSSLLib.atomic import cannot_write
from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.catalogue import published
from SwinSSLLib.exchange.importing import import_model
from SwinSSLLib.models import CARD, Model, load_model, read_card, save_model
from SwinSSLLib.places import library_folder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Installed:
    """A model in the library.

    Attributes:
        name: its name and the name of its folder.
        folder: where it lies.
        card: what it is; None if it cannot be read.
        problem: why not, or empty.
        bytes: what it takes on the disk.
    """

    name: str
    folder: Path
    card: dict[str, Any] | None
    problem: str
    bytes: int


class Library:
    """Models in one folder.

    Args:
        root: the folder; made when the first model comes.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or library_folder()

    def models(self) -> list[Installed]:
        """All models, damaged ones too; what is on its way in is not one."""
        if not self.root.is_dir():
            return []
        folders = sorted(path for path in self.root.iterdir() if _NAME.fullmatch(path.name) and (path / CARD).exists())
        return [_installed(folder) for folder in folders]

    def folder(self, name: str) -> Path:
        """Where a model of this name lies or would lie.

        Raises:
            InputError: the name cannot be that of a folder.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name!r} cannot be the name of a model.", "Use letters, digits, '.', '_' and '-', at most 64."
            )
        return self.root / name

    def add(self, name: str, model: Model, *, replace: bool = False) -> Path:
        """Copy a model into the library, whole or not at all; returns its folder.

        Raises:
            InputError: the name is taken (unless ``replace``), or the folder cannot be written.
        """
        folder = self.folder(name)
        if folder.exists() and not replace:
            raise InputError(
                f"There is a model {name!r} already.", f"Choose another name, or `swinssl models remove {name}`."
            )
        with self.arriving(name) as place:
            save_model(place, model.card, model.state)
            if folder.exists():
                gone = folder.with_name(f".gone-{place.name}")
                folder.rename(gone)
                place.rename(folder)
                shutil.rmtree(gone, ignore_errors=True)
            else:
                place.rename(folder)
        return folder

    @contextmanager
    def arriving(self, name: str) -> Iterator[Path]:
        """A folder of its own beside the models, gone afterwards."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            leftovers.clear(self.root)
            place = Path(tempfile.mkdtemp(prefix=leftovers.marked(f".arriving-{name}-"), dir=self.root))
            place.chmod(0o755)  # mkdtemp's 0700 would hide the model from colleagues who share the folder
        except OSError as error:
            raise cannot_write(self.root, error) from error
        try:
            yield place
        except OSError as error:
            raise cannot_write(self.root, error) from error
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def remove(self, name: str) -> int:
        """Delete a model; returns the bytes freed.

        Raises:
            InputError: there is none of this name.
        """
        found = {model.name: model for model in self.models()}
        if name not in found:
            raise InputError(f"There is no model {name!r} in {self.root}.", "See `swinssl models list`.")
        try:
            # Away from its name first: what is half deleted must not look like a model.
            gone = Path(tempfile.mkdtemp(prefix=leftovers.marked(".gone-"), dir=self.root)) / name
            found[name].folder.rename(gone)
            shutil.rmtree(gone.parent)
        except OSError as error:
            raise InputError(
                f"{found[name].folder} could not be deleted: {error.strerror}.", "Is it in use?"
            ) from error
        return found[name].bytes


def find_model(reference: Path | str, library: Library | None = None) -> Model:
    """The model that a user means: a model or run folder, a file of weights, a bundle, or a name in the library.

    Raises:
        InputError: there is no such thing, or it cannot be used; says what to do.
    """
    reference = Path(reference)
    if reference.exists():
        return import_model(reference)
    library = library or Library()
    name = str(reference)
    if _NAME.fullmatch(name):
        if (library.root / name / CARD).exists():
            return load_model(library.root / name)
        if name in published():
            raise InputError(
                f"The model {name} is published, but not on this machine.",
                f"Fetch it with `swinssl models download {name}`.",
            )
    raise InputError(
        f"{reference} is no file or folder, and no model of this name is installed.",
        "Give a model or run folder, a file of weights, or a name of `swinssl models list`.",
    )


def _installed(folder: Path) -> Installed:
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    try:
        return Installed(folder.name, folder, read_card(folder), "", size)
    except InputError as error:
        return Installed(folder.name, folder, None, error.message, size)

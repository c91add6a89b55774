"""The segmenter that was used last stays in memory, so that the next volume waits for no file and no graphics card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.library import find_model
from SwinSSLLib.models import CARD, WEIGHTS, model_folder
from SwinSSLLib.places import library_folder
from SwinSSLLib.segment.files import Segmenter
from SwinSSLLib.segment.pipeline import Options

#: Path, time of the last change in nanoseconds, and bytes of every file that a model is read from.
Fingerprint = tuple[tuple[str, int, int], ...]


class Keeper:
    """Holds one loaded model.

    Args:
        loaded: called with every model that was really read.
    """

    def __init__(self, loaded: Callable[[Segmenter], None] | None = None) -> None:
        self.loaded = loaded
        self._segmenter: Segmenter | None = None
        self._known: tuple[Fingerprint, Options] | None = None

    def get(self, reference: Path, options: Options) -> Segmenter:
        """The segmenter of a model; read again only if its files or the options are others than before.

        Args:
            reference: as for :func:`SwinSSLLib.exchange.library.find_model`.
            options: how to run the network.

        Raises:
            InputError: there is no such model, or it cannot be used.
        """
        files = fingerprint(reference)
        known = (files, options) if files else None
        if self._segmenter is not None and known is not None and known == self._known:
            return self._segmenter
        self.forget()  # first: two large models may not fit
        segmenter = Segmenter.load(find_model(reference), options)
        self._segmenter, self._known = segmenter, known
        if self.loaded:
            self.loaded(segmenter)
        return segmenter

    def forget(self) -> None:
        """Give the memory back."""
        self._segmenter = self._known = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def fingerprint(reference: Path) -> Fingerprint | None:
    """What would be another if the model was; None where nothing simple tells, as with a bundle's folder."""
    place = reference if reference.exists() else library_folder() / reference
    try:
        folder = model_folder(place) if place.is_dir() else None
        files = (folder / CARD, folder / WEIGHTS) if folder else (place,)
        states = [(file.resolve(), file.stat()) for file in files]
    except (OSError, InputError):
        return None
    return tuple((str(file), state.st_mtime_ns, state.st_size) for file, state in states)

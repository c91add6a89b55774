"""A published model becomes one of this machine: fetched or taken from a file, checked, imported, installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from SwinSSLLib.errors import InputError
from SwinSSLLib.exchange.about import about_entry
from SwinSSLLib.exchange.catalogue import Entry, published
from SwinSSLLib.exchange.download import Progress, Wanted, check_file, fetch
from SwinSSLLib.exchange.importing import import_model
from SwinSSLLib.exchange.library import Library


def entry_of(name: str) -> Entry:
    """A published model by name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in published():
        raise InputError(f"There is no published model {name!r}.", f"Choose one of {', '.join(published())}.")
    return published()[name]


def obtain(
    entry: Entry,
    library: Library,
    *,
    accepted: bool,
    file: Path | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    timeout: float = 30.0,
) -> Path:
    """Install a published model; returns its folder.

    Args:
        entry: what to install.
        library: where.
        accepted: whether the user has accepted the licence.
        file: take this file, fetched elsewhere, instead of the network.
        name: to install it under; that of the entry by default.
        progress: called with the bytes that are here and the bytes in all.
        stop: asked between pieces.
        timeout: seconds without any data after which the connection counts as broken.

    Raises:
        InputError: the licence was not accepted, or the file is not what the catalogue describes. Nothing is installed.
        EnvironmentProblem: the network does not give it.
        Stopped: on request.
    """
    if not accepted:
        raise not_accepted(entry)
    name = name or entry.name
    if library.folder(name).exists():
        raise InputError(f"The model {name!r} is installed already.", f"Use it, or `swinssl models remove {name}`.")
    wanted = Wanted(entry.address, entry.size_problem, entry.sha256, entry.md5, elsewhere(entry))
    if file is not None:
        if not file.is_file():
            raise InputError(f"{file} is not a file.", "Check the path.")
        if problem := check_file(wanted, file):
            raise InputError(f"{file} is not the file that was expected: {problem}.", wanted.elsewhere)
        return _install(entry, file, library, name)
    place = library.root / ".downloads"
    place.mkdir(parents=True, exist_ok=True)
    fetched = place / entry.file
    if not fetched.exists():
        fetch(wanted, fetched, progress=progress, stop=stop, timeout=timeout)
    try:
        return _install(entry, fetched, library, name)
    finally:
        fetched.unlink(missing_ok=True)


def not_accepted(entry: Entry) -> InputError:
    """The sentence for a licence that was not accepted."""
    return InputError(
        f"The licence of {entry.name} was not accepted: {entry.licence['name']}, {entry.licence['url']}.",
        "Read it, then accept it with --accept-licence.",
    )


def elsewhere(entry: Entry) -> str:
    """What to do where the network does not give the file."""
    return (
        f"You can fetch {entry.address} on another machine and use that file: "
        f"swinssl models download {entry.name} --file {entry.file}"
    )


def _install(entry: Entry, file: Path, library: Library, name: str) -> Path:
    model = import_model(file, about_entry(entry))
    card = model.card
    problem = entry.network_problem(card["network"])
    if card["kind"] != entry.kind:
        problem = f"it is of the kind {card['kind']!r} instead of {entry.kind!r}"
    if problem:
        raise InputError(f"{file} is not the file that the catalogue describes: {problem}.", elsewhere(entry))
    return library.add(name, model)

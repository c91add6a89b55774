"""A desk on which documented commands are tried: what they read lies there, and runs are as small as they can be."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conftest import TINY, TINY_FINETUNE
from file_server import Server, weights_of

from SwinSSLLib.exchange.catalogue import Entry, published
from SwinSSLLib.places import library_folder

TRAINING = {"pretrain": TINY, "finetune": TINY_FINETUNE, "compare": TINY_FINETUNE}


class Desk:
    """A folder, and the things that commands may ask for.

    Args:
        folder: where the commands run; ``/shared`` of the pages lies in it.
        cohort: folder of phantoms with a dataset.json.
        pretrained, segmenter: runs.
        run: runs ``swinssl``; gives exit code, output and errors.
    """

    def __init__(self, folder: Path, cohort: Path, pretrained: Path, segmenter: Path, run: Callable[..., Any]) -> None:
        self.folder, self.cohort, self.pretrained, self.segmenter = folder, cohort, pretrained, segmenter
        self.swinssl = run
        #: What the commands of earlier blocks have made; blocks of a page may be alternatives.
        self.earlier: set[Path] = set()

    def next_block(self) -> None:
        """What was made so far gives way to what the commands that follow make under its name."""
        self.earlier = set(self.folder.iterdir())

    def make_way(self, out: Path) -> None:
        """Take away what an earlier block has made there."""
        path = self.folder / out
        if path in self.earlier:
            self.earlier.discard(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def here(self, words: list[str]) -> list[str]:
        """Words with the places of this desk."""
        return [word.replace("/shared/", f"{self.folder}/shared/") for word in words]

    def fill(self, asked: argparse.Namespace) -> None:
        """Lay out what a command reads and nobody has made yet."""
        for name, make in (
            ("data", self._data),
            ("test", self._data),
            ("ct", self._ct),
            ("model", self._model),
            ("init", self._init),
            ("prediction", self._labels),
            ("reference", self._labels),
            ("source", self._weights),
            ("file", self._weights),
            ("labels", self._names),
            ("run_folder", self._running),
        ):
            given = getattr(asked, name, None)
            for one in given if isinstance(given, list) else [given] if given else []:
                make(str(one))
        if settings := getattr(asked, "settings", None):
            path = self.folder / settings
            if not path.exists():
                path.write_text(
                    as_toml(TRAINING.get(asked.command, TINY)) if path.suffix == ".toml" else self._tiny(asked)
                )

    def shrink(self, asked: argparse.Namespace) -> list[str]:
        """Words behind the command that make it small; the last of two equal options counts."""
        if asked.command == "phantoms":
            return ["--spacing", "8", "8", "8", "--count", "6", "--split", "2", "1", "3"]
        if asked.command == "segment":
            return ["--device", "cpu"]
        if asked.command not in TRAINING:
            return []
        words = ["--steps", "2", "--device", "cpu", "--devices", "1"]
        words += [] if asked.command == "compare" else ["--no-report"]
        if not asked.settings:
            (self.folder / "tiny.json").write_text(self._tiny(asked))
            words += ["--settings", "tiny.json"]
        if asked.command == "compare":
            words += ["--seeds", "1"] + (["--labelled", "1", "2"] if getattr(asked, "labelled", None) else [])
        return words

    def _tiny(self, asked: argparse.Namespace) -> str:
        """Settings of the smallest run; the network is that of the model that it starts from, if there is one."""
        settings = TRAINING.get(asked.command, TINY)
        own = {name: value for name, value in settings.items() if name != "network" or not getattr(asked, "init", None)}
        return json.dumps(own)

    def _place(self, name: str) -> Path | None:
        """Where to make a thing, or None if it is there."""
        path = self.folder / name
        if path.exists():
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _data(self, name: str) -> None:
        path = self._place(name)
        if path is None:
            return
        if path.suffix == ".json":
            shutil.copytree(self.cohort, path.parent, dirs_exist_ok=True)
            if path.name != "dataset.json":
                (path.parent / "dataset.json").rename(path)
        elif path.suffix:
            self._ct(name)
        else:
            shutil.copytree(self.cohort, path)

    def _ct(self, name: str) -> None:
        """A small CT of an abdomen, or a folder of two."""
        path = self._place(name)
        if path is not None:
            for number, file in enumerate([path] if path.suffix else [path / "one.nii.gz", path / "two.nii.gz"]):
                _write_phantom(number, file, "image")

    def _labels(self, name: str) -> None:
        if path := self._place(name):
            _write_phantom(0, path, "labels")

    def _model(self, name: str) -> None:
        """A segmenter, unless it is a name in the library; one of a published name is fetched."""
        self._copied(self.segmenter, name)

    def _init(self, name: str) -> None:
        path = name.rpartition("=")[2].replace("{seed}", "0")
        if path != "scratch":
            self._copied(self.pretrained, path)

    def _copied(self, run: Path, name: str) -> None:
        if (library_folder() / name).exists():
            return
        if name in published():
            code, _, said = self.swinssl("models", "download", name, "--accept-licence")
            assert code == 0, said
        elif path := self._place(name):
            shutil.copytree(run, path)

    def _weights(self, name: str) -> None:
        if path := self._place(name):
            path.write_bytes(small_weights("btcv-tiny"))

    def _names(self, name: str) -> None:
        if path := self._place(name):
            path.write_text(json.dumps([f"organ {number}" for number in range(14)]))

    def _running(self, name: str) -> None:
        """A run that somebody else is at work on."""
        if path := self._place(name):
            shutil.copytree(self.pretrained, path)
            status = json.loads((path / "status.json").read_text())
            (path / "status.json").write_text(json.dumps({**status, "state": "running"}))


def _write_phantom(number: int, path: Path, part: str) -> None:
    from SwinSSLLib.data.phantom import make_phantom
    from SwinSSLLib.data.volumes import write_volume

    # Of 126 mm only: at the spacing of published models it is one window.
    phantom = make_phantom(number, spacing=(3.0, 3.0, 3.0), shape=(42, 36, 36))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(getattr(phantom, part), path)


def as_toml(settings: Mapping[str, Any]) -> str:
    """Settings of one level of sections as TOML."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    for section, values in settings.items():
        if isinstance(values, dict):
            lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    return "\n".join(lines)


@cache
def small_weights(kind: str) -> bytes:
    """A small file of published weights of a kind."""
    with TemporaryDirectory() as folder:
        return weights_of(kind, Path(folder))


def small_catalogue(server: Server) -> dict[str, Entry]:
    """Every published entry with a small file of its layout on a server of our own."""
    entries = {}
    for name, entry in published().items():
        kind = name if name in ("swinvit-ssl", "btcv-zoo") else "btcv-tiny"
        content = small_weights(kind)
        server.files[f"{name}.pt"] = content
        digest = hashlib.sha256(content).hexdigest()
        entries[name] = replace(
            entry, address=server.address(f"{name}.pt"), file=f"{name}.pt", bytes=len(content), bytes_exact=True,
            sha256=digest, md5=None, network={**entry.network, "feature_size": 12},
        )  # fmt: skip
    return entries

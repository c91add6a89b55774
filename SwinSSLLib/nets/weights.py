"""Taking weights over, and saying how much of them arrived.

Loading with ``strict=False`` and a cheerful message is how the field loses its pre-training: the official
fine-tuning script changes 0 of 159 tensors on the published file. Here every tensor is accounted for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from SwinSSLLib.errors import InputError
from SwinSSLLib.settings import NetworkSettings

ENCODER = "swinViT."
FIRST = f"{ENCODER}patch_embed.proj.weight"


@dataclass(frozen=True)
class Init:
    """Where the encoder starts from.

    Attributes:
        name: what to call it.
        state: tensors by name.
        force: accept less than the whole encoder.
    """

    name: str
    state: dict[str, Tensor]
    force: bool = False


@dataclass(frozen=True)
class Coverage:
    """What became of each tensor when weights were taken over.

    Every tensor that the network wants is in ``loaded``, ``missing`` or ``mismatched``; every tensor of the file is
    in ``loaded``, ``mismatched`` or ``unexpected``.

    Attributes:
        loaded: names that the network now holds from the file.
        missing: names that the network has and the file lacks.
        mismatched: names with another shape in the file, as sentences.
        unexpected: names in the file that have no place in the network.
        renamed: our name of a loaded tensor and its name in the file, where they differ.
        converted: names that were changed to float32, or adapted to another number of input channels, as sentences.
        what: what was asked for, in the sentence: "encoder" or "network".
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    converted: tuple[str, ...] = ()
    what: str = "encoder"

    @property
    def wanted(self) -> int:
        """How many tensors the network asked for."""
        return len(self.loaded) + len(self.missing) + len(self.mismatched)

    @property
    def complete(self) -> bool:
        """Whether every wanted tensor arrived."""
        return len(self.loaded) == self.wanted

    def sentence(self) -> str:
        """The report in one line."""
        rest = [f"{len(names)} {word}" for word, names in self._parts() if names]
        return f"{len(self.loaded)} of {self.wanted} {self.what} tensors taken over" + (
            f" ({', '.join(rest)})" if rest else ""
        )

    def text(self, most: int = 12) -> str:
        """The report in several lines, with at most ``most`` names in each part."""
        lines = [self.sentence()]
        for word, names in self._parts():
            shown = [f"{name} (in the file: {self.renamed[name]})" for name in names] if word == "renamed" else names
            lines += [f"  {word}:" for _ in names[:1]]
            lines += [f"    {name}" for name in shown[:most]]
            lines += [f"    and {len(names) - most} more" for _ in names[most : most + 1]]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report for a model card."""
        return {
            "wanted": self.wanted,
            "loaded": len(self.loaded),
            "missing": list(self.missing),
            "mismatched": list(self.mismatched),
            "unexpected": list(self.unexpected),
            "renamed": dict(self.renamed),
            "converted": list(self.converted),
        }

    def _parts(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            ("missing", self.missing),
            ("of another shape", self.mismatched),
            ("not used", self.unexpected),
            ("renamed", tuple(self.renamed)),
            ("converted", self.converted),
        )


def coverage_of(own: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str = "encoder") -> Coverage:
    """Compare the tensors that a network has with those that are offered; nothing is changed."""
    fitting = {name for name in own.keys() & given.keys() if own[name].shape == given[name].shape}
    return Coverage(
        loaded=tuple(sorted(fitting)),
        missing=tuple(sorted(own.keys() - given.keys())),
        mismatched=tuple(
            f"{name}: {tuple(given[name].shape)} there, {tuple(own[name].shape)} here"
            for name in sorted((own.keys() & given.keys()) - fitting)
        ),
        unexpected=tuple(sorted(given.keys() - own.keys())),
        what=what,
    )


def load_encoder(network: nn.Module, state: Mapping[str, Tensor], *, source: str, force: bool = False) -> Coverage:
    """Copy the encoder (``swinViT.*``) of ``state`` into ``network`` and account for every tensor.

    Heads of pre-training and decoders in ``state`` are not used and not counted. An encoder of one input channel is
    adapted to several and the other way round, see :func:`adapt_channels`.

    Args:
        network: a module with an encoder named ``swinViT``, or such an encoder itself.
        state: tensors by name.
        source: what to call the file in messages.
        force: accept less than the whole encoder.

    Raises:
        InputError: the network has no encoder, or not every tensor of the encoder arrives and ``force`` is not set.
            The network is unchanged then.
    """
    every = network.state_dict()
    alone = ENCODER if FIRST not in every and FIRST.removeprefix(ENCODER) in every else ""
    own = {alone + name: tensor for name, tensor in every.items() if (alone + name).startswith(ENCODER)}
    if not own:  # nothing wanted, and nothing missing, would pass for success
        raise InputError(
            f"{source} cannot be loaded: this {type(network).__name__} holds no encoder named swinViT.",
            "Give a Swin UNETR, an SSLNet, or the encoder itself.",
        )
    given = {name: tensor for name, tensor in state.items() if name.startswith(ENCODER)}
    converted: tuple[str, ...] = ()
    if FIRST in given and FIRST in own and (adapted := adapt_channels(given[FIRST], own[FIRST])) is not None:
        converted = (f"{FIRST}: from {given[FIRST].shape[1]} to {own[FIRST].shape[1]} input channels",)
        given = {**given, FIRST: adapted}
    found = coverage_of(own, given)
    coverage = Coverage(found.loaded, found.missing, found.mismatched, found.unexpected, converted=converted)
    if not coverage.complete and not force:
        examples = (*coverage.mismatched, *coverage.missing)[:3]
        raise InputError(
            f"{source} does not fit this network: {coverage.sentence()}; for example {'; '.join(examples)}.",
            "Fine-tune with the network settings of these weights, or accept the rest at random with --force.",
        )
    network.load_state_dict({name.removeprefix(alone): given[name] for name in coverage.loaded}, strict=False)
    return coverage


def adapt_channels(weight: Tensor, like: Tensor) -> Tensor | None:
    """The first convolution for another number of input channels; None where that is not the difference.

    One channel becomes several by repeating it and dividing, several become one by adding them up: where all channels
    show the same picture the response stays what it was.
    """
    there, here = weight.shape, like.shape
    if there[0] != here[0] or there[2:] != here[2:] or there[1] == here[1] or min(there[1], here[1]) != 1:
        return None
    return weight.repeat(1, here[1], 1, 1, 1) / here[1] if there[1] == 1 else weight.sum(dim=1, keepdim=True)


def check_shapes(network: NetworkSettings, state: Mapping[str, Tensor], source: str) -> None:
    """Whether weights are of a network's size, before that is built: a card may describe one that no memory holds.

    Raises:
        InputError: the first or the last convolution is missing or has another shape, or blocks are missing.
    """
    out, first = state.get("out.conv.conv.weight"), state.get(FIRST)
    fits = first is not None and out is not None
    if first is not None and out is not None:
        fits = tuple(first.shape) == (network.feature_size, network.in_channels, *(network.patch,) * 3)
        fits &= tuple(out.shape[:2]) == (network.out_channels, network.feature_size)
    last = (f"{ENCODER}layers{n}.0.blocks.{depth - 1}.norm1.weight" for n, depth in enumerate(network.depths, 1))
    if not fits or not all(name in state for name in last):
        raise InputError(
            f"{source}: the weights do not fit their card: they are of a network of another size.",
            "The model folder is damaged or was put together by hand; export it again.",
        )


def load_all(network: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load every tensor, no more and no fewer.

    Raises:
        InputError: names or shapes differ; names the first of them.
    """
    coverage = coverage_of(network.state_dict(), state, "network")
    problems = [f"{name} is missing" for name in coverage.missing]
    problems += [f"{name} is not part of this network" for name in coverage.unexpected]
    problems += list(coverage.mismatched)
    if problems:
        raise InputError(
            f"{source}: the weights do not fit their card ({len(problems)} tensors; {'; '.join(problems[:3])}).",
            "The model folder is damaged or was put together by hand; export it again.",
        )
    network.load_state_dict(dict(state))

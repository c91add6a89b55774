"""A linear probe: how much of the anatomy an encoder knows before anybody fine-tunes it.

The encoder stays as it is. A token is one step of the patch embedding (2 × 2 × 2 voxels); its features are those of its
own place in the feature maps of all five levels, side by side ("hypercolumn", Hariharan et al. 2015,
arXiv:1411.5752). One linear layer learns to tell from them in which organ the token lies, on some CTs, and is asked on
others. What is good here need not be best after fine-tuning, but it takes seconds and not hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SwinSSLLib.data.sampling import cut
from SwinSSLLib.data.scaling import scale_window
from SwinSSLLib.data.store import Entry
from SwinSSLLib.errors import InputError
from SwinSSLLib.nets.fast import accelerate
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.nets.weights import load_encoder
from SwinSSLLib.organs import CLASSES, ORGANS
from SwinSSLLib.settings import InputSettings, NetworkSettings

#: Tokens of one class and CT that are looked at, and the share of a token's voxels that one class must have.
_TOKENS, _PURE = 100, 0.75
#: Weight of the squared weights of the linear layer beside the mean cross entropy.
_DECAY = 1e-3
_ITERATIONS = 100


@dataclass(frozen=True)
class Probe:
    """What a linear layer reads from an encoder.

    Attributes:
        recall: by class name (background included), the share of its tokens that are told right; classes that the
            tested CTs lack are left out.
        tokens: how many were tested.
        cases: how many CTs were tested.
    """

    recall: dict[str, float]
    tokens: int
    cases: int

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes, so that small organs count as much as the background."""
        return float(np.mean(list(self.recall.values())))

    @property
    def chance(self) -> float:
        """What guessing reaches."""
        return 1 / len(self.recall)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "balanced_accuracy": self.balanced_accuracy, "chance": self.chance}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Probe:
        """Back from JSON."""
        return cls(dict(content["recall"]), int(content["tokens"]), int(content["cases"]))


def build_encoder_of(
    network: NetworkSettings, state: Mapping[str, Tensor] | None, *, source: str = "", seed: int = 0
) -> nn.Module:
    """The encoder that fine-tuning would start with: random with this seed, and then perhaps taken over.

    Raises:
        InputError: the weights do not hold the whole encoder.
    """
    torch.manual_seed(seed)
    whole = accelerate(build_segmenter(network))
    if state is not None:
        load_encoder(whole, dict(state), source=source)
    encoder: nn.Module = whole.swinViT
    return encoder.eval()


def probe(
    encoder: nn.Module,
    inputs: InputSettings,
    training: Sequence[Entry],
    tested: Sequence[Entry],
    *,
    device: torch.device | None = None,
    seed: int = 0,
) -> Probe:
    """Fit a linear layer on the tokens of some labelled CTs and test it on others.

    Args:
        encoder: takes (N, 1, I, J, K) and returns its feature maps, finest first.
        inputs: sub-volume and HU window.
        training: labelled CTs in the store, at the spacing of ``inputs``, that the linear layer learns from.
        tested: others, that it is asked about.
        device: where the encoder computes.
        seed: which tokens are looked at.

    Raises:
        InputError: no CTs with labels to learn from or to test on.
    """
    if not training or not tested or not all(entry.labels for entry in (*training, *tested)):
        raise InputError("A probe needs labelled CTs to learn from and others to test on.", "Name both.")
    device = device or torch.device("cpu")
    encoder = encoder.to(device)
    known, classes, _ = _gather(encoder, inputs, training, device, seed)
    asked, truth, _ = _gather(encoder, inputs, tested, device, seed)
    told = _fit(known, classes, device)(asked.to(device)).cpu()
    names = ["background", *(organ.name for organ in ORGANS)]
    # A class that no training CT has cannot be learned, but it counts: it is told wrong.
    present = [number for number in range(CLASSES) if bool((truth == number).any())]
    recall = {names[n]: float((told[truth == n] == n).float().mean()) for n in present}
    return Probe(recall, len(truth), len(tested))


def _gather(
    encoder: nn.Module, inputs: InputSettings, entries: Sequence[Entry], device: torch.device, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Features (T, C), classes (T,) and numbers of the CT (T,) of some tokens of each class and CT."""
    features, classes, cases = [], [], []
    for number, entry in enumerate(entries):
        chosen = _choose(entry, np.random.default_rng([seed, number]))
        for columns, found in _columns(encoder, inputs, entry, chosen, device):
            features.append(columns)
            classes.append(found)
            cases.append(torch.full((len(found),), number))
    return torch.cat(features), torch.cat(classes), torch.cat(cases)


def _choose(entry: Entry, random: np.random.Generator) -> np.ndarray:
    """(T, 4) of index i, j, k and class of tokens that belong to one class clearly; up to 100 of each class."""
    labels = np.asarray(entry.label_map())
    even = tuple(size // 2 * 2 for size in labels.shape)
    i, j, k = (size // 2 for size in even)
    blocks = labels[: even[0], : even[1], : even[2]].reshape(i, 2, j, 2, k, 2).transpose(0, 2, 4, 1, 3, 5)
    blocks = blocks.reshape(i, j, k, 8)
    body = np.asarray(entry.image())[: even[0] : 2, : even[1] : 2, : even[2] : 2] > -500
    rows = []
    for number in range(CLASSES):
        clear = (blocks == number).mean(axis=3) >= _PURE
        # Air says nothing about anatomy, and there is much of it.
        places = np.argwhere(clear & body if number == 0 else clear)
        places = random.permutation(places)[:_TOKENS]
        rows.append(np.concatenate([places, np.full((len(places), 1), number)], axis=1))
    return np.concatenate(rows)


@torch.no_grad()
def _columns(
    encoder: nn.Module, inputs: InputSettings, entry: Entry, chosen: np.ndarray, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features and classes of the chosen tokens, sub-volume by sub-volume; the CT is laid out with them."""
    image = entry.image()
    for corner in product(*(range(0, size, step) for size, step in zip(image.shape, inputs.roi, strict=True))):
        first = np.asarray(corner) // 2
        inside = ((chosen[:, :3] >= first) & (chosen[:, :3] < first + np.asarray(inputs.roi) // 2)).all(axis=1)
        if not inside.any():
            continue
        block = torch.from_numpy(cut(image, (corner[0], corner[1], corner[2]), inputs.roi)).float()
        maps = encoder(scale_window(block, inputs.hu_window)[None, None].to(device), normalize=True)
        places = torch.from_numpy(chosen[inside, :3] - first)
        columns = []
        for level, found in enumerate(maps):
            i, j, k = (places // 2**level).unbind(1)
            columns.append(found[0, :, i, j, k].T.float().cpu())
        yield torch.cat(columns, dim=1), torch.from_numpy(chosen[inside, 3])


class _Linear(nn.Module):
    """Standardised features and one linear layer; answers with classes."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.mean, self.scale = features.mean(0), features.std(0).clamp(min=1e-6)
        self.layer = nn.Linear(features.shape[1], CLASSES).to(features.device)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def scores(self, features: Tensor) -> Tensor:
        found: Tensor = self.layer((features - self.mean) / self.scale)
        return found

    def forward(self, features: Tensor) -> Tensor:
        return self.scores(features).argmax(1)


def _fit(features: Tensor, classes: Tensor, device: torch.device) -> _Linear:
    """Multinomial logistic regression in which every class weighs the same, by L-BFGS from zero: no draw, no rate."""
    features, classes = features.to(device), classes.to(device)
    model = _Linear(features)
    counts = torch.bincount(classes, minlength=CLASSES).float()
    weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model.scores(features), classes, weights) + _DECAY * model.layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model

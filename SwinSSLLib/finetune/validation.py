"""Validation of a segmenter on whole CTs: Dice per organ, where an organ that a case lacks does not count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceCELoss
from monai.metrics import DiceHelper
from torch import Tensor, nn

from SwinSSLLib import atomic
from SwinSSLLib.data.scaling import scale_window
from SwinSSLLib.data.store import Entry
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.settings import FinetuneSettings
from SwinSSLLib.shares import Share

#: Voxels around the organs in a preview.
_MARGIN = 8


def make_loss(settings: FinetuneSettings) -> DiceCELoss:
    """Dice and cross entropy over all classes, background included, for logits and label ids."""
    squared = settings.dice == "squared"
    return DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=squared, batch=squared)


class Validation:
    """Fixed labelled CTs on the network's grid.

    Args:
        entries: labelled CTs in the store; may be empty, and then there is nothing to measure.
        settings: window size, overlap, HU window.
        device: where to compute.
        share: this process's part of the CTs; all processes measure together.
    """

    def __init__(
        self, entries: Sequence[Entry], settings: FinetuneSettings, device: torch.device, share: Share | None = None
    ) -> None:
        self.entries, self.settings, self.device, self.share = entries, settings, device, share or Share()
        self.inferer = SlidingWindowInferer(settings.input.roi, overlap=settings.overlap, mode="gaussian")
        self.dice = DiceHelper(include_background=False, num_classes=settings.network.out_channels, reduction="none")
        self.loss = make_loss(settings)

    @property
    def names(self) -> list[str]:
        """The cases."""
        return [entry.name for entry in self.entries]

    @torch.no_grad()
    def measure(self, network: nn.Module) -> dict[str, float]:
        """Mean loss, mean Dice of each organ over the cases that have it, and ``dice``, the mean over organs.

        All processes of a run call this.
        """
        if not self.entries:
            return {}

        def measured(number: int) -> tuple[float, np.ndarray]:
            scores, labels = self._predict(network, self.entries[number])
            dice, _ = self.dice(scores.argmax(1, keepdim=True), labels)  # (1, organs); NaN where the case has none
            return float(self.loss(scores, labels)), dice.cpu().numpy().reshape(-1)

        network.eval()
        losses, rows = zip(*self.share.each(len(self.entries), measured), strict=True)
        network.train()
        table = np.stack(rows)  # (cases, organs)
        present = ~np.isnan(table).all(axis=0)
        means = {organ.name: float(np.nanmean(table[:, organ.id - 1])) for organ in ORGANS if present[organ.id - 1]}
        return {
            "loss": float(np.mean(losses)),
            **({"dice": float(np.mean(list(means.values())))} if means else {}),
            **{f"dice/{name}": value for name, value in means.items()},
        }

    @torch.no_grad()
    def show(self, network: nn.Module, folder: Path, step: int) -> Path | None:
        """Write image, truth and prediction of the first case around its organs: ``segmentation-000500.npz``."""
        if not self.entries:
            return None
        entry = self.entries[0]
        network.eval()
        scores, labels = self._predict(network, entry)
        network.train()
        truth = labels[0, 0].cpu().numpy()
        prediction = scores.argmax(1)[0].cpu().numpy().astype(np.uint8)
        image = self._image(entry)[0, 0].cpu().numpy().astype(np.float16)
        box = _around(truth)
        file = folder / f"segmentation-{step:06d}.npz"
        with atomic.replacing(file) as opened:
            np.savez_compressed(
                opened,
                image=image[box][None],
                truth=truth[box][None].astype(np.uint8),
                prediction=prediction[box][None],
                spacing=np.asarray(entry.spacing),
                source=np.array([entry.name]),
                step=np.int64(step),
            )
        return file

    def _predict(self, network: nn.Module, entry: Entry) -> tuple[Tensor, Tensor]:
        """Logits (1, C, I, J, K) and labels (1, 1, I, J, K) of one case."""
        scores = self.inferer(self._image(entry), network)
        labels = torch.from_numpy(np.array(entry.label_map())).to(self.device)
        assert isinstance(scores, Tensor)
        return scores, labels[None, None].long()

    def _image(self, entry: Entry) -> Tensor:
        image = torch.from_numpy(np.array(entry.image())).to(self.device).float()
        return scale_window(image, self.settings.input.hu_window)[None, None]


def _around(labels: np.ndarray) -> tuple[slice, ...]:
    """The box of all organs with a margin; everything when there are none."""
    if not labels.any():
        return (slice(None),) * 3
    places = np.nonzero(labels)
    return tuple(slice(max(0, int(place.min()) - _MARGIN), int(place.max()) + _MARGIN + 1) for place in places)

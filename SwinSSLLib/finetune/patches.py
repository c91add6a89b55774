"""Training patches of labelled CTs: centred on organs or beside them, with MONAI's augmentations.

Official recipe: BTCV/utils/data_utils.py:72-102 in Project-MONAI/research-contributions. Which patch comes
when is a pure function of the seed and the number of the draw, so a resumed run sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from monai.transforms import Compose, RandFlipd, RandRotate90d, RandScaleIntensityd, RandShiftIntensityd
from torch import Tensor

from SwinSSLLib.data.sampling import cut, order_of_round
from SwinSSLLib.data.scaling import scale_window
from SwinSSLLib.data.store import Entry
from SwinSSLLib.settings import FinetuneSettings

#: Places remembered per CT from which centres are drawn; so many that no part of an organ is left out.
_PLACES = 200_000


class Patch(NamedTuple):
    """One training patch.

    Attributes:
        image: (1, I, J, K) float32, 0..1 over the HU window.
        labels: (1, I, J, K) uint8.
    """

    image: Tensor
    labels: Tensor


class _Places(NamedTuple):
    organ: np.ndarray
    other: np.ndarray


@dataclass
class PatchSampler:
    """Random patches of several labelled CTs; every CT comes once in a round, ``per_case`` patches in a row.

    Args:
        entries: labelled CTs in the store.
        settings: size, HU window, share of patches centred on organs, augmentations.
    """

    entries: Sequence[Entry]
    settings: FinetuneSettings
    _places: dict[str, _Places] = field(default_factory=dict)

    def draw(self, number: int) -> Patch:
        """Draw number ``number`` (0, 1, ...)."""
        settings, seed = self.settings, self.settings.training.seed
        case, count = number // settings.patches.per_case, len(self.entries)
        entry = self.entries[int(order_of_round(seed, case // count, count)[case % count])]
        random = np.random.default_rng([seed, 3, number])
        image, labels = entry.image(), entry.label_map()
        corner = self._corner(entry, image, labels, random)
        scaled = scale_window(
            torch.from_numpy(cut(image, corner, settings.input.roi)).float(), settings.input.hu_window
        )
        patch = {
            "image": scaled.unsqueeze(0),
            "labels": torch.from_numpy(cut(labels, corner, settings.input.roi, outside=0)).unsqueeze(0),
        }
        augmented = self._augmentation(int(random.integers(2**32)))(patch)
        return Patch(_plain(augmented["image"]), _plain(augmented["labels"]))

    def _corner(
        self, entry: Entry, image: np.ndarray, labels: np.ndarray, random: np.random.Generator
    ) -> tuple[int, int, int]:
        """First voxel of a patch around a drawn centre, moved so that the patch stays inside where it can."""
        places = self._places.get(entry.key)
        if places is None:
            places = self._places[entry.key] = _find_places(image, labels, self.settings.input.hu_window[0])
        on_organ = random.random() < self.settings.patches.positive_share
        chosen = places.organ if (on_organ and len(places.organ)) or not len(places.other) else places.other
        centre = np.unravel_index(int(chosen[random.integers(len(chosen))]), image.shape)
        i, j, k = (
            min(max(int(middle) - want // 2, 0), have - want) if have >= want else -((want - have) // 2)
            for middle, want, have in zip(centre, self.settings.input.roi, image.shape, strict=True)
        )
        return i, j, k

    def _augmentation(self, seed: int) -> Compose:
        """MONAI's random transforms, seeded for one patch; made anew, because threads must not share their state."""
        patches, both, image = self.settings.patches, ["image", "labels"], ["image"]
        transforms = Compose(
            [
                *(RandFlipd(both, prob=patches.flip, spatial_axis=axis) for axis in patches.flip_axes),
                RandRotate90d(both, prob=patches.rotate90, max_k=3, spatial_axes=(0, 1)),
                RandScaleIntensityd(image, factors=0.1, prob=patches.scale_intensity),
                RandShiftIntensityd(image, offsets=0.1, prob=patches.shift_intensity),
            ]
        )
        transforms.set_random_state(seed=seed)
        return transforms


def _plain(tensor: Tensor) -> Tensor:
    """A plain tensor: MONAI's MetaTensor would carry its bookkeeping through every operation of the network."""
    return torch.Tensor.as_subclass(tensor, Tensor).contiguous()


def _find_places(image: np.ndarray, labels: np.ndarray, lowest: float) -> _Places:
    """Flat indices of organ voxels and of others inside the body, thinned evenly."""
    flat = np.asarray(labels).ravel()
    organ = np.flatnonzero(flat)
    other = np.flatnonzero((flat == 0) & (np.asarray(image).ravel() > lowest))
    return _Places(*(found[:: max(1, len(found) // _PLACES)] for found in (organ, other)))

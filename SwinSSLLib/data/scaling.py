"""Hounsfield units to the network's 0..1; written once, for pre-training, fine-tuning and segmentation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def scale_window(hu: Tensor, hu_window: Sequence[float]) -> Tensor:
    """Map the window linearly to 0..1 and clip (MONAI's ``ScaleIntensityRange`` with ``clip``).

    Args:
        hu: floating-point HU, any shape.
        hu_window: the HU that become 0 and 1.
    """
    low, high = hu_window
    return ((hu - low) / (high - low)).clamp(0, 1)

"""From blocks of CT to what the network sees: window, device, two views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from SwinSSLLib.data.scaling import scale_window
from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.views import Views, make_views
from SwinSSLLib.settings import InputSettings, PretrainSettings


def to_input(blocks: Sequence[np.ndarray], settings: InputSettings, device: torch.device) -> Tensor:
    """HU blocks (I, J, K) int16 to the network's input (N, 1, I, J, K), 0..1 over the HU window, on the device.

    The int16 values travel; the arithmetic happens over there.
    """
    batch = torch.stack([torch.from_numpy(block) for block in blocks])
    if device.type == "cuda":  # from pinned memory the copy waits in the GPU's queue, and nobody waits for it
        batch = batch.pin_memory()
    batch = batch.to(device, non_blocking=True)
    return scale_window(batch.float(), settings.hu_window).unsqueeze(1)


def two_views(sub_volumes: Tensor, settings: PretrainSettings, draws: Draws) -> Views:
    """Views of N sub-volumes, first ones and then second ones, as one batch of 2N.

    The network has no batch statistics, so one pass over both gives what two passes give.
    """
    first = make_views(sub_volumes, settings.views, settings.input.roi, draws)
    second = make_views(sub_volumes, settings.views, settings.input.roi, draws)
    return Views(
        torch.cat([first.corrupted, second.corrupted]),
        torch.cat([first.target, second.target]),
        torch.cat([first.mask, second.mask]),
        torch.cat([first.rotation, second.rotation]),
    )


def some_of(views: Views, numbers: Sequence[int]) -> Views:
    """The views of some of N sub-volumes, first ones and then second ones."""
    count = len(views.rotation) // 2
    rows = [*numbers, *(count + number for number in numbers)]
    return Views(views.corrupted[rows], views.target[rows], views.mask[rows], views.rotation[rows])

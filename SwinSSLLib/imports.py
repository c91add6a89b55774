"""A quicker start: packages that MONAI imports in passing and that segmenting has no use for.

``import monai`` imports all of MONAI, and with it every optional package that it finds installed: ignite for its
handlers (which brings torch.distributed's sharding), matplotlib for notebooks, sklearn for one metric, readers of
files beside our own. A worker that somebody waits for with a finger on the mouse can do without them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: What MONAI can be imported without (its ``optional_import``), and the network, the windows and the metrics as well.
NOT_FOR_SEGMENTING = (
    "PIL",
    "huggingface_hub",
    "ignite",
    "matplotlib",
    "mlflow",
    "nibabel",
    "pandas",
    "pydicom",
    "requests",
    "scipy.interpolate",
    "scipy.optimize",
    "scipy.signal",
    "scipy.spatial",
    "scipy.stats",
    "skimage",
    "sklearn",
    "tensorboard",
    "tensorboardX",
    "transformers",
)


@contextmanager
def left_out(names: tuple[str, ...] = NOT_FOR_SEGMENTING) -> Iterator[None]:
    """Within this, these packages are not there unless they were imported before; afterwards they are again.

    What was imported within it keeps believing that they are missing, so it is for a process that never needs them
    there.
    """
    absent = [name for name in names if name not in sys.modules]
    # None is how Python is told that a module is not there.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)

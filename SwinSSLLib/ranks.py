"""Which process of a run this is, known before torch is imported."""

from __future__ import annotations

import os


def process_rank() -> int:
    """0 for the process that writes the run: by torchrun, by srun, or by Lightning's own launcher (``--devices``)."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0

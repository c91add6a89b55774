"""The presets: the same machinery with other settings, each value with its source.

``paper`` follows the text of Tang et al. (CVPR 2022), ``official`` the public code with its oddities,
``recommended`` is the default, ``quick`` is the smallest thing that shows every part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.settings import FinetuneSettings, PretrainSettings
from SwinSSLLib.validation import build, merged

# Window 4 instead of 7: the grid of 32 tokens divides by 4 without padding and a window holds 64 tokens
# instead of 343, which makes a step on a laptop's CPU about ten times shorter (Testing/Benchmarks/quick_step.py).
# Heads of 12 channels instead of 4 (12 / 3): a third of the scores. In single early runs on phantoms rotation was also
# learned in fewer steps; that was not measured side by side.
_QUICK_NETWORK = {"feature_size": 12, "window": 4, "num_heads": [1, 2, 4, 8]}
# 4 mm: 64 voxels span 256 mm, most of an abdomen, so that a small network sees organs in their places.
_QUICK_INPUT = {"spacing": [4.0, 4.0, 4.0], "roi": [64, 64, 64]}

PRETRAIN: dict[str, dict[str, Any]] = {
    "recommended": {
        # Spacing and window of fine-tuning (BTCV/utils/data_utils.py), so that the encoder meets the same values
        # again; pooled heads instead of corner tokens; sub-volumes of mostly air are drawn again. The "vae" decoder
        # instead of one transposed convolution: in quick runs on phantoms (22 CTs, 120 steps, equal time) the masked
        # L1 was 0.174 against 0.190, contrast 1.58 against 1.83, and reconstructions show no edges between tokens.
        "heads": {"reconstruction": "vae"},
    },
    "paper": {
        # Section 5.2 (implementation): AdamW 4e-4 / 1e-5 with warm-up 500, 450k steps, window -1000..1000;
        # cutout of 30 %; section 4.2: rotation about z; section 4.1: one transposed convolution.
        "input": {"hu_window": [-1000.0, 1000.0]},
        "training": {"steps": 450_000, "batch": 4, "lr": 4e-4, "weight_decay": 1e-5, "warmup": 500},
    },
    "official": {
        # Pretrain/utils/data_utils.py:72-91: no spacing, -1000..1000; utils/ops.py:17-75: U(0, 30 %) boxes of noise
        # and a swap from another sample, turned in the Y-Z plane; models/ssl_head.py: corner tokens, "vae" decoder;
        # main.py:174-177: 2 x 2 crops, 4e-4, weight decay 0.1, no clipping under AMP; best by reconstruction.
        "input": {"spacing": None, "hu_window": [-1000.0, 1000.0]},
        "views": {"rotation": "sagittal", "cutout": "official", "fill": "noise"},
        "heads": {"pooling": "corner", "reconstruction": "vae"},
        "training": {"steps": 100_000, "batch": 4, "lr": 4e-4, "weight_decay": 0.1, "clip": 0.0, "best": "inpaint"},
        "most_air": 1.0,  # nothing is rejected
    },
    "quick": {
        "network": _QUICK_NETWORK,
        "input": _QUICK_INPUT,
        "heads": {"reconstruction": "vae"},
        "training": {
            # With 1e-3 after 10 steps of warm-up, three of four seeds (phantoms, 120 steps) fell into one embedding for
            # all within 30 steps and stayed there: contrast 1.946 = ln 7, rotation at chance. With these none did:
            # contrast 1.40 to 1.61, rotation right in 38 to 100 %.
            "steps": 120,
            "batch": 4,
            "lr": 5e-4,
            "warmup": 20,
            "validate_every": 30,
            "checkpoint_every": 30,
            "preview_every": 30,
        },
        "validation_share": 0.2,
        "validation_sub_volumes": 16,
    },
}

FINETUNE: dict[str, dict[str, Any]] = {
    "recommended": {
        # BTCV/main.py: AdamW 1e-4, weight decay 1e-5, warm-up 50 epochs of 24 cases, then cosine. The Dice term of
        # the model zoo: in quick runs (6 phantoms, 200 steps, same start) mean Dice was 0.46 against 0.26 with the
        # plain one, which had found 4 of 13 organs by then.
        "training": {
            "steps": 30_000,
            "lr": 1e-4,
            "warmup": 1_200,
            "validate_every": 500,
            "checkpoint_every": 500,
            "best": "dice",
        },
    },
    "paper": {
        # Section 5.2: 5-fold BTCV, AdamW; the augmentations are those of the public code.
        "dice": "plain",
        "patches": {"per_case": 4, "flip": 0.2, "flip_axes": [0, 1, 2], "rotate90": 0.2},
        "training": {"steps": 120_000, "batch": 4, "lr": 1e-4, "warmup": 1_200, "clip": 0.0, "best": "dice"},
    },
    "official": {
        "dice": "plain",
        "patches": {"per_case": 4, "flip": 0.2, "flip_axes": [0, 1, 2], "rotate90": 0.2},
        "training": {"steps": 120_000, "batch": 4, "lr": 1e-4, "warmup": 1_200, "clip": 0.0, "best": "dice"},
    },
    "quick": {
        "network": _QUICK_NETWORK,
        "input": {**_QUICK_INPUT, "roi": [64, 64, 32]},  # the decoder's full-resolution convolutions are what costs
        "training": {
            "steps": 200,
            "batch": 2,
            "lr": 5e-3,
            "warmup": 10,
            "validate_every": 100,
            "checkpoint_every": 50,
            "preview_every": 100,
            "best": "dice",
        },
        "overlap": 0.25,
    },
}

PRESETS = ("recommended", "paper", "official", "quick")


def pretrain_settings(
    preset: str = "recommended", changes: Mapping[str, Any] | None = None, source: str = "the settings"
) -> PretrainSettings:
    """Settings of a pre-training run: a preset with changes laid over it.

    Raises:
        InputError: unknown preset or key, or impossible values (all of them listed).
    """
    return build(PretrainSettings, _with_changes(PRETRAIN, preset, changes), source, _hint("pretrain"))


def finetune_settings(
    preset: str = "recommended", changes: Mapping[str, Any] | None = None, source: str = "the settings"
) -> FinetuneSettings:
    """Settings of a fine-tuning run: a preset with changes laid over it.

    Raises:
        InputError: unknown preset or key, or impossible values (all of them listed).
    """
    base = merged({"training": {"best": "dice"}}, _with_changes(FINETUNE, preset, changes))
    return build(FinetuneSettings, base, source, _hint("finetune"))


def _hint(command: str) -> str:
    return f"Correct the values named above; `swinssl settings {command}` prints all settings with their meaning."


def _with_changes(
    table: Mapping[str, dict[str, Any]], preset: str, changes: Mapping[str, Any] | None
) -> dict[str, Any]:
    changes = dict(changes or {})
    preset = str(changes.pop("preset", preset))
    if preset not in table:
        raise InputError(f"There is no preset {one_line(preset, 40)!r}.", f"Choose one of {', '.join(table)}.")
    return {**merged(table[preset], changes), "preset": preset}

"""Typed settings of every job, and what a value must satisfy. The presets are in :mod:`SwinSSLLib.presets`.

Everything that a job does differently from another one stands here and in the run folder's job.json,
so that a run can be done again from its own record. No torch in this file: the panel reads it too.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from SwinSSLLib.errors import InputError, one_line
from SwinSSLLib.organs import CLASSES
from SwinSSLLib.validation import rule

#: The encoder halves its grid five times (patch 2, then four mergings): 2^5.
ROI_MULTIPLE = 32

AXIS_ORDER = "IJK"  # i to the patient's right, j to anterior, k to superior
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
#: What computes a segmenter; ``auto`` takes the fastest that gives the same organs.
BACKENDS = ("auto", "torch", "openvino")


@dataclass(frozen=True)
class NetworkSettings:
    """Swin UNETR (Hatamizadeh et al. 2022), in MONAI's words.

    Attributes:
        feature_size: channels of the first stage; each stage doubles them.
        depths: blocks of each stage, in pairs (plain and shifted windows).
        num_heads: attention heads of each stage; they divide its channels.
        window: side of an attention window in tokens.
        patch: side of a token in voxels.
        use_v2: a convolution before each stage, MONAI's ``use_v2``.
        in_channels: of the picture; a CT has one.
        out_channels: classes of a segmenter with the background.
        merging: ``fixed`` is the patch merging of MONAI >= 1.5, ``legacy`` the one all published weights
            were trained with (two of eight neighbours taken twice; MONAI pull request 8285), ``v2`` what MONAI calls
            ``mergingv2``: the eight neighbours of ``fixed`` in another order, so other weights again.
    """

    # The upper bounds are far above every network that was published, and keep a damaged card from filling the memory.
    feature_size: int = field(default=48, metadata=rule(minimum=12, maximum=768, multiple_of=12))
    depths: tuple[int, int, int, int] = field(default=(2, 2, 2, 2), metadata=rule(minimum=1, maximum=64))
    num_heads: tuple[int, int, int, int] = field(default=(3, 6, 12, 24), metadata=rule(minimum=1, maximum=768))
    window: int = field(default=7, metadata=rule(minimum=2, maximum=16))
    patch: int = field(default=2, metadata=rule(choices=(2,)))
    use_v2: bool = False
    in_channels: int = field(default=1, metadata=rule(minimum=1, maximum=64))
    out_channels: int = field(default=CLASSES, metadata=rule(minimum=2, maximum=256))
    merging: str = field(default="fixed", metadata=rule(choices=("fixed", "legacy", "v2")))

    def problems(self) -> list[str]:
        """Heads must divide the channels of their stage."""
        return [
            f"network.num_heads[{stage}] = {heads} does not divide the {self.feature_size * 2**stage} channels there"
            for stage, heads in enumerate(self.num_heads)
            if (self.feature_size * 2**stage) % heads
        ]


@dataclass(frozen=True)
class InputSettings:
    """How a CT becomes what the network sees; the same for pre-training, fine-tuning and segmentation.

    Attributes:
        spacing: voxel size in mm along right, anterior, superior; none keeps the volume's own.
        hu_window: Hounsfield units that become 0 and 1; values outside are clipped.
        roi: size of a sub-volume in voxels, each a multiple of 32.
    """

    spacing: tuple[float, float, float] | None = field(default=(1.5, 1.5, 2.0), metadata=rule(above=0.0, maximum=20.0))
    hu_window: tuple[float, float] = field(default=(-175.0, 250.0), metadata=rule(minimum=-1024.0, maximum=4000.0))
    roi: tuple[int, int, int] = field(default=(96, 96, 96), metadata=rule(minimum=32, multiple_of=ROI_MULTIPLE))

    def problems(self) -> list[str]:
        """The window needs a width."""
        low, high = self.hu_window
        return [] if low < high else [f"input.hu_window = {[low, high]}: the first value must be below the second"]


@dataclass(frozen=True)
class ViewSettings:
    """The two corrupted views of a sub-volume (paper, sections 4.1 and 4.2: random cutout and rotation).

    Attributes:
        rotation: ``axial`` turns about the superior-inferior axis as the paper says; ``sagittal`` turns in
            the Y-Z plane as the public code does (utils/ops.py, rot90(k, (2, 3)) on an X,Y,Z array).
        cutout_share: share s of the sub-volume that is removed.
        cutout: ``exact`` removes exactly s; ``official`` draws U(0, s) and counts overlaps twice.
        fill: what stands in removed places.
        box_sides: shortest and longest side of a box as a share of the sub-volume's side.
    """

    rotation: str = field(default="axial", metadata=rule(choices=("axial", "sagittal")))
    cutout: str = field(default="exact", metadata=rule(choices=("exact", "official")))
    cutout_share: float = field(default=0.3, metadata=rule(minimum=0.0, maximum=0.9))
    fill: str = field(default="noise", metadata=rule(choices=("noise", "zeros", "swap")))
    box_sides: tuple[float, float] = field(default=(0.05, 0.25), metadata=rule(above=0.0, maximum=1.0))


@dataclass(frozen=True)
class HeadSettings:
    """The three heads on the deepest features (paper, sections 4.1 to 4.3; official models/ssl_head.py).

    Attributes:
        pooling: what contrast and rotation read: ``mean`` of all tokens, or ``corner`` tokens as the public code.
        reconstruction: decoder of inpainting; ``transposed`` is the paper's one convolution.
        contrast_channels: length of an embedding.
    """

    pooling: str = field(default="mean", metadata=rule(choices=("mean", "corner")))
    reconstruction: str = field(default="transposed", metadata=rule(choices=("transposed", "vae", "deconv")))
    contrast_channels: int = field(default=512, metadata=rule(minimum=2))


@dataclass(frozen=True)
class LossSettings:
    """Weights λ1, λ2, λ3 of equation (6) and the temperature t of equation (5).

    Attributes:
        inpaint, contrast, rotation: weight of the task in the sum; 0 leaves it out.
        temperature: of the contrastive loss.
        masked_only: the L1 of equation (3) over removed voxels only (SimMIM's way), not over all.
    """

    inpaint: float = field(default=1.0, metadata=rule(minimum=0.0))
    contrast: float = field(default=1.0, metadata=rule(minimum=0.0))
    rotation: float = field(default=1.0, metadata=rule(minimum=0.0))
    temperature: float = field(default=0.5, metadata=rule(above=0.0))
    masked_only: bool = False

    def problems(self) -> list[str]:
        """Something must be learned."""
        return [] if self.inpaint or self.contrast or self.rotation else ["loss: all three weights are 0"]


@dataclass(frozen=True)
class TrainingSettings:
    """Optimiser, schedule and rhythm of a training run.

    Attributes:
        steps: optimiser steps of the whole run.
        batch: sub-volumes per step and process.
        accumulate: batches per optimiser step.
        lr: learning rate after the warm-up; it is not scaled with batch or number of processes.
        weight_decay: of AdamW.
        warmup: steps of linear warm-up before the cosine.
        schedule: of the learning rate after the warm-up.
        clip: largest gradient norm; 0 switches clipping off.
        validate_every, checkpoint_every, preview_every: in steps.
        best: validation metric that chooses best.ckpt; pre-training knows total, inpaint, inpaint_masked, contrast,
            rotation_loss and rotation_accuracy, fine-tuning dice and loss.
        precision: of the arithmetic; the 16-bit ones are for GPUs.
        device: auto takes the GPU if there is one.
        devices: GPUs or processes of this machine.
        workers: threads that read ahead.
        seed: of everything random.
    """

    steps: int = field(default=100_000, metadata=rule(minimum=1))
    batch: int = field(default=2, metadata=rule(minimum=1))
    accumulate: int = field(default=1, metadata=rule(minimum=1))
    lr: float = field(default=4e-4, metadata=rule(above=0.0, maximum=1.0))
    weight_decay: float = field(default=1e-5, metadata=rule(minimum=0.0))
    warmup: int = field(default=500, metadata=rule(minimum=0))
    schedule: str = field(default="cosine", metadata=rule(choices=("cosine", "constant")))
    clip: float = field(default=1.0, metadata=rule(minimum=0.0))
    validate_every: int = field(default=500, metadata=rule(minimum=1))
    checkpoint_every: int = field(default=500, metadata=rule(minimum=1))
    preview_every: int = field(default=500, metadata=rule(minimum=1))
    best: str = "total"
    precision: str = field(default="32-true", metadata=rule(choices=PRECISIONS))
    device: str = field(default="auto", metadata=rule(choices=("auto", "cpu", "cuda", "mps")))
    devices: int = field(default=1, metadata=rule(minimum=1))
    workers: int = field(default=2, metadata=rule(minimum=0, maximum=64))
    seed: int = field(default=0, metadata=rule(minimum=0, maximum=2**31 - 1))


#: Validation metrics that may choose the best checkpoint, by job.
PRETRAIN_METRICS = ("total", "inpaint", "inpaint_masked", "contrast", "rotation_loss", "rotation_accuracy")
FINETUNE_METRICS = ("dice", "loss")


@dataclass(frozen=True)
class PretrainSettings:
    """Everything a pre-training run is made of.

    Attributes:
        preset: what everything begins with that is not said here.
        air_below, most_air: a sub-volume of which more than ``most_air`` lies below ``air_below`` HU is drawn again.
        validation_share: share of the patients kept aside; at least one sub-volume source always is.
        validation_sub_volumes, preview_sub_volumes: how many fixed sub-volumes are measured and shown.
    """

    preset: str = "recommended"
    network: NetworkSettings = field(default_factory=NetworkSettings)
    input: InputSettings = field(default_factory=InputSettings)
    views: ViewSettings = field(default_factory=ViewSettings)
    heads: HeadSettings = field(default_factory=HeadSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    air_below: float = field(default=-500.0, metadata=rule(minimum=-1024.0, maximum=3000.0))
    most_air: float = field(default=0.85, metadata=rule(above=0.0, maximum=1.0))
    validation_share: float = field(default=0.1, metadata=rule(minimum=0.0, maximum=0.9))
    validation_sub_volumes: int = field(default=16, metadata=rule(minimum=1))
    preview_sub_volumes: int = field(default=4, metadata=rule(minimum=1, maximum=16))

    def problems(self) -> list[str]:
        """Settings that exclude each other."""
        found = _best_problem(self.training.best, PRETRAIN_METRICS)
        spacing, roi = self.input.spacing, self.input.roi
        first, second = (0, 1) if self.views.rotation == "axial" else (1, 2)
        turns = self.loss.rotation > 0
        if turns and self.views.rotation == "axial" and spacing and spacing[first] != spacing[second]:
            found.append("input.spacing: a rotation by 90 degrees needs equal spacing to the right and to anterior")
        if turns and self.views.rotation == "sagittal" and roi[first] != roi[second]:
            found.append("input.roi: the rotation of the public code needs equal sizes along j and k")
        if self.heads.pooling == "corner" and roi == (32, 32, 32):
            found.append("heads.pooling = 'corner' reads two tokens, but input.roi = [32, 32, 32] has only one")
        if self.views.box_sides[0] > self.views.box_sides[1]:
            found.append("views.box_sides: the first value must not be above the second")
        return found


@dataclass(frozen=True)
class PatchSettings:
    """Training patches of fine-tuning (official BTCV/utils/data_utils.py:72-102).

    Attributes:
        per_case: patches that are cut from one CT at a time.
        positive_share: share of patches centred on an organ voxel.
        flip: probability of a flip along each axis of ``flip_axes``.
        flip_axes: 0 right-left, 1 anterior-posterior, 2 superior-inferior. Empty by default: the orientation is
            known, and a mirrored abdomen has its right kidney's label on the left.
        rotate90: probability of a turn by 90 degrees about the long axis.
        scale_intensity, shift_intensity: probability of a change of all intensities.
    """

    per_case: int = field(default=1, metadata=rule(minimum=1))
    positive_share: float = field(default=0.5, metadata=rule(minimum=0.0, maximum=1.0))
    flip: float = field(default=0.0, metadata=rule(minimum=0.0, maximum=1.0))
    flip_axes: tuple[int, ...] = field(default=(), metadata=rule(minimum=0, maximum=2))
    rotate90: float = field(default=0.0, metadata=rule(minimum=0.0, maximum=1.0))
    scale_intensity: float = field(default=0.1, metadata=rule(minimum=0.0, maximum=1.0))
    shift_intensity: float = field(default=0.1, metadata=rule(minimum=0.0, maximum=1.0))


@dataclass(frozen=True)
class FinetuneSettings:
    """Everything a fine-tuning run is made of.

    Attributes:
        preset: what everything begins with that is not said here.
        dice: ``plain`` is the Dice term of the official script (BTCV/main.py:166); ``squared`` has squares in the
            denominator and sums over the whole batch, as the model zoo's BTCV bundle was trained with, so that an
            organ that a patch does not hold weighs less.
        encoder_lr: learning rate of a pre-trained encoder as a multiple of ``training.lr``.
        overlap: overlap of the sliding window in validation.
        validation_share: share of the labelled patients kept aside where the datalist names none; may be 0.
    """

    preset: str = "recommended"
    network: NetworkSettings = field(default_factory=NetworkSettings)
    input: InputSettings = field(default_factory=InputSettings)
    patches: PatchSettings = field(default_factory=PatchSettings)
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(best="dice"))
    dice: str = field(default="squared", metadata=rule(choices=("plain", "squared")))
    encoder_lr: float = field(default=1.0, metadata=rule(minimum=0.0, maximum=10.0))
    overlap: float = field(default=0.5, metadata=rule(minimum=0.0, maximum=0.9))
    validation_share: float = field(default=0.2, metadata=rule(minimum=0.0, maximum=0.9))

    def problems(self) -> list[str]:
        """Settings that exclude each other."""
        found = _best_problem(self.training.best, FINETUNE_METRICS)
        if self.input.roi == (32, 32, 32):
            found.append("input.roi = [32, 32, 32]: the decoder's instance norm needs more than one deepest token")
        return found


def _best_problem(best: str, known: tuple[str, ...]) -> list[str]:
    return [] if best in known else [f"training.best = {best!r}: must be one of {', '.join(known)}"]


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read a settings file, .json or .toml, into a plain dictionary.

    Raises:
        InputError: the file is missing or is not what its name says.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise InputError(f"The settings file {path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
        why = one_line(error)
        raise InputError(f"The settings file {path} is not valid {kind}: {why}.", "Correct it there.") from error
    if not isinstance(content, dict):
        raise InputError(f"The settings file {path} holds no named settings.", 'Write {"training": {"steps": 100}}.')
    return content

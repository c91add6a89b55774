"""How a segmenter is computed: by torch or OpenVINO, in 32 or 16 bits; the fastest way that gives the same organs.

The ways are called ``torch-fp32`` (exact), ``torch-bf16``, ``torch-fp16``, ``openvino-fp32`` and ``openvino-bf16``.
Which is fastest depends on processor, versions and network, so it is measured: once per machine and model, on a
window of the volume itself, and remembered in the cache. A way counts only if it finds the organs of ``torch-fp32``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from SwinSSLLib.errors import InputError, is_shortage
from SwinSSLLib.segment import openvino_net
from SwinSSLLib.segment.choices import Choice, has_bf16, recall, remember
from SwinSSLLib.segment.openvino_net import OpenVinoNet
from SwinSSLLib.segment.scoring import Network, Size
from SwinSSLLib.settings import BACKENDS, PRECISIONS

log = logging.getLogger(__name__)

EXACT = "torch-fp32"
#: Share of the foreground on which a way must agree with the exact one.
AGREEMENT = 0.995
#: Measuring takes about a dozen windows: only a volume of at least so many is worth it, others are computed exactly
#: until a larger one came. OpenVINO takes a minute to convert the network: only a volume that takes the exact way at
#: least so many seconds is worth that.
WORTH_WINDOWS, WORTH_SECONDS = 16, 60.0
#: A less exact way must be faster by this factor: timings of one window scatter.
FASTER = 1.1
#: Timed calls of each way, after one that does not count.
TRIES = 2

_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_TYPE_OF = {"32-true": "fp32", "bf16-mixed": "bf16", "16-mixed": "fp16"}


class TorchNet:
    """A network computed by torch.

    Args:
        network: on its device, in evaluation mode.
        device: of the network.
        dtype: of convolutions and matrix products; None for float32 throughout.
    """

    def __init__(self, network: nn.Module, device: torch.device, dtype: torch.dtype | None) -> None:
        self.network, self.device, self.dtype = network, device, dtype
        # Convolutions of 16 bits are about twice as fast with the channels last; those of 32 bits are not.
        self.format = torch.contiguous_format if dtype is None else torch.channels_last_3d
        network.to(memory_format=self.format)  # type: ignore[call-overload]

    def __call__(self, windows: Tensor) -> Tensor:
        """Scores (B, C, i, j, k) of windows (B, 1, i, j, k)."""
        enabled = self.dtype is not None
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=self.dtype, enabled=enabled):
            scores: Tensor = self.network(windows.contiguous(memory_format=self.format))
        return scores


@dataclass
class Runner:
    """A network and the way in which it is computed; calling it gives class scores.

    Attributes:
        network: in evaluation mode on ``device``.
        device: where torch computes.
        ways: those that may be chosen, from the most to the least exact.
        roi: window size in voxels.
        identity: what a remembered choice depends on besides the machine: the network in words, and its weights.
        sha256: of the weights; empty if they have none.
        name: the way in use.
        notes: sentences to show to the user.
    """

    network: nn.Module
    device: torch.device
    ways: list[str]
    roi: Size
    identity: str = ""
    sha256: str = ""
    name: str = EXACT
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._run: Network | None = None

    def __call__(self, windows: Tensor) -> Tensor:
        """Scores (B, C, i, j, k) of windows (B, 1, i, j, k) of 0..1."""
        if self._run is None:
            self.use(self.by_rule())
        assert self._run is not None
        try:
            return self._run(windows)
        except RuntimeError as error:
            if not self.name.startswith("openvino") or is_shortage(error):
                raise
            self._give_up_openvino(error)
            return self(windows)

    def use(self, name: str) -> bool:
        """Compute in this way from now on; False if it cannot be had, and torch is used instead."""
        library, kind = name.split("-")
        self._run, self.name = None, name
        try:
            if library == "torch":
                self._run = TorchNet(self.network, self.device, _TYPES[kind])
            else:
                self._run = OpenVinoNet(self.network, self.roi, self.sha256, kind)
        except Exception as error:  # whatever OpenVINO raises: torch can always be used
            if library == "torch":
                raise
            self._give_up_openvino(error)
            return False
        return True

    def by_rule(self) -> str:
        """The way that is taken without measuring: the most exact one of those that may be chosen."""
        return self.ways[0]

    def choose(self, window: Callable[[], Tensor], windows: int, stop: Callable[[], bool] | None = None) -> None:
        """Find the fastest way for a volume, or recall it.

        Args:
            window: gives a typical window of the volume, (1, 1, i, j, k).
            windows: how many the volume has.
            stop: asked before each way is tried; true ends the measuring without a choice.
        """
        if len(self.ways) == 1:
            return self._change(self.ways[0])
        key = " | ".join((self.identity, str(self.roi), self.device.type, *self.ways))
        known = recall(key)
        if windows >= WORTH_WINDOWS:
            if known is None:
                self._change(EXACT)
                known = Choice(None, self._seconds(window().to(self.device)))
                remember(key, known)
            # OpenVINO is not tried for a volume that is done before it is converted; for a larger one it is, once.
            long = windows * known.exact_seconds >= WORTH_SECONDS
            ways = [way for way in self.ways if long or way.startswith("torch")]
            if not set(ways) <= set(known.agreement):
                known = self._measure(window().to(self.device), ways, known.exact_seconds, stop)
                remember(key, known)
        return self._change(known.way if known is not None and known.way in self.ways else self.by_rule())

    def _change(self, name: str) -> None:
        if self.name != name or self._run is None:
            self.use(name)

    def _measure(self, window: Tensor, ways: list[str], exact: float, stop: Callable[[], bool] | None) -> Choice:
        """Time some ways on a window; a choice of None if it was stopped. One that fails agrees on nothing."""
        seconds: dict[str, float] = {}
        agreement: dict[str, float] = {}
        self._change(EXACT)
        reference = self(window).argmax(dim=1)
        best = None
        for name in ways:
            if stop is not None and stop():
                return Choice(None, exact)
            agreement[name] = 0.0
            if not self.use(name):
                continue
            agreement[name] = agree(self(window).argmax(dim=1), reference)
            if self.name != name:  # it failed on the way, and torch took its place
                agreement[name] = 0.0
                continue
            seconds[name] = min(self._seconds(window) for _ in range(TRIES))
            log.info("%s: %.2f s a window, agrees on %.3f %%", name, seconds[name], 100 * agreement[name])
            good = agreement[name] >= AGREEMENT and (best is None or seconds[name] * FASTER < seconds[best])
            best = name if good else best
        return Choice(best or EXACT, seconds.get(EXACT, exact), seconds, agreement)

    def _seconds(self, window: Tensor) -> float:
        started = time.perf_counter()
        self(window)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started

    def _give_up_openvino(self, error: Exception) -> None:
        words = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        log.warning("OpenVINO cannot be used (%s); torch computes instead.", words)
        self.notes.append(f"OpenVINO cannot compute this network here ({words}); torch did it instead.")
        self.ways = [way for way in self.ways if way.startswith("torch")] or [EXACT]
        self.use(self.by_rule())


def ways_of(backend: str, precision: str, device: torch.device) -> tuple[list[str], list[str]]:
    """The ways that were asked for, from the most to the least exact, and notes for the user.

    Args:
        backend: one of ``settings.BACKENDS``.
        precision: one of ``settings.PRECISIONS``, or ``auto``.
        device: where torch computes.

    Raises:
        InputError: there is no such backend or precision, or not on this device.
    """
    if backend not in BACKENDS:
        raise InputError(f"The backend is {backend!r}, but must be one of {', '.join(BACKENDS)}.")
    if precision not in ("auto", *PRECISIONS):
        raise InputError(f"The precision is {precision!r}, but must be one of auto, {', '.join(PRECISIONS)}.")
    if backend == "openvino" and (device.type != "cpu" or precision == "16-mixed"):
        raise InputError(
            f"OpenVINO is used on the CPU in 32 bits or bf16, not on {device.type} in {precision}.",
            "Add --device cpu, or leave the backend at auto.",
        )
    kinds = [_TYPE_OF[precision]] if precision != "auto" else ["fp32", *_half_of(device)]
    ways = [f"torch-{kind}" for kind in kinds]
    if backend == "torch" or device.type != "cpu":
        return ways, []
    if not openvino_net.is_installed():
        note = "OpenVINO is not installed (pip install openvino); torch was used."
        return ways, [note] if backend == "openvino" else []
    libraries = ("openvino",) if backend == "openvino" else ("torch", "openvino")
    both = [f"{library}-{kind}" for kind in kinds for library in libraries]
    return [way for way in both if way in ways or way.split("-")[1] in openvino_net.PRECISIONS], []


def agree(found: Tensor, reference: Tensor) -> float:
    """The share of voxels on which two label maps agree, of those where either has an organ; 1 if neither has."""
    organ = (found > 0) | (reference > 0)
    count = int(organ.sum())
    return float((found == reference)[organ].sum()) / count if count else 1.0


def _half_of(device: torch.device) -> list[str]:
    """The 16-bit type that a device computes fast in, if there is one."""
    if device.type == "cuda":
        major = torch.cuda.get_device_capability(device)[0]
        return ["bf16"] if major >= 8 else ["fp16"] if major == 7 else []
    return ["bf16"] if device.type == "cpu" and has_bf16() else []

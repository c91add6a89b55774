"""A network computed by OpenVINO on the CPU: converted once per model, kept compiled in the cache.

OpenVINO (docs.openvino.ai) is an optional package, ``pip install swinssl[cpu-fast]``. It computes the same network
with its own kernels, in float32 or bfloat16. The converted file holds weights and graph; nothing in it is executed
by Python, and it is made and read by us alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.blocks.dynunet_block import UnetOutBlock
from torch import Tensor, nn

from SwinSSLLib import atomic
from SwinSSLLib.nets.fast import TRACED, accelerate, plain
from SwinSSLLib.places import cache_folder

log = logging.getLogger(__name__)

Size = tuple[int, int, int]

#: Counted up whenever the graph that is made here changes: it is part of a compiled model's name.
GRAPH = 2

#: Voxels whose scores are computed at a time.
ROWS = 16384

#: OpenVINO's words for the types that it computes in.
PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


def is_installed() -> bool:
    """Whether there is an OpenVINO to import; it is not imported by this."""
    return importlib.util.find_spec("openvino") is not None


def version() -> str:
    """The installed version, or nothing."""
    try:
        return metadata.version("openvino") if is_installed() else ""
    except metadata.PackageNotFoundError:
        return ""


class OpenVinoNet:
    """A network of one input (1, channels, i, j, k) as a compiled model.

    The last layer of a Swin UNETR is left to torch: in bfloat16 OpenVINO would round the scores, and classes that are
    close swap along borders; the layer takes one per cent of the arithmetic. Its features come as OpenVINO has them,
    channels last and in 16 bits: turning them into another order and type took a tenth of all time.

    Args:
        network: in evaluation mode on the CPU; as it was afterwards.
        roi: window size in voxels.
        sha256: of the weights: under it the compiled model is kept; empty for weights that have none.
        precision: ``fp32`` or ``bf16``.

    Raises:
        Exception: whatever OpenVINO raises where it is missing or cannot compute this network.
    """

    def __init__(self, network: nn.Module, roi: Size, sha256: str, precision: str) -> None:
        openvino = _without_telemetry()
        self._config = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Not CPU_DENORMALS_OPTIMIZATION: it leaves the thread that compiles with denormal numbers as nothing for
            # good, and SciPy's KDTree (HD95, surface Dice) then divides its points without end. Boxes need it no more.
        }
        core = openvino.Core()
        file = _kept(sha256, roi, precision) if sha256 else None
        compiled = _read(core, file, self._config) if file else None
        if compiled is None:
            compiled = core.compile_model(_converted(openvino, network, roi, precision), "CPU", self._config)
            if file:
                _write(compiled, file)
        last = getattr(network, "out", None)
        self._last = last.conv.conv if isinstance(last, UnetOutBlock) else None
        self._request = compiled.create_infer_request()

    def __call__(self, windows: Tensor) -> Tensor:
        """Scores (B, C, i, j, k) of windows (B, 1, i, j, k); one at a time, for on a CPU a batch gains nothing."""
        found = []
        for window in windows:
            self._request.infer([window[None].contiguous().numpy()], share_inputs=True)
            made = self._made()[0]
            # The memory of what was made is used again by the next window.
            found.append(made.clone() if self._last is None else _scores(made, self._last))
        return torch.stack(found)

    def _made(self) -> Tensor:
        """What was made of the last window; NumPy has no bfloat16, and OpenVINO calls it float16."""
        made = self._request.get_output_tensor(0).data
        if made.dtype == np.float16:
            return torch.from_numpy(made.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(made)


class _ChannelsLast(nn.Module):
    """In the place of the last layer."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, I, J, K) to (N, I, J, K, C), which is their order in OpenVINO's memory."""
        return features.permute(0, 2, 3, 4, 1)


def _scores(features: Tensor, last: nn.Conv3d) -> Tensor:
    """Scores (C, i, j, k) in float32 of features (i, j, k, F); some rows at a time stay in the processor's cache."""
    rows, classes = features.reshape(-1, features.shape[-1]), last.out_channels
    weight, bias = last.weight.view(classes, -1), torch.zeros(classes) if last.bias is None else last.bias
    scores = torch.empty(classes, *features.shape[:-1])
    with torch.inference_mode():
        for some, out in zip(rows.split(ROWS), scores.view(classes, -1).split(ROWS, dim=1), strict=True):
            out.copy_(torch.addmm(bias[:, None], weight, some.float().T))
    return scores


def _without_telemetry() -> Any:
    """Import OpenVINO, which tells its makers of every import and conversion: not from beside patients' data."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _converted(openvino: Any, network: nn.Module, roi: Size, precision: str) -> Any:
    """The network up to its last layer as OpenVINO's graph.

    Convolutions and norms are MONAI's own, which it knows how to join; Swin blocks are ours, without masked windows,
    and so are the decoder's with fewer products.
    """
    last = getattr(network, "out", None)
    if isinstance(last, UnetOutBlock):
        network.out = _ChannelsLast()
    plain(accelerate(network), but=TRACED).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.zeros(1, 1, *roi)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer says that sizes become constants, which is what is wanted
            network(example)  # so that the lists of windows are remembered, and not traced
            graph = openvino.convert_model(network, example_input=example, input=[tuple(example.shape)])
        if not isinstance(last, UnetOutBlock) or precision != "bf16":
            return graph
        outside = openvino.preprocess.PrePostProcessor(graph)
        outside.output().tensor().set_element_type(openvino.Type.bf16)
        return outside.build()
    finally:
        if isinstance(last, UnetOutBlock):
            network.out = last
        accelerate(network)


def _kept(sha256: str, roi: Size, precision: str) -> Path:
    """Where a compiled model lies: everything that it depends on is in the name."""
    words = (sha256, roi, GRAPH, precision, version(), torch.__version__)
    return cache_folder() / "openvino" / f"{hashlib.sha256(repr(words).encode()).hexdigest()[:32]}.blob"


def _read(core: Any, file: Path, config: dict[str, Any]) -> Any:
    """A compiled model that was kept; None if there is none that can be used."""
    try:
        return core.import_model(file.read_bytes(), "CPU", config)
    except FileNotFoundError:
        return None
    except Exception as error:  # OpenVINO's errors are RuntimeErrors of all kinds: it is compiled again
        log.warning("%s cannot be used and is made again: %s", file, error)
        return None


def _write(compiled: Any, file: Path) -> None:
    try:
        content = compiled.export_model()
        with atomic.replacing(file) as out:
            out.write(content if isinstance(content, bytes) else content.getvalue())  # as its versions differ
    except Exception as error:  # a full disk, or OpenVINO's: it works without, only slower to start
        log.warning("The compiled model cannot be kept: %s", error)

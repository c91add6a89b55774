"""What a file of weights holds, read without executing anything that stands in it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from SwinSSLLib.checkpoints import check_growth
from SwinSSLLib.errors import InputError, one_line

#: Names under which people put the tensors; taken in this order, again and again.
_WRAPPERS = ("state_dict", "model", "net", "network_weights", "student", "model_state_dict")


def read_content(path: Path) -> Any:
    """What a file of weights holds, read without executing anything that stands in it.

    Raises:
        InputError: missing, damaged, or only readable by executing code.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file.", "Check the path.")
    try:
        check_growth(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with _plain_numbers():
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # zip, pickle, safetensors and torch each have their own kinds of damage
        raise InputError(
            f"{path} cannot be read as weights: {_why(error)}.",
            "It is damaged, or it would have to execute code to be read, which is never done. "
            "Where it was made: torch.save(model.state_dict(), 'weights.pt').",
        ) from error


def _why(error: Exception) -> str:
    """One line: what torch would have to execute, or what is damaged."""
    if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"it asks to execute {refused[1]}"
    return one_line(next(iter(str(error).splitlines()), type(error).__name__), 200).rstrip(". ")


@contextmanager
def _plain_numbers() -> Iterator[None]:
    """Let numpy's scalars and argparse's namespaces through: people leave scores and options beside the weights.

    Both are plain data. Files of numpy 1 call the first by another module's name.
    """
    scalar = np.float64(0).__reduce__()[0]
    names: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    with torch.serialization.safe_globals([*names, np.dtype, *kinds, argparse.Namespace]):
        yield


def named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The dictionary of tensors somewhere inside of what :func:`read_content` gave.

    Args:
        content: nested dictionaries, tensors at the bottom.
        path: its name in messages.

    Raises:
        InputError: there are none, or they are not simply real numbers in memory.
    """
    for _ in range(len(_WRAPPERS)):
        if not isinstance(content, Mapping):
            break
        found = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            if found:
                _check_plain(found, path)
                return found
            break
        content = inner
    raise InputError(f"{path} holds no named tensors.", "Choose a file of weights (a state dict).")


def _check_plain(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not simply numbers in memory: a few bytes could stand for a network of any size."""
    for name, value in tensors.items():
        plain = value.layout == torch.strided and value.device.type == "cpu"
        plain = plain and not value.is_quantized and not value.is_complex()
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(
                f"{path}: {one_line(name, 120)} is no plain tensor of real numbers.",
                "Save the weights as a state dict.",
            )

"""What the tests of hostile files ask of every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from SwinSSLLib.errors import InputError


def refusal(read, *arguments) -> str:
    """The sentence, which is one printable line."""
    with pytest.raises(InputError) as caught:
        read(*arguments)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 6000
    return caught.value.message


def a_file(folder: Path, given) -> Path:
    return given.write(folder / "in")

"""Two nodes, as far as one machine can be two."""

from __future__ import annotations

import pytest
import two_nodes


def test_two_nodes_find_the_losses_of_one(tmp_path):
    if reason := two_nodes.impossible():
        pytest.skip(f"two nodes cannot be made here: {reason}")
    worst, sent = two_nodes.compare(tmp_path, steps=3)
    assert worst < 1e-4
    assert sent > 1e6  # they did talk over the cable

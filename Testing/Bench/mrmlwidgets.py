"""The ``qMRML`` widgets of module ``slicer``, over the scene that they are given."""

from __future__ import annotations

from typing import Any

from . import mrml_checkable, mrml_hierarchy, mrml_nodes, mrml_segment_choice, mrml_segments, mrml_values, uiloader

WIDGETS = (
    *mrml_nodes.WIDGETS,
    *mrml_checkable.WIDGETS,
    *mrml_segments.WIDGETS,
    *mrml_segment_choice.WIDGETS,
    *mrml_hierarchy.WIDGETS,
    *mrml_values.WIDGETS,
)


def install(slicer: Any) -> None:
    """Make the widgets attributes of ``slicer``, and known to Designer files."""
    for widget in WIDGETS:
        setattr(slicer, widget.__name__, widget)
        uiloader.KNOWN[widget.__name__] = widget

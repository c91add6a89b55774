"""A model's card in words, for people."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from SwinSSLLib.commands.console import Display
from SwinSSLLib.errors import one_line

if TYPE_CHECKING:
    from SwinSSLLib.models import Model


def print_card(model: Model) -> None:
    """What a model is, where it comes from, and how good it was."""
    card = model.card
    network, provenance = card["network"], _section(card, "provenance")
    values = sum(tensor.numel() for tensor in model.state.values() if tensor.is_floating_point())
    lines = {
        "kind": card["kind"],
        "network": f"Swin UNETR, feature size {network['feature_size']}, window {network['window']}, "
        f"{network['merging']} merging, {values / 1e6:.2f} million values",
        "input": input_words(card["input"]),
        "labels": ", ".join(label["name"] for label in card["labels"]) or "none",
        "made": one_line(provenance.get("created", "unknown")),
        "from": one_line(provenance.get("address") or provenance.get("file") or provenance.get("init") or "unknown"),
        **_training_lines(provenance),
    }
    if licence := _section(provenance, "licence"):
        lines["licence"] = f"{licence.get('name')}, {licence.get('url')}"
    for number, sentence in enumerate(provenance.get("assumed", [])):
        lines[f"assumed {number + 1}"] = sentence
    metrics = _section(card, "metrics")
    stated = metrics.get("stated", [])
    print_lines(lines | _coverage_lines(card) | stated_lines(stated if isinstance(stated, list) else []))
    validation = _section(metrics, "validation")
    numbers = {name: value for name, value in validation.items() if isinstance(value, int | float)}
    count = numbers.pop("sub_volumes", None)
    where = f"validation on {count:g} sub-volumes" if count else "validation"
    for name, value in numbers.items():
        Display("").console.print(f"  {name:<34}{value:.3f}  ({where})", soft_wrap=True, markup=False)


def _training_lines(provenance: Mapping[str, Any]) -> dict[str, str]:
    """How a model of ours was trained, as far as its card says so."""
    settings, versions = _section(provenance, "settings"), _section(provenance, "versions")
    training, data = _section(settings, "training"), provenance.get("data")
    words = {
        "batch": "batch {}",
        "accumulate": "{} batches a step",
        "devices": "{} processes",
        "lr": "learning rate {}",
    }
    words |= {"seed": "seed {}", "precision": "{}"}
    parts = [f"{provenance['steps']} steps"] if "steps" in provenance else []
    parts += [f"the best after {provenance['best_step']}"] if "best_step" in provenance else []
    parts += [
        text.format(training[name])
        for name, text in words.items()
        if name in training and (name not in ("accumulate", "devices") or training[name] != 1)
    ]
    parts += [f"preset {settings['preset']}"] if "preset" in settings else []
    count = data.get("volumes") if isinstance(data, Mapping) else len(data) if isinstance(data, list) else None
    start = provenance.get("init_sha256")
    found = {
        "start": f"{provenance.get('init')}, SHA-256 {start}" if start else "",
        "training": ", ".join(parts),
        "data": f"{count} CTs" if count is not None else "",
        "encoder": str(provenance.get("encoder", "")),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return {name: one_line(text, 500) for name, text in found.items() if text}


def _coverage_lines(card: Mapping[str, Any]) -> dict[str, str]:
    """What became of the tensors of a file of others."""
    coverage = card.get("coverage")
    if not coverage:
        return {}
    lines = {
        "coverage": (
            f"{coverage['loaded']} of {coverage['wanted']} tensors taken over, {len(coverage['renamed'])} renamed, "
            f"{len(coverage['missing'])} missing, {len(coverage['mismatched'])} of another shape, "
            f"{len(coverage['unexpected'])} of the file not used"
        )
    }
    for title, names in (("missing", coverage["missing"]), ("not used", coverage["unexpected"])):
        if names:
            lines[title] = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return lines


def stated_lines(figures: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Figures of the publisher, each with what it was measured on: without that it means nothing."""
    return {
        f"Dice {number + 1}": f"{figure['value']:.4f} on {figure['split']} ({figure['source']})"
        for number, figure in enumerate(figures)
    }


def input_words(inputs: Mapping[str, Any]) -> str:
    """Orientation, spacing, window and sub-volume."""
    spacing = f"spacing {inputs['spacing']} mm" if inputs["spacing"] else "the CT's own spacing"
    return f"RAS, {spacing}, HU {inputs['hu_window']}, roi {inputs['roi']}"


def print_lines(lines: Mapping[str, str]) -> None:
    """Names and texts, wrapped under each other; addresses stay whole."""
    console = Display("").console
    for name, text in lines.items():
        wrapped = textwrap.fill(text, 100, subsequent_indent=" " * 13, break_long_words=False, break_on_hyphens=False)
        console.print(f"  {name:<11}{wrapped}", soft_wrap=True, markup=False)


def _section(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = of.get(name)
    return found if isinstance(found, Mapping) else {}

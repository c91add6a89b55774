"""Real CT: pre-train on some, and ask on CTs of other patients what was learned. Prints figures, writes pictures.

    python3 Testing/run.py study real_ct --data FOLDER --out study [--steps N] [--held-out NAME NAME NAME]

``FOLDER`` holds ``NAME/ct.nii.gz``. On fixed sub-volumes of the CTs left out: share of angles told right; L1 over
removed voxels, beside filling them with the sub-volume's mean and beside trilinear interpolation from the rim of the
holes; how often the second view of a sub-volume finds its first one, and its patient, among all. With few CTs the
figures are rough; they say what was learned from them and nothing about accuracy in patients. ``--preset`` and
``--set`` as in ``swinssl``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import from_the_rim
from matplotlib.figure import Figure
from torch import Tensor

from SwinSSLLib.cli import main as swinssl
from SwinSSLLib.data.sampling import SubVolumeSampler
from SwinSSLLib.data.store import Recipe, Store
from SwinSSLLib.models import load_model
from SwinSSLLib.nets.fast import accelerate
from SwinSSLLib.nets.heads import SSLNet
from SwinSSLLib.presets import pretrain_settings
from SwinSSLLib.pretrain.batches import to_input, two_views
from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.objectives import similarity_matrix
from SwinSSLLib.pretrain.views import source_size
from SwinSSLLib.runs import RunFolder
from SwinSSLLib.settings import PretrainSettings
from SwinSSLLib.validation import to_dict

#: Sub-volumes of each held-out CT; draws apart from those of training and validation.
_ASKED, _SEED = 16, 77_000_003


def main() -> int:
    """Run the study; a run that is there is used again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--held-out", nargs="+", metavar="NAME", help="the last three unless named")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    names = sorted(file.parent.name for file in arguments.data.glob("*/ct.nii.gz"))
    held_out = arguments.held_out or names[-3:]
    if len(names) - len(held_out) < 1 or set(held_out) - set(names):
        print(f"{arguments.data} holds too few */ct.nii.gz, or not all of {', '.join(held_out)}.")
        return 2
    run = arguments.out / "run"
    if RunFolder(run).status().get("state") != "finished" if RunFolder.is_run(run) else True:
        code = pretrain(arguments, names, held_out, run)
        if code:
            return code
    settings = pretrain_settings(changes=RunFolder(run).job()["settings"])
    found = ask(run, [arguments.data / name / "ct.nii.gz" for name in held_out], settings, arguments.out / "cache")
    found |= {"learned_from": len(names) - len(held_out), "held_out": held_out, "settings": to_dict(settings)}
    (arguments.out / "real_ct.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    pictures(run, arguments.out / "reconstructions.png")
    print(table(found))
    return 0


def pretrain(arguments: argparse.Namespace, names: list[str], held_out: list[str], run: Path) -> int:
    """Pre-train on all but the held-out CTs, which are only watched."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    listed = arguments.out / "dataset.json"

    def of(some: list[str]) -> list[dict[str, str]]:
        return [{"image": str((arguments.data / name / "ct.nii.gz").absolute()), "patient": name} for name in some]

    learned = [name for name in names if name not in held_out]
    listed.write_text(json.dumps({"unlabelled": of(learned), "validation": of(held_out)}), encoding="utf-8")
    rhythm = [f"training.{what}_every={max(1, arguments.steps // 8)}" for what in ("preview", "validate", "checkpoint")]
    options = [word for each in (*rhythm, *arguments.set) for word in ("--set", each)]
    words = ["pretrain", "-d", listed, "-o", run, "-p", arguments.preset, "-n", arguments.steps, "--allow-outside"]
    again = ["--resume"] if RunFolder.is_run(run) else []
    return swinssl([str(word) for word in (*words, *options, *again, "--cache", arguments.out / "cache")])


@torch.no_grad()
def ask(run: Path, files: list[Path], settings: PretrainSettings, cache: Path) -> dict[str, Any]:
    """What the encoder and its heads know of CTs that it never saw."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load_model(run)
    network = accelerate(SSLNet(settings.network, settings.heads)).to(device).eval()
    network.load_state_dict(model.state)
    store, recipe = Store(cache), Recipe(settings.input.spacing)
    entries = [store.add(file, recipe) for file in files]
    size = source_size(settings.input.roi, settings.views.rotation)
    sampler = SubVolumeSampler(entries, size, _SEED, settings.air_below, settings.most_air)
    blocks = [sampler.draw(number) for number in range(_ASKED * len(entries))]
    patients = [entries.index(block.entry) for block in blocks]
    embeddings: list[list[Tensor]] = [[], []]
    right, errors = 0, np.zeros(4)
    for number, block in enumerate(blocks):
        image = to_input([block.array], settings.input, device)
        views = two_views(image, settings, Draws(_SEED, number, device=device))
        output = network(views.corrupted)
        right += int((output.rotation.argmax(1) == views.rotation).sum())
        for view in (0, 1):
            embeddings[view].append(output.embedding[view : view + 1].float().cpu())
            target, mask = (part[view, 0].float().cpu().numpy() for part in (views.target, views.mask))
            hole = mask > 0
            guesses = (output.reconstruction[view, 0].float().cpu().numpy(), target.mean(), from_the_rim(target, hole))
            errors += [*(float(np.abs(guess - target)[hole].sum()) for guess in guesses), hole.sum()]
    return {
        "sub_volumes": len(blocks),
        "rotation_accuracy": right / (2 * len(blocks)),
        **dict(zip(("l1_network", "l1_mean", "l1_rim"), (errors[:3] / errors[3]).tolist(), strict=True)),
        **retrieval(torch.cat(embeddings[0]), torch.cat(embeddings[1]), patients),
    }


def retrieval(first: Tensor, second: Tensor, patients: list[int]) -> dict[str, float]:
    """How often the nearest second view belongs to the same sub-volume, and to the same patient; and by chance."""
    count = len(patients)
    similarity = similarity_matrix(first, second)[:count, count:]
    nearest = similarity.argmax(1)
    of = torch.tensor(patients)
    # Neighbours of one patient overlap; for the patient, the own sub-volume's view does not count.
    other = similarity.clone().fill_diagonal_(-2).argmax(1)
    same = (of[:, None] == of).float().fill_diagonal_(0).sum(1) / max(1, count - 1)
    return {
        "retrieval_sub_volume": float((nearest == torch.arange(count)).float().mean()),
        "retrieval_sub_volume_chance": 1 / count,
        "retrieval_patient": float((of[other] == of).float().mean()),
        "retrieval_patient_chance": float(same.mean()),
    }


def table(found: dict[str, Any]) -> str:
    """The figures with what they are to be compared with, as Markdown."""
    rows = (
        ("angle told right", f"{found['rotation_accuracy']:.1%}", "25 % by chance"),
        (
            "L1 over removed voxels",
            f"{found['l1_network']:.3f}",
            f"{found['l1_mean']:.3f} by the mean of the sub-volume",
        ),
        ("", "", f"{found['l1_rim']:.3f} by trilinear interpolation from the rim"),
        (
            "second view finds its first",
            f"{found['retrieval_sub_volume']:.1%}",
            f"{found['retrieval_sub_volume_chance']:.1%} by chance",
        ),
        (
            "nearest other sub-volume is of the same patient",
            f"{found['retrieval_patient']:.1%}",
            f"{found['retrieval_patient_chance']:.1%} by chance",
        ),
    )
    head = f"| {found['sub_volumes']} sub-volumes of {len(found['held_out'])} CTs left out | found | to compare with |"
    return "\n".join([head, "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def pictures(run: Path, file: Path, most: int = 6) -> None:
    """Axial middle slices of the first sub-volumes: original, masked, and the reconstruction as it came about."""
    shown = [np.load(preview) for preview in RunFolder(run).preview_files()]
    steps = [shown[n] for n in np.unique(np.linspace(0, len(shown) - 1, most).astype(int))]
    count = min(3, len(steps[0]["original"]))
    figure = Figure(figsize=(1.5 * (len(steps) + 2), 1.62 * count + 0.3), layout="constrained")
    grid = figure.subplots(count, len(steps) + 2, squeeze=False)
    for row in range(count):
        columns = [("original", steps[0]["original"][row]), ("masked", steps[0]["masked"][row])]
        columns += [(f"step {int(step['step']):,}", step["reconstructed"][row]) for step in steps]
        for axes, (name, volume) in zip(grid[row], columns, strict=True):
            # Patient's right on the left, front on top; all turned as the network saw them.
            axes.imshow(
                volume[:, :, volume.shape[2] // 2].astype(np.float32).T[::-1, ::-1], cmap="gray", vmin=0, vmax=1
            )
            axes.set_axis_off()
            if row == 0:
                axes.set_title(name, fontsize=9)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    sys.exit(main())

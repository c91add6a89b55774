"""A segmenter as a bundle of MONAI's model zoo, for ``monai.bundle``, MONAI Label and whoever reads such."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch

from SwinSSLLib import __version__, leftovers
from SwinSSLLib.atomic import cannot_write
from SwinSSLLib.exchange.bundle import INFERENCE, METADATA, OWN_CARD, WEIGHTS
from SwinSSLLib.exchange.sealing import sealed
from SwinSSLLib.models import Model, input_of
from SwinSSLLib.nets import merging

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json"
#: Patch merging by MONAI's own switch, where it has one. "merging" is right from MONAI 1.5 on; older versions know
#: no window_size and refuse the network instead of building another one in silence.
_LEGACY_SCRIPT = "scripts/legacy_merging.py"
_SWITCH = {
    "fixed": "merging",
    "v2": "mergingv2",
    # by its path, so that it is found however the bundle is opened
    "legacy": f"$runpy.run_path(@bundle_root + '/{_LEGACY_SCRIPT}')['LegacyPatchMerging']",
}


def write_bundle(model: Model, out: Path) -> tuple[Path, ...]:
    """Write a bundle, whole or not at all; returns its files.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        leftovers.clear(out.parent)
        place = Path(tempfile.mkdtemp(prefix=leftovers.marked(f".{out.name}-"), dir=out.parent))
        place.chmod(0o755)
        try:
            _fill(model, place)
            if out.is_dir():
                out.rmdir()  # an empty one
            place.rename(out)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    return tuple(sorted(file for file in out.rglob("*") if file.is_file()))


def _fill(model: Model, place: Path) -> None:
    for folder in ("configs", "models", "docs"):
        (place / folder).mkdir()
    torch.save(model.state, place / WEIGHTS[0])
    if model.card["network"]["merging"] == "legacy":
        (place / "scripts").mkdir()
        shutil.copyfile(str(merging.__file__), place / _LEGACY_SCRIPT)
    for name, content in (
        (METADATA, _metadata(model)),
        (INFERENCE, _inference(model)),
        (OWN_CARD, sealed(model.card, place / WEIGHTS[0])),
    ):
        (place / name).write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    (place / "docs" / "README.md").write_text(_readme(model), encoding="utf-8")


def _inference(model: Model) -> dict[str, Any]:
    inputs = input_of(model.card, str(model.folder))
    return {
        "imports": ["$import glob", "$import numpy as np", "$import runpy"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "/workspace/data",
        "datalist": "$sorted(glob.glob(@dataset_dir + '/*.nii.gz'))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": _network(model),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(inputs)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(inputs.roi),
            "sw_batch_size": 1,
            "overlap": 0.5,
            "mode": "gaussian",
        },
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing()},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "run": ["$@evaluator.run()"],
    }


def _network(model: Model) -> dict[str, Any]:
    network = model.card["network"]
    return {
        "_target_": "SwinUNETR",
        "in_channels": network["in_channels"],
        "out_channels": network["out_channels"],
        "feature_size": network["feature_size"],
        "window_size": network["window"],
        "depths": network["depths"],
        "num_heads": network["num_heads"],
        "use_v2": network["use_v2"],
        "downsample": _SWITCH[network["merging"]],
    }


def _preprocessing(inputs: Any) -> list[dict[str, Any]]:
    low, high = inputs.hu_window
    spacing: list[dict[str, Any]] = []
    if inputs.spacing is not None:
        # scale_extent lays the new grid over the whole of the voxels, as SwinSSL does
        options = {"pixdim": list(inputs.spacing), "mode": "bilinear", "scale_extent": True}
        spacing = [{"_target_": "Spacingd", "keys": "image", **options}]
    return [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        *spacing,
        {
            "_target_": "ScaleIntensityRanged",
            "keys": "image",
            "a_min": low,
            "a_max": high,
            "b_min": 0.0,
            "b_max": 1.0,
            "clip": True,
        },
        {"_target_": "EnsureTyped", "keys": "image"},
    ]


def _postprocessing() -> list[dict[str, Any]]:
    return [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_postfix": "seg",
            "output_dtype": "$np.uint8",
            "separate_folder": False,
            "resample": False,
        },
    ]


def _metadata(model: Model) -> dict[str, Any]:
    inputs = input_of(model.card, str(model.folder))
    names = {"0": "background"} | {str(label["id"]): label["name"] for label in model.card["labels"]}
    channels = {"type": "image", "spatial_shape": list(inputs.roi), "dtype": "float32", "is_patch_data": True}
    pixels = {"format": "hounsfield", "modality": "CT", "num_channels": model.card["network"]["in_channels"]}
    return {
        "schema": _SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by SwinSSL {__version__}"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "optional_packages_version": {"nibabel": "5.2.0", "pytorch-ignite": "0.4.11", "einops": "0.7.0"},
        "name": "SwinSSL abdominal organ segmentation",
        "task": "Segmentation of abdominal organs in CT",
        "description": "Swin UNETR that segments abdominal organs in CT, exported by SwinSSL",
        "authors": "whoever trained the model; see configs/swinssl.json",
        "copyright": str(_licence(model.card).get("name", "see configs/swinssl.json")),
        "data_type": "nibabel",
        "image_classes": "one channel, Hounsfield units scaled to [0, 1]",
        "label_classes": "label map",
        "pred_classes": ", ".join(f"{number}: {name}" for number, name in names.items()),
        "eval_metrics": _metrics(model.card),
        "intended_use": "Research only; no medical device",
        "references": list(model.card["provenance"].get("citation", [])),
        "network_data_format": {
            "inputs": {"image": {**channels, **pixels, "value_range": [0, 1], "channel_def": {"0": "image"}}},
            "outputs": {
                "pred": {
                    **channels,
                    "format": "segmentation",
                    "num_channels": model.card["network"]["out_channels"],
                    "value_range": [0, 1],
                    "channel_def": names,
                }
            },
        },
    }


def _metrics(card: Mapping[str, Any]) -> dict[str, float]:
    validation = card.get("metrics", {}).get("validation", {})
    return {"mean_dice": validation["dice"]} if isinstance(validation.get("dice"), int | float) else {}


def _licence(card: Mapping[str, Any]) -> Mapping[str, Any]:
    licence = card["provenance"].get("licence", {})
    return licence if isinstance(licence, Mapping) else {}


def _readme(model: Model) -> str:
    network, inputs = model.card["network"], model.card["input"]
    note = (
        "The weights need the patch merging of MONAI up to 1.4; `scripts/legacy_merging.py` brings it."
        if network["merging"] == "legacy"
        else "The network needs MONAI 1.5 or newer; older versions refuse it."
    )
    return f"""# Swin UNETR for abdominal organs

Feature size {network["feature_size"]}, {network["out_channels"]} classes, spacing {inputs["spacing"]} mm,
HU window {inputs["hu_window"]}, windows of {inputs["roi"]} voxels. {note}

    python -m monai.bundle run --config_file configs/inference.json --bundle_root . --dataset_dir FOLDER_OF_NII_GZ

What the model is, where it comes from and how well it did stands in `configs/swinssl.json`.
Research only; no medical device.
"""

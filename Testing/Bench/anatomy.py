"""A small vocabulary for segments: the wheel of slicer-core has no share folder, and with it no terminology.

The files that :func:`write_share` makes have the names that Slicer's logic looks for. The codes are SNOMED CT's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SIDES = {"24028007": "Right", "7771000": "Left", "51440002": "Right and left"}
#: Category: (code, does it ask for an anatomic region, {type: (code, colour, has it sides)}).
_CATEGORIES: dict[str, tuple[str, bool, dict[str, tuple[str, tuple[int, int, int], bool]]]] = {
    "Tissue": (
        "85756007",
        True,
        {
            "Tissue": ("85756007", (128, 174, 128), False),
            "Artery": ("51114001", (216, 101, 79), False),
            "Vein": ("29092000", (0, 151, 206), False),
            "Bone": ("272673000", (241, 214, 145), False),
            "Muscle": ("71616004", (192, 104, 88), False),
            "Fat": ("256674009", (230, 220, 70), False),
        },
    ),
    "Anatomical Structure": (
        "123037004",
        False,
        {
            "Liver": ("10200004", (221, 130, 101), False),
            "Spleen": ("78961009", (157, 108, 162), False),
            "Kidney": ("64033007", (185, 102, 83), True),
            "Gallbladder": ("28231008", (139, 150, 98), False),
            "Stomach": ("69695003", (216, 132, 105), False),
            "Pancreas": ("15776009", (249, 180, 111), False),
            "Esophagus": ("32849002", (211, 171, 143), False),
            "Aorta": ("15825003", (224, 97, 76), False),
            "Inferior vena cava": ("64131007", (0, 151, 206), False),
            "Portal vein": ("32764006", (0, 151, 206), False),
            "Adrenal gland": ("23451007", (244, 186, 150), True),
            "Duodenum": ("38848004", (255, 253, 229), False),
            "Small intestine": ("30315005", (205, 167, 142), False),
            "Colon": ("71854001", (204, 168, 143), False),
            "Urinary bladder": ("89837001", (222, 154, 132), False),
            "Lung": ("39607008", (197, 165, 145), True),
            "Heart": ("80891009", (206, 110, 84), False),
        },
    ),
    "Morphologically Altered Structure": (
        "49755003",
        True,
        {"Mass": ("4147007", (144, 238, 144), False), "Neoplasm": ("108369006", (144, 238, 144), False)},
    ),
}
_REGIONS = {"Abdomen": "818981001", "Chest": "816094009", "Head": "69536005", "Pelvis": "12921003"}
GENERAL = "Segmentation category and type - 3D Slicer General Anatomy list"
MASTER = "Segmentation category and type - DICOM master list"
REGIONS = "Anatomic codes - DICOM master list"
_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/{}-context-schema.json#"


def _code(meaning: str, value: str, **more: Any) -> dict[str, Any]:
    return {"CodeMeaning": meaning, "CodingSchemeDesignator": "SCT", "CodeValue": value, **more}


def _type(name: str, value: str, colour: tuple[int, int, int], sided: bool) -> dict[str, Any]:
    entry = _code(name, value, recommendedDisplayRGBValue=list(colour), **{"3dSlicerLabel": name.lower()})
    if sided:
        shown = {"recommendedDisplayRGBValue": list(colour)}
        entry["Modifier"] = [_code(side, side_value, **shown) for side_value, side in _SIDES.items()]
    return entry


def terminology(name: str) -> dict[str, Any]:
    """A terminology context as Slicer's logic reads it from a ``.term.json`` file."""
    categories = [
        _code(category, value, showAnatomy=region, Type=[_type(label, *entry) for label, entry in types.items()])
        for category, (value, region, types) in _CATEGORIES.items()
    ]
    return {
        "SegmentationCategoryTypeContextName": name,
        "@schema": _SCHEMA.format("segment"),
        "SegmentationCodes": {"Category": categories},
    }


def regions() -> dict[str, Any]:
    """The anatomic region context."""
    return {
        "AnatomicContextName": REGIONS,
        "@schema": _SCHEMA.format("anatomic"),
        "AnatomicCodes": {"AnatomicRegion": [_code(name, value) for name, value in _REGIONS.items()]},
    }


def tag(name: str, category: str = "Anatomical Structure", side: str = "") -> str:
    """The terminology tag of a segment, as Slicer writes it into ``Segmentation``."""
    value, _, types = _CATEGORIES[category]
    modifier = f"SCT^{next(code for code, text in _SIDES.items() if text == side)}^{side}" if side else "^^"
    return f"{GENERAL}~SCT^{value}^{category}~SCT^{types[name][0]}^{name}~{modifier}~{REGIONS}~^^~^^"


def write_share(folder: Path) -> None:
    """Write terminologies and a colour table where Slicer's logics look for them."""
    terminologies = folder / "Terminologies"
    terminologies.mkdir(parents=True, exist_ok=True)
    for file, content in (
        ("SegmentationCategoryTypeModifier-SlicerGeneralAnatomy", terminology(GENERAL)),
        ("SegmentationCategoryTypeModifier-DICOM-Master", terminology(MASTER)),
        ("AnatomicRegionAndModifier-DICOM-Master", regions()),
    ):
        (terminologies / f"{file}.term.json").write_text(json.dumps(content, indent=1))
    colours = folder / "ColorFiles"
    colours.mkdir(exist_ok=True)
    every = [(name, entry[1]) for _, _, types in _CATEGORIES.values() for name, entry in types.items()]
    lines = [f"{i} {name.lower().replace(' ', '_')} {r} {g} {b} 255" for i, (name, (r, g, b)) in enumerate(every, 1)]
    for table in ("GenericAnatomyColors", "GenericColors"):
        rows = [f"# Color table file {table}.txt", "0 background 0 0 0 0", *lines]
        (colours / f"{table}.txt").write_text("\n".join(rows) + "\n")

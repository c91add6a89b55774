"""A terminology of our own: Slicer's lack the portal and splenic veins, and give both sides one colour."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import slicer
import vtk

from SwinSSLLib.organs import ANATOMICAL_STRUCTURE, ORGANS, Code
from SwinSSLPanel.segmentations import codesOf

#: Name of the context, as Slicer's lists of terminologies show it.
CONTEXT = "Segmentation category and type - SwinSSL"
FILE = Path(__file__).resolve().parents[1] / "Resources" / "SegmentationCategoryTypeModifier-SwinSSL.term.json"
#: Codes of the organs that are in none of Slicer's own lists.
OURS = ("110765007",)


def register() -> None:
    """Make Slicer know the organs; without its Terminologies module there is nothing to do."""
    module = getattr(slicer.modules, "terminologies", None)
    if module is None:
        return
    if not module.logic().LoadTerminologyFromFile(str(FILE)):
        logging.warning("SwinSSL: %s could not be loaded.", FILE)


def useOwnTerms(segmentationNode: Any) -> None:
    """Let segments of organs that Slicer's own lists lack point to ours, where their names and colours are found."""
    segmentation, name = segmentationNode.GetSegmentation(), slicer.vtkSegment.GetTerminologyEntryTagName()
    for number in range(segmentation.GetNumberOfSegments()):
        segment, tag = segmentation.GetNthSegment(number), vtk.reference("")
        if segment.GetTag(name, tag) and codesOf(str(tag))[0][1] in OURS:
            segment.SetTag(name, "~".join((CONTEXT, *str(tag).split("~")[1:])))


def content() -> dict[str, Any]:
    """What the file says; organs with two sides are one type with two modifiers, as in Slicer's own lists."""
    types: dict[str, dict[str, Any]] = {}
    for organ in ORGANS:
        colour = list(organ.colour)
        label = organ.name.replace(" ", "_")
        if organ.modifier is None:
            shown = {"recommendedDisplayRGBValue": colour, "3dSlicerLabel": label}
            types[organ.code[1]] = {**_coded(organ.code), **shown}
            continue
        entry = types.setdefault(
            organ.code[1], {**_coded(organ.code), "recommendedDisplayRGBValue": colour, "Modifier": []}
        )
        entry["Modifier"].append(
            {**_coded(organ.modifier), "recommendedDisplayRGBValue": colour, "3dSlicerLabel": label}
        )
    category = {**_coded(ANATOMICAL_STRUCTURE), "showAnatomy": False, "Type": list(types.values())}
    return {
        "SegmentationCategoryTypeContextName": CONTEXT,
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/segment-context-schema.json#",
        "SegmentationCodes": {"Category": [category]},
    }


def _coded(code: Code) -> dict[str, Any]:
    scheme, value, meaning = code
    return {"CodeMeaning": meaning, "CodingSchemeDesignator": scheme, "CodeValue": value}


def write() -> None:
    """Write the file again after the organs were changed."""
    FILE.write_text(json.dumps(content(), indent=1) + "\n", encoding="utf-8", newline="\n")

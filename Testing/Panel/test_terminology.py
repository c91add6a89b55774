"""Our own terminology: Slicer reads it, and every organ is found in it with the colour that it is shown in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import slicer
import vtk
from Bench import application
from SwinSSLPanel import terminology
from SwinSSLPanel.segmentations import organOf, terminologyEntry

from SwinSSLLib.organs import ORGANS


def test_the_file_says_what_the_organs_say():
    assert json.loads(terminology.FILE.read_text(encoding="utf-8")) == terminology.content()
    assert b"\r" not in terminology.FILE.read_bytes()


@pytest.mark.parametrize("organ", ORGANS, ids=lambda organ: organ.name)
def test_slicer_finds_every_organ_with_code_side_and_colour(a_bench, organ):
    terminology.register()
    logic = slicer.modules.terminologies.logic()
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.FindTypeInTerminologyBy3dSlicerLabel(terminology.CONTEXT, organ.name.replace(" ", "_"), entry)
    assert entry.GetTypeObject().GetCodeValue() == organ.code[1]
    assert entry.GetCategoryObject().GetCodeValue() == "123037004"
    shown = entry.GetTypeModifierObject() if organ.modifier else entry.GetTypeObject()
    if organ.modifier:
        assert shown.GetCodeValue() == organ.modifier[1]
    assert tuple(shown.GetRecommendedDisplayRGBValue()) == organ.colour


def test_only_what_slicers_own_lists_lack_points_to_ours(a_bench):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    name = slicer.vtkSegment.GetTerminologyEntryTagName()
    for organ in ORGANS:
        segmentID = node.GetSegmentation().AddEmptySegment("", organ.name)
        node.GetSegmentation().GetSegment(segmentID).SetTag(name, terminologyEntry(organ))
    node.GetSegmentation().AddEmptySegment("", "without a code")
    terminology.useOwnTerms(node)
    for number, organ in enumerate(ORGANS):
        segment, tag = node.GetSegmentation().GetNthSegment(number), vtk.reference("")
        segment.GetTag(name, tag)
        assert (str(tag).split("~")[0] == terminology.CONTEXT) == (organ.name == "portal and splenic veins")
        assert str(tag).split("~")[1:] == terminologyEntry(organ).split("~")[1:]
        assert organOf(segment) == (organ, "terminology")


def test_without_slicers_module_nothing_happens(monkeypatch):
    monkeypatch.setattr(slicer, "modules", object())
    terminology.register()


def test_the_module_registers_it_when_slicer_has_started(a_bench, monkeypatch):
    told = []
    monkeypatch.setattr(terminology, "register", lambda: told.append("registered"))
    application.load_module(Path(__file__).resolve().parents[2] / "SwinSSL" / "SwinSSL.py")
    assert told == ["registered"]

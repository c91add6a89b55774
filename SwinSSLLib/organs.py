"""The 13 abdominal organs of BTCV: label id, name, SNOMED CT code and colour.

Ids and order are those of the BTCV challenge ("Beyond the Cranial Vault", Synapse syn3193805), as in
the published Swin UNETR models. Codes and colours follow 3D Slicer's terminology files (General
Anatomy list and DICOM master list). Slicer gives left and right one colour; here they are two
shades, because a swap of sides is the mistake that a reader must be able to see; and the stomach has a colour
of its own, because Slicer's cannot be told from the liver's in an overlay.
"""

from __future__ import annotations

from dataclasses import dataclass

#: (coding scheme, code, meaning)
Code = tuple[str, str, str]

ANATOMICAL_STRUCTURE: Code = ("SCT", "123037004", "Anatomical Structure")
RIGHT: Code = ("SCT", "24028007", "Right")
LEFT: Code = ("SCT", "7771000", "Left")


@dataclass(frozen=True)
class Organ:
    """One label of the segmentation.

    Attributes:
        id: value in the label map, 1..13.
        name: name shown to people and used in tables.
        code: SNOMED CT type of the structure.
        colour: red, green, blue, 0..255.
        modifier: laterality, or None.
    """

    id: int
    name: str
    code: Code
    colour: tuple[int, int, int]
    modifier: Code | None = None


_KIDNEY: Code = ("SCT", "64033007", "Kidney")
_ADRENAL: Code = ("SCT", "23451007", "Adrenal gland")

ORGANS: tuple[Organ, ...] = (
    Organ(1, "spleen", ("SCT", "78961009", "Spleen"), (157, 108, 162)),
    Organ(2, "right kidney", _KIDNEY, (185, 102, 83), RIGHT),
    Organ(3, "left kidney", _KIDNEY, (214, 142, 72), LEFT),
    Organ(4, "gallbladder", ("SCT", "28231008", "Gallbladder"), (139, 150, 98)),
    Organ(5, "esophagus", ("SCT", "32849002", "Esophagus"), (211, 171, 143)),
    Organ(6, "liver", ("SCT", "10200004", "Liver"), (221, 130, 101)),
    Organ(7, "stomach", ("SCT", "69695003", "Stomach"), (196, 104, 160)),
    Organ(8, "aorta", ("SCT", "15825003", "Aorta"), (224, 97, 76)),
    Organ(9, "inferior vena cava", ("SCT", "64131007", "Inferior vena cava"), (0, 151, 206)),
    Organ(10, "portal and splenic veins", ("SCT", "110765007", "Portal vein and splenic vein"), (62, 108, 214)),
    Organ(11, "pancreas", ("SCT", "15776009", "Pancreas"), (249, 180, 111)),
    Organ(12, "right adrenal gland", _ADRENAL, (249, 186, 150), RIGHT),
    Organ(13, "left adrenal gland", _ADRENAL, (232, 220, 90), LEFT),
)

#: Number of classes of the network, background included.
CLASSES = len(ORGANS) + 1


def by_id(label: int) -> Organ:
    """Return the organ with this label id.

    Raises:
        KeyError: the id is not one of 1..13.
    """
    for organ in ORGANS:
        if organ.id == label:
            return organ
    raise KeyError(label)

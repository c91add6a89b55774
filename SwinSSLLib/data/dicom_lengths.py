"""Whether the elements of a DICOM file can be as long as they say: GDCM asks for the memory first."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

#: Kinds of values whose length has four bytes (DICOM part 5, section 7.1.2).
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SHORT = (
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
)  # fmt: skip
_UNDEFINED = 0xFFFFFFFF
_ITEMS, _ITEM = 0xFFFE, 0xE000
_PIXELS = (0x7FE0, 0x0010)
_IMPLICIT, _BIG = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2"
_DEFLATED = b"1.2.840.10008.1.2.1.99"


def lengths_fit(path: Path) -> bool:
    """Whether no element says that it is longer than the rest of the file.

    Sequences are entered, however long they say that they are, for what is in them may lie too.
    """
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Walk(data).fits()
        except ValueError:  # an empty file
            return True


class _Walk:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.size = data, len(data)
        self.at = 132 if data[128:132] == b"DICM" else 0
        self.order, self.explicit = "<", self._names_kind()
        self.meta, self.pixels = self.at == 132, False
        self.syntax = b""

    def fits(self) -> bool:
        """Walk to the end, to a lie, or to what is not understood."""
        while self.at + 8 <= self.size:
            if self.meta and struct.unpack_from("<H", self.data, self.at)[0] != 2:
                self.meta = False
                self.explicit = self.syntax != _IMPLICIT if self.syntax else self._names_kind()
                self.order = ">" if self.syntax == _BIG else "<"
                if self.syntax == _DEFLATED:
                    return True
            known = self._step()
            if known is not None:
                return known
        return True

    def _names_kind(self) -> bool:
        return self.data[self.at + 4 : self.at + 6] in (*_SHORT, *_LONG)

    def _step(self) -> bool | None:
        """One element; a verdict if it is the last one that is looked at."""
        tag = struct.unpack_from(f"{self.order}2H", self.data, self.at)
        kind = b"" if tag[0] == _ITEMS or not self.explicit else self.data[self.at + 4 : self.at + 6]
        if kind not in (*_SHORT, *_LONG):
            kind = b""  # what follows the tag is a length of four bytes, or GDCM takes it for one
        if kind in _LONG:
            value = self.at + 12
            if value > self.size:
                return True
            (length,) = struct.unpack_from(f"{self.order}I", self.data, self.at + 8)
        elif kind:
            value = self.at + 8
            (length,) = struct.unpack_from(f"{self.order}H", self.data, self.at + 6)
        else:
            value = self.at + 8
            (length,) = struct.unpack_from(f"{self.order}I", self.data, self.at + 4)
        if length == _UNDEFINED:
            self.pixels = tag == _PIXELS
            self.at = value
            return True if kind == b"UN" else None
        if length > self.size - value:
            return False
        if tag == (2, 0x10):
            self.syntax = self.data[value : value + length].strip(b"\0 ")
        entered = kind == b"SQ" or (tag[0] == _ITEMS and not (self.pixels and tag[1] == _ITEM))
        self.at = value if entered else value + length
        return None

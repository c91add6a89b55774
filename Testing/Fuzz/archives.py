"""Changes to containers: zip files and what is in them, arrays of numpy, safetensors, and files of torch."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from Fuzz import documents, mutators

#: Where an archive with an absolute name would write.
ESCAPED = str(Path(tempfile.gettempdir()) / "escaped-absolute.txt")
#: What a name in an archive must not do.
_NAMES = (
    "../escaped.txt", "../../escaped.txt", ESCAPED, "a/../../escaped.txt", "..\\escaped.txt",
    "C:\\escaped.txt", "C:escaped.txt", "//host/share/x", "x\n.npy", "a" * 250, "", "/", "é‮x", "configs/metadata.json",
)  # fmt: skip

Member = tuple[zipfile.ZipInfo, bytes]


class Hostile:
    """Leaves a mark where it is unpickled by something that executes what it finds."""

    def __init__(self, marker: str, way: int) -> None:
        self.marker, self.way = marker, way

    def __reduce__(self) -> Any:
        code = f"open({self.marker!r}, 'w').close()"
        import os
        import subprocess

        return (
            (exec, (code,)),
            (eval, (code,)),
            (os.system, (f"touch {self.marker}",)),
            (subprocess.call, (["touch", self.marker],)),
            (io.open, (self.marker, "w")),
        )[self.way]


def hostile_pickle(random: Random, marker: str) -> bytes:
    """A pickle that would leave a mark."""
    content: Any = Hostile(marker, random.randrange(5))
    content = random.choice((content, {"state_dict": content}, [content]))
    return pickle.dumps(content, protocol=random.choice((0, 2, 4)))


def unzipped(data: bytes) -> list[Member]:
    """All members of a zip file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info, archive.read(info)) for info in archive.infolist()]


def rezipped(members: list[Member], method: int | None = None) -> bytes:
    """A zip file with these members; names may come twice and may be forbidden ones."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for info, content in members:
            fresh = zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0))
            fresh.compress_type = info.compress_type if method is None else method
            fresh.external_attr = info.external_attr
            archive.writestr(fresh, content)
    return out.getvalue()


def zip_of(change: Callable[[Random, str, bytes, bytes], bytes]) -> mutators.Change:
    """Changes to a zip file: to a member by ``change(random, name, data, other)``, to its names, or to its bytes."""

    def changed(random: Random, data: bytes, other: bytes) -> bytes:
        try:
            members = unzipped(data)
        except Exception:  # what was changed before may be no archive any more
            return mutators.mutated(random, data, other, mutators.BINARY)
        what = random.random()
        if what < 0.15:
            return mutators.mutated(random, data, other, mutators.BINARY)
        if what < 0.25:
            return _directory(random, data)
        if what < 0.4:
            _tricks(random, members)
        else:
            number = random.randrange(len(members))
            info, content = members[number]
            foreign = random.choice(members)[1]
            members[number] = (info, change(random, info.filename, content, foreign))
        method = random.choice((None, None, None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
        return rezipped(members, method)

    return changed


def _tricks(random: Random, members: list[Member]) -> None:
    what = random.randrange(6)
    at = random.randrange(len(members))
    info, content = members[at]
    if what == 0:  # one that leads out
        members.insert(random.randrange(len(members) + 1), (zipfile.ZipInfo(random.choice(_NAMES)), b"escaped"))
    elif what == 1:  # a symbolic link
        link = zipfile.ZipInfo(info.filename)
        link.external_attr = 0o120777 << 16
        members[at] = (link, b"/etc/passwd")
    elif what == 2:  # a bomb
        bomb = zipfile.ZipInfo(info.filename)
        bomb.compress_type = zipfile.ZIP_DEFLATED
        members[at] = (bomb, bytes(random.choice((1 << 20, 1 << 24, 1 << 28))))
    elif what == 3:
        del members[at]
    elif what == 4:  # twice
        members.append((zipfile.ZipInfo(info.filename), mutators.flip_bits(random, content or b"x", b"")))
    else:
        info.filename = random.choice(_NAMES)


def _directory(random: Random, data: bytes) -> bytes:
    """Numbers of the directory at the end: methods, flags (encryption), sizes, offsets."""
    changed = bytearray(data)
    places = [at for at in range(len(data) - 4) if data[at : at + 4] in (b"PK\1\2", b"PK\3\4", b"PK\5\6")]
    if not places:
        return data
    for _ in range(random.choice((1, 2))):
        at = random.choice(places) + random.choice((4, 6, 8, 10, 14, 18, 20, 22, 24, 26, 28, 30, 32, 36, 38, 42))
        value = random.choice((bytes(4), b"\xff" * 4, b"\1\0", b"\x63\0", b"\x0e\0", b"\0\0\0\x40", b"\xff\xff"))
        changed[at : at + len(value)] = value[: max(0, len(data) - at)]
    return bytes(changed)


def npy(random: Random, data: bytes, other: bytes) -> bytes:
    """Header of an array, its length kept right most of the time; or bytes."""
    if not data.startswith(b"\x93NUMPY") or random.random() < 0.25:
        return mutators.mutated(random, data or b"x", other or b"x", mutators.BINARY)
    size = struct.unpack_from("<H", data, 8)[0]
    head, body = data[10 : 10 + size], data[10 + size :]
    choices = (
        lambda: mutators.mutated(random, head, other[10:200], mutators.TEXT),
        lambda: head.replace(b"(", b"(" + random.choice(mutators.NUMBERS)[:60] + b", ", 1),
        lambda: head.replace(head[head.find(b"(") : head.find(b")") + 1], random.choice(_SHAPES)),
        lambda: head.replace(head[head.find(b"'descr': ") + 9 : head.find(b", 'fort")], random.choice(_TYPES)),
        lambda: head.replace(b"False", b"True"),
    )
    new = random.choice(choices)()
    length = struct.pack("<H", len(new) & 0xFFFF) if random.random() < 0.95 else random.randbytes(2)
    version = data[6:8] if random.random() < 0.95 else random.choice((b"\2\0", b"\3\0", b"\0\0", b"\xff\xff"))
    return data[:6] + version + length + new + body


_SHAPES = (
    b"()", b"(0,)", b"(1,)", b"(-1,)", b"(10000000000,)", b"(4294967296, 4294967296)", b"(9223372036854775807,)",
    b"(True,)",
    b"(2, 3, 4)", b"(1, 2, 3, 4)", b"(0, 4, 4)", b"(2.5,)", b"('a',)", b"[1]", b"(-1, -8)", b"(100000, 100000, 100)",
)  # fmt: skip
_TYPES = (
    b"'|O'", b"'<f8'", b"'|S0'", b"'<U0'", b"'|V0'", b"'<M8[D]'", b"[('a', '<i4')]", b"'<c16'", b"'|b1'", b"'>i2'",
    b"''",
    b"'<i2, <i2'", b"'|S999999999'", b"[('a', 'O')]", b"('<i2', (9999, 9999))", b"1", b"'<f2'", b"'<u8'", b"{}",
)  # fmt: skip


def safetensors(random: Random, data: bytes, other: bytes) -> bytes:
    """The JSON of the header, its length kept right most of the time; or bytes."""
    size = struct.unpack_from("<Q", data)[0] if len(data) > 8 else 1 << 60
    if size > len(data) or random.random() < 0.2:
        return mutators.mutated(random, data, other, mutators.BINARY)
    head, body = data[8 : 8 + size], data[8 + size :]
    try:
        tree = json.loads(head)
    except ValueError:
        tree = None
    if isinstance(tree, dict) and random.random() < 0.5:
        entry = tree[random.choice(list(tree))]
        if isinstance(entry, dict):
            kinds = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E8M0", "F4", "I64", "U16", "U64", "BOOL", "C64", "")
            shapes = ([], [0], [1], [-1], [2**62, 4], [2**63], [10**30], [1] * 80, ["a"], [2.5], None)
            key = random.choice(("dtype", "shape", "data_offsets"))
            entry[key] = {"dtype": random.choice(kinds), "shape": random.choice(shapes)}.get(key, random.choice(shapes))
        head = json.dumps(tree).encode()
    else:
        head = documents.mutated(random, head, head)
    length = len(head) if random.random() < 0.9 else random.choice((0, 2**63, 2**64 - 1, len(head) + 8, 100_000_001))
    return struct.pack("<Q", length) + head + body


def pickled(random: Random, data: bytes, other: bytes) -> bytes:
    """Arguments of the operations of a pickle, whole operations, or bytes."""
    try:
        found = [(op.name, argument, at) for op, argument, at in pickletools.genops(data)]
    except Exception:  # what was changed before may be no pickle any more
        found = []
    if len(found) < 3 or random.random() < 0.2:
        return mutators.mutated(random, data or b"x", other or b"x", mutators.BINARY)
    ends = [at for _, _, at in found[1:]] + [len(data)]
    number = random.randrange(len(found))
    numbers = [n for n, (name, _, _) in enumerate(found) if name.startswith(("BININT", "LONG"))]
    if numbers and random.random() < 0.5:
        number = random.choice(numbers)
    name, _, at = found[number]
    end = ends[number]
    if name.startswith(("BININT", "LONG")):
        value = random.choice((0, 1, -1, 2, 255, 65536, 2**20, 2**31 - 1, -(2**31), 2**40, 2**62, 2**70, 10**8))
        new = b"\x8a" + bytes([10]) + value.to_bytes(10, "little", signed=True)
    elif name == "GLOBAL":
        new = b"c" + random.choice(_GLOBALS) + b"\n"
    elif name in ("BINUNICODE", "SHORT_BINUNICODE"):
        words = (*mutators.WORDS, *mutators.NUMBERS, b"storage", b"cpu", b"meta", b"cuda", b"0", b"1")
        word = random.choice(words)[:200]
        new = b"X" + struct.pack("<I", len(word)) + word
    else:
        other_number = random.randrange(len(found))
        new = random.choice((b"", data[at:end] * 2, data[found[other_number][2] : ends[other_number]]))
    return data[:at] + new + data[end:]


_GLOBALS = (
    b"os\nsystem", b"builtins\nexec", b"builtins\neval", b"torch\nDoubleStorage", b"torch\nHalfStorage",
    b"torch\nByteStorage",
    b"torch\nBFloat16Storage", b"torch\nComplexFloatStorage", b"torch\nQInt8Storage", b"torch\nFloatStorage",
    b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_sparse_tensor",
    b"torch._utils\n_rebuild_meta_tensor_no_storage",
    b"torch._utils\n_rebuild_qtensor", b"torch._utils\n_rebuild_parameter", b"torch._utils\n_rebuild_nested_tensor",
    b"torch._utils\n_rebuild_device_tensor_from_numpy", b"torch._utils\n_rebuild_wrapper_subclass", b"torch\nSize",
    b"torch.storage\nUntypedStorage", b"torch.storage\nTypedStorage", b"collections\nOrderedDict", b"torch\nTensor",
    b"numpy.core.multiarray\nscalar", b"argparse\nNamespace", b"numpy\ndtype", b"torch\ndevice",
    b"collections\nCounter",
    b"torch.serialization\n_get_layout", b"torch._tensor\n_rebuild_from_type_v2", b"subprocess\nPopen", b"nt\nsystem",
)  # fmt: skip

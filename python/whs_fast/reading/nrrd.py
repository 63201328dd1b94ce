"""NRRD headers: where the voxels are, how they are stored, and where the scan lies in the patient.

Format: teem.sourceforge.net/nrrd/format.html.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whs_fast.errors import InputError
from whs_fast.reading.headers import (
    Header,
    check_spacing,
    count_in,
    find_detached,
    make_grid,
    numbers_in,
    three_sizes,
)
from whs_fast.reading.voxels import Layout
from whs_fast.volume import Grid

_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
# Signs of x, y and z that bring a space to left-posterior-superior.
_TO_LPS = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
}
_TO_LPS |= {"".join(word[0] for word in space.split("-")): signs for space, signs in _TO_LPS.items()}
_VECTOR = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True)
class NrrdText:
    """What a header says: its fields, by names in small letters without spaces, and pairs of keys and values of others.

    end is where the voxels begin, None where the text does not end.
    """

    fields: dict[str, str]
    pairs: dict[str, str]
    end: int | None


def read_text(head: bytes) -> NrrdText | None:
    """The text of a header, None where a file does not begin as an NRRD does."""
    if not head.startswith(b"NRRD000"):
        return None
    end = re.search(rb"\r?\n\r?\n", head)
    fields, pairs = {}, {}
    for line in head[: end.start() if end else None].decode("utf-8", "surrogateescape").split("\n")[1:]:
        key, pair, value = line.rstrip("\r").partition(":=")
        if pair and not line.startswith("#"):
            pairs[key] = value
        elif not line.startswith("#"):
            key, _, value = line.partition(":")
            fields[key.strip().lower().replace(" ", "")] = value.strip()
    return NrrdText(fields, pairs, end.end() if end else None)


def parse_nrrd(path: Path, head: bytes, name: str) -> Header:
    """The header of an .nrrd or .nhdr file."""
    text = read_text(head)
    if text is None:
        raise InputError(f"{name}: found no NRRD header (damaged, truncated or another format), expected one")
    return parse_text(path, text, name)


def parse_text(path: Path, text: NrrdText, name: str) -> Header:
    """What the text of a header describes: one 3D volume."""
    fields = text.fields
    shape = three_sizes(numbers_in(fields.get("sizes", ""), int, name), name)
    if fields.get("space", "").lower() not in _TO_LPS:
        raise InputError(
            f"{name}: found {_told(fields, 'space', 'no space')} as NRRD space, "
            "expected left-posterior-superior or another patient space"
        )
    directions = fields.get("spacedirections", "")
    if len(_VECTOR.findall(directions)) != 3 or _VECTOR.sub("", directions).strip() or "spaceorigin" not in fields:
        raise InputError(
            f"{name}: found no complete space directions and space origin, expected the place in the patient"
        )
    grid = _grid(fields, shape, name)
    kind = re.sub(r"\s+", " ", fields.get("type", "").lower())
    stored = next((code for code, names in _TYPES.items() if kind in names.split("|")), None)
    if stored is None:
        raise InputError(f"{name}: found voxels of type {_told(fields, 'type')}, expected one number a voxel")
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise InputError(f"{name}: found NRRD encoding {_told(fields, 'encoding')}, expected raw or gzip")
    dtype = np.dtype((">" if fields.get("endian", "little").lower() == "big" else "<") + stored)
    lines = count_in(fields.get("lineskip", "0"), name)
    skip = count_in(fields.get("byteskip", "0"), name)
    if lines != 0:
        raise InputError(f"{name}: found a line skip of {lines}, expected none")
    compressed = encoding != "raw"
    target = fields.get("datafile")
    if target is None:
        if text.end is None or skip != 0:
            raise InputError(f"{name}: found an NRRD header without voxels after it, expected them there")
        return Header(Layout(path, shape, dtype, text.end, 0, compressed), grid)
    return Header(find_detached(path, target, shape, dtype, skip, compressed, name), grid)


def _told(fields: dict[str, str], key: str, otherwise: str = "(none)") -> str:
    return fields.get(key, "")[:40] or otherwise


def _grid(fields: dict[str, str], shape: tuple[int, int, int], name: str) -> Grid:
    signs = np.array(_TO_LPS[fields["space"].lower()])
    vectors = _VECTOR.findall(fields["spacedirections"]) + _VECTOR.findall(fields["spaceorigin"])
    points = [numbers_in(vector.replace(",", " "), float, name) for vector in vectors]
    if len(points) != 4 or any(len(point) != 3 for point in points):
        raise InputError(f"{name}: needs space directions and an origin of three numbers each")
    axes, origin = np.array(points[:3]).T * signs[:, None], np.array(points[3]) * signs
    spacing = np.linalg.norm(axes, axis=0)
    check_spacing(spacing.tolist(), name)
    if "spacings" in fields and not np.allclose(
        numbers_in(fields["spacings"], float, name), spacing, rtol=1e-3, atol=0.0
    ):
        raise InputError(f"{name}: holds spacings and space directions that differ: leave the space directions alone")
    return make_grid(shape, spacing, origin, axes / spacing)

"""MetaImage headers: where the voxels are, how they are stored, and where the scan lies in the patient.

The place may be given under several names; where they differ, nothing tells which one a viewer follows, so they are
refused. AnatomicalOrientation says in letters what the matrix says, and is ignored, as ITK does.

Format: the documentation of MetaIO.
"""

import re
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

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_PLACES = ("Offset", "Position", "Origin")
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")


def parse_metaimage(path: Path, head: bytes, name: str) -> Header:
    """The header of an .mha or .mhd file."""
    match = re.search(rb"^ElementDataFile[ \t]*=([^\r\n]*)(?:\r?\n|\Z)", head, re.MULTILINE)
    if match is None:
        raise InputError(f"{name}: found no MetaImage header (damaged, truncated or another format), expected one")
    fields = {}
    for line in head[: match.start()].decode("latin-1").splitlines():
        key, _, value = line.partition("=")
        fields[key.strip().lower()] = value.strip()
    shape = three_sizes(numbers_in(fields.get("dimsize", ""), int, name), name)
    if fields.get("ndims") != "3" or list(fields).index("ndims") > list(fields).index("dimsize"):
        raise InputError(f"{name}: found no NDims = 3 before DimSize (damaged), expected a MetaImage header")
    spacing = fields.get("elementspacing") or fields.get("elementsize")
    if spacing is None:
        raise InputError(f"{name}: found no ElementSpacing, expected the size of a voxel")
    spacing_mm = numbers_in(spacing, float, name)
    check_spacing(spacing_mm, name)
    grid = make_grid(
        shape,
        spacing_mm,
        _one_of(_PLACES, fields, [0.0] * 3, name),
        # One direction after the other, so that the matrix comes transposed.
        np.reshape(_one_of(_MATRICES, fields, np.eye(3).ravel().tolist(), name), (3, 3)).T,
    )
    kind, channels = fields.get("elementtype", "").upper(), fields.get("elementnumberofchannels", "1")
    if kind not in _TYPES or channels != "1":
        raise InputError(
            f"{name}: found {channels[:40]} x {kind[:40] or 'no ElementType'} a voxel, expected one number a voxel"
        )
    if fields.get("binarydata", "true").lower() != "true":
        raise InputError(f"{name}: found voxels written as text, expected BinaryData = True")
    high_first = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "false")).lower() == "true"
    dtype = np.dtype((">" if high_first else "<") + _TYPES[kind])
    compressed = fields.get("compresseddata", "false").lower() == "true"
    start = count_in(fields.get("headersize", "0"), name)
    target = match.group(1).strip(b" \t").decode("utf-8", "surrogateescape")
    if target.upper() == "LOCAL":
        return Header(Layout(path, shape, dtype, match.end(), 0, compressed), grid)
    return Header(find_detached(path, target, shape, dtype, start, compressed, name), grid)


def _one_of(keys: tuple[str, ...], fields: dict[str, str], otherwise: list[float], name: str) -> list[float]:
    """The numbers of a field that goes by several names. Raises InputError where two of them disagree."""
    given = {key: numbers_in(fields[key.lower()], float, name) for key in keys if key.lower() in fields}
    for key, numbers in given.items():
        if len(numbers) != len(otherwise):
            raise InputError(f"{name}: found {len(numbers)} numbers in {key}, expected {len(otherwise)}")
    (first, numbers), *others = given.items() or [("", otherwise)]
    for key, other in others:
        if not np.allclose(other, numbers, rtol=0.0, atol=1e-3):
            raise InputError(f"{name}: holds {first} and {key} that differ: leave the right one alone")
    return numbers

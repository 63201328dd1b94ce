"""Headers of NIfTI, NRRD and MetaImage files: where the voxels are, and whether the header can be trusted.

The geometry itself comes from SimpleITK, so that labels lie exactly where other programs see the scan; but it replaces
header values that make no sense (a voxel size of zero, a matrix that contradicts the voxel size, no orientation at
all) by guesses without a word. Left and right depend on them, so they are refused here.

Formats: nifti1.h of the NIfTI data format working group; teem.sourceforge.net/nrrd/format.html; MetaIO's documentation.
"""

import math
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.voxels import Layout

MOST_VOXELS = 1 << 31
ORTHONORMAL_WITHIN = 2e-4
_HEADER_LIMIT = 1 << 16
_Number = TypeVar("_Number", int, float)

_NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_META_TYPES = {
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
_NRRD_TYPES = {
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
_NRRD_SPACES = {"left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las"}


def find_voxels(path: Path, name: str) -> Layout:
    """Parse the header of a .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd file; `name` is what messages call it.

    Raises InputError for a header that is damaged, whose meaning is not certain, or that does not describe one 3D scan.
    """
    suffix = path.name.lower()
    with path.open("rb") as file:
        head = file.read(_HEADER_LIMIT)
    if suffix.endswith((".nii", ".nii.gz")):
        return _nifti(path, head, name)
    return _nrrd(path, head, name) if suffix.endswith((".nrrd", ".nhdr")) else _metaimage(path, head, name)


def _nifti(path: Path, head: bytes, name: str) -> Layout:
    compressed = head.startswith(b"\x1f\x8b")
    if compressed:
        try:
            head = zlib.decompressobj(wbits=47).decompress(head, _HEADER_LIMIT)
        except zlib.error as error:
            raise InputError(f"{name}: found damaged compressed data, expected an intact NIfTI file") from error
    order = ""
    for candidate in "<>":
        if len(head) >= 348 and struct.unpack_from(candidate + "i", head)[0] == 348:
            order = candidate
    if not order or head[344:348] != b"n+1\0":
        raise InputError(f"{name}: found no NIfTI-1 header (damaged, truncated or another format), expected one")
    dim = struct.unpack_from(order + "8h", head, 40)
    code = struct.unpack_from(order + "h", head, 70)[0]
    pixdim = struct.unpack_from(order + "8f", head, 76)
    offset, slope, intercept = struct.unpack_from(order + "3f", head, 108)
    qform, sform = struct.unpack_from(order + "2h", head, 252)
    rows = np.reshape(struct.unpack_from(order + "12f", head, 280), (3, 4))

    sizes = [dim[axis] for axis in range(1, dim[0] + 1)] if 1 <= dim[0] <= 7 else []
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    shape = _shape(sizes, name)
    check_spacing(pixdim[1:4], name)
    if qform <= 0 and sform <= 0:
        raise InputError(f"{name}: found no orientation (qform_code and sform_code are 0), expected one of them set")
    if sform > 0:
        check_directions(rows[:, :3], name)
        scales = np.linalg.norm(rows[:, :3].astype(np.float64), axis=0)
        if not np.allclose(scales, pixdim[1:4], rtol=1e-3, atol=0.0):
            # SimpleITK would take one from pixdim and the other from the matrix.
            raise InputError(
                f"{name}: found voxels of {_mm(scales)} mm in sform but {_mm(pixdim[1:4])} mm in pixdim, "
                "expected the same in both"
            )
    else:
        quaternion = struct.unpack_from(order + "3f", head, 256)
        if not sum(value * value for value in quaternion) <= 1.0 + ORTHONORMAL_WITHIN:
            raise InputError(f"{name}: found a qform that is no rotation, expected a unit quaternion")
    if code not in _NIFTI_TYPES:
        raise InputError(
            f"{name}: found voxels of NIfTI type {code} (colour, vector or complex), expected one number a voxel"
        )
    if not (np.isfinite(offset) and 348 <= offset < _HEADER_LIMIT * 16):
        raise InputError(f"{name}: found voxels at byte {offset:g}, expected them after the header")
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0.0:
        slope, intercept = 1.0, 0.0
    dtype = np.dtype(order + _NIFTI_TYPES[code])
    return Layout(path, shape, dtype, 0, int(offset), compressed, float(slope), float(intercept))


def _metaimage(path: Path, head: bytes, name: str) -> Layout:
    match = re.search(rb"^ElementDataFile[ \t]*=[ \t]*([^\r\n]*?)[ \t]*(?:\r?\n|\Z)", head, re.MULTILINE)
    if match is None:
        raise InputError(f"{name}: found no MetaImage header (damaged, truncated or another format), expected one")
    fields = {}
    for line in head[: match.start()].decode("latin-1").splitlines():
        key, _, value = line.partition("=")
        fields[key.strip().lower()] = value.strip()
    shape = _shape(_numbers(fields.get("dimsize", ""), int, name), name)
    if fields.get("ndims") != "3" or list(fields).index("ndims") > list(fields).index("dimsize"):
        raise InputError(f"{name}: found no NDims = 3 before DimSize (damaged), expected a MetaImage header")
    spacing = fields.get("elementspacing") or fields.get("elementsize")
    if spacing is None:
        raise InputError(f"{name}: found no ElementSpacing, expected the size of a voxel")
    check_spacing(_numbers(spacing, float, name), name)
    kind, channels = fields.get("elementtype", "").upper(), fields.get("elementnumberofchannels", "1")
    if kind not in _META_TYPES or channels != "1":
        raise InputError(f"{name}: found {channels} x {kind or 'no ElementType'} a voxel, expected one number a voxel")
    if fields.get("binarydata", "true").lower() != "true":
        raise InputError(f"{name}: found voxels written as text, expected BinaryData = True")
    high_first = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "false")).lower() == "true"
    dtype = np.dtype((">" if high_first else "<") + _META_TYPES[kind])
    compressed = fields.get("compresseddata", "false").lower() == "true"
    start = _count(fields.get("headersize", "0"), name)
    target = match.group(1).decode("utf-8", "surrogateescape")
    if target.upper() == "LOCAL":
        return Layout(path, shape, dtype, match.end(), 0, compressed)
    return _detached(path, target, shape, dtype, start, compressed, name)


def _nrrd(path: Path, head: bytes, name: str) -> Layout:
    if not head.startswith(b"NRRD000"):
        raise InputError(f"{name}: found no NRRD header (damaged, truncated or another format), expected one")
    end = re.search(rb"\r?\n\r?\n", head)
    text = head[: end.start()] if end else head
    fields = {}
    for line in text.decode("latin-1").splitlines()[1:]:
        if not line.startswith("#") and ":=" not in line:
            key, _, value = line.partition(":")
            fields[key.strip().lower().replace(" ", "")] = value.strip()
    shape = _shape(_numbers(fields.get("sizes", ""), int, name), name)
    if fields.get("space", "").lower() not in _NRRD_SPACES:
        raise InputError(
            f"{name}: found {fields.get('space') or 'no space'} as NRRD space, "
            "expected left-posterior-superior or another patient space"
        )
    if len(re.findall(r"\(.*?\)", fields.get("spacedirections", ""))) != 3 or "spaceorigin" not in fields:
        raise InputError(
            f"{name}: found no complete space directions and space origin, expected the place in the patient"
        )
    kind = re.sub(r"\s+", " ", fields.get("type", "").lower())
    stored = next((code for code, names in _NRRD_TYPES.items() if kind in names.split("|")), None)
    if stored is None:
        raise InputError(f"{name}: found voxels of type {kind or '(none)'}, expected one number a voxel")
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise InputError(f"{name}: found NRRD encoding {encoding or '(none)'}, expected raw or gzip")
    dtype = np.dtype((">" if fields.get("endian", "little").lower() == "big" else "<") + stored)
    lines = _count(fields.get("lineskip", "0"), name)
    skip = _count(fields.get("byteskip", "0"), name)
    if lines != 0:
        raise InputError(f"{name}: found a line skip of {lines}, expected none")
    compressed = encoding != "raw"
    target = fields.get("datafile")
    if target is None:
        if end is None or skip != 0:
            raise InputError(f"{name}: found an NRRD header without voxels after it, expected them there")
        return Layout(path, shape, dtype, end.end(), 0, compressed)
    return _detached(path, target, shape, dtype, skip, compressed, name)


def _detached(
    path: Path, target: str, shape: tuple[int, int, int], dtype: np.dtype[Any], skip: int, compressed: bool, name: str
) -> Layout:
    """Layout of voxels in a file of their own beside the header; a skip of -1 means that they are its last bytes."""
    if not target or target.upper().startswith("LIST") or "%" in target:
        raise InputError(f"{name}: found voxels spread over several files, expected one data file")
    data = path.parent / target
    if not data.is_file():
        raise InputError(f"{name}: found no data file {data.name}, expected it beside the header")
    if skip == -1 and not compressed:
        needed, size = math.prod(shape) * dtype.itemsize, data.stat().st_size
        if size < needed:
            raise InputError(f"{name}: found {size} bytes of voxels (truncated), expected {needed}")
        skip = size - needed
    if skip < 0:
        raise InputError(f"{name}: found {skip} bytes to skip, expected 0 or more")
    return Layout(data, shape, dtype, 0, skip, compressed)


def _shape(sizes: Sequence[int], name: str) -> tuple[int, int, int]:
    if len(sizes) != 3:
        raise InputError(f"{name}: found {len(sizes)} dimensions ({' x '.join(map(str, sizes))}), expected 3")
    if min(sizes) < 1 or math.prod(sizes) > MOST_VOXELS:
        raise InputError(
            f"{name}: found a size of {' x '.join(map(str, sizes))} voxels, expected 1 to {MOST_VOXELS} in all"
        )
    return sizes[2], sizes[1], sizes[0]


def check_directions(matrix: NDArray[np.float64], name: str) -> None:
    """Refuse a matrix whose columns, the axes of the scan, are sheared, singular or not finite.

    SimpleITK would replace such a matrix by another one where it finds one.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = matrix / np.linalg.norm(matrix, axis=0)
    if not np.allclose(unit.T @ unit, np.eye(3), rtol=0.0, atol=ORTHONORMAL_WITHIN):
        raise InputError(
            f"{name}: found directions that are singular or not at right angles, expected orthonormal ones"
        )


def check_spacing(spacing: Sequence[float], name: str) -> None:
    """Refuse a voxel size that is not three positive numbers."""
    if len(spacing) != 3 or not all(math.isfinite(value) and value > 0.0 for value in spacing):
        raise InputError(f"{name}: found a spacing of {_mm(spacing)} mm, expected three positive numbers")


def _numbers(text: str, kind: type[_Number], name: str) -> list[_Number]:
    try:
        return [kind(word) for word in text.split()]
    except ValueError as error:
        raise InputError(f"{name}: found {text[:40]!r} in the header, expected numbers") from error


def _count(text: str, name: str) -> int:
    numbers = _numbers(text, int, name)
    if len(numbers) != 1:
        raise InputError(f"{name}: found {text[:40]!r} in the header, expected one number")
    return numbers[0]


def _mm(values: Iterable[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)

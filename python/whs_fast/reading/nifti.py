"""NIfTI headers, 1 and 2: where the voxels are, how they are stored, and where the scan lies in the patient.

A header may give the place twice, as qform (a rotation) and as sform (a matrix). The sform is followed where it is set,
else the qform. Where both are set and differ, viewers of both kinds are about: a note says so, and both are kept as
they were, for labels to be written with; so each viewer lays them over the scan as it shows that. Where they differ by
a turn of more than 30 degrees or mirror each other, left and right or head and feet depend on which is true: refused.

Formats: nifti1.h and nifti2.h of the NIfTI data format working group.
"""

import struct
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.headers import (
    HEADER_LIMIT,
    ORTHONORMAL_WITHIN,
    Header,
    check_directions,
    check_spacing,
    format_mm,
    make_grid,
    three_sizes,
)
from whs_fast.reading.voxels import Layout
from whs_fast.volume import NiftiPlaces

_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
# Size of the header: place of its magic, the magic, then places and types of the fields that are read.
_FORMS: dict[int, tuple[int, bytes, dict[str, tuple[int, str]]]] = {
    348: (
        344,
        b"n+1\0",
        {
            "dim": (40, "8h"),
            "datatype": (70, "h"),
            "pixdim": (76, "8f"),
            "vox_offset": (108, "f"),
            "scl": (112, "2f"),
            "codes": (252, "2h"),
            "qform": (256, "6f"),
            "sform": (280, "12f"),
            "units": (123, "b"),
        },
    ),
    540: (
        4,
        b"n+2\0\r\n\x1a\n",
        {
            "dim": (16, "8q"),
            "datatype": (12, "h"),
            "pixdim": (104, "8d"),
            "vox_offset": (168, "q"),
            "scl": (176, "2d"),
            "codes": (344, "2i"),
            "qform": (352, "6d"),
            "sform": (400, "12d"),
            "units": (500, "i"),
        },
    ),
}
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
_SAME_WITHIN_MM, _MOST_DEGREES = 0.5, 30.0
_LPS = np.array([-1.0, -1.0, 1.0])[:, None]


def parse_nifti(path: Path, head: bytes, name: str) -> Header:
    """The header of a .nii or .nii.gz file; plain and compressed are told by the file itself, not by its name."""
    compressed = head.startswith(b"\x1f\x8b")
    if compressed:
        try:
            head = zlib.decompressobj(wbits=47).decompress(head, HEADER_LIMIT)
        except zlib.error as error:
            raise InputError(f"{name}: found damaged compressed data, expected an intact NIfTI file") from error
    order, fields = _read_fields(head, name)
    dim, code, pixdim = fields["dim"], fields["datatype"][0], fields["pixdim"]
    (offset,), (slope, intercept) = fields["vox_offset"], fields["scl"]
    sizes = [int(dim[axis]) for axis in range(1, int(dim[0]) + 1)] if 1 <= dim[0] <= 7 else []
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    shape = three_sizes(sizes, name)
    with np.errstate(all="ignore"):  # what overflows is refused
        affine, places, note = _place(fields, shape, name)
        directions = affine[:, :3] / np.linalg.norm(affine[:, :3], axis=0)
    if code not in _TYPES:
        raise InputError(
            f"{name}: found voxels of NIfTI type {code} (colour, vector or complex), expected one number a voxel"
        )
    if not (np.isfinite(offset) and 348 <= offset < HEADER_LIMIT * 16):
        raise InputError(f"{name}: found voxels at byte {offset:g}, expected them after the header")
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0.0:
        slope, intercept = 1.0, 0.0
    dtype = np.dtype(order + _TYPES[int(code)])
    unit = _MM_PER_UNIT.get(int(fields["units"][0]) & 7, 1.0)
    spacing = np.array(pixdim[1:4], dtype=np.float64) * unit
    return Header(
        Layout(path, shape, dtype, 0, int(offset), compressed, float(slope), float(intercept)),
        make_grid(shape, spacing, affine[:, 3] * unit, directions),
        places,
        (note,) if note else (),
    )


def _read_fields(head: bytes, name: str) -> tuple[str, dict[str, tuple[Any, ...]]]:
    """The byte order of a header and its fields."""
    for order in "<>":
        size = struct.unpack_from(order + "i", head)[0] if len(head) >= 4 else 0
        place, magic, fields = _FORMS.get(size, (0, b"", {}))
        if fields and len(head) >= size and head[place : place + len(magic)] == magic:
            return order, {key: struct.unpack_from(order + kind, head, at) for key, (at, kind) in fields.items()}
    raise InputError(f"{name}: found no NIfTI-1 header (damaged, truncated or another format), expected one")


def _place(
    fields: dict[str, tuple[Any, ...]], shape: tuple[int, int, int], name: str
) -> tuple[NDArray[np.float64], NiftiPlaces | None, str]:
    """The matrix from voxels to mm, LPS, in the header's unit; and both places and a note where they differ."""
    pixdim, (qform_code, sform_code) = fields["pixdim"], fields["codes"]
    check_spacing(pixdim[1:4], name)
    if qform_code <= 0 and sform_code <= 0:
        raise InputError(f"{name}: found no orientation (qform_code and sform_code are 0), expected one of them set")
    sform = np.reshape(np.asarray(fields["sform"], dtype=np.float64), (3, 4)) * _LPS
    if sform_code > 0:
        check_directions(sform[:, :3], name)
        scales = np.linalg.norm(sform[:, :3], axis=0)
        if not np.allclose(scales, pixdim[1:4], rtol=1e-3, atol=0.0):
            raise InputError(
                f"{name}: found voxels of {format_mm(scales)} mm in sform but {format_mm(pixdim[1:4])} mm in pixdim, "
                "expected the same in both"
            )
    if qform_code <= 0:
        return sform, None, ""
    quaternion = np.asarray(fields["qform"][:3], dtype=np.float64)
    if not float(quaternion @ quaternion) <= 1.0 + ORTHONORMAL_WITHIN:
        if sform_code > 0:
            return sform, None, ""
        raise InputError(f"{name}: found a qform that is no rotation, expected a unit quaternion")
    qform = _from_quaternion(quaternion, pixdim, fields["qform"][3:]) * _LPS
    if sform_code <= 0:
        return qform, None, ""
    apart_mm = _farthest(sform - qform, shape)
    if apart_mm <= _SAME_WITHIN_MM:
        return sform, None, ""
    turn = np.linalg.solve(qform[:, :3], sform[:, :3])
    degrees = float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0))))
    if np.linalg.det(turn) < 0.0 or degrees > _MOST_DEGREES:
        how = "mirror each other" if np.linalg.det(turn) < 0.0 else f"differ by a turn of {degrees:.0f} degrees"
        raise InputError(
            f"{name}: holds two orientations, qform and sform, that {how}: set both to the right one, or the code of "
            "the wrong one to 0"
        )
    places = NiftiPlaces((qform_code, sform_code), float(pixdim[0]), fields["qform"], fields["sform"])
    note = (
        f"qform and sform of the header place the scan up to {apart_mm:.1f} mm apart: the sform was followed, and "
        "labels as NIfTI keep both"
    )
    return sform, places, note


def _from_quaternion(
    quaternion: NDArray[np.float64], pixdim: tuple[float, ...], offset: tuple[float, ...]
) -> NDArray[np.float64]:
    """The matrix of a qform, RAS: its rotation, the third axis turned round where qfac is negative."""
    b, c, d = quaternion
    a = np.sqrt(max(0.0, 1.0 - float(quaternion @ quaternion)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    scales = np.array(pixdim[1:4], dtype=np.float64) * (1.0, 1.0, -1.0 if pixdim[0] < 0.0 else 1.0)
    return np.column_stack([rotation * scales, offset])


def _farthest(difference: NDArray[np.float64], shape: tuple[int, int, int]) -> float:
    """The longest way that a difference of two matrices moves a corner of the scan."""
    corners = np.array([(*corner, 1) for corner in product(*((0, size - 1) for size in shape[::-1]))])
    return float(np.linalg.norm(corners @ difference.T, axis=1).max())

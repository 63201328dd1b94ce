"""Voxels of NIfTI, NRRD and MetaImage files, streamed straight into one int16 array.

SimpleITK's readers are not used for them, for two reasons, measured with SimpleITK 2.5: a truncated NIfTI file is
filled up with zeros and a damaged compressed MetaImage is accepted, both without an error; and a scan stored as
float, or as int16 with an intercept, is held whole in float. Here lengths are exact, checksums are verified, and
whatever needs converting passes through a buffer of one slice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.machine import check_memory
from whs_fast.reading.hounsfield import convert
from whs_fast.reading.inflater import zlib

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Layout:
    """Where the voxels of a file are and how they are stored.

    shape is (z, y, x); `start` bytes of the file come before the voxels or before the compressed stream that holds
    them, and `skip` bytes of that stream, decompressed, before the voxels.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    start: int
    skip: int
    compressed: bool
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def scaled_by_one(self) -> bool:
        """Whether a voxel means what is stored."""
        return (self.slope, self.intercept) == (1.0, 0.0)


def read_voxels(layout: Layout, name: str, *, whole: bool = False) -> NDArray[np.int16]:
    """Read voxels into int16, indexed z, y, x, with slope and intercept applied and rounded.

    Raises InputError where the file is shorter than its header says, where compressed data are damaged, for more than
    fits into memory, and for values that are not finite, do not fit into int16 or, where whole is asked for, are no
    whole numbers.
    """
    return _read(layout, name, np.dtype(np.int16), whole)


def read_bytes(layout: Layout, name: str) -> NDArray[np.uint8]:
    """Read voxels that are stored as uint8, as they are. Raises InputError as read_voxels does."""
    return _read(layout, name, np.dtype(np.uint8), True)


def _read(layout: Layout, name: str, dtype: np.dtype[Any], whole: bool) -> NDArray[Any]:
    plain = layout.scaled_by_one and layout.dtype == dtype
    slice_bytes = layout.shape[1] * layout.shape[2] * layout.dtype.itemsize
    needed = slice_bytes * layout.shape[0]
    size = layout.path.stat().st_size - layout.start - layout.skip
    if not layout.compressed and size < needed:
        raise InputError(f"{name}: found {max(size, 0)} bytes of voxels (truncated), expected {needed}")
    # What is converted is a slice in the file's own type, and twice in float64.
    check_memory(layout.shape, name, beside=0 if plain else slice_bytes + 16 * layout.shape[1] * layout.shape[2])
    out = np.empty(layout.shape, dtype)
    buffer = np.empty(slice_bytes, dtype=np.uint8)
    chunks = _inflate(layout) if layout.compressed else _plain(layout)
    rest = memoryview(b"")
    try:
        for row in out:
            target = row.reshape(-1).view(np.uint8) if plain else buffer
            filled = 0
            while filled < slice_bytes:
                if not rest:
                    rest = memoryview(next(chunks, b""))
                if not rest:
                    raise InputError(f"{name}: found compressed voxels cut short (truncated), expected {needed} bytes")
                part = rest[: slice_bytes - filled]
                target[filled : filled + len(part)] = part
                filled, rest = filled + len(part), rest[len(part) :]
            if not plain:
                block = buffer.view(layout.dtype).reshape(row.shape)
                convert(block, row, name, slope=layout.slope, intercept=layout.intercept, whole=whole)
        if layout.compressed:
            # The checksum comes after the last voxel; whatever else follows within reason is not ours.
            for _ in zip(range(64), chunks, strict=False):
                pass
    except EOFError as error:
        raise InputError(f"{name}: found compressed voxels cut short (truncated), expected them whole") from error
    except zlib.error as error:
        raise InputError(f"{name}: found damaged compressed data, expected an intact file") from error
    return out


def _plain(layout: Layout) -> Iterator[bytes]:
    with layout.path.open("rb") as file:
        file.seek(layout.start + layout.skip)
        while chunk := file.read(_CHUNK):
            yield chunk


def _inflate(layout: Layout) -> Iterator[bytes]:
    """Decompressed bytes of a gzip or zlib stream; zlib.error for damage, EOFError where the stream has no end."""
    skip, ended = layout.skip, False
    with layout.path.open("rb") as file:
        file.seek(layout.start)
        inflater = zlib.decompressobj(wbits=47)
        pending = file.read(_CHUNK)
        while pending:
            data = inflater.decompress(pending, _CHUNK)
            pending, ended = inflater.unconsumed_tail, inflater.eof
            if ended:
                # A gzip file may hold several members one after another; anything else after the end is padding.
                pending = inflater.unused_data or file.read(_CHUNK)
                if not pending.startswith(b"\x1f\x8b"):
                    pending = b""
                inflater = zlib.decompressobj(wbits=47)
            elif not pending:
                pending = file.read(_CHUNK)
            data, skip = data[skip:], max(0, skip - len(data))
            if data:
                yield data
    if not ended:
        raise EOFError

"""What a DICOM file holds, against what its header promises, before the toolkit believes the header.

GDCM takes memory for any length that a header gives. Of an element in group 2 it never gives that back, of deflated
data it takes gigabytes, and where pixel data are shorter than rows and columns say, it hands on what happened to lie
in memory. So the elements of a file are walked here first. Byte order and form are judged by the first of them, for
there are files whose header tells them wrongly, which GDCM reads.

DICOM PS3.5, 7.1 (data elements), 7.5 (nesting), A.4 (fragments), A.5 (deflated).
"""

import io
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_DEFLATED = "1.2.840.10008.1.2.1.99"
_PIXEL_DATA, _ITEM, _SEQUENCE_END = 0x7FE00010, 0xFFFEE000, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
# Value representations with two reserved bytes and a length of four.
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_MOST_ELEMENTS, _MOST_SEGMENTS = 1_000_000, 100
_MOST_INFLATED = 64 << 20  # bytes of one file; a slice has less than one hundredth of it
# Start of a frame: of JPEG in all its processes, of JPEG-LS, and of JPEG 2000, after the start of its stream.
_FRAMES = {*range(0xFFC0, 0xFFD0), 0xFFF7} - {0xFFC4, 0xFFC8, 0xFFCC}
_JPEG_2000 = b"\xff\x4f\xff\x51"


class PromiseError(Exception):
    """A file promises more than it holds."""


@dataclass(frozen=True)
class Meta:
    """What a file says of itself in group 2, empty where it does not tell.

    dicom says whether it is DICOM at all, intact whether no element of the group promises more than the file holds, end
    where the data set begins, in bytes.
    """

    storage: str
    syntax: str
    dicom: bool
    intact: bool
    end: int


@dataclass(frozen=True)
class Pixels:
    """The pixel data of a file: their bytes where they are plain, else columns and rows that their stream tells, which
    are None where it does not (RLE). A file without pixel data has 0 bytes."""

    length: int | None
    size: tuple[int, int] | None

    def fill(self, size: tuple[int, int], *, frames: int, bits: int) -> bool:
        """Whether they are enough for so many frames of (columns, rows) of so many bits."""
        if self.length is None:
            return self.size in (None, size)
        return 8 * self.length >= size[0] * size[1] * frames * bits


def read_meta(path: Path) -> Meta:
    """What a file says of itself."""
    uids: dict[int, str] = {}
    with path.open("rb") as file:
        head = file.read(132)
        marked = head[128:] == b"DICM"
        at = 132 if marked else 0
        dicom = marked or head[:2] in (b"\x02\x00", b"\x08\x00")
        try:
            # Group 2 is explicit little endian in every file that has it.
            for tag, start, value, length in _elements(file, at, _size(file), "<", implicit=False) if dicom else ():
                at = start
                if tag >> 16 != 2:
                    break
                file.seek(value)
                uids[tag] = file.read(min(length, 64)).decode("ascii", "replace").strip(" \0")
                at = value + length
            intact = True
        except PromiseError:
            # What is not marked as DICOM only looked like it.
            dicom, intact = marked, False
    return Meta(uids.get(0x00020002, ""), uids.get(0x00020010, ""), dicom, intact, at)


def find_pixels(path: Path, meta: Meta) -> Pixels:
    """The pixel data of a file. Raises PromiseError where an element promises more than the file holds."""
    with path.open("rb") as file:
        if meta.syntax != _DEFLATED:
            return _find_pixels(file, meta.end)
        file.seek(meta.end)
        return _find_pixels(io.BytesIO(_inflate(file.read(_MOST_INFLATED))), 0, entered=True)


def _find_pixels(file: BinaryIO, at: int, *, entered: bool = False) -> Pixels:
    file.seek(at)
    first = file.read(6)
    order = ">" if first[:1] == b"\0" else "<"
    implicit = not _is_representation(first[4:])
    end = _size(file)
    found = Pixels(0, None)
    items: int | None = None  # since pixel data in fragments began
    try:
        for tag, _, value, length in _elements(file, at, end, order, implicit=implicit, entered=entered):
            # An icon has pixel data too, and comes before those of the image.
            if tag == _PIXEL_DATA and length != _UNDEFINED:
                found = Pixels(length if value + length <= end else 0, None)
            elif tag == _PIXEL_DATA:
                found, items = Pixels(None, None), 0
            elif tag == _ITEM and items is not None:
                items += 1
                if items == 2:  # the first is the table of offsets
                    found = Pixels(None, _stream_size(file, value))
    except PromiseError:
        # Some files go on after their pixel data with what is no element, and GDCM reads them.
        if entered or found.length == 0:
            raise
    return found


def _elements(
    file: BinaryIO, at: int, end: int, order: str, *, implicit: bool, entered: bool = False
) -> Iterator[tuple[int, int, int, int]]:
    """Tag, first byte, first byte of the value, and length of each element, one after another.

    Sequences and items of undefined length are entered, and others too where `entered` says so; fragments are not.
    Raises PromiseError, once the element was given, where its value would go beyond `end`.
    """
    in_fragments = False
    for _ in range(_MOST_ELEMENTS):
        if at + 8 > end:
            return
        file.seek(at)
        head = file.read(12)
        group, element, length = struct.unpack(order + "HHI", head[:8])
        tag, form, value = group << 16 | element, head[4:6], at + 8
        if group != 0xFFFE and not implicit and _is_representation(form):
            if form not in _LONG:
                length = struct.unpack(order + "H", head[6:8])[0]
            elif len(head) == 12:
                length, value = struct.unpack(order + "I", head[8:])[0], at + 12
        yield tag, at, value, length
        nested = form == b"SQ" or (tag == _ITEM and not in_fragments)
        if tag == _SEQUENCE_END:
            in_fragments = False
        elif length == _UNDEFINED or (entered and nested):
            in_fragments = in_fragments or tag == _PIXEL_DATA
            length = 0
        at = value + length
        if at > end:
            raise PromiseError
    raise PromiseError


def _is_representation(form: bytes) -> bool:
    return form.isalpha() and form.isupper()


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _inflate(content: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(content, _MOST_INFLATED)
    except zlib.error as error:
        raise PromiseError from error
    if inflater.unconsumed_tail:
        raise PromiseError
    return inflated


def _stream_size(file: BinaryIO, at: int) -> tuple[int, int] | None:
    """Columns and rows that a stream of JPEG, JPEG-LS or JPEG 2000 tells; (0, 0) where it tells none, None for RLE."""
    file.seek(at)
    head = file.read(4096)
    if (found := re.search(re.escape(_JPEG_2000) + rb".{4}(.{16})", head, re.DOTALL)) is not None:
        right, bottom, left, top = struct.unpack(">4I", found[1])
        return right - left, bottom - top
    if head[:2] != b"\xff\xd8":
        return None
    at += 2
    for _ in range(_MOST_SEGMENTS):
        file.seek(at)
        head = file.read(9)
        if len(head) < 9 or head[0] != 0xFF:
            break
        marker, length, _, rows, columns = struct.unpack(">HHBHH", head)
        if marker in _FRAMES:
            return columns, rows
        at += 2 + length
    return 0, 0

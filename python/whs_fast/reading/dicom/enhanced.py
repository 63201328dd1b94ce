"""Enhanced multi-frame CT: one file holds the slices of a series, each described in functional groups.

GDCM hands such a file on as one block, in the order of the frames, with one slope and one spacing for all. So pydicom
(extra `dicom`) reads the functional groups here, and each frame becomes a Slice like any other, sorted and checked as
they are. To be decoded, a frame is put into a file of its own for a moment: thus GDCM decodes every transfer syntax,
and no more than a frame of each thread is in memory.

DICOM PS3.3, A.38 (Enhanced CT Image) and C.7.6.16 (functional groups).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from whs_fast.errors import InputError
from whs_fast.reading.dicom.slice import CT_STORAGE, Slice, describe

if TYPE_CHECKING:
    from pydicom import Dataset

_PIXEL_DATA = (0x7FE0, 0x0010)
_DESCRIBES_PIXELS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


@dataclass(frozen=True)
class MultiFrame:
    """An enhanced file, opened.

    frames are the tags of each frame's groups as text; pixels the parts of the file, first byte and length, that hold
    each frame.
    """

    path: Path
    header: "Dataset"
    frames: tuple[dict[str, str], ...]
    pixels: tuple[tuple[tuple[int, int], ...], ...]

    def describe(self) -> list[Slice]:
        """One Slice a frame."""
        return [self._describe(number, groups) for number, groups in enumerate(self.frames, 1)]

    def _describe(self, number: int, groups: dict[str, str]) -> Slice:
        def tag(key: str) -> str:
            if key == "0008|0008" and "0008|9007" in groups:
                return groups["0008|9007"]  # the type of the frame, for those of a file may differ
            if key == "0018|0010" and "ContrastBolusAgentSequence" in self.header:
                return "yes" if self.header.ContrastBolusAgentSequence else "no"
            if key in groups or not key:
                return groups.get(key, "")
            number = int(key.replace("|", ""), 16)
            return _text(self.header[number].value) if number in self.header else ""

        return describe(
            self.path,
            tag,
            size=(int(self.header.Columns), int(self.header.Rows)),
            frames=len(self.frames),
            colour=int(self.header.SamplesPerPixel) != 1,
            frame=number,
            file=self,
        )

    def write_frame(self, number: int, target: Path) -> None:
        """Write one frame, from 1, as a file that any reader of CT slices decodes, with its own slope and intercept.

        Raises ValueError where the file has no such pixels.
        """
        from pydicom import Dataset
        from pydicom.dataset import FileMetaDataset
        from pydicom.encaps import encapsulate

        syntax = self.header.file_meta.TransferSyntaxUID
        single = Dataset()
        for keyword in _DESCRIBES_PIXELS:
            setattr(single, keyword, self.header[keyword].value)
        groups = self.frames[number - 1]
        single.RescaleIntercept, single.RescaleSlope = groups.get("0028|1052", "0"), groups.get("0028|1053", "1")
        single.SOPClassUID, single.SOPInstanceUID = CT_STORAGE, self.header.SOPInstanceUID
        frame = b""
        with self.path.open("rb") as file:
            for start, length in self.pixels[number - 1]:
                file.seek(start)
                frame += file.read(length)
        if len(frame) < sum(length for _, length in self.pixels[number - 1]):
            raise ValueError("the file ends before its pixels")
        single.PixelData = encapsulate([frame]) if syntax.is_encapsulated else frame
        single["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
        single.file_meta = FileMetaDataset()
        single.file_meta.TransferSyntaxUID = syntax
        single.save_as(target, enforce_file_format=True)


def open_frames(path: Path, name: str) -> MultiFrame:
    """Open an enhanced file; `name` is what messages call the folder.

    Raises InputError where pydicom is missing, and for a file that is damaged or whose frames are not all described.
    """
    try:
        from pydicom import dcmread
        from pydicom.uid import DeflatedExplicitVRLittleEndian
    except ImportError as error:
        raise InputError(
            f"{name}: found enhanced multi-frame CT, expected pydicom for it: pip install 'whs-fast[dicom]'"
        ) from error
    try:
        with path.open("rb") as file:
            header = dcmread(file, stop_before_pixels=True)
            syntax = header.file_meta.TransferSyntaxUID
            if syntax == DeflatedExplicitVRLittleEndian:
                raise InputError(f"{name}: found a deflated enhanced CT file, expected another transfer syntax")
            for keyword in _DESCRIBES_PIXELS:
                header[keyword].value  # noqa: B018 - converted here, so that a damaged value is found here
            count = int(header.NumberOfFrames)
            pixels = _find_pixels(file, header, count)
        shared = _tags(header.get("SharedFunctionalGroupsSequence", []))
        frames = tuple(shared | _tags([groups]) for groups in header.PerFrameFunctionalGroupsSequence)
        del header.PerFrameFunctionalGroupsSequence
    except (InputError, OSError):
        raise
    except Exception as error:  # pydicom raises whatever its parsing meets
        raise InputError(f"{name}: found a damaged enhanced CT file, expected intact files") from error
    if count < 1 or count != len(frames) or count != len(pixels):
        raise InputError(
            f"{name}: found an enhanced CT file of {count} frames with {len(frames)} descriptions and pixels of "
            f"{len(pixels)}, expected the same number of each"
        )
    return MultiFrame(path, header, frames, pixels)


def _find_pixels(file: BinaryIO, header: "Dataset", count: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Where the pixels of each frame are, in a file that has been read up to them; none where it ends there."""
    from pydicom.encaps import parse_basic_offsets, parse_fragments

    syntax = header.file_meta.TransferSyntaxUID
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    tag = file.read(4)
    if (int.from_bytes(tag[:2], order), int.from_bytes(tag[2:], order)) != _PIXEL_DATA:
        return ()
    # After the tag a length of 4 bytes; explicit files have VR and 2 reserved bytes between them.
    start = file.seek(4 if syntax.is_implicit_VR else 8, 1)
    if not syntax.is_encapsulated:
        length = header.Rows * header.Columns * header.BitsAllocated // 8
        return tuple(((start + index * length, length),) for index in range(count))
    table = parse_basic_offsets(file)
    base = file.tell()
    fragments = []
    for at in parse_fragments(file)[1]:
        file.seek(at + 4)
        fragments.append((at + 8, int.from_bytes(file.read(4), "little")))
    if len(table) == count:
        edges = np.searchsorted([at - 8 - base for at, _ in fragments], [*table, np.inf])
        return tuple(tuple(fragments[low:high]) for low, high in pairwise(edges))
    return (tuple(fragments),) if count == 1 else tuple((fragment,) for fragment in fragments)


def _tags(groups: "Iterable[Dataset]") -> dict[str, str]:
    """The elements of functional groups as text, those of the first item of each sequence among them."""
    found: dict[str, str] = {}
    for group in groups:
        for element in group:
            if element.VR == "SQ":
                found |= _tags(element.value[:1])
            else:
                found[f"{element.tag.group:04x}|{element.tag.element:04x}"] = _text(element.value)
    return found


def _text(value: object) -> str:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return "" if value is None else str(value).strip(" \0")
    return "\\".join(str(part) for part in value)

"""The headers of every DICOM image below a folder, one Slice an image or frame.

GDCM, through SimpleITK, reads a header in 0.3 ms; what it gives as text is turned into numbers here, once. Reports,
plans and indexes are DICOM without an image and are passed over; a CT slice that cannot be opened is an error, for it
would go missing in silence.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whs_fast.errors import InputError
from whs_fast.reading.dicom.clues import Clues, find_clues
from whs_fast.reading.itk import open_header
from whs_fast.reading.parallel import map_in_threads

if TYPE_CHECKING:
    from whs_fast.reading.dicom.enhanced import MultiFrame

MOST_FILES = 50_000
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
# Enhanced CT, and classic series converted to it.
ENHANCED_STORAGE = (CT_STORAGE + ".1", CT_STORAGE + ".2")
_SYNTAXES_UNREAD = {
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.4.111": "JPEG XL",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
}
# Values of Image Type of pictures that come with a scan and are no slices of it.
_NO_SLICES = {"LOCALIZER", "SCREEN SAVE", "SCREENSHOT", "DOSE", "DOSE_INFO", "DOSE REPORT"}
_REFORMATTED = {"MPR", "MIP", "MINIP", "AVERAGE", "VRT", "PROJECTION IMAGE", "REFORMATTED", "CPR"}


@dataclass(frozen=True)
class Slice:
    """What the header of one image, or of one frame of a multi-frame file, says.

    frame counts from 1, and file is the enhanced file that holds it, if one does; size is (columns, rows), spacing_mm
    (x, y) between voxels of the image, cosines those of its row and column, LPS. placed says whether position,
    orientation and pixel spacing are there. extra marks localisers, secondary captures, dose sheets and colour
    pictures. contrast is None where the header does not tell. bits are the number of those stored and the highest.
    """

    path: Path
    frame: int
    file: "MultiFrame | None"
    frames: int
    series: str
    study: str
    instance: str
    number: int
    modality: str
    description: str
    kernel: str
    acquired: str
    reference: str
    extra: bool
    reformatted: bool
    contrast: bool | None
    cardiac: bool
    placed: bool
    size: tuple[int, int]
    spacing_mm: tuple[float, float]
    position: tuple[float, ...]
    cosines: tuple[float, ...]
    tilt_degrees: float
    bits: tuple[int, int]
    clues: Clues


def find_slices(folder: Path, name: str, *, threads: int) -> tuple[list[Slice], Counter[str]]:
    """The DICOM images below a folder in the order of their names, and how many copies each series held.

    `name` is what messages call the folder. Raises InputError where there are none, and for a CT slice that is damaged
    or stored in a way that cannot be read.
    """
    paths = [folder] if folder.is_file() else []
    for parent, folders, files in os.walk(folder):
        folders.sort()
        paths += [Path(parent) / file for file in sorted(files)]
        if len(paths) > MOST_FILES:
            raise InputError(f"{name}: found more than {MOST_FILES} files, expected a folder with one DICOM series")

    def look(path: Path) -> list[Slice]:
        return _look(path, name, len(paths))

    found = [image for images in map_in_threads(look, paths, threads) for image in images]
    if not found:
        raise InputError(f"{name}: found {len(paths)} files, none of them a DICOM image, expected a CT series")
    # Exports hold the same image twice now and then. Its UID alone does not make it the same: some lack or repeat it.
    kept: dict[object, Slice] = {}
    copies: Counter[str] = Counter()
    for image in found:
        key = (image.series, image.instance, image.frame, image.position, image.cosines, image.size, image.clues)
        if kept.setdefault(key, image) is not image:
            copies[image.series] += 1
    return list(kept.values()), copies


def _look(path: Path, name: str, count: int) -> list[Slice]:
    if not path.is_file():
        return []
    storage, syntax, dicom = read_uids(path)
    if not dicom:
        return []
    if storage in ENHANCED_STORAGE:
        from whs_fast.reading.dicom.enhanced import open_frames

        return open_frames(path, name).describe()
    if syntax in _SYNTAXES_UNREAD and storage == CT_STORAGE:
        raise InputError(
            f"{name}: found CT slices compressed as {_SYNTAXES_UNREAD[syntax]}, expected JPEG, JPEG-LS, JPEG 2000, RLE "
            "or none: ask for another transfer syntax, or convert them"
        )
    reader = open_header(path, "GDCMImageIO", private=True)
    if reader is None:
        if storage == CT_STORAGE:
            raise InputError(
                f"{name}: found a damaged or truncated CT slice among its {count} files, expected intact files"
            )
        return []

    def tag(key: str) -> str:
        return str(reader.GetMetaData(key)).strip(" \0") if reader.HasMetaDataKey(key) else ""

    size = reader.GetSize()
    image = describe(
        path,
        tag,
        size=(size[0], size[1]),
        frames=size[2] if len(size) > 2 else 1,
        colour=reader.GetNumberOfComponents() != 1,
    )
    return [image]


def read_uids(path: Path) -> tuple[str, str, bool]:
    """SOP class and transfer syntax of a DICOM file, empty where it does not tell, and whether it is one at all."""
    with path.open("rb") as file:
        head = file.read(1024)

    def uid(element: bytes) -> str:
        # Group 0002 is explicit little endian in every file that has it.
        found = re.search(rb"\x02\x00" + element + rb"\x00UI(..)", head[132:], re.DOTALL)
        if found is None:
            return ""
        start = 132 + found.end()
        return head[start : start + int.from_bytes(found[1], "little")].decode("ascii", "replace").strip(" \0")

    dicom = head[128:132] == b"DICM" or head[:2] in (b"\x02\x00", b"\x08\x00")
    return uid(rb"\x02"), uid(rb"\x10"), dicom


def describe(
    path: Path,
    tag: Callable[[str], str],
    *,
    size: tuple[int, int],
    frames: int,
    colour: bool,
    frame: int = 1,
    file: "MultiFrame | None" = None,
) -> Slice:
    """A Slice from its tags, given as text by `tag("gggg|eeee")`, empty where there is none."""
    position, cosines, spacing = numbers(tag("0020|0032")), numbers(tag("0020|0037")), numbers(tag("0028|0030"))
    placed = len(position) == 3 and len(cosines) == 6 and len(spacing) == 2
    kinds = {kind.strip() for kind in tag("0008|0008").upper().split("\\")}
    description = re.sub(r"[^ -~]", "?", tag("0008|103e"))[:64]
    clues = find_clues(tag)
    return Slice(
        path=path,
        frame=frame,
        file=file,
        frames=frames,
        series=tag("0020|000e"),
        study=tag("0020|000d"),
        instance=tag("0008|0018"),
        number=_integer(tag("0020|0011"), 0),
        modality=tag("0008|0060"),
        description=description,
        kernel=tag("0018|1210"),
        acquired=tag("0008|002a") or tag("0018|9074") or tag("0008|0032"),
        reference=tag("0020|0052"),
        extra=colour or bool(kinds & _NO_SLICES) or tag("0008|0016") not in ("", CT_STORAGE, *ENHANCED_STORAGE),
        reformatted=bool(kinds & _REFORMATTED) or {"DERIVED", "SECONDARY"} <= kinds,
        contrast=_contrast(tag, description),
        cardiac=clues.gated or bool(_HEART.search(f"{description} {tag('0018|0015')} {tag('0018|1030')}")),
        placed=placed,
        size=size,
        # Pixel Spacing is between rows, then between columns.
        spacing_mm=(spacing[1], spacing[0]) if placed else (0.0, 0.0),
        position=position,
        cosines=cosines,
        tilt_degrees=next(iter(numbers(tag("0018|1120"))), 0.0),
        bits=(_integer(tag("0028|0101"), 16), _integer(tag("0028|0102"), 15)),
        clues=clues,
    )


_HEART = re.compile(
    r"(?i)heart|herz|coeur|cuore|cardi|kardi|coron|\bcor|\bccta|tav[ir]|systol|diastol|bestsyst|bestdiast"
)
_PLAIN = re.compile(r"(?i)\bnon?[ -]?(con|kontr|enh)|without|\bnativ|calci?um|\bca[ -]?sc|score|unenhanced|\bplain\b")
_CONTRAST = re.compile(r"(?i)contrast|enhanced|\bc\+|\w*cta\b|angio|arteri|venous|portal|\bkm\b|\biv\b")


def _contrast(tag: Callable[[str], str], description: str) -> bool | None:
    if _PLAIN.search(description):
        return False
    agent = tag("0018|0010").upper()
    if agent:
        return agent not in ("NONE", "NO", "N/A", "NA", "0", "WITHOUT", "NO CONTRAST")
    return True if _CONTRAST.search(description) else None


def _integer(text: str, otherwise: int) -> int:
    found = numbers(text)
    return int(found[0]) if found else otherwise


def numbers(text: str) -> tuple[float, ...]:
    """The numbers of a multi-valued tag; none where one of them is not finite."""
    try:
        values = tuple(float(word) for word in text.split("\\"))
    except ValueError:
        return ()
    return values if np.isfinite(values).all() else ()

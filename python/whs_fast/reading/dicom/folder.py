"""The headers of every DICOM image below a folder, one Slice an image or frame.

GDCM, through SimpleITK, reads a header in 0.3 ms. Reports, plans and indexes are DICOM without an image and are passed
over; a CT slice that cannot be opened is an error, for it would go missing in silence.
"""

import os
import re
from collections import Counter
from pathlib import Path

from whs_fast.errors import InputError
from whs_fast.reading.dicom.enhanced import open_frames
from whs_fast.reading.dicom.slice import CT_STORAGE, ENHANCED_STORAGE, Slice, describe
from whs_fast.reading.itk import open_header
from whs_fast.reading.parallel import map_in_threads

MOST_FILES = 50_000
_SYNTAXES_UNREAD = {
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.4.111": "JPEG XL",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
}


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

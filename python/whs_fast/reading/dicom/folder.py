"""The headers of every DICOM image below a folder, one Slice an image or frame.

GDCM, through SimpleITK, reads a header in 0.3 ms. Reports, plans and indexes are DICOM without an image and are passed
over. What is there and cannot be read is an error, for it would go missing in silence: a folder or a file without
permission, a link that leads nowhere (of a file that was never fetched), a damaged slice.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from whs_fast.errors import InputError
from whs_fast.reading.dicom.elements import PromiseError, find_pixels, read_meta
from whs_fast.reading.dicom.enhanced import open_frames
from whs_fast.reading.dicom.slice import CT_STORAGE, ENHANCED_STORAGE, Slice, describe, numbers
from whs_fast.reading.dicom.texts import decode
from whs_fast.reading.formats import known_suffix
from whs_fast.reading.itk import open_header
from whs_fast.reading.naming import name_inside
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
# What lies beside images, by the ends of names and by whole names: nobody misses it.
_NO_IMAGES = {".db", ".htm", ".html", ".inf", ".ini", ".jpg", ".json", ".log", ".pdf", ".png", ".txt", ".xml"}
_OF_THE_SYSTEM = {"lost+found", "System Volume Information", "$RECYCLE.BIN", ".Spotlight-V100", ".Trashes", ".DS_Store"}
_MOST_KINDS = 3  # of names, apart from their numbers, where the images of a folder are named alike
_DAMAGED = "damaged"


@dataclass(frozen=True)
class Found:
    """The DICOM images below a folder in the order of their names.

    copies counts the copies that each series held; notes say what could not be read and is not missed.
    """

    slices: tuple[Slice, ...]
    copies: Counter[str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Unread:
    """A file, link or folder that is there and cannot be read, and why."""

    path: Path
    reason: str
    is_file: bool = False


def find_slices(folder: Path, name: str, *, threads: int) -> Found:
    """The DICOM images below a folder; links are followed, and no folder is entered twice.

    `name` is what messages call the folder. Raises InputError where there are none, for what is there and cannot be
    read, and for a CT slice that is damaged or stored in a way that cannot be read: it would go missing in silence.
    """
    paths, unread = ([folder], []) if folder.is_file() else _walk(folder, name)

    def look(path: Path) -> list[Slice] | _Unread:
        try:
            return _look(path, name)
        except OSError as error:
            return _Unread(path, _reason(error), is_file=True)

    found: list[Slice] = []
    for looked in map_in_threads(look, paths, threads):
        if isinstance(looked, _Unread):
            unread.append(looked)
        else:
            found += looked
    notes = _check_unread(unread, folder, name, len(paths), [image.path for image in found])
    if not found:
        raise InputError(f"{name}: {_describe_others(paths)}")
    # Exports hold the same image twice now and then. Its UID alone does not make it the same: some lack or repeat it.
    kept: dict[object, Slice] = {}
    copies: Counter[str] = Counter()
    for image in found:
        key = (image.series, image.instance, image.frame, image.position, image.cosines, image.size, image.clues)
        if kept.setdefault(key, image) is not image:
            copies[image.series] += 1
    return Found(tuple(kept.values()), copies, notes)


def _describe_others(paths: list[Path]) -> str:
    """What lies in a folder without DICOM images, and what to do about it."""
    scans = sum(known_suffix(path) is not None for path in paths)
    if scans:
        return (
            f"found no DICOM image, but {scans} NIfTI, NRRD or MetaImage files, expected a CT series: name one of the "
            "files, or take all with `whs-fast batch`"
        )
    return f"found {len(paths)} files, none of them a DICOM image, expected a CT series"


def _walk(folder: Path, name: str) -> tuple[list[Path], list[_Unread]]:
    """The files below a folder in the order of their names, those of a folder before those of its subfolders."""
    paths: list[Path] = []
    unread: list[_Unread] = []
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        folders = []
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(here) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            unread.append(_Unread(here, _reason(error)))
            continue
        for entry in entries:
            path = here / entry.name
            try:
                if entry.is_dir():
                    folders.append(path)
                elif entry.is_file():
                    paths.append(path)
                elif entry.is_symlink():
                    path.stat()  # raises where the link leads nowhere; a device or a pipe is passed over
            except OSError as error:
                unread.append(_Unread(path, _reason(error)))
        if len(paths) > MOST_FILES:
            raise InputError(f"{name}: found more than {MOST_FILES} files, expected a folder with one DICOM series")
        waiting += reversed(folders)
    return paths, unread


def _reason(error: OSError) -> str:
    return "a link that leads nowhere" if isinstance(error, FileNotFoundError) else (error.strerror or "input error")


def _check_unread(unread: list[_Unread], folder: Path, name: str, count: int, images: list[Path]) -> tuple[str, ...]:
    """A note on files that are no images by their names; InputError for whatever else cannot be read."""
    damaged = next((one.path for one in unread if one.reason == _DAMAGED), None)
    if damaged is not None:
        raise InputError(
            f"{name}: found a damaged or truncated CT slice among its {count} files, expected intact files: "
            f"{name_inside(damaged, folder, images)}"
        )
    passed = [one for one in unread if _is_no_image(one, images)]
    missed = [one for one in unread if one not in passed]
    if missed:
        first = f"{name_inside(missed[0].path, folder, images)} ({missed[0].reason.lower()})"
        what = first if len(missed) == 1 else f"{len(missed)} files or folders, {first} the first of them"
        raise InputError(f"{name}: cannot read {what}: slices of the scan could be missing")
    return tuple(
        f"{name_inside(one.path, folder, images)} could not be read ({one.reason.lower()}); by its name it is no image"
        for one in passed
    )


def _is_no_image(one: _Unread, images: list[Path]) -> bool:
    """Whether a name is that of no image: by itself, or because the images' names are all of other kinds."""
    name = one.path.name
    if name in _OF_THE_SYSTEM or one.path.suffix.lower() in _NO_IMAGES:
        return True
    kinds = {re.sub(r"\d+", "#", path.name) for path in images}
    return one.is_file and 1 <= len(kinds) <= _MOST_KINDS and re.sub(r"\d+", "#", name) not in kinds


def _look(path: Path, name: str) -> list[Slice] | _Unread:
    meta = read_meta(path)
    if not meta.dicom:
        return []
    if not meta.intact:
        return _Unread(path, _DAMAGED) if meta.storage in ("", CT_STORAGE, *ENHANCED_STORAGE) else []
    if meta.storage in ENHANCED_STORAGE:
        return open_frames(path, name).describe()
    if meta.syntax in _SYNTAXES_UNREAD and meta.storage == CT_STORAGE:
        raise InputError(
            f"{name}: found CT slices compressed as {_SYNTAXES_UNREAD[meta.syntax]}, expected JPEG, JPEG-LS, JPEG "
            "2000, RLE or none: ask for another transfer syntax, or convert them"
        )
    try:
        pixels = find_pixels(path, meta)
        reader = open_header(path, "GDCMImageIO", private=True)
    except PromiseError:
        reader = None
    if reader is None:
        return _Unread(path, _DAMAGED) if meta.storage == CT_STORAGE else []

    def tag(key: str) -> str:
        text = str(reader.GetMetaData(key)).strip(" \0") if reader.HasMetaDataKey(key) else ""
        if text.isascii() and "\x1b" not in text:
            return text
        return decode(text, tag("0008|0005"))

    size = reader.GetSize()
    image = describe(
        path,
        tag,
        size=(size[0], size[1]),
        frames=size[2] if len(size) > 2 else 1,
        colour=reader.GetNumberOfComponents() != 1,
    )
    bits = int(next(iter(numbers(tag("0028|0100"))), 16))
    if not image.extra and not pixels.fill(image.size, frames=image.frames, bits=bits):
        return _Unread(path, _DAMAGED)
    return [image]

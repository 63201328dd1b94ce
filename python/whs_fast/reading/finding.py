"""Finding the scans below a folder.

A file of a known kind or a zip is a scan. DICOM images are one scan a study: the scan is the lowest folder that holds
all of the study's images, and reading chooses the series in it. Where such a folder holds images of other studies too,
each folder with images of its own is a scan. To know the study, the first image of each folder is looked at, not all
of them: a hundred thousand scans are found in minutes.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from whs_fast.errors import InputError
from whs_fast.reading.dicom.elements import PromiseError, find_pixels, read_meta
from whs_fast.reading.dicom.slice import CT_STORAGE, ENHANCED_STORAGE
from whs_fast.reading.formats import known_suffix
from whs_fast.reading.itk import open_header, silence
from whs_fast.reading.labels import is_label_map
from whs_fast.reading.naming import printable

_STUDY = "0020|000d"


@dataclass
class Found:
    """Scans below a folder, in the order of their paths, and how many label maps were passed over for their names."""

    scans: list[Path] = field(default_factory=list)
    label_maps: int = 0


def find_scans(folder: Path, *, leave_out: Path | None = None) -> Found:
    """Finds the scans below a folder. Hidden files and folders are passed over, and so is the folder `leave_out`.

    Raises InputError for a folder that cannot be read: scans would go missing in silence.
    """
    found = Found()
    skipped = None if leave_out is None else leave_out.resolve()
    studies: dict[Path, str] = {}
    with silence():
        _visit(folder, skipped, found, studies, set())
    found.scans += _group(studies)
    found.scans.sort()
    return found


def without_suffix(path: Path) -> Path:
    """A path without the end of its name that tells the kind of file."""
    suffix = known_suffix(path) or (path.suffix if path.suffix.lower() in (".zip", ".dcm") else "")
    return path.with_name(path.name[: -len(suffix)]) if 0 < len(suffix) < len(path.name) else path


def _visit(
    folder: Path, skipped: Path | None, found: Found, studies: dict[Path, str], entered: set[tuple[int, int]]
) -> None:
    """Adds the files below a folder that are scans to `found`, and to `studies` each folder that holds DICOM images."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in entered or folder.resolve() == skipped:
        return
    entered.add((status.st_dev, status.st_ino))
    for path, is_folder in _entries(folder):
        if is_folder:
            _visit(path, skipped, found, studies, entered)
        elif path.name.lower().endswith(".zip"):
            found.scans.append(path)
        elif known_suffix(path) is not None:
            if is_label_map(path):
                found.label_maps += 1
            else:
                found.scans.append(path)
        elif folder not in studies and (study := _study(path)) is not None:
            studies[folder] = study


def _group(studies: dict[Path, str]) -> Iterator[Path]:
    """The folders that are scans, from those that hold images and the study of each."""
    folders = defaultdict[str, list[Path]](list)
    below = defaultdict[Path, set[str]](set)
    for folder, study in studies.items():
        # Images that do not tell their study belong with no others.
        own = study or os.fspath(folder)
        folders[own].append(folder)
        for place in (folder, *folder.parents):
            below[place].add(own)
    for alike in folders.values():
        whole = Path(os.path.commonpath(alike))
        yield from [whole] if len(below[whole]) == 1 else alike


def _entries(folder: Path) -> Iterator[tuple[Path, bool]]:
    """The visible files and folders of a folder by name, and whether each is a folder."""
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        reason = (error.strerror or "input error").lower()
        raise InputError(f"{printable(folder)}: cannot be read ({reason}): scans could be missing") from error
    for entry in entries:
        if not entry.name.startswith(".") and (entry.is_dir() or entry.is_file()):
            yield folder / entry.name, entry.is_dir()


def _study(path: Path) -> str | None:
    """The study of a DICOM image, empty where it does not tell; None for any other file."""
    try:
        meta = read_meta(path)
        if not meta.dicom:
            return None
        find_pixels(path, meta)
        reader = open_header(path, "GDCMImageIO")
    except OSError:
        return ""  # reading the folder says what is wrong with it
    except PromiseError:
        reader = None
    if reader is None:
        return "" if meta.storage in (CT_STORAGE, *ENHANCED_STORAGE) else None
    return str(reader.GetMetaData(_STUDY)).strip(" \0") if reader.HasMetaDataKey(_STUDY) else ""

"""Finding the scans below a folder.

A file of a known kind or a zip is a scan. DICOM images are one scan a study: the scan is the highest folder whose
images, subfolders included, are all of one study, and reading chooses the series in it. To know the study, the first
image of each folder is looked at, not all of them: a hundred thousand scans are found in minutes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from whs_fast.errors import InputError
from whs_fast.reading.dicom.folder import read_uids
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
    with silence():
        found.scans += _visit(folder, skipped, found, set())[1]
    found.scans.sort()
    return found


def without_suffix(path: Path) -> Path:
    """A path without the end of its name that tells the kind of file."""
    suffix = known_suffix(path) or (path.suffix if path.suffix.lower() in (".zip", ".dcm") else "")
    return path.with_name(path.name[: -len(suffix)]) if 0 < len(suffix) < len(path.name) else path


def _visit(
    folder: Path, skipped: Path | None, found: Found, entered: set[tuple[int, int]]
) -> tuple[set[str], list[Path]]:
    """The studies below a folder, and the folders that are its DICOM scans; files are added to `found`."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in entered or folder.resolve() == skipped:
        return set(), []
    entered.add((status.st_dev, status.st_ino))
    studies: set[str] = set()
    scans: list[Path] = []
    own = None
    for path, is_folder in _entries(folder):
        if is_folder:
            below, inside = _visit(path, skipped, found, entered)
            studies |= below
            scans += inside
        elif path.name.lower().endswith(".zip"):
            found.scans.append(path)
        elif known_suffix(path) is not None:
            if is_label_map(path):
                found.label_maps += 1
            else:
                found.scans.append(path)
        elif own is None:
            own = _study(path)
    if own is not None:
        studies.add(own)
    if len(studies) == 1:
        return studies, [folder]
    # Several studies and images of its own: reading decides about these, and what lies below is not lost.
    return studies, scans if own is None else [folder, *scans]


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
        storage, _, dicom = read_uids(path)
    except OSError:
        return ""  # reading the folder says what is wrong with it
    if not dicom:
        return None
    reader = open_header(path, "GDCMImageIO")
    if reader is None:
        return "" if storage == CT_STORAGE or storage in ENHANCED_STORAGE else None
    return str(reader.GetMetaData(_STUDY)).strip(" \0") if reader.HasMetaDataKey(_STUDY) else ""

"""Paths to DICOM: a folder, a zip of one, unpacked for as long as it is needed, or one multi-frame file.

Whatever goes wrong with files on the way is told in one line.
"""

import errno
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whs_fast.errors import InputError, OutputError
from whs_fast.reading.dicom.elements import read_meta
from whs_fast.reading.dicom.slice import ENHANCED_STORAGE
from whs_fast.reading.formats import known_suffix, packing
from whs_fast.reading.naming import printable
from whs_fast.temporary import temporary_folder

EXPECTED = "expected .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, a DICOM folder or a .zip of one"
MOST_ZIP_BYTES, MOST_ZIP_FILES = 4 << 30, 50_000
_ZIP_MAGIC = b"PK\x03\x04"
_ENCRYPTED, _DEFLATE64 = 0x1, 9
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def name_of(source: str | os.PathLike[str]) -> str:
    """What messages call a path. Raises InputError for an empty one."""
    if not os.fspath(source):
        raise InputError(f"found an empty path, {EXPECTED}")
    return printable(source)


@contextmanager
def telling(name: str) -> Iterator[None]:
    """Turn what goes wrong with files into InputError or OutputError."""
    try:
        yield
    except (InputError, OutputError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name}: found no such file or folder, {EXPECTED}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"{name}: found no space left for temporary files in {tempfile.gettempdir()}") from error
        raise InputError(f"{name}: found a file that cannot be read ({error.strerror or 'input error'})") from error
    except MemoryError as error:
        raise InputError(f"{name}: found a scan too large for the memory of this computer") from error


def is_dicom(path: Path) -> bool:
    """Whether a path can hold a DICOM series. Raises FileNotFoundError where there is nothing."""
    if path.is_dir():
        return True
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    return _is_zip(path) or read_meta(path).storage in ENHANCED_STORAGE


def _is_zip(path: Path) -> bool:
    """Whether a file is named as a zip, or is one under a name that says nothing else."""
    if path.name.lower().endswith(".zip"):
        return True
    with path.open("rb") as file:
        return file.read(4) == _ZIP_MAGIC and known_suffix(path) is None


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[Path]:
    """The folder or multi-frame file at a path, or a folder with what a zip holds until the block ends."""
    if path.is_dir() or not _is_zip(path):
        yield path
        return
    with temporary_folder(name) as folder:
        _unpack(path, folder, name)
        yield folder


def _unpack(path: Path, folder: Path, name: str) -> None:
    """Unpack a zip under names of our own, so that no entry can choose its place, and only up to a total size."""
    with path.open("rb") as file:
        packed = packing(file.read(8))
    if packed not in (None, "zip"):
        raise InputError(f"{name}: is packed with {packed}, expected a zip")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            links = sum(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries)
            if links:
                raise InputError(f"{name}: holds {links} links in place of files: slices of the scan could be missing")
            if any(entry.flag_bits & _ENCRYPTED for entry in entries):
                raise InputError(f"{name}: holds encrypted files: unpack it with its password first")
            for entry in entries:
                if entry.compress_type not in _ZIP_METHODS:
                    how = "Deflate64, which Windows uses above 2 GB" if entry.compress_type == _DEFLATE64 else ""
                    raise InputError(
                        f"{name}: holds files packed by {how or f'method {entry.compress_type}'}: unpack it first"
                    )
            total = sum(entry.file_size for entry in entries)
            if total > MOST_ZIP_BYTES or len(entries) > MOST_ZIP_FILES:
                raise InputError(
                    f"{name}: found {len(entries)} files of {total >> 20} MB in all, expected at most {MOST_ZIP_FILES} "
                    f"and {MOST_ZIP_BYTES >> 20} MB"
                )
            if total > shutil.disk_usage(folder).free:
                raise OutputError(
                    f"{name}: found too little space for {total >> 20} MB of temporary files in {tempfile.gettempdir()}"
                )
            for number, entry in enumerate(sorted(entries, key=lambda entry: entry.filename)):
                # ZipExtFile gives no more bytes than the directory announced, so the total above holds.
                with archive.open(entry) as source, (folder / f"{number:06d}").open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (InputError, OutputError):
        raise
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, IndexError) as error:
        # ValueError: a name that is not what it says it is coded in, or a place that is none. IndexError: no name.
        raise InputError(f"{name}: found a damaged zip, expected an intact one") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"{name}: found no space left for temporary files in {folder.parent}") from error
        if error.errno is None:  # what bzip2 says of damage
            raise InputError(f"{name}: found a damaged zip, expected an intact one") from error
        raise

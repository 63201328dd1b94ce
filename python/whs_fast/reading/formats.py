"""Single files that hold a scan or a label map, by the ends of their names."""

from pathlib import Path

import numpy as np

from whs_fast.errors import InputError
from whs_fast.reading.headers import HEADER_LIMIT, Header
from whs_fast.reading.metaimage import parse_metaimage
from whs_fast.reading.nifti import parse_nifti
from whs_fast.reading.nrrd import parse_nrrd

_PARSERS = {
    ".nii.gz": parse_nifti,
    ".nii": parse_nifti,
    ".nrrd": parse_nrrd,
    ".nhdr": parse_nrrd,
    ".mha": parse_metaimage,
    ".mhd": parse_metaimage,
}
SUFFIXES = tuple(_PARSERS)
_KINDS = {parse_nifti: "nifti", parse_nrrd: "nrrd", parse_metaimage: "metaimage"}
# What a file begins with that was packed as a whole.
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
}


def known_suffix(path: Path) -> str | None:
    """The end of a name that makes a file one that `read_header` reads, or None."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def kind_of(path: Path) -> str | None:
    """What the end of a name says a file is: "nifti", "nrrd", "metaimage", or None."""
    suffix = known_suffix(path)
    return None if suffix is None else _KINDS[_PARSERS[suffix]]


def packing(head: bytes) -> str | None:
    """What a file that begins like this was packed with as a whole, or None."""
    return next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), None)


def read_header(path: Path, name: str) -> Header:
    """The header of a file with a known suffix; `name` is what messages call it.

    Raises InputError for a header that is damaged, whose meaning is not certain, or that does not describe one 3D scan.
    """
    suffix = known_suffix(path)
    assert suffix is not None
    with path.open("rb") as file:
        head = file.read(HEADER_LIMIT)
    parse = _PARSERS[suffix]
    packed = packing(head)
    if packed is not None and not (packed == "gzip" and parse is parse_nifti):
        raise InputError(f"{name}: is packed with {packed}, which a {suffix} file must not be: unpack it first")
    with np.errstate(all="ignore"):  # what overflows is refused, without a warning beside the line
        return parse(path, head, name)

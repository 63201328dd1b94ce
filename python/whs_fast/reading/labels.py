"""Reading a label map from a NIfTI, NRRD or MetaImage file as uint8 on its own grid.

Other programs write the same map as float, as 16-bit integers, or with values of their own (500 for the left ventricle
in MM-WHS). A table from stored values to ours brings them all to uint8, slice by slice; a value that the table lacks is
refused, since a label that nobody knows would otherwise turn into background without a word.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.formats import SUFFIXES, known_suffix, read_header
from whs_fast.reading.headers import check_directions
from whs_fast.reading.naming import printable
from whs_fast.reading.voxels import Layout, read_bytes, read_voxels
from whs_fast.volume import Grid

_UNKNOWN = 255
_MARKERS = ("labels", "label", "seg", "segmentation", "gt")


def read_labels(path: Path, table: Mapping[int, int]) -> tuple[NDArray[np.uint8], Grid]:
    """Labels, uint8[z, y, x], and the grid they lie on.

    table gives for each value that may be stored the label (0 to 254) it stands for; 0 stands for itself. Raises
    InputError for a file that is missing, damaged or not a 3D map, for values that the table lacks, and for values
    between whole numbers, which probabilities and maps that were interpolated have.
    """
    layout, grid = _open(path)
    with _told(path):
        if layout.dtype == np.uint8 and layout.scaled_by_one:
            small = read_bytes(layout, printable(path))
            meanings = {0: 0} | dict(table)
            if all(meanings.get(value) == value for value in range(int(small.max()) + 1)):
                return small, grid
            stored = small.astype(np.int16)
        else:
            stored = read_voxels(layout, printable(path), whole=True)
    return _translate(stored, table, printable(path)), grid


def read_grid(path: Path) -> Grid:
    """The grid that a label map lies on, from its header alone. Raises InputError as read_labels does."""
    return _open(path)[1]


def label_suffix(path: Path) -> str | None:
    """The ending that makes a file a label map that can be read (`.nii.gz`, `.seg.nrrd` and so on), or None."""
    return ".seg.nrrd" if path.name.lower().endswith(".seg.nrrd") else known_suffix(path)


def without_marker(stem: str) -> str:
    """A name without the word at its end that says that the file holds labels."""
    for marker in _MARKERS:
        for joint in "_-.":
            if stem.lower().endswith(joint + marker) and len(stem) > len(joint + marker):
                return stem[: -len(joint + marker)]
    return stem


def is_label_map(path: Path) -> bool:
    """Whether a file that may be a scan is a label map by its name, such as scan_label.nii.gz or labels.nii.gz."""
    stem = path.name[: -len(label_suffix(path) or "")]
    return path.name.lower().endswith(".seg.nrrd") or stem.lower() in _MARKERS or without_marker(stem) != stem


def _open(path: Path) -> tuple[Layout, Grid]:
    name = printable(path)
    if known_suffix(path) is None:
        what = "a file of another kind" if path.exists() else "no such file"
        raise InputError(f"{name}: found {what}, expected a label map: {', '.join(SUFFIXES)}")
    with _told(path):
        header = read_header(path, name)
    check_directions(np.reshape(header.grid.direction, (3, 3)), name)
    return header.layout, header.grid


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Says of a file that the system cannot read what every other fault says: one line with its name."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "input error").lower()
        raise InputError(
            f"{printable(path)}: found a file that cannot be read ({reason}), expected a label map"
        ) from error


def _translate(stored: NDArray[np.int16], table: Mapping[int, int], name: str) -> NDArray[np.uint8]:
    lookup = np.full(1 << 16, _UNKNOWN, np.uint8)
    lookup[0] = 0
    for value, label in table.items():
        lookup[value] = label
    labels = np.empty(stored.shape, np.uint8)
    unknown: set[int] = set()
    for source, target in zip(stored, labels, strict=True):
        np.take(lookup, source.view(np.uint16), out=target, mode="clip")
        if target.max() == _UNKNOWN:
            unknown.update(np.unique(source[target == _UNKNOWN]).tolist())
    if unknown:
        found = ", ".join(str(value) for value in sorted(unknown)[:8]) + (" and more" if len(unknown) > 8 else "")
        known = ", ".join(str(value) for value in sorted(table))
        raise InputError(f"{name}: found the label values {found}, expected 0, {known}")
    return labels

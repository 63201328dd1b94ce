"""What the headers of NIfTI, NRRD and MetaImage files have in common: what they say, and whether it can be trusted.

They are parsed here and not by SimpleITK, which replaces values that make no sense (a voxel size of zero, a matrix that
contradicts the voxel size, no orientation at all) by guesses without a word, where left and right depend on them. Where
a header makes sense, the grid is the one that SimpleITK gives.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whs_fast.errors import InputError
from whs_fast.reading.voxels import Layout
from whs_fast.volume import Grid, NiftiPlaces

MOST_VOXELS = 1 << 31
ORTHONORMAL_WITHIN = 2e-4
HEADER_LIMIT = 1 << 16
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Header:
    """Where the voxels of a file are, and the grid they lie on.

    places holds the two that a NIfTI header gives, where they differ; notes say so.
    """

    layout: Layout
    grid: Grid
    places: NiftiPlaces | None = None
    notes: tuple[str, ...] = ()


def make_grid(shape: tuple[int, int, int], spacing: ArrayLike, origin: ArrayLike, directions: ArrayLike) -> Grid:
    """A grid from numbers of any kind; the columns of directions, 3 x 3, are those of x, y and z."""
    x, y, z = np.asarray(spacing, dtype=np.float64).tolist()
    left, back, up = np.asarray(origin, dtype=np.float64).tolist()
    xx, yx, zx, xy, yy, zy, xz, yz, zz = np.ravel(np.asarray(directions, dtype=np.float64)).tolist()
    return Grid(shape, (x, y, z), (left, back, up), (xx, yx, zx, xy, yy, zy, xz, yz, zz))


def find_detached(
    path: Path, target: str, shape: tuple[int, int, int], dtype: np.dtype[Any], skip: int, compressed: bool, name: str
) -> Layout:
    """Layout of voxels in a file of their own beside the header; a skip of -1 means that they are its last bytes.

    A header may not name a file anywhere else: whoever sent it would choose what is read.
    """
    if not target or target.upper().startswith("LIST") or "%" in target:
        raise InputError(f"{name}: found voxels spread over several files, expected one data file")
    if Path(target).is_absolute() or ".." in Path(target).parts:
        raise InputError(f"{name}: names a data file outside its folder, expected it beside the header")
    data = path.parent / target
    if not data.is_file():
        raise InputError(f"{name}: found no data file {data.name}, expected it beside the header")
    if skip == -1 and not compressed:
        needed, size = math.prod(shape) * dtype.itemsize, data.stat().st_size
        if size < needed:
            raise InputError(f"{name}: found {size} bytes of voxels (truncated), expected {needed}")
        skip = size - needed
    if skip < 0:
        raise InputError(f"{name}: found {skip} bytes to skip, expected 0 or more")
    return Layout(data, shape, dtype, 0, skip, compressed)


def three_sizes(sizes: Sequence[int], name: str) -> tuple[int, int, int]:
    """The shape (z, y, x) of sizes along x, y and z. Raises InputError for anything but three that a scan can have."""
    if len(sizes) != 3:
        raise InputError(f"{name}: found {len(sizes)} dimensions ({' x '.join(map(str, sizes))}), expected 3")
    if min(sizes) < 1 or math.prod(sizes) > MOST_VOXELS:
        raise InputError(
            f"{name}: found a size of {' x '.join(map(str, sizes))} voxels, expected 1 to {MOST_VOXELS} in all"
        )
    return sizes[2], sizes[1], sizes[0]


def check_directions(matrix: NDArray[np.float64], name: str) -> None:
    """Refuse a matrix whose columns, the axes of the scan, are sheared, singular or not finite."""
    with np.errstate(all="ignore"):
        unit = matrix / np.linalg.norm(matrix, axis=0)
    if not np.allclose(unit.T @ unit, np.eye(3), rtol=0.0, atol=ORTHONORMAL_WITHIN):
        raise InputError(
            f"{name}: found directions that are singular or not at right angles, expected orthonormal ones"
        )


def check_spacing(spacing: Sequence[float], name: str) -> None:
    """Refuse a voxel size that is not three positive numbers."""
    if len(spacing) != 3 or not all(math.isfinite(value) and value > 0.0 for value in spacing):
        raise InputError(f"{name}: found a spacing of {format_mm(spacing)} mm, expected three positive numbers")


def numbers_in(text: str, kind: type[_Number], name: str) -> list[_Number]:
    """The numbers of a field, apart by spaces. Raises InputError where it holds anything else."""
    try:
        return [kind(word) for word in text.split()]
    except ValueError as error:
        raise InputError(f"{name}: found {text[:40]!r} in the header, expected numbers") from error


def count_in(text: str, name: str) -> int:
    """The one whole number of a field. Raises InputError where it holds anything else."""
    numbers = numbers_in(text, int, name)
    if len(numbers) != 1:
        raise InputError(f"{name}: found {text[:40]!r} in the header, expected one number")
    return numbers[0]


def format_mm(values: Iterable[float]) -> str:
    """Sides of a voxel as text."""
    return " x ".join(f"{value:.4g}" for value in values)

"""The grid that the slices of one scan make, and how they come onto it.

Most series are a regular stack, and their slices are the slices of the scan. Two faults can be mended, since the
positions say where every slice lies: a tilted gantry shears the stack, so each slice is moved within its own plane, and
nothing is interpolated across slices; slices that are missing or unevenly spaced are interpolated linearly from their
neighbours. What is mended is told in a note, and the grid is always that of the positions in the headers: the rows and
columns of the slices and their normal, which makes a right-handed set whatever the order of the files.

What is tolerated unmended: direction cosines that differ by 1e-4 within the series; slices up to 0.25 mm sideways of
the line along the slice normal (0.06 degrees of tilt over 250 mm); positions up to 0.1 mm, and up to a quarter of the
distance between slices, off an even spacing (some scanners write positions with one decimal).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.dicom.majority import COSINES_WITHIN, SPACING_WITHIN_MM, name_slices, split_odd
from whs_fast.reading.dicom.phases import SAME_POSITION_MM, positions_along_normal
from whs_fast.reading.dicom.slice import Slice
from whs_fast.volume import Direction, Triple

SIDEWAYS_MM, UNEVEN_MM, UNEVEN_PART = 0.25, 0.1, 0.25
MOST_TILT_DEGREES = 40.0
# A gap is small up to two missing slices, or 2.5 mm where slices are thin; never beyond 6 mm.
SMALL_GAP_SLICES, SMALL_GAP_MM, LARGEST_GAP_MM = 3.0, 2.5, 6.0
MOST_ODD_GAPS = 0.2


@dataclass(frozen=True)
class Stack:
    """Slices in ascending order along the normal, and the grid that they are read onto.

    places holds, for each slice of the grid, the indices of the two slices it lies between and the share of the
    second; shifts_px the place of each slice's first voxel in the plane of the grid, as (x, y) in voxels. straight
    says that the slices are those of the grid, unmoved.
    """

    slices: tuple[Slice, ...]
    shape: tuple[int, int, int]
    spacing_mm: Triple
    origin_mm: Triple
    direction: Direction
    places: tuple[tuple[int, int, float], ...]
    shifts_px: NDArray[np.float64]
    straight: bool
    notes: tuple[str, ...]


def repeated_positions(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices that share their position with others, those of each position together."""
    if not all(image.placed for image in slices):
        return []
    along = positions_along_normal(slices)
    order = np.argsort(along, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(along[order]) > SAME_POSITION_MM) + 1)
    return [[slices[index] for index in part] for part in parts if len(part) > 1]


def arrange(slices: Sequence[Slice], name: str) -> Stack:
    """Put the slices of one scan in order; `name` is what messages call the folder.

    Raises InputError where they do not make one stack: different sizes or orientations, no positions, several slices
    at one position, shifts that are no tilt, large gaps.
    """
    _check_alike(slices, name)
    row, column, normal = _axes(slices, name)
    along = np.array([image.position for image in slices]) @ normal
    slices = [slices[index] for index in np.argsort(along, kind="stable")]
    along = np.sort(along)
    position = np.array([image.position for image in slices])
    if (np.diff(along) <= SAME_POSITION_MM).any():
        repeated = int((np.diff(along) <= SAME_POSITION_MM).sum())
        raise InputError(
            f"{name}: found {repeated} of {len(slices)} slices at the position of another with a different image and "
            "nothing that tells phases apart, expected one slice a position: export one phase or reconstruction alone"
        )
    places, step, notes = _space(along, name)
    shifts_mm, tilt_notes = _straighten(position, along, normal, slices, name)
    spacing = slices[0].spacing_mm
    shifts = shifts_mm @ np.stack([row, column], axis=1) / spacing
    first = np.floor(shifts.min(axis=0) + 1e-6)
    shifts -= first
    more = np.ceil(shifts.max(axis=0) - 1e-6).astype(int)
    width, height = slices[0].size
    origin = position[0] + first[0] * spacing[0] * row + first[1] * spacing[1] * column
    r, c, n = row.tolist(), column.tolist(), normal.tolist()
    return Stack(
        slices=tuple(slices),
        shape=(len(places), height + int(more[1]), width + int(more[0])),
        spacing_mm=(*spacing, step),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=(r[0], c[0], n[0], r[1], c[1], n[1], r[2], c[2], n[2]),
        places=places,
        shifts_px=shifts,
        straight=not shifts.any() and places == tuple((index, index, 0.0) for index in range(len(slices))),
        notes=(*notes, *tilt_notes),
    )


def _check_alike(slices: Sequence[Slice], name: str) -> None:
    if any(image.extra for image in slices):
        raise InputError(f"{name}: found localisers, screenshots or colour images, expected CT slices")
    stored, high, _ = max((image.stored for image in slices), key=lambda bits: bits[1] - bits[0])
    if high >= stored:
        # DICOM asks for the lowest bits (PS3.5, 8.1.1); GDCM does not move others there.
        raise InputError(f"{name}: found {stored} bits a voxel below bit {high}, expected the lowest {stored}")
    lacking = [image for image in slices if not image.placed]
    if lacking:
        raise InputError(
            f"{name}: found slices without position, orientation or pixel spacing, expected all three: "
            f"{name_slices(lacking, slices)}"
        )
    if len(slices) < 2:
        raise InputError(f"{name}: found a single slice, expected a series of slices")
    spacings = [image.spacing_mm for image in slices]
    if len({image.size for image in slices}) > 1 or np.ptp(spacings, axis=0).max() > SPACING_WITHIN_MM:
        raise InputError(
            f"{name}: found slices of different size or pixel spacing in one series, expected the same in all; "
            f"{_odd_ones(slices)}"
        )


def _odd_ones(slices: Sequence[Slice]) -> str:
    alike, odd = split_odd(slices)
    return f"{len(alike)} are alike, and not {name_slices(odd, alike)}"


def _axes(slices: Sequence[Slice], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal directions of rows, columns and the normal."""
    cosines = np.array([image.cosines for image in slices])
    row, column = cosines[0, :3], cosines[0, 3:]
    if abs(row @ row - 1.0) > 1e-3 or abs(column @ column - 1.0) > 1e-3 or abs(row @ column) > 1e-3:
        raise InputError(f"{name}: found direction cosines that are not orthonormal, expected orthonormal ones")
    if np.ptp(cosines, axis=0).max() > COSINES_WITHIN:
        raise InputError(
            f"{name}: found slices of different orientation in one series, expected one orientation; "
            f"{_odd_ones(slices)}"
        )
    # Cosines come with six or more decimals; what is missing to orthonormal is rounding.
    row = row / np.linalg.norm(row)
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    return row, np.cross(normal, row), normal


def _space(along: NDArray[np.float64], name: str) -> tuple[tuple[tuple[int, int, float], ...], float, tuple[str, ...]]:
    """Where the slices of an even grid lie among those at `along` mm, their distance in mm, and what was mended."""
    gaps = np.diff(along)
    usual, span = float(np.median(gaps)), float(along[-1] - along[0])
    step = span / (len(along) - 1)
    if _off(along, along[0] + step * np.arange(len(along))) <= _tolerance(step) and gaps.max() <= 1.5 * usual:
        return tuple((index, index, 0.0) for index in range(len(along))), step, ()
    wide = gaps > 1.5 * usual
    if gaps.max() > min(LARGEST_GAP_MM, max(SMALL_GAP_SLICES * usual, SMALL_GAP_MM)) and wide.any():
        raise InputError(
            f"{name}: found {int(wide.sum())} gap(s) of up to {gaps.max():.2f} mm between slices {usual:.2f} mm apart "
            "(missing slices, or uneven spacing), too large to be filled, expected the whole series: export it again"
        )
    odd = int((wide | (gaps < 0.5 * usual)).sum())
    if odd > max(1, MOST_ODD_GAPS * len(gaps)):
        raise InputError(
            f"{name}: found distances between slices from {gaps.min():.2f} to {gaps.max():.2f} mm (uneven spacing), "
            "expected even spacing: export one reconstruction alone"
        )
    count = round(span / usual) + 1
    step = span / (count - 1)
    places = []
    for target in along[0] + step * np.arange(count):
        nearest = int(np.abs(along - target).argmin())
        if abs(along[nearest] - target) <= _tolerance(step):
            places.append((nearest, nearest, 0.0))
            continue
        above = int(np.clip(np.searchsorted(along, target), 1, len(along) - 1))
        places.append((above - 1, above, float((target - along[above - 1]) / gaps[above - 1])))
    made = sum(low != high for low, high, _ in places)
    note = (
        f"{made} of {count} slices were interpolated: distances between slices were {gaps.min():.2f} to "
        f"{gaps.max():.2f} mm (missing slices, or uneven spacing)"
    )
    return tuple(places), step, (note,)


def _off(values: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    return float(np.abs(values - expected).max())


def _tolerance(step: float) -> float:
    return min(UNEVEN_MM, UNEVEN_PART * step)


def _straighten(
    position: NDArray[np.float64],
    along: NDArray[np.float64],
    normal: NDArray[np.float64],
    slices: Sequence[Slice],
    name: str,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """How far, in mm, each slice lies sideways of the normal through the first, [n, 3], and what was mended."""
    offset = position - position[0]
    sideways = offset - np.outer(offset @ normal, normal)
    drift = float(np.linalg.norm(sideways, axis=1).max())
    if drift <= SIDEWAYS_MM:
        tilt = slices[0].tilt_degrees
        upright = abs(normal[2]) > 0.9999
        told = f"the header tells of a gantry tilt of {abs(tilt):.1f} degrees, but the slices lie straight: kept so"
        return np.zeros_like(sideways), (told,) if abs(tilt) > 1.0 and upright else ()
    height = along - along[0]
    slope = height @ sideways / (height @ height)
    stray = float(np.linalg.norm(sideways - np.outer(height, slope), axis=1).max())
    tilt = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    if stray > SIDEWAYS_MM:
        raise InputError(
            f"{name}: found slices shifted sideways by up to {stray:.1f} mm off a straight line (a moved table, or "
            "parts of several scans), expected slices stacked along one line"
        )
    if tilt > MOST_TILT_DEGREES:
        raise InputError(f"{name}: found a gantry tilt of {tilt:.1f} degrees, expected at most {MOST_TILT_DEGREES:.0f}")
    note = f"slices of a gantry tilted by {tilt:.1f} degrees were moved onto a straight grid (up to {drift:.1f} mm)"
    return sideways, (note,)

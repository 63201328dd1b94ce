"""Volumes and their grids: the only place where array order and patient millimetres meet.

Arrays are indexed z, y, x. Spacing, origin and points are x, y, z in DICOM patient coordinates (LPS), as SimpleITK
has them; a direction is nine numbers, the rows of a 3 x 3 matrix whose columns are the patient-space directions of
the array's x, y and z. Everything else in the package works either in index space or in millimetres, and converts
here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from math import ceil
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whs_fast.dicom_source import Source
from whs_fast.errors import InputError

Triple: TypeAlias = tuple[float, float, float]
Box: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # of voxels: first and last + 1 in z, y, x
Direction: TypeAlias = tuple[float, float, float, float, float, float, float, float, float]

AIR_HU = -1024  # also what everything outside a scan counts as

MOST_SAMPLES = 16
_SAME_WITHIN_VOXELS = 0.1

IDENTITY_DIRECTION: Direction = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an array lie in the patient.

    shape is (z, y, x); spacing_mm and origin_mm (centre of the first voxel) are (x, y, z), LPS; direction is row-major.
    """

    shape: tuple[int, int, int]
    spacing_mm: Triple
    origin_mm: Triple
    direction: Direction = IDENTITY_DIRECTION

    @property
    def affine(self) -> NDArray[np.float64]:
        """Matrix, float64[4, 4], from a voxel index (x, y, z, 1) to (x, y, z, 1) in mm, LPS."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def box_mm(self) -> tuple[Triple, Triple]:
        """Lowest and highest (x, y, z) of the voxels' outer faces: an upright box around the scan, oblique or not."""
        matrix = self.affine
        first = matrix @ (-0.5, -0.5, -0.5, 1.0)
        edges = matrix[:3, :3] * np.asarray(self.shape[::-1])
        low = first[:3] + np.minimum(edges, 0.0).sum(axis=1)
        high = first[:3] + np.maximum(edges, 0.0).sum(axis=1)
        return _triple(low), _triple(high)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL, exact also where directions are not quite orthogonal."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True)
class NiftiPlaces:
    """The two places that a NIfTI header gives a scan, as they stand there: codes of qform and sform; qfac; b, c, d and
    offset of the qform; the rows of the sform."""

    codes: tuple[int, int]
    qfac: float
    qform: tuple[float, ...]
    sform: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan: an array with its place in the patient.

    Args:
        array: HU, indexed z, y, x. Any real type, which a run converts to C-contiguous int16 or refuses; volumes that
            were read from files hold that already.
        spacing_mm: voxel size (x, y, z) in mm.
        origin_mm: centre of the first voxel (x, y, z) in mm, LPS.
        direction: nine numbers, the rows of a 3 x 3 matrix whose columns are the directions of the array's x, y and z
            in the patient. Default: along the patient axes.
        source: the DICOM instances that the scan was read from, if any.
        notes: what reading chose among several scans, and what it corrected.
        kind: what the scan was read from: "nifti", "nrrd", "metaimage", "dicom" or "image"; "volume" if made by hand.
        nifti_places: the two places of a NIfTI header where they differ, so that labels are written with both.
        choice: why this one of several DICOM series was taken, in words that name nobody.

    Raises:
        InputError: spacing_mm, origin_mm or direction are not 3, 3 and 9 numbers.
    """

    array: NDArray[Any]
    spacing_mm: Triple
    origin_mm: Triple
    direction: Direction = IDENTITY_DIRECTION
    source: Source | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    kind: str = "volume"
    nifti_places: NiftiPlaces | None = None
    choice: str | None = None

    def __post_init__(self) -> None:
        for name, count in (("spacing_mm", 3), ("origin_mm", 3), ("direction", 9)):
            try:
                values = tuple(float(value) + 0.0 for value in np.ravel(getattr(self, name)))
            except (TypeError, ValueError) as error:
                raise InputError(f"volume: {name} must be {count} numbers") from error
            if len(values) != count:
                raise InputError(f"volume: {name} has {len(values)} numbers, expected {count}")
            object.__setattr__(self, name, values)

    @property
    def grid(self) -> Grid:
        """The grid of the array. Raises InputError where the array is not 3D."""
        shape = np.shape(self.array)
        if len(shape) != 3:
            raise InputError(f"volume: the array has {len(shape)} dimensions, expected 3 (z, y, x)")
        return Grid((shape[0], shape[1], shape[2]), self.spacing_mm, self.origin_mm, self.direction)


def axis_aligned_grid(centre_mm: Sequence[float], shape: tuple[int, int, int], spacing_mm: Sequence[float]) -> Grid:
    """A grid along the patient axes whose middle is a given point.

    centre_mm (x, y, z) lies at index (n - 1) / 2 of every axis; shape is (z, y, x); spacing_mm is (x, y, z).
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    half = (np.asarray(shape[::-1]) - 1) / 2.0
    return Grid(shape, _triple(spacing), _triple(np.asarray(centre_mm, dtype=np.float64) - half * spacing))


def index_map(target: Grid, source: Grid) -> NDArray[np.float64]:
    """Matrix M, float64[3, 4], from voxels of one grid to continuous voxels of another.

    With both indices in z, y, x order: source = M[:, :3] @ target + M[:, 3].
    """
    # Origins are subtracted before they are multiplied by the inverse, so that distant origins cost no digits.
    source_axes, target_axes = source.affine[:3, :3], target.affine[:3, :3]
    offset = np.subtract(target.origin_mm, source.origin_mm)
    matrix = np.linalg.solve(source_axes, np.column_stack([target_axes, offset]))
    return np.ascontiguousarray(matrix[::-1][:, [2, 1, 0, 3]])


def same_voxels(one: Grid, other: Grid) -> bool:
    """Whether two grids hold the same voxels, but for the rounding of headers: none lies a tenth of a voxel away."""
    if one.shape != other.shape:
        return False
    corners = np.array(list(product(*((0, count - 1) for count in one.shape))))
    matrix = index_map(one, other)
    return bool(np.abs(corners @ matrix[:, :3].T + matrix[:, 3] - corners).max() < _SAME_WITHIN_VOXELS)


def samples_per_voxel(to_source: NDArray[np.float64]) -> tuple[int, int, int]:
    """Number of samples to average within a target voxel along its z, y and x, so that no source voxel is skipped.

    to_source is an index_map. The number is the longest step, in source voxels, that one target step makes along any
    axis of the source: for an upright scan the ratio of the two spacings, for an oblique one that of the axis it
    crosses fastest. The margin keeps the float noise of a header (0.7 / 0.35 = 2.0000000000000004) from adding a
    sample; more than MOST_SAMPLES are not worth their time.
    """
    z, y, x = (min(MOST_SAMPLES, max(1, ceil(step - 1e-3))) for step in np.abs(to_source[:, :3]).max(axis=0))
    return z, y, x


def mm_to_index(grid: Grid, point_mm: Sequence[float]) -> Triple:
    """Continuous voxel index (z, y, x) of a point (x, y, z) in mm, LPS."""
    offset = np.subtract(point_mm, grid.origin_mm)
    return _triple(np.linalg.solve(grid.affine[:3, :3], offset)[::-1])


def index_to_mm(grid: Grid, index: Sequence[float]) -> Triple:
    """Point (x, y, z) in mm, LPS, of a voxel index (z, y, x), which may be fractional."""
    return _triple(grid.affine[:3, :3] @ np.asarray(index, dtype=np.float64)[::-1] + np.asarray(grid.origin_mm))


def _triple(values: NDArray[np.floating[Any]]) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])

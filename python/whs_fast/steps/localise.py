"""Finds the centre of the aortic valve from a few 2D slices (Sharobeem et al. 2021, doi 10.1007/s12265-021-10166-0).

Along each body axis a network reads single slices and tells their distance in mm to the slice that holds the valve,
once without and once with its sign. The search goes from coarse to fine: slices spread over the whole scan, then a few
around the place on which most of those agree, and the place on which all of them agree best is the coordinate. (The
paper takes the minimum of a polynomial through the distances. On rendered validation scans the vote is nearer: half of
the slices' evidence, the sign, has no place in a distance.)

Whether to trust it, a parabola through the squared distances tells: a distance itself has a kink at the valve, which no
polynomial follows, while its square is smooth and equally small there. Where one of three facts of the fit does not
hold (see _is_sound), the rest of the axis is read more densely, and if the answer is still poor the caller is warned.

Slices lie along the patient axes whatever the direction of the scan, at positions that only depend on the box around
it, so that a scan stored in another order gives the same slices.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from whs_fast._kernels import fit_minimum, resample_window
from whs_fast.steps.region import WINDOW_HU
from whs_fast.volume import AIR_HU, Direction, Grid, Volume, index_map, index_to_mm, mm_to_index, samples_per_voxel

Predict: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

AXES = ("sagittal", "coronal", "axial")  # the slices that stand on x, on y and on z
SLICE_SIDE = 192
PIXEL_MM = 2.0

MOST_SLICES = 23  # an axis: under 5 % of the slices of the three axes of a scan of 512 x 512 x 400
COARSE_SLICES = 6
LONG_MM, LONG_SLICES = 300.0, 7  # a longer axis gets more coarse slices
FINE_SLICES = 8
FINE_MM = 20.0  # the fine slices reach this far on either side
AGAIN_MM = 14.0  # and those of a dense search this far
FIT_MM = 18.0  # slices this near to the valve take part in the fit: measured better than 15, 24 and 30

MOST_RESIDUAL_MM = 7.0  # typical disagreement of the slices with a single point
MOST_DISTANCE_MM = 15.0  # what the network reads at the minimum itself, ideally 0
LEAST_CURVATURE = 0.4  # of the squared distances, ideally 2

# Directions of a stack of slices: columns are the patient axes of its columns, rows and slices.
_STACK_DIRECTIONS: dict[str, Direction] = {
    "sagittal": (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0),
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
}


@dataclass(frozen=True)
class ValvePoint:
    """The centre of the aortic valve.

    point_mm is (x, y, z), LPS, rounded to 0.1 mm and inside the scan. confident is False where an axis stayed doubtful
    after its dense search; warnings then say which, in plain text. residuals_mm says for each of AXES how far the
    slices disagree with their one point.
    """

    point_mm: tuple[float, float, float]
    confident: bool
    slices_read: int
    warnings: tuple[str, ...]
    residuals_mm: tuple[float, ...]


def cut_slices(
    volume: Volume, axis: str, first_mm: float, step_mm: float, count: int, *, threads: int
) -> NDArray[np.uint8]:
    """Evenly spaced slices across a body axis as the networks read them, uint8[count, 192, 192].

    axis is "sagittal", "coronal" or "axial"; first_mm the patient coordinate of the first slice. Slices are 2 mm in
    plane, averaged against aliasing, thin across, centred on the box around the scan, with air beyond it. Rows go to
    the head in sagittal and coronal slices, to the back in axial ones; columns to the back in sagittal slices, to the
    patient's left otherwise.
    """
    grid = volume.grid
    low, high = grid.box_mm
    centre = (np.asarray(low) + np.asarray(high)) / 2
    direction = np.reshape(_STACK_DIRECTIONS[axis], (3, 3))
    half = (SLICE_SIDE - 1) / 2 * PIXEL_MM
    origin = centre - direction @ (half, half, 0.0)
    origin[AXES.index(axis)] = first_mm
    stack = Grid(
        (count, SLICE_SIDE, SLICE_SIDE),
        (PIXEL_MM, PIXEL_MM, step_mm),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        _STACK_DIRECTIONS[axis],
    )
    to_source = index_map(stack, grid)
    _, rows, columns = samples_per_voxel(to_source)
    slices = np.empty(stack.shape, np.uint8)
    resample_window(
        volume.array, slices, to_source, (1, rows, columns), *WINDOW_HU, fill=AIR_HU, first_slice=0, threads=threads
    )
    return slices


@dataclass
class _Axis:
    """What was read along one axis: positions, distances and signed distances (positive beyond the valve) in mm."""

    low: float
    high: float
    read: Callable[[float, float, int], NDArray[np.float64]]
    positions: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    signed: list[float] = field(default_factory=list)

    def look(self, first: float, step: float, count: int) -> None:
        distances, signed = self.read(first, step, count).T
        self.distances += np.maximum(distances, 0.0).tolist()
        self.signed += signed.tolist()
        self.positions += [first + step * i for i in range(count)]


@dataclass(frozen=True)
class _Fit:
    position: float
    distance: float
    residual: float
    curvature: float
    bounded: bool  # slices on both sides, so that the minimum is no end point


def _agreed_position(axis: _Axis) -> float:
    """The position with which most slices agree: each votes for its distance on both sides and for its signed one.

    Near slices weigh more (distances read from far are coarse), and a slice that is far off counts no more than one
    that is moderately off, so that single misreadings do not move the answer.
    """
    positions, distances, signed = (np.array(read) for read in (axis.positions, axis.distances, axis.signed))
    tolerance = 5.0 + 0.2 * np.maximum(distances, np.abs(signed))

    def best(candidates: NDArray[np.float64]) -> float:
        offsets = positions - candidates[:, None]
        misfits = np.abs(np.stack([np.abs(offsets) - distances, offsets - signed])) / tolerance
        return float(candidates[np.argmin((np.minimum(misfits, 3.0) / tolerance).sum(axis=(0, 2)))])

    near = best(np.arange(axis.low, axis.high + 0.5, 1.0).clip(max=axis.high))
    return best(np.arange(near - 1.0, near + 1.05, 0.1).clip(axis.low, axis.high))


def _fit(axis: _Axis, near: float) -> _Fit:
    """Robust parabola of the squared distances of the slices around a position."""
    positions, distances = np.array(axis.positions), np.array(axis.distances)
    away = np.abs(positions - near)
    chosen = away <= max(FIT_MM, np.sort(away)[4])  # a parabola wants 3, a robust one 5
    positions, distances = positions[chosen], distances[chosen]
    low, high = max(axis.low, positions.min()), min(axis.high, positions.max())
    position, square, _, curvature = fit_minimum(positions, distances**2, 2, low, high)
    residual = float(np.median(np.abs(np.abs(positions - position) - distances)))
    bounded = low < position < high
    return _Fit(position, float(np.sqrt(max(square, 0.0))), residual, curvature, bounded)


def _is_sound(fit: _Fit) -> bool:
    """Slices agree with one point, the network reads nearly zero there, and distances grow on both sides of it."""
    return (
        fit.bounded
        and fit.residual <= MOST_RESIDUAL_MM
        and fit.distance <= MOST_DISTANCE_MM
        and fit.curvature >= LEAST_CURVATURE
    )


def _look_around(axis: _Axis, near: float, reach: float, count: int) -> None:
    """Read slices evenly spaced around a position, moved inwards where the scan ends."""
    reach = min(reach, (axis.high - axis.low) / 2)
    middle = min(max(near, axis.low + reach), axis.high - reach)
    step = 2 * reach / (count - 1)
    axis.look(middle - reach, step, count)


def _agree(axis: _Axis) -> tuple[float, _Fit]:
    """The position most slices agree with, and the parabola around it, fitted once more around its own minimum."""
    near = _agreed_position(axis)
    fit = _fit(axis, near)
    return near, _fit(axis, fit.position) if fit.bounded else fit


def _search(axis: _Axis) -> tuple[float, bool, float]:
    """The coordinate of the valve along one axis, whether it can be trusted, and the residual of the fit."""
    coarse = LONG_SLICES if axis.high - axis.low > LONG_MM else COARSE_SLICES
    step = (axis.high - axis.low) / coarse
    axis.look(axis.low + step / 2, step, coarse)
    _look_around(axis, _agreed_position(axis), FINE_MM, FINE_SLICES)
    position, fit = _agree(axis)
    if not _is_sound(fit):
        axis.look(axis.low + step, step, coarse - 1)  # half-way between the coarse slices
        _look_around(axis, _agreed_position(axis), AGAIN_MM, MOST_SLICES - len(axis.positions))
        position, fit = _agree(axis)
    return position, _is_sound(fit), fit.residual


def localise(volume: Volume, predict: Mapping[str, Predict], *, threads: int) -> ValvePoint:
    """Centre of the aortic valve of a scan.

    predict has the networks "axial", "coronal" and "sagittal": uint8[n, 1, 192, 192] -> float32[n, 2], the
    distance in mm without and with its sign (positive in slices to the left of the valve, behind or above it).
    At most 23 slices an axis are read, 14 or 15 where all goes well.
    """
    grid = volume.grid
    low, high = grid.box_mm
    found, doubtful, residuals, slices_read = [], [], [], 0
    for index, name in enumerate(AXES):

        def read(first: float, step: float, count: int, name: str = name) -> NDArray[np.float64]:
            slices = cut_slices(volume, name, first, step, count, threads=threads)
            return np.asarray(predict[name](slices[:, np.newaxis]), np.float64).reshape(count, 2)

        # Rounded, so that the noise of a header written in another order does not reach the slices.
        axis = _Axis(round(low[index], 3), round(high[index], 3), read)
        coordinate, sound, residual = _search(axis)
        found.append(coordinate)
        residuals.append(residual)
        slices_read += len(axis.positions)
        if not sound:
            doubtful.append(name)
    warnings = tuple(
        f"aortic valve: the {name} slices do not agree on its place, check the position" for name in doubtful
    )
    if len(doubtful) == len(AXES):
        warnings += ("aortic valve: found along no axis; the scan may show no contrast-filled heart",)
    return ValvePoint(_put_inside(grid, found), not doubtful, slices_read, warnings, tuple(residuals))


def _put_inside(grid: Grid, point_mm: list[float]) -> tuple[float, float, float]:
    """The point, rounded to 0.1 mm, moved to the nearest voxel where the box around an oblique scan is empty."""
    index = np.asarray(mm_to_index(grid, point_mm))
    inside = np.clip(index, 0.0, np.asarray(grid.shape) - 1.0)
    if (inside != index).any():
        point_mm = list(index_to_mm(grid, inside))
    x, y, z = (round(value, 1) + 0.0 for value in point_mm)
    return x, y, z

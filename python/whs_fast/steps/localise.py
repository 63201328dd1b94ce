"""Finds the centre of the aortic valve from a few 2D slices (Sharobeem et al. 2021, doi 10.1007/s12265-021-10166-0).

Along each body axis a network reads single slices. Each slice tells three things: its distance in mm to the slice that
holds the valve, without and with its sign, and the place of the valve beside its own middle. So every slice says
something of all three coordinates, and a coordinate is where most slices agree. The search goes from coarse to fine:
slices spread over the whole scan, then a few around that place, of pixels half as large: the same network reads them as
a heart twice as large, and its millimetres are half as long. (The paper has distances alone, and takes the minimum of
a polynomial through those of one axis. On rendered validation scans the vote is nearer: what a slice shows of the valve
in itself is as exact as its distance, and the errors of three networks are not the same ones.)

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
PIXEL_MM, CLOSE_PIXEL_MM = 2.0, 1.0

MOST_SLICES = 23  # an axis: under 5 % of the slices of the three axes of a scan of 512 x 512 x 400
COARSE_SLICES = 6
LONG_MM, LONG_SLICES = 300.0, 7  # a longer axis gets more coarse slices
CLOSE_SLICES = 8
CLOSE_MM = 14.0  # the slices of a close look reach this far on either side
FIT_MM = 18.0  # slices this near to the valve take part in the fit: measured better than 15, 24 and 30

MOST_RESIDUAL_MM = 7.0  # typical disagreement of the slices with a single point
MOST_DISTANCE_MM = 15.0  # what the network reads at the minimum itself, ideally 0
LEAST_CURVATURE = 0.4  # of the squared distances, ideally 2

# How far what is read is off, at the valve and with distance from it: a slice's distances, the place in a slice.
DISTANCE_MM, DISTANCE_SHARE = 5.0, 0.2
PLACE_MM, PLACE_SHARE = 4.0, 0.3
_SHOWN = {"sagittal": (2, 1), "coronal": (2, 0), "axial": (1, 0)}  # patient axes of rows and columns

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
    after its dense search, lost is True where all of them did; warnings then say so, in plain text. residuals_mm says
    for each of AXES how far the slices disagree with their one point.
    """

    point_mm: tuple[float, float, float]
    confident: bool
    lost: bool
    slices_read: int
    warnings: tuple[str, ...]
    residuals_mm: tuple[float, ...]


def cut_slices(
    volume: Volume,
    axis: str,
    first_mm: float,
    step_mm: float,
    count: int,
    *,
    threads: int,
    centre_mm: NDArray[np.float64] | None = None,
    pixel_mm: float = PIXEL_MM,
) -> NDArray[np.uint8]:
    """Evenly spaced slices across a body axis as the networks read them, uint8[count, 192, 192].

    axis is "sagittal", "coronal" or "axial"; first_mm the patient coordinate of the first slice. Slices are averaged in
    plane against aliasing, thin across, centred on centre_mm (x, y, z) or else on the box around the scan, with air
    beyond it. Rows go to the head in sagittal and coronal slices, to the back in axial ones; columns to the back in
    sagittal slices, to the patient's left otherwise.
    """
    grid = volume.grid
    centre = np.mean(grid.box_mm, axis=0) if centre_mm is None else centre_mm
    direction = np.reshape(_STACK_DIRECTIONS[axis], (3, 3))
    half = (SLICE_SIDE - 1) / 2 * pixel_mm
    origin = centre - direction @ (half, half, 0.0)
    origin[AXES.index(axis)] = first_mm
    stack = Grid(
        (count, SLICE_SIDE, SLICE_SIDE),
        (pixel_mm, pixel_mm, step_mm),
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
    """What was read along one axis, in mm: positions, distances, signed distances (positive beyond the valve), places.

    A place has the patient coordinates x, y, z of the valve as a slice shows it, nan along the axis itself. units say
    how long a millimetre of the network was.
    """

    low: float
    high: float
    read: Callable[[float, float, int, NDArray[np.float64] | None], tuple[NDArray[np.float64], NDArray[np.float64]]]
    positions: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    signed: list[float] = field(default_factory=list)
    places: list[NDArray[np.float64]] = field(default_factory=list)
    units: list[float] = field(default_factory=list)

    def look(self, first: float, step: float, count: int, closely: NDArray[np.float64] | None = None) -> None:
        """Read evenly spaced slices: of the whole scan, or closely around a point (x, y, z)."""
        distances, places = self.read(first, step, count, closely)
        self.distances += np.maximum(distances[:, 0], 0.0).tolist()
        self.signed += distances[:, 1].tolist()
        self.places += list(places)
        self.positions += [first + step * i for i in range(count)]
        self.units += [1.0 if closely is None else CLOSE_PIXEL_MM / PIXEL_MM] * count


@dataclass(frozen=True)
class _Fit:
    position: float
    distance: float
    residual: float
    curvature: float
    bounded: bool  # slices on both sides, so that the minimum is no end point


def _agreed_position(axes: list[_Axis], index: int) -> float:
    """The coordinate along an axis with which most slices agree.

    Each slice along the axis votes for its distance on both sides and for its signed one, each of the other slices for
    the place in it. Near slices weigh more (what is read from far is coarse), and a vote that is far off counts no more
    than one that is moderately off, so that single misreadings do not move the answer.
    """
    axis = axes[index]
    positions, distances, signed = (np.array(read) for read in (axis.positions, axis.distances, axis.signed))
    across = [other for other in axes if other is not axis]
    places = np.concatenate([np.array(other.places)[:, index] for other in across])
    away, units = (np.concatenate([getattr(other, name) for other in across]) for name in ("distances", "units"))
    tolerance = DISTANCE_MM * np.array(axis.units) + DISTANCE_SHARE * np.maximum(distances, np.abs(signed))
    tolerances = np.concatenate([tolerance, tolerance, PLACE_MM * units + PLACE_SHARE * away])

    def best(candidates: NDArray[np.float64]) -> float:
        offsets = positions - candidates[:, None]
        misses = [np.abs(offsets) - distances, offsets - signed, places - candidates[:, None]]
        misfits = np.abs(np.concatenate(misses, axis=1)) / tolerances
        return float(candidates[np.argmin((np.minimum(misfits, 3.0) / tolerances).sum(axis=1))])

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


def _look_closely(axes: list[_Axis], index: int, point: NDArray[np.float64], count: int) -> None:
    """Read slices evenly spaced around a point, moved inwards where the scan ends."""
    axis = axes[index]
    reach = min(CLOSE_MM, (axis.high - axis.low) / 2)
    middle = min(max(float(point[index]), axis.low + reach), axis.high - reach)
    step = 2 * reach / (count - 1)
    axis.look(middle - reach, step, count, point)


def _refit(axis: _Axis, near: float) -> _Fit:
    """The parabola around a position, fitted once more around its own minimum."""
    fit = _fit(axis, near)
    return _fit(axis, fit.position) if fit.bounded else fit


def _look_over(axis: _Axis) -> int:
    """Read slices spread over the whole scan; how many."""
    count = LONG_SLICES if axis.high - axis.low > LONG_MM else COARSE_SLICES
    step = (axis.high - axis.low) / count
    axis.look(axis.low + step / 2, step, count)
    return count


def _agreed_point(axes: list[_Axis]) -> NDArray[np.float64]:
    return np.array([_agreed_position(axes, index) for index in range(len(axes))])


def _settle(axes: list[_Axis]) -> tuple[NDArray[np.float64], list[_Fit]]:
    """The point that the slices read so far agree with, and the parabola along each axis around it."""
    point = _agreed_point(axes)
    return point, [_refit(axis, near) for axis, near in zip(axes, point.tolist(), strict=True)]


def _search(axes: list[_Axis]) -> tuple[NDArray[np.float64], list[_Fit]]:
    """The coordinates of the valve and the parabola along each axis."""
    coarse = [_look_over(axis) for axis in axes]
    point = _agreed_point(axes)
    for index in range(len(axes)):
        _look_closely(axes, index, point, CLOSE_SLICES)
    point, fits = _settle(axes)
    doubtful = [index for index, fit in enumerate(fits) if not _is_sound(fit)]
    for index in doubtful:
        axis, step = axes[index], (axes[index].high - axes[index].low) / coarse[index]
        axis.look(axis.low + step, step, coarse[index] - 1)  # half-way between the coarse slices
        _look_closely(axes, index, _agreed_point(axes), MOST_SLICES - len(axis.positions))
    return _settle(axes) if doubtful else (point, fits)


def localise(volume: Volume, predict: Mapping[str, Predict], *, threads: int) -> ValvePoint:
    """Centre of the aortic valve of a scan.

    predict has the networks "axial", "coronal" and "sagittal": uint8[n, 1, 192, 192] -> float32[n, 4], in mm where
    pixels have 2 mm: the distance without and with its sign (positive in slices to the left of the valve, behind or
    above it), and the row and the column of the valve beside the middle of the slice.
    At most 23 slices an axis are read, 14 or 15 where all goes well.
    """
    grid = volume.grid
    low, high = np.asarray(grid.box_mm)

    def reader(name: str) -> Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]:
        shown = [*_SHOWN[name]]

        def read(
            first: float, step: float, count: int, closely: NDArray[np.float64] | None
        ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            centre = (low + high) / 2 if closely is None else closely
            pixel = PIXEL_MM if closely is None else CLOSE_PIXEL_MM
            slices = cut_slices(
                volume, name, first, step, count, threads=threads, centre_mm=centre, pixel_mm=pixel
            )
            told = np.asarray(predict[name](slices[:, np.newaxis]), np.float64) * (pixel / PIXEL_MM)
            places = np.full((count, 3), np.nan)
            places[:, shown] = told[:, 2:] + centre[shown]
            return told[:, :2], places

        return read

    # Rounded, so that the noise of a header written in another order does not reach the slices.
    axes = [
        _Axis(round(first, 3), round(last, 3), reader(name))
        for name, first, last in zip(AXES, low.tolist(), high.tolist(), strict=True)
    ]
    found, fits = _search(axes)
    doubtful = [name for name, fit in zip(AXES, fits, strict=True) if not _is_sound(fit)]
    warnings = tuple(
        f"aortic valve: the {name} slices do not agree on its place, check the position" for name in doubtful
    )
    lost = len(doubtful) == len(AXES)
    if lost:
        warnings += ("aortic valve: found along no axis; the scan may show no contrast-filled heart",)
    slices_read = sum(len(axis.positions) for axis in axes)
    residuals = tuple(fit.residual for fit in fits)
    return ValvePoint(_put_inside(grid, found.tolist()), not doubtful, lost, slices_read, warnings, residuals)


def _put_inside(grid: Grid, point_mm: list[float]) -> tuple[float, float, float]:
    """The point, rounded to 0.1 mm, moved to the nearest voxel where the box around an oblique scan is empty."""
    index = np.asarray(mm_to_index(grid, point_mm))
    inside = np.clip(index, 0.0, np.asarray(grid.shape) - 1.0)
    if (inside != index).any():
        point_mm = list(index_to_mm(grid, inside))
    x, y, z = (round(value, 1) + 0.0 for value in point_mm)
    return x, y, z

"""The wall of the aortic root in a plane: the closed contour along the steepest fall from blood to wall.

The plane is unrolled around a centre; of all closed contours the one is taken, by dynamic programming, that runs along
the sharpest edges, bends least and stays near the border of the labels. Labels are right to a voxel of 1.4 mm and tell
which of several edges is the wall (a cusp, or an atrium behind it, has edges too); the image tells where exactly it is:
half-way between blood and what lies outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.valves.contours import Plane, Points, Shape, measure_contour
from whs_fast.valves.crop import Crop

RAYS = 72
ANGLES = np.arange(RAYS) * 2 * np.pi / RAYS
STEP_MM = 0.2
RADII = np.arange(3.0, 26.0, STEP_MM)
EDGE = 2  # voxels of the crop on either side of an edge, that are compared
MOVE = 3  # steps that the contour may go from one ray to the next
BEND_COST = 0.03
LABEL_MM, LABEL_COST = 2.0, 0.25  # cost of leaving the labels' border, so far, by the square
OPEN = 1.35  # a border so many times farther than most is not the wall's: the cavity is open there
SHARP = 0.5  # share of rays with a clear edge, below which a contour is not told
LEVELS = (0.4, 0.6)  # of an edge, between which the wall may lie
WAVES = 6  # of the contour's radius around the circle that are kept


@dataclass(frozen=True)
class Wall:
    """radii: mm from the plane's centre at ANGLES. sharp: share of the rays with a clear edge."""

    radii: Points
    sharp: float

    @property
    def flat(self) -> Points:
        """Corners [RAYS, 2] of the contour in its plane."""
        return np.asarray(self.radii[:, None] * _WAYS)

    def at(self, angles: Points | float) -> Points:
        """Radius at angles (rad) in the plane, of any shape."""
        around = np.r_[self.radii, self.radii[0]]
        return np.asarray(np.interp(np.mod(angles, 2 * np.pi), np.r_[ANGLES, 2 * np.pi], around))


_WAYS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], -1)
_BENDS = np.asarray(BEND_COST * np.arange(-MOVE, MOVE + 1) ** 2)


def trace_wall(
    crop: Crop, plane: Plane, *, border: Points | None = None, level: float = 0.5, radii: Points = RADII
) -> Wall:
    """The lumen's wall around the plane's centre.

    radii: where it may lie, mm, STEP_MM apart. border: radii at ANGLES near which it lies, that of the labels where
    None. level: share of the way from outside to blood at which the wall is put.
    """
    places = np.zeros((RAYS, len(radii), 3))  # in the plane, at height 0
    np.moveaxis(places, -1, 0)[:2] = _WAYS.T[..., None] * radii
    hu = crop.at(places, plane)
    kept = np.ones(RAYS, bool)
    if border is None:
        inside = crop.in_blood(places, plane)
        border = radii[np.where(inside.all(1), -1, inside.argmin(1))]
        kept = border <= OPEN * np.median(border)
    half, count = _edge_steps(crop), len(radii)
    around = np.arange(-half - 1, count + half).clip(0, count - 1)
    sums = np.cumsum(np.minimum(hu, crop.blood)[:, around], 1, dtype=np.float64)
    means = (sums[:, half:] - sums[:, :-half]) / half  # of the `half` samples before each place
    edge = (means[:, :count] - means[:, half : half + count]) / crop.contrast
    away = (radii - border[:, None]) / LABEL_MM
    cost = (LABEL_COST * kept)[:, None] * away**2 - edge.clip(-0.3, 0.8)
    path = _kernels.cheapest_cycle(cost, _BENDS)
    waves = np.fft.rfft(_crossings(crop, hu, path, radii, level))
    waves[WAVES + 1 :] = 0
    sharp = float((edge[np.arange(RAYS), path] > 0.3).mean())
    return Wall(np.fft.irfft(waves, RAYS), sharp)


def _edge_steps(crop: Crop) -> int:
    return round(EDGE * crop.grid.spacing_mm[0] / STEP_MM)


def size_errors(
    crop: Crop,
    shape: Shape,
    plane: Plane,
    others: Sequence[Plane],
    *,
    border: Points | None = None,
    radii: Points = RADII,
) -> dict[str, float]:
    """Standard errors of the sizes of a contour in a plane, which may as well be one of the others, and of its edge."""
    edges = [measure_contour(trace_wall(crop, plane, border=border, level=at, radii=radii).flat) for at in LEVELS]
    moved = [measure_contour(trace_wall(crop, other, border=border, radii=radii).flat) for other in others]

    def error(name: str) -> float:
        spread = [getattr(other, name) - getattr(shape, name) for other in moved]
        return float(np.hypot(np.linalg.norm(spread), (getattr(edges[0], name) - getattr(edges[1], name)) / 2))

    return {name: round(error(name), 1) for name in ("area_mm2", "perimeter_mm", "dmin_mm", "dmax_mm")}


def _crossings(crop: Crop, hu: NDArray[np.float32], path: NDArray[np.int64], radii: Points, level: float) -> Points:
    """Where each ray passes the level between the outside and blood, nearest to its place on the path."""
    reach = 2 * _edge_steps(crop)
    steps = np.arange(-reach, reach + 1)
    rays = np.arange(RAYS)
    at = np.clip(path[:, None] + steps, 0, len(radii) - 1)
    near = hu[rays[:, None], at]
    outside = np.maximum(near[:, reach:].min(1), crop.muscle)
    bound = outside + level * (crop.blood - outside)
    falls = (near[:, :-1] >= bound[:, None]) & (near[:, 1:] < bound[:, None])
    first = np.where(falls, np.abs(steps[:-1]), reach + 1).argmin(1)
    before, after = near[rays, first], near[rays, first + 1]
    share = (before - bound) / np.where(before > after, before - after, 1.0)
    return np.where(falls.any(1), radii[at[rays, first]] + STEP_MM * share, radii[path])

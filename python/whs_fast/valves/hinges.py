"""The hinge points of the aortic valve: the nadirs of its three cusps, where they leave the wall.

Three bulges of the wall above the annulus tell where the sinuses are. In half-planes through the axis around the middle
of each, a cusp is a thin sheet, dark or calcified, that leaves the wall and rises inwards. The line along it, prolonged
outwards, meets the wall of the outflow tract, prolonged upwards, at the line of attachment. There, too, the wall begins
to bulge, which is seen less exactly but where no cusp is seen. These lines form a crown of three arches: one plane and
a parabola for each cusp are fitted to all of them at once, against outliers, so that a cusp that is hardly seen is held
by the others. The hinge points are the lowest points of the parabolas. So the plane does not depend on the labels,
which only say where to look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast.valves.contours import Plane, Points
from whs_fast.valves.crop import Crop
from whs_fast.valves.edges import ANGLES, RAYS, Wall, trace_wall

CUSPS = ("right", "left", "non_coronary")
SINUS_HEIGHTS_MM = np.arange(1.0, 18.0, 2.0)
SINUS_PLANES = 4  # neighbours of these heights, in which the bulges are largest
LEAST_BULGE_MM = 0.35  # amplitude of the three lobes
LEAST_OF_TWO = 0.85  # times that of two; drawn roots of three sinuses have 0.97 and more, most of two up to 0.75
WALL_HEIGHTS_MM = np.arange(-6.0, 9.1, 1.0)
OUTFLOW_MM = (-5.5, -0.5)  # where the wall is the outflow tract's
TURNS = np.deg2rad([-24, -16, -8, 0, 8, 16, 24])  # half-planes beside the middle of a sinus
FAN = np.deg2rad([-4, -2, 0, 2, 4])  # averaged in each
HEIGHTS_MM = np.arange(-4.0, 9.01, 0.4)
RADII_MM = np.arange(3.0, 24.0, 0.2)
CLEAR_MM = 1.0  # nearer to the wall a sheet is not told from it
LEAST_DIP = 0.18  # of the contrast
SHEET_MM = 5.0  # of its height that is taken for straight
LEAST_POINTS = 4
ASKEW = np.deg2rad(14)  # a nadir lies no farther from the middle of its sinus
FARTHEST_MM = 9.0  # from the plane at which the search began
# The crown as it is expected, with standard deviations: the plane's height and rise across its radius in mm, the bend
# of the parabolas in mm per rad2 (within 24 degrees a cusp rises by 1 to 4 mm), and how cusps differ in slope and bend.
PLANE_SD_MM = (3.0, 1.8, 1.8)
BEND, BEND_SD = 14.0, 5.0
CUSP_SLOPE_SD, CUSP_BEND_SD = 2.5, 3.0
STARTS_MM = (-4.0, -2.0, 0.0, 2.0, 4.0)  # heights from which the fit begins
STRAY_MM = 0.6  # of an attachment from the crown, as a Cauchy distribution has it
BULGES_MM = np.arange(-4.0, 6.1, 0.25)  # heights at which the wall may begin to bulge; looked for in every second turn
BULGE_STRAY_MM = 1.2
LEAST_SLOPE = 0.15  # by which the wall turns outwards
NEAR_MM = 0.9  # to the crown, an attachment is taken for seen
SEEN_MM = 0.75  # error of the fit, below which a hinge point near which an attachment is seen counts as seen
ROUNDS = 12  # of re-weighting
LEAST_ERROR_MM, UNSEEN_MM = 0.25, 1.0  # errors of every hinge point, and of one that is not seen
LABELS_MM = 3.5  # error of one in the plane of the labels, as seen on drawn scans
NOT_THREE = "three sinuses cannot be told apart (a bicuspid valve, fused cusps, or motion)"


@dataclass(frozen=True)
class Hinges:
    """points_mm: right, left, non-coronary [3, 3], LPS. uncertainty_mm: standard errors of their heights [3]. seen:
    whether the line of attachment was seen near each [3]."""

    points_mm: Points
    uncertainty_mm: Points
    seen: NDArray[np.bool_]


def find_hinges(crop: Crop, plane: Plane, mitral_mm: Points | None) -> Hinges | str:
    """Hinge points near a plane, or why they cannot be told. mitral_mm: centre of the mitral valve, if known."""
    above = _walls_above(crop, plane)
    lobes = _sinuses(above)
    if lobes is None:
        return NOT_THREE
    walls = _walls(crop, plane, above)
    middles = _named(lobes, plane, mitral_mm)
    found = []
    for k, middle in enumerate(middles):
        by_turn = list(zip(TURNS, np.array([wall.at(middle + TURNS) for wall in walls]).T, strict=True))
        found += [(k, t, _attachment(crop, plane, own, middle + t), STRAY_MM) for t, own in by_turn]
        found += [(k, t, _bulging(own), BULGE_STRAY_MM) for t, own in by_turn[1::2]]
    told = np.array([row for row in found if row[2] is not None], float).reshape(-1, 4)  # perhaps of no row at all
    lows, nadirs, errors, seen = _fit_crown(middles, told)
    angles = middles + nadirs
    radii = [np.interp(low, WALL_HEIGHTS_MM, [float(wall.at(at)) for wall in walls])
             for low, at in zip(lows, angles, strict=True)]  # fmt: skip
    flat = np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    return Hinges(plane.lift(flat) + lows[:, None] * plane.normal, errors, seen)


def place_hinges(crop: Crop, plane: Plane, mitral_mm: Points | None) -> Hinges | str:
    """Hinge points where none is seen: below the middles of the sinuses, in the plane of the labels, with its error."""
    lobes = _sinuses(_walls_above(crop, plane))
    if lobes is None:
        return NOT_THREE
    angles = _named(lobes, plane, mitral_mm)
    radii = trace_wall(crop, plane).at(angles)
    points = plane.lift(radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1))
    return Hinges(points, np.full(3, LABELS_MM), np.zeros(3, bool))


def plane_through(hinges: Points, centre_mm: Points, up: Points) -> Plane:
    """The plane through three points [3, 3]; its centre is the foot of centre_mm, its normal points up."""
    normal = np.cross(hinges[1] - hinges[0], hinges[2] - hinges[0])
    normal /= np.linalg.norm(normal) * np.sign(normal @ up)
    return Plane.through(centre_mm - ((centre_mm - hinges[0]) @ normal) * normal, normal)


def _walls_above(crop: Crop, plane: Plane) -> dict[float, Wall]:
    """Walls by SINUS_HEIGHTS_MM."""
    return {h: trace_wall(crop, plane.moved(h)) for h in SINUS_HEIGHTS_MM}


def _sinuses(above: Mapping[float, Wall]) -> Points | None:
    """Angles of the middles of three sinuses, from the walls at SINUS_HEIGHTS_MM."""
    waves = _waves(list(above.values()))
    if 2 * abs(waves[3]) / RAYS < LEAST_BULGE_MM:
        return None
    lobes = np.zeros_like(waves)
    lobes[3:6] = waves[3:6]
    radii = np.fft.irfft(lobes, RAYS)
    first = -np.angle(waves[3]) / 3
    angles = []
    for middle in first + np.arange(3) * 2 * np.pi / 3:
        near = np.abs((ANGLES - middle + np.pi) % (2 * np.pi) - np.pi) < np.deg2rad(28)
        away = ((ANGLES[near] - middle + np.pi) % (2 * np.pi) - np.pi) * np.maximum(radii[near], 0)
        angles.append(middle + away.sum() / max(np.maximum(radii[near], 0).sum(), 1e-6))
    return np.array(angles)


def _waves(walls: Sequence[Wall]) -> NDArray[np.complex128]:
    """Waves around the circle of the wall's radius, at the height where three lobes are largest."""
    radii = [np.mean([wall.radii for wall in walls[i : i + SINUS_PLANES]], 0)
             for i in range(len(walls) - SINUS_PLANES + 1)]  # fmt: skip
    waves = np.fft.rfft(radii)
    return np.asarray(waves[np.abs(waves[:, 3]).argmax()])


def has_two_lobes(walls: Sequence[Wall]) -> bool:
    """Whether walls at about SINUS_HEIGHTS_MM over the annulus bulge to two sides rather than to three.

    Only over the annulus itself: in a plane that is askew, three sinuses may look like two.
    """
    waves = np.abs(_waves(walls))
    return bool(waves[3] < LEAST_OF_TWO * waves[2])


def _walls(crop: Crop, plane: Plane, above: Mapping[float, Wall]) -> list[Wall]:
    """Walls at WALL_HEIGHTS_MM, of which some are known; below the annulus the cavity is open behind: each near the
    last."""
    walls = {h: above.get(h) or trace_wall(crop, plane.moved(h)) for h in WALL_HEIGHTS_MM[WALL_HEIGHTS_MM >= 0]}
    for h in WALL_HEIGHTS_MM[WALL_HEIGHTS_MM < 0][::-1]:
        walls[h] = trace_wall(crop, plane.moved(h), border=walls[h + 1].radii)
    return [walls[h] for h in WALL_HEIGHTS_MM]


def _named(angles: Points, plane: Plane, mitral_mm: Points | None) -> Points:
    """The angles in the order of CUSPS: the right sinus faces away from the mitral valve, or else forward.

    Seen from the aorta, right, left and non-coronary follow one another counter-clockwise.
    """
    away = np.array([0.0, -1.0, 0.0]) if mitral_mm is None else plane.centre_mm - mitral_mm
    towards = np.arctan2(away @ plane.along, away @ plane.across)
    angles = np.sort(angles % (2 * np.pi))
    return np.roll(angles, -int(np.cos(angles - towards).argmax()))


def _fit_crown(middles: Points, found: Points) -> tuple[Points, Points, Points, NDArray[np.bool_]]:
    """Height, turn from the middle, standard error of the height and whether it is seen, of each cusp's nadir.

    found: cusp, turn from its middle, height and scale of the error, of each point that was found of the crown [n, 4].
    Heights are linear in ten numbers: three of the plane, the common bend, and slope and bend of each cusp. They are
    fitted by least squares that are weighted again and again, with what is expected of them as ten more observations.
    """
    expected = np.r_[0.0, 0.0, 0.0, BEND, np.zeros(6)]
    spread = np.r_[PLANE_SD_MM, BEND_SD, np.repeat([CUSP_SLOPE_SD, CUSP_BEND_SD], 3)]

    def rows(cusps: NDArray[np.int_], turns: Points) -> Points:
        angle = middles[cusps] + turns
        own = (cusps[:, None] == np.arange(3)) * turns[:, None]
        plane = np.stack([np.ones_like(turns), np.cos(angle), np.sin(angle), turns**2], -1)
        return np.concatenate([plane, own, own * turns[:, None]], 1)

    cusps, turns, heights, stray = found[:, 0].astype(int), *found[:, 1:].T
    design, best, least = rows(cusps, turns), expected, np.inf
    for start in STARTS_MM:
        numbers = expected + np.r_[start, np.zeros(9)]
        for _ in range(ROUNDS):
            weights = 1 / (stray**2 + (heights - design @ numbers) ** 2)
            inverse = np.linalg.inv((design * weights[:, None]).T @ design + np.diag(spread**-2))
            numbers = inverse @ (design.T @ (weights * heights) + expected / spread**2)
        away = heights - design @ numbers
        cost = np.log1p((away / stray) ** 2).sum() + (((numbers - expected) / spread) ** 2).sum() / 2
        if cost < least:
            best, covariance, least = numbers, inverse, cost
    bends = np.maximum(best[3] + best[7:], 1.0)
    nadirs = np.clip(-best[4:7] / (2 * bends), -ASKEW, ASKEW)
    at = rows(np.arange(3), nadirs)
    near = (stray == STRAY_MM) & (np.abs(heights - design @ best) < NEAR_MM)
    errors = np.sqrt(((at @ covariance) * at).sum(1))
    seen = (np.bincount(cusps[near], minlength=3) > 0) & (errors < SEEN_MM)
    return at @ best, nadirs, np.hypot(errors, np.where(seen, LEAST_ERROR_MM, UNSEEN_MM)), seen


def _bulging(radii: Points) -> float | None:
    """Height over the plane at which the wall begins to bulge: where two lines fit its radii, by height, best."""
    left, slopes = radii - _TWO_LINES @ radii, _TURNING @ radii
    error = np.where(slopes > LEAST_SLOPE, (left**2).sum(1), np.inf)
    return float(BULGES_MM[error.argmin()]) if np.isfinite(error.min()) else None


def _two_lines(height: float) -> tuple[Points, Points]:
    """What gives the fit of two lines that meet at a height, and by how much the second is steeper, for radii."""
    basis = np.stack([np.ones_like(WALL_HEIGHTS_MM), WALL_HEIGHTS_MM, np.maximum(WALL_HEIGHTS_MM - height, 0)], 1)
    inverse = np.linalg.pinv(basis)
    return basis @ inverse, inverse[2]


_TWO_LINES, _TURNING = (np.stack(parts) for parts in zip(*map(_two_lines, BULGES_MM), strict=True))


_FAN_PLACES = np.stack(  # [fan, height, radius, 3], around the plane's first axis
    np.broadcast_arrays(
        np.cos(FAN)[:, None, None] * RADII_MM, np.sin(FAN)[:, None, None] * RADII_MM, HEIGHTS_MM[:, None]
    ),
    -1,
)


def _attachment(crop: Crop, plane: Plane, wall: Points, angle: float) -> float | None:
    """Height over the plane at which the cusp leaves the wall at an angle, of these radii at WALL_HEIGHTS_MM."""
    hu = crop.at(_FAN_PLACES, plane.turned(angle)).mean(0)  # [height, radius]
    strange = np.abs(hu - crop.blood) / crop.contrast
    border = np.interp(HEIGHTS_MM, WALL_HEIGHTS_MM, wall)
    peak = np.zeros_like(strange, dtype=bool)
    peak[:, 1:-1] = (strange[:, 1:-1] >= strange[:, :-2]) & (strange[:, 1:-1] > strange[:, 2:])
    peak &= (strange > LEAST_DIP) & (border[:, None] - RADII_MM > CLEAR_MM) & (RADII_MM > 4)
    rows = np.flatnonzero(peak.any(1))
    if not len(rows):
        return None
    outermost = RADII_MM[peak.shape[1] - 1 - peak[rows, ::-1].argmax(1)]
    heights, sheet = _chain(HEIGHTS_MM[rows], outermost)
    if len(heights) < LEAST_POINTS:
        return None
    one, other = np.triu_indices(len(heights), 1)
    slope = float(np.median((sheet[other] - sheet[one]) / (heights[other] - heights[one])))
    below = (OUTFLOW_MM[0] <= WALL_HEIGHTS_MM) & (OUTFLOW_MM[1] >= WALL_HEIGHTS_MM)
    steep, radius = np.polyfit(WALL_HEIGHTS_MM[below], wall[below], 1)
    if slope > steep - 0.2:  # no sheet that rises inwards
        return None
    start = float(np.median(sheet - slope * heights))
    height = (radius - start) / (slope - steep)
    return height if abs(height) < FARTHEST_MM else None


def _chain(heights: Points, radii: Points) -> tuple[Points, Points]:
    """The lowest run of a sheet: neighbours in height and radius, up to SHEET_MM high."""
    best: tuple[Points, Points] = heights[:0], radii[:0]
    start = 0
    for i in range(1, len(heights) + 1):
        joined = i < len(heights) and heights[i] - heights[i - 1] < 1.0 and abs(radii[i] - radii[i - 1]) < 1.2
        if joined:
            continue
        if i - start >= LEAST_POINTS:
            run = slice(start, start + int((heights[start:i] - heights[start] < SHEET_MM).sum()))
            return heights[run], radii[run]
        start = i
    return best

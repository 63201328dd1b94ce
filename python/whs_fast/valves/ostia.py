"""The mouths of the coronary arteries: where a tube of blood leaves a sinus and goes on.

Just outside the lumen lies dark wall, except where an artery leaves. Thin wall before an atrium or the right ventricle,
calcium and noise look the same for a millimetre or two. So blood is followed outwards from each bright place: an artery
stays a tube, a chamber widens at once, noise ends. Where the wall between artery and chamber is too thin to be seen at
one brightness it is seen at another, so several are tried. Labels have no say: they often count the first part of an
artery as a chamber. Two tubes far from one another, of which neither is much likelier by its place, are no answer, and
one in an unusual place has a large error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.valves.contours import Plane, Points
from whs_fast.valves.crop import SPACING_MM, Crop
from whs_fast.valves.edges import RAYS, Wall

STEP_MM = 0.4  # of height
BLURRED_MM = 0.4  # by which a mouth looks narrower than it is, on either side, as seen on drawn scans
TURN = np.deg2rad(2)
REACH = np.deg2rad(60)  # from the hinge point of the cusp: beyond it another sinus begins
OUTWARDS_MM = np.arange(0.8, 2.1, 0.4)  # from the wall, in a mouth
LOWEST_MM, HIGHEST_MM = 3.0, 28.0  # over the annulus
LEAST_MM2, LARGEST_MM2 = 0.8, 60.0
STRIDE = 2  # of the voxels among which a tube is followed
CLEAR_MM = 0.8  # from the wall, within which it is not: the wall itself is a little bright there
LEVELS = (0.5, 0.65, 0.8)  # of the contrast, above which blood is followed
BRIGHTEST, NOISES = 1.3, 4.0  # of the contrast and sd of noise, above which it is calcium or another chamber
TUBE_MM2 = (1.0, 32.0)  # across a tube
STEPS = 10  # of the stride, over which it is followed
LEAST_STEPS = 6
SAME_MM = 4.0  # between rims of one mouth, or of an artery that begins as two
# Heights on CT: 17.2 +- 3.3 mm right and 14.4 +- 2.9 left (Tops 2008, doi 10.1016/j.jcmg.2007.12.006), 13.9 +- 4.0 and
# 12.8 +- 3.5 (doi 10.3109/13645706.2012.699894): the doubt is wider than either.
USUAL_MM, USUAL_SD_MM, USUAL_TURN = 15.0, 4.5, np.deg2rad(20)
CLEARLY = 4.5  # difference of log likelihoods, beyond which the likelier place is taken
# How often a mouth in the most usual place is a false one: a tube seemed to leave 1 of 36 non-coronary sinuses of drawn
# scans, anywhere in a sinus, which is five times the room of the usual places. And so far off it is then.
FALSE_ODDS, FALSE_MM = 1 / 36 / 5, 6.0
RIM_ERROR_MM = 0.8
NONE_SEEN, TWO_SEEN = "no mouth of a coronary artery is seen", "two mouths are seen, and either may be the artery's"


@dataclass(frozen=True)
class Mouth:
    """Lowest point (x, y, z), mm, LPS, of the rim; its height over the annulus and turn from the hinge point."""

    rim_mm: Points
    height_mm: float
    turn: float

    @property
    def unlikely(self) -> float:
        """Negative log likelihood of the place among those of arteries."""
        return (((self.height_mm - USUAL_MM) / USUAL_SD_MM) ** 2 + float(self.turn / USUAL_TURN) ** 2) / 2

    @property
    def error_mm(self) -> float:
        """Standard error of the rim's height over a plane: of its border, and of this being no mouth."""
        odds = FALSE_ODDS * float(np.exp(self.unlikely))
        return float(np.hypot(RIM_ERROR_MM, FALSE_MM * np.sqrt(odds / (1 + odds))))


def find_ostium(
    crop: Crop, planes: Sequence[Plane], walls: Sequence[Wall], heights: Points, angle: float
) -> Mouth | str:
    """The coronary mouth near an angle, or why none is told.

    planes, walls and heights are those of the root from the annulus up.
    """
    mouths = sorted(_mouths(crop, planes, walls, heights, angle), key=lambda mouth: mouth.unlikely)
    if not mouths:
        return NONE_SEEN
    best = mouths[0]
    for other in mouths[1:]:
        apart = np.linalg.norm(other.rim_mm - best.rim_mm) > SAME_MM
        if apart and other.unlikely - best.unlikely < CLEARLY:
            return TWO_SEEN
        if not apart and other.height_mm < best.height_mm:
            best = other
    return best


def _mouths(crop: Crop, planes: Sequence[Plane], walls: Sequence[Wall], heights: Points, angle: float) -> list[Mouth]:
    turns = np.arange(-REACH, REACH + TURN, TURN)
    rows = np.arange(LOWEST_MM, min(heights[-1], HIGHEST_MM), STEP_MM)
    at = np.interp(rows, heights, np.arange(len(heights)))
    radii = np.array([wall.at(turns + angle) for wall in walls])
    low = np.minimum(at.astype(int), len(planes) - 2)
    share = (at - low)[:, None]
    radius = radii[low] * (1 - share) + radii[low + 1] * share
    ways = np.stack([np.cos(turns + angle), np.sin(turns + angle)], -1)
    rising = [planes[i].moved(row - heights[i]) for i, row in zip(low, rows, strict=True)]
    points = np.stack([
        plane.lift((line[:, None] + OUTWARDS_MM)[..., None] * ways[:, None])
        for plane, line in zip(rising, radius, strict=True)
    ])  # fmt: skip
    bright = (crop.at(points).min(2) > crop.muscle + 0.5 * crop.contrast)[None].astype(np.uint8)
    parts = np.empty(bright.shape, np.uint32)
    count = _kernels.connected_components(bright, parts, 26)
    areas = np.bincount(parts[0].ravel(), np.broadcast_to(radius * TURN * STEP_MM, parts[0].shape).ravel(), count + 1)
    found = []
    for part in range(1, count + 1):
        chosen = parts[0] == part
        across = np.flatnonzero(chosen.any(1))
        inside = across[0] > 0 and across[-1] < len(rows) - 1  # a mouth has a rim below and above
        if not inside or not LEAST_MM2 < areas[part] < LARGEST_MM2:
            continue
        if _follow(crop, planes, walls, heights, points[chosen][:, 1]) < LEAST_STEPS:
            continue
        row, column = across[0], int(np.median(np.flatnonzero(chosen[across[0]])))
        lower = STEP_MM / 2 + BLURRED_MM
        rim = rising[row].moved(-lower).lift(radius[row, column] * ways[column])
        found.append(Mouth(rim, float(rows[row] - lower), float(turns[column])))
    return found


def _follow(crop: Crop, planes: Sequence[Plane], walls: Sequence[Wall], heights: Points, starts: Points) -> int:
    """Steps over which blood outside the wall goes on as a tube from points [n, 3]."""
    voxels = np.rint(crop.index(starts) / STRIDE).astype(int)
    corner = np.maximum(voxels.min(0) - STEPS - 1, 0)
    box = tuple(slice(STRIDE * a, STRIDE * (b + STEPS + 2), STRIDE) for a, b in zip(corner, voxels.max(0), strict=True))
    hu = (crop.hu[box] - crop.muscle) / crop.contrast
    z, y, x = (STRIDE * (np.arange(n) + c) * SPACING_MM for n, c in zip(hu.shape, corner, strict=True))
    points = np.stack(np.broadcast_arrays(x, y[:, None], z[:, None, None]), -1) + np.asarray(crop.grid.origin_mm)
    free = _outside(planes, walls, heights, points) & (hu < BRIGHTEST + NOISES * crop.noise / crop.contrast)
    start = np.zeros(hu.shape, bool)
    start[tuple((voxels - corner).T)] = True
    return max(_tube(free & (hu > level), start & (hu > level)) for level in LEVELS)


def _outside(planes: Sequence[Plane], walls: Sequence[Wall], heights: Points, points: Points) -> NDArray[np.bool_]:
    """Whether points [..., 3] lie beside the root, clear of its wall."""
    first = planes[0]
    height, flat = first.height(points), first.flat(points)
    centres = np.array([first.flat(plane.centre_mm) for plane in planes])
    flat -= np.stack([np.interp(height, heights, middle) for middle in centres.T], -1)
    level = np.clip(np.rint(np.interp(height, heights, np.arange(len(heights)))).astype(int), 0, len(walls) - 1)
    ray = np.rint(np.arctan2(flat[..., 1], flat[..., 0]) * RAYS / (2 * np.pi)).astype(int) % RAYS
    radius = np.array([wall.radii for wall in walls])[level, ray]
    return np.asarray((height > 0) & (height < heights[-1]) & (np.hypot(*np.moveaxis(flat, -1, 0)) > radius + CLEAR_MM))


def _tube(free: NDArray[np.bool_], front: NDArray[np.bool_]) -> int:
    """Steps that a front goes on through free voxels before it ends or grows wider than a tube."""
    voxel_mm2 = (STRIDE * SPACING_MM) ** 2
    seen, last = front.copy(), int(front.sum())
    for step in range(STEPS):
        grown = _grown(seen, corners=step % 2 == 1) & free & ~seen  # by turns, so that fronts are nearly round
        count = int(grown.sum())
        if not TUBE_MM2[0] <= voxel_mm2 * (last + count) / 2 <= TUBE_MM2[1]:
            return step
        seen |= grown
        last = count
    return STEPS


def _grown(mask: NDArray[np.bool_], *, corners: bool) -> NDArray[np.bool_]:
    """A mask and the neighbours of its voxels: those at faces, or those at edges and corners as well."""
    grown = mask.copy()
    for axis in range(3):
        source, target = np.moveaxis(grown.copy() if corners else mask, axis, 0), np.moveaxis(grown, axis, 0)
        target[1:] |= source[:-1]
        target[:-1] |= source[1:]
    return grown

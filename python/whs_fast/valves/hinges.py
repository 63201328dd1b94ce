"""The hinge points of the aortic valve: the nadirs of its three cusps, where they leave the wall.

Three bulges of the wall above the annulus tell where the sinuses are. In half-planes through the axis around the middle
of each, a cusp is a thin sheet, dark or calcified, that leaves the wall and rises inwards. The line along it, prolonged
outwards, meets the wall of the outflow tract, prolonged upwards, at the line of attachment; the lowest point of a
parabola through that line is the hinge point. So the plane does not depend on the labels, which only say where to look.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from whs_fast.valves.contours import Plane, Points
from whs_fast.valves.crop import Crop
from whs_fast.valves.edges import ANGLES, RAYS, Wall, trace_wall

CUSPS = ("right", "left", "non_coronary")
SINUS_HEIGHTS_MM = np.arange(5.0, 13.0, 2.0)
LEAST_BULGE_MM = 0.35  # amplitude of the three lobes
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
NEAR_MM = 0.8  # of a parabola, on which an attachment counts as seen
BENDS = (3.0, 40.0)  # mm per rad2: a cusp that rises by 0.5 to 6 mm within 24 degrees
LEAST_ERROR_MM = 0.3
FARTHEST_MM = 6.0  # from the plane at which the search began
UNSEEN_MM = 2.0  # uncertainty of a hinge point that stays in that plane


@dataclass(frozen=True)
class Hinges:
    """points_mm: right, left, non-coronary [3, 3], LPS. uncertainty_mm: standard errors of their heights [3]."""

    points_mm: Points
    uncertainty_mm: Points

    @property
    def seen(self) -> int:
        return int((self.uncertainty_mm < UNSEEN_MM).sum())


def find_hinges(crop: Crop, plane: Plane, mitral_mm: Points | None) -> Hinges | str:
    """Hinge points near a plane, or why they cannot be told. mitral_mm: centre of the mitral valve, if known."""
    lobes = _sinuses(crop, plane)
    if lobes is None:
        return "three sinuses cannot be told apart (a bicuspid valve, fused cusps, or motion)"
    walls = _walls(crop, plane)
    found = [_hinge(crop, plane, walls, angle) for angle in _named(lobes, plane, mitral_mm)]
    return Hinges(np.stack([point for point, _ in found]), np.array([error for _, error in found]))


def plane_through(hinges: Points, centre_mm: Points, up: Points) -> Plane:
    """The plane through three points [3, 3]; its centre is the foot of centre_mm, its normal points up."""
    normal = np.cross(hinges[1] - hinges[0], hinges[2] - hinges[0])
    normal /= np.linalg.norm(normal) * np.sign(normal @ up)
    return Plane.through(centre_mm - ((centre_mm - hinges[0]) @ normal) * normal, normal)


def _sinuses(crop: Crop, plane: Plane) -> Points | None:
    """Angles of the middles of three sinuses."""
    waves = np.fft.rfft(np.mean([trace_wall(crop, plane.moved(h)).radii for h in SINUS_HEIGHTS_MM], axis=0))
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


def _walls(crop: Crop, plane: Plane) -> list[Wall]:
    """Walls at WALL_HEIGHTS_MM; below the annulus the cavity is open behind: each near the last."""
    walls = {h: trace_wall(crop, plane.moved(h)) for h in WALL_HEIGHTS_MM[WALL_HEIGHTS_MM >= 0]}
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


def _hinge(crop: Crop, plane: Plane, walls: list[Wall], middle: float) -> tuple[Points, float]:
    """A hinge point and its uncertainty in mm."""
    turns, heights = [], []
    for turn in TURNS:
        height = _attachment(crop, plane, walls, middle + turn)
        if height is not None:
            turns.append(turn)
            heights.append(height)
    found = _lowest(np.array(turns), np.array(heights))
    low, error, at = (0.0, UNSEEN_MM, middle) if found is None else (found[1], found[2], middle + found[0])
    radius = float(np.interp(low, WALL_HEIGHTS_MM, [float(wall.at(at)) for wall in walls]))
    return plane.moved(low).lift(radius * np.array([np.cos(at), np.sin(at)])), error


def _lowest(turns: Points, heights: Points) -> tuple[float, float, float] | None:
    """Turn, height and uncertainty of the lowest point of a line of attachment, a U; None where it is not seen.

    Of the parabolas through any three points that one is taken to which a fourth lies nearest (a least median of
    squares), and is fitted again to all points near it.
    """
    if len(turns) < LEAST_POINTS:
        return None
    best, away = None, NEAR_MM
    for three in combinations(range(len(turns)), 3):
        bend, slope, base = np.polyfit(turns[list(three)], heights[list(three)], 2)
        if not BENDS[0] < bend < BENDS[1] or abs(slope) > 2 * bend * ASKEW:
            continue
        fourth = float(np.sort(np.abs(heights - np.polyval([bend, slope, base], turns)))[LEAST_POINTS - 1])
        if fourth < away:
            best, away = np.array([bend, slope, base]), fourth
    if best is None:
        return None
    kept = np.abs(heights - np.polyval(best, turns)) < NEAR_MM
    bend, slope, base = best = np.polyfit(turns[kept], heights[kept], 2)
    turn = float(np.clip(-slope / (2 * bend), -ASKEW, ASKEW)) if bend > 0 else 0.0
    height = float(np.polyval(best, turn))
    spread = float(np.std(heights[kept] - np.polyval(best, turns[kept]), ddof=3)) if kept.sum() > 3 else NEAR_MM
    return (turn, height, LEAST_ERROR_MM + spread) if abs(height) < FARTHEST_MM else None


def _attachment(crop: Crop, plane: Plane, walls: list[Wall], angle: float) -> float | None:
    """Height over the plane at which the cusp leaves the wall at an angle."""
    ways = np.stack([np.cos(angle + FAN), np.sin(angle + FAN)], -1)
    flat = ways[:, None] * RADII_MM[:, None]
    lifted = plane.lift(flat)[:, None] + HEIGHTS_MM[:, None, None] * plane.normal
    strange = np.abs(crop.at(lifted).mean(0) - crop.blood) / crop.contrast  # [height, radius]
    wall = np.array([float(one.at(angle)) for one in walls])
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
    return height if abs(height) < FARTHEST_MM + 3 else None


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

"""Wall of the left ventricle from the label map: its long axis, and the thickness in the 17 segments of the AHA.

Rays leave the long axis, from the centre of the mitral valve to the tip of the cavity, at right angles, and in a cone
around the tip. On each, the wall is what follows the last blood: papillary muscles belong to the myocardium in our
labels, and the blood behind them tells that they are not wall. A ray that meets the wall aslant is corrected by the
slope of the wall's middle. Segments: Cerqueira et al., Circulation 2002 (doi 10.1161/hc0402.102975). The septum's
middle, between segments 2 and 3, faces the centre of the right ventricle.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY
from whs_fast.valves.contours import Plane, Points, rounded
from whs_fast.valves.interfaces import find_voxels
from whs_fast.valves.planes import ValvePlane
from whs_fast.volume import Grid

CAVITY, MUSCLE, RIGHT = (
    BY_KEY[key].label for key in ("left_ventricle_cavity", "left_ventricle_myocardium", "right_ventricle_cavity")
)
SEGMENTS = (
    *(f"basal {place}" for place in (
        "anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")),
    *(f"mid {place}" for place in (
        "anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")),
    *(f"apical {place}" for place in ("anterior", "septal", "inferior", "lateral")),
    "apex",
)  # fmt: skip
RING_MM, RAYS, STEP_MM, REACH_MM = 2.0, 72, 0.25, 60.0
TIP_MM = 10.0  # from the tip of the cavity back to where the rays of the cone begin
CONE = np.deg2rad([8, 16, 24, 32])
SPARSE = 3  # every so many voxels tell where a chamber lies
TIP_SHARE = 0.002  # of the cavity's voxels, farthest from the mitral valve, are its tip
LEAST_RAYS = 0.3  # of a segment's, that meet wall
LEAST_WALL_MM, GAP_MM = 1.0, 1.0  # a thinner wall is none; a gap in it that wide ends it
LEAST_LENGTH_MM = 30.0


def describe_wall(
    labels: NDArray[np.uint8], grid: Grid, mitral: ValvePlane | str, muscle: Mapping[str, Any]
) -> dict[str, Any]:
    """`left_ventricle_wall` of measurements.json. labels, uint8[z, y, x], lie on grid.

    muscle: the entry of the myocardium in `structures`, which tells whether an edge cuts it off.
    """
    if muscle["touches_scan_edge"] or muscle["touches_region_edge"]:
        return {"not_measurable": "the myocardium is cut off by an edge"}
    if isinstance(mitral, str):
        return {"not_measurable": mitral}
    found = _measure(labels, grid, mitral.plane)
    return {"not_measurable": found} if isinstance(found, str) else found


def _measure(labels: NDArray[np.uint8], grid: Grid, mitral: Plane) -> dict[str, Any] | str:
    cavity, right = (_places(labels, grid, label) for label in (CAVITY, RIGHT))
    if not len(cavity) or not len(right):
        return "the label map does not show both ventricles"
    base = mitral.centre_mm
    far = np.linalg.norm(cavity - base, axis=1)
    tip = cavity[far >= np.quantile(far, 1 - TIP_SHARE)].mean(0)
    length = float(np.linalg.norm(tip - base))
    if length < LEAST_LENGTH_MM:
        return f"found a long axis of {length:.0f} mm, expected {LEAST_LENGTH_MM:.0f} mm or more"
    along = (tip - base) / length
    septal = right.mean(0) - (base + tip) / 2
    septal -= (septal @ along) * along
    septal /= np.linalg.norm(septal)
    front = np.cross(septal, along)
    turns = (np.arange(RAYS) + 0.5) * 2 * np.pi / RAYS  # from the middle of the septum, forwards
    ways = np.cos(turns)[:, None] * septal + np.sin(turns)[:, None] * front
    heights = np.arange(RING_MM / 2, length, RING_MM)
    inner, outer = _borders(
        labels, grid, (base + heights[:, None] * along)[:, None], np.broadcast_to(ways, (len(heights), RAYS, 3))
    )
    thick = (outer - inner) * _cosines((outer + inner) / 2)
    cone = np.cos(CONE)[:, None, None] * along + np.sin(CONE)[:, None, None] * ways[::6]
    inner, outer = _borders(labels, grid, tip - TIP_MM * along, cone)
    segment = _segment(heights / length, turns)
    parts = [*(thick[segment == i] for i in range(len(SEGMENTS) - 1)), outer - inner]
    shares = [np.isfinite(part).mean() if part.size else 0.0 for part in parts]
    if not any(share >= LEAST_RAYS for share in shares):
        return "no wall is seen around the cavity"
    return {
        "base_mm": rounded(base, 1),
        "apex_mm": rounded(tip, 1),
        "long_axis_mm": round(length, 1),
        "mean_mm": round(float(np.nanmean(thick)), 1),
        "segments": [
            {"name": name} | (_describe(part) if share >= LEAST_RAYS else {"not_measurable": "too little wall is seen"})
            for name, part, share in zip(SEGMENTS, parts, shares, strict=True)
        ],
    }


def _describe(thick: Points) -> dict[str, float]:
    return {"thickness_mm": round(float(np.nanmean(thick)), 1), "sd_mm": round(float(np.nanstd(thick)), 1)}


def _segment(depth: Points, turns: Points) -> NDArray[np.int_]:
    """Index in SEGMENTS [depth, turn] by the share of the long axis from the base on, and the turn from the septum."""
    third = np.minimum((3 * depth).astype(int), 2)[:, None]
    six = (1 - np.floor(turns / (np.pi / 3)).astype(int)) % 6  # 1 anteroseptal, 0 anterior, 5 anterolateral ...
    four = (1 - np.floor((turns + np.pi / 4) / (np.pi / 2)).astype(int)) % 4  # 1 septal, 0 anterior, 3 lateral ...
    return np.where(third < 2, 6 * third + six, 12 + four)


def _places(labels: NDArray[np.uint8], grid: Grid, label: int) -> Points:
    """Some voxels of a label [n, 3], mm."""
    index = SPARSE * find_voxels(labels[::SPARSE, ::SPARSE, ::SPARSE] == label)[:, ::-1]
    return np.asarray(index @ grid.affine[:3, :3].T + grid.affine[:3, 3])


def _borders(labels: NDArray[np.uint8], grid: Grid, start: Points, ways: Points) -> tuple[Points, Points]:
    """Distances of the inner and the outer border of the wall on rays [..., 3]; NaN where a ray meets none."""
    steps = np.arange(STEP_MM / 2, REACH_MM, STEP_MM)
    to_index = np.asarray(np.linalg.inv(grid.affine)[2::-1])
    points = np.empty((*ways.shape[:-1], len(steps), 3))
    for axis in range(3):  # in long rows, not in threes
        points[..., axis] = start[..., None, axis] + steps * ways[..., None, axis]
    found = _kernels.sample_nearest(labels, points.reshape(-1, 3), to_index, 0).reshape(points.shape[:-1])
    place = np.arange(len(steps), dtype=np.int16)
    muscle = found == MUSCLE
    # The wall ends where no muscle follows within the gap; the cavity is the blood before that.
    gap = round(GAP_MM / STEP_MM)
    near = np.cumsum(np.pad(muscle | (found == CAVITY), [*[(0, 0)] * (muscle.ndim - 1), (0, gap)]), -1, dtype=np.int16)
    broken = near[..., gap:] == near[..., :-gap]
    end = np.where(broken.any(-1), broken.argmax(-1), len(steps) - 1)
    own = place <= end[..., None]
    last_blood = np.where((found == CAVITY) & own, place, -1).max(-1)
    last_muscle = np.where(muscle & own, place, -1).max(-1)
    inner, outer = (last_blood + 1) * STEP_MM, (last_muscle + 1) * STEP_MM
    met = (last_blood >= 0) & (outer - inner >= LEAST_WALL_MM)
    return np.where(met, inner, np.nan), np.where(met, outer, np.nan)


def _cosines(middle: Points) -> Points:
    """How much the wall's middle [ring, ray], mm from the axis, is aslant to the rays; 1 where it cannot be told."""
    upwards = np.full_like(middle, np.nan)
    upwards[2:-2] = (middle[4:] - middle[:-4]) / (4 * RING_MM)
    around = (np.roll(middle, -3, 1) - np.roll(middle, 3, 1)) / (6 * 2 * np.pi / RAYS) / middle
    return np.asarray(1 / np.sqrt(1 + np.nan_to_num(upwards) ** 2 + np.nan_to_num(around) ** 2))

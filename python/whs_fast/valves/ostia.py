"""The mouths of the coronary arteries: where the wall of the root lets blood out.

Just outside the lumen lies dark wall, except where an artery leaves: there it is as bright as blood. Thin wall before
an atrium, or an artery that runs along the root, may look like that for a millimetre or two; of an artery that leaves,
the blood goes on outwards. So the mouth is taken from which it goes farthest. Labels have no say: they often count the
first part of an artery as a chamber.
"""

from collections.abc import Sequence

import numpy as np

from whs_fast import _kernels
from whs_fast.valves.contours import Plane, Points
from whs_fast.valves.crop import Crop
from whs_fast.valves.edges import Wall

STEP_MM = 0.4  # of height
TURN = np.deg2rad(2)
REACH = np.deg2rad(55)  # from the hinge point of the cusp: beyond it another sinus begins
OUTWARDS_MM = np.arange(0.4, 5.7, 0.4)  # from the wall
MOUTH, ONWARDS = 8, 11  # of these places that are bright in a mouth, and where it goes on into an artery
LOWEST_MM, HIGHEST_MM = 4.0, 27.0  # over the annulus; mouths beyond are rarities, other bright things are not
LEAST_MM2, LARGEST_MM2 = 1.5, 60.0


def find_ostium(
    crop: Crop, planes: Sequence[Plane], walls: Sequence[Wall], heights: Points, angle: float
) -> Points | None:
    """Lowest point (x, y, z), mm, LPS, of the rim of a coronary mouth near an angle; None where none is seen.

    planes, walls and heights are those of the root from the annulus up.
    """
    turns = np.arange(-REACH, REACH + TURN, TURN) + angle
    rows = np.arange(LOWEST_MM, min(heights[-1], HIGHEST_MM), STEP_MM)
    at = np.interp(rows, heights, np.arange(len(heights)))
    radii = np.array([wall.at(turns) for wall in walls])
    low = np.minimum(at.astype(int), len(planes) - 2)
    share = (at - low)[:, None]
    radius = radii[low] * (1 - share) + radii[low + 1] * share
    ways = np.stack([np.cos(turns), np.sin(turns)], -1)
    points = np.stack(
        [
            planes[i].moved(row - heights[i]).lift((line[:, None] + OUTWARDS_MM)[..., None] * ways[:, None])
            for i, row, line in zip(low, rows, radius, strict=True)
        ]
    )
    bright = crop.at(points) > crop.muscle + 0.5 * crop.contrast
    reach = np.logical_and.accumulate(bright, 2).sum(2)  # places on each ray
    mouth = np.ascontiguousarray(reach >= MOUTH)[None].astype(np.uint8)
    parts = np.empty(mouth.shape, np.uint32)
    count = _kernels.connected_components(mouth, parts, 26)
    areas = np.array([(radius[parts[0] == i + 1] * TURN * STEP_MM).sum() for i in range(count)])
    far = np.array([reach[parts[0] == i + 1].max() for i in range(count)])
    fitting = (areas > LEAST_MM2) & (areas < LARGEST_MM2) & (far >= ONWARDS)
    fitting &= ~np.isin(np.arange(1, count + 1), parts[0, [0, -1]])  # a mouth has a rim below and above
    if not fitting.any():
        return None
    chosen = parts[0] == int(np.where(fitting, far + areas / LARGEST_MM2, 0).argmax()) + 1
    row = int(chosen.any(1).argmax())
    column = int(np.median(np.flatnonzero(chosen[row])))
    rise = rows[row] - STEP_MM / 2 - heights[low[row]]
    return np.asarray(planes[low[row]].moved(rise).lift(radius[row, column] * ways[column]))

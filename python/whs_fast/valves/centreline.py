"""The aorta's centreline on the label map: from a point in it along the ridge of the distance to its wall.

scikit-image's minimal paths find it (Dijkstra's algorithm on the voxels' grid): a path through the aorta that is the
dearer the nearer it comes to the wall keeps to the middle of a dilated and of a bent aorta alike. A thinned skeleton
would have a branch for each roughness, and the way through them would have to be chosen besides.
"""

import numpy as np
from numpy.typing import NDArray

from whs_fast.structures import BY_KEY
from whs_fast.valves.contours import Points, rounded
from whs_fast.volume import Grid, axis_aligned_grid

SPACING_MM = 2.0
SIDE = 80  # voxels: 160 mm
AHEAD_MM = 50.0  # towards the head, from the start to the middle of that cube
BEYOND_MM = 40.0  # that the aorta is thought to go on where the scan ends: the path leaves its middle beyond that
NEAR_MM = 15.0  # to the start, at least, lies some of the aorta
STEEP = 4.0  # power of the distance to the wall by which nearness is dear
SMOOTH_MM = 6.0
AORTA = BY_KEY["aorta"].label


def find_centreline(labels: NDArray[np.uint8], grid: Grid, start_mm: Points) -> tuple[Points, Points] | None:
    """Points (x, y, z) [n, 3] of the aorta's centreline, mm, LPS, and their distance [n] from its wall.

    labels, uint8[z, y, x], lie on grid. The line begins near start_mm, goes to the end of the aorta that is farthest
    along it, and may leave the scan by BEYOND_MM. None where no aorta lies near the start. Needs the extra `mesh`.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter1d
    from skimage.graph import MCP_Geometric

    cube = axis_aligned_grid(rounded(start_mm + (0.0, 0.0, AHEAD_MM)), (SIDE,) * 3, (SPACING_MM,) * 3)
    aorta = _aorta(labels, grid, cube)
    places = np.argwhere(aorta)
    if not len(places):
        return None
    away = np.linalg.norm(places[:, ::-1] * SPACING_MM + cube.origin_mm - start_mm, axis=1)
    if away.min() > NEAR_MM:
        return None
    start = tuple(places[away.argmin()])
    depth = distance_transform_edt(aorta, SPACING_MM)
    lengths, _ = MCP_Geometric(np.where(aorta, 1.0, np.inf)).find_costs([start])
    ways = MCP_Geometric(np.where(aorta, 1 / np.maximum(depth, SPACING_MM / 2) ** STEEP, np.inf))
    ways.find_costs([start])
    end = np.unravel_index(np.where(np.isfinite(lengths), lengths, -1).argmax(), aorta.shape)
    path = np.array(ways.traceback(end))
    line = path[:, ::-1] * SPACING_MM + cube.origin_mm
    return gaussian_filter1d(line, SMOOTH_MM / SPACING_MM, axis=0, mode="nearest"), depth[tuple(path.T)]


def _aorta(labels: NDArray[np.uint8], grid: Grid, cube: Grid) -> NDArray[np.bool_]:
    """Where the cube's voxels are aorta: bool[z, y, x]; beyond the scan it goes on as at the scan's end, so far."""
    to_index = np.linalg.inv(grid.affine)
    x, y, z = (o + SPACING_MM * np.arange(SIDE) for o in cube.origin_mm)
    found = np.empty(cube.shape, bool)
    for layer, height in enumerate(z):
        plane = np.stack(np.broadcast_arrays(x, y[:, None], height), -1)
        index = plane @ to_index[:3, :3].T + to_index[:3, 3]
        near = np.clip(np.rint(index), 0, np.array(grid.shape[::-1]) - 1)
        i, j, k = np.moveaxis(near.astype(np.int64), -1, 0)
        beyond = (np.abs(index - near) * grid.spacing_mm).max(-1) > BEYOND_MM
        found[layer] = (labels[k, j, i] == AORTA) & ~beyond
    return found

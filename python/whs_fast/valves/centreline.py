"""The aorta's centreline on the label map: from a point in it along the ridge of the distance to its wall.

A path through the aorta that is the dearer the nearer it comes to the wall (Dijkstra's algorithm on the voxels' grid)
keeps to the middle of a dilated and of a bent aorta alike. A thinned skeleton
would have a branch for each roughness, and the way through them would have to be chosen besides.
"""

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY
from whs_fast.valves.contours import Points, rounded
from whs_fast.valves.interfaces import find_voxels
from whs_fast.volume import Grid, axis_aligned_grid, index_map

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
    along it, and may leave the scan by BEYOND_MM. None where no aorta lies near the start.
    """
    cube = axis_aligned_grid(rounded(start_mm + (0.0, 0.0, AHEAD_MM)), (SIDE,) * 3, (SPACING_MM,) * 3)
    aorta = _aorta(labels, grid, cube)
    places = find_voxels(aorta)
    if not len(places):
        return None
    away = np.linalg.norm(places[:, ::-1] * SPACING_MM + cube.origin_mm - start_mm, axis=1)
    if away.min() > NEAR_MM:
        return None
    start = tuple(places[away.argmin()])
    depth = _depths_mm(aorta)
    lengths, _ = _ways(np.where(aorta, 1.0, np.inf), start)
    _, before = _ways(np.where(aorta, 1 / np.maximum(depth, SPACING_MM / 2) ** STEEP, np.inf), start)
    way = [int(np.where(np.isfinite(lengths), lengths, -1).argmax())]
    while (back := int(before.flat[way[-1]])) != way[-1]:
        way.append(back)
    path = np.array(np.unravel_index(way[::-1], aorta.shape))
    return _smoothed(path[::-1].T * SPACING_MM + np.array(cube.origin_mm)), depth[tuple(path)]


def _depths_mm(aorta: NDArray[np.bool_]) -> Points:
    """Distance of each voxel from the nearest that is not aorta."""
    squares = np.empty(aorta.shape, np.int32)
    _kernels.squared_depths(aorta.view(np.uint8), squares)
    return np.asarray(SPACING_MM * np.sqrt(squares))


def _ways(cost: Points, start: tuple[int, int, int]) -> tuple[Points, NDArray[np.int64]]:
    """What the cheapest way from the start to each voxel costs, and the voxel before it."""
    total, before = np.empty(cost.shape), np.empty(cost.shape, np.int64)
    _kernels.cheapest_ways(cost, start, total, before)
    return total, before


def _smoothed(line: Points) -> Points:
    """The line [n, 3], convolved with a Gaussian; its ends go on as they are."""
    reach = round(4 * SMOOTH_MM / SPACING_MM)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) * SPACING_MM / SMOOTH_MM) ** 2)
    longer = np.pad(line, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(axis, bell / bell.sum(), mode="valid") for axis in longer.T], -1)


def _aorta(labels: NDArray[np.uint8], grid: Grid, cube: Grid) -> NDArray[np.bool_]:
    """Where the cube's voxels are aorta: bool[z, y, x]; beyond the scan it goes on as at the scan's end, so far."""
    found = np.empty(cube.shape, np.uint8)
    beyond = np.maximum(BEYOND_MM / np.array(grid.spacing_mm[::-1]) - 0.5, 0)
    _kernels.resample_nearest(labels, found, index_map(cube, grid), 0, beyond.tolist())
    return np.asarray(found == AORTA)

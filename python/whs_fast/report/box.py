"""Cuts the part of the scan that the interactive page shows: a small box around the labels, along the patient axes.

1 mm voxels in 8 bits, in the window that the networks see: 5 to 10 MB, cut in a hundredth of a second.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.report.views import Seen
from whs_fast.steps.region import REACH_MM, WINDOW_HU
from whs_fast.volume import AIR_HU, Grid, Triple, Volume, index_map

SPACING_MM = 1.0

_REACH = np.array(REACH_MM)
_SAMPLES = (2, 2, 2)  # against aliasing, for scans of 0.5 mm and more


@dataclass(frozen=True, eq=False)
class Box:
    """scan is uint8[z, y, x] on grid, WINDOW_HU mapped to 0..255; the axes of grid are the patient's."""

    scan: NDArray[np.uint8] = field(repr=False)
    grid: Grid


def cut_box(volume: Volume, seen: Seen, valve_mm: Triple, *, threads: int) -> Box:
    """Cuts the scan around its labels, of which seen is a coarse look, and the valve (x, y, z in mm, LPS)."""
    low, high = _bounds(seen, volume.grid, np.asarray(valve_mm))
    count = np.maximum(np.ceil((high - low) / SPACING_MM).astype(int), 1)
    grid = _upright_grid(count, SPACING_MM, low + SPACING_MM / 2.0)
    scan = np.empty(grid.shape, np.uint8)
    matrix = index_map(grid, volume.grid)
    _kernels.resample_window(volume.array, scan, matrix, _SAMPLES, *WINDOW_HU, AIR_HU, 0, threads=threads)
    return Box(scan, grid)


def cut_box_labels(labels: NDArray[np.uint8], grid: Grid, box: Box, *, threads: int) -> NDArray[np.uint8]:
    """Resamples labels, uint8[z, y, x] on grid, to the grid of the box."""
    out = np.empty(box.grid.shape, np.uint8)
    _kernels.resample_nearest(labels, out, index_map(box.grid, grid), 0, threads=threads)
    return out


def _bounds(seen: Seen, grid: Grid, valve: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest (x, y, z) of what is shown, inside the scan and the region."""
    low, high = seen.bounds_mm
    edges = grid.box_mm
    low = np.maximum(low, np.maximum(edges[0], valve - _REACH))
    high = np.minimum(high, np.minimum(edges[1], valve + _REACH))
    return low, np.maximum(high, low + SPACING_MM)


def _upright_grid(count: NDArray[np.int64], spacing_mm: float, origin_mm: NDArray[np.float64]) -> Grid:
    x, y, z = (int(n) for n in count)
    return Grid((z, y, x), (spacing_mm,) * 3, (float(origin_mm[0]), float(origin_mm[1]), float(origin_mm[2])))

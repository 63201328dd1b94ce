"""Cuts the part of the scan that the interactive page shows: a small box around the labels, along the patient axes.

1 mm voxels in 8 bits, in the window that the networks see: 5 to 10 MB, cut in a hundredth of a second.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.steps.region import REACH_MM, WINDOW_HU
from whs_fast.volume import AIR_HU, Grid, Triple, Volume, index_map

SPACING_MM = 1.0

_REACH = np.array(REACH_MM)
_COARSE_MM = 4.0
_MARGIN_MM = 15.0
_LEAST_MM = 45.0  # shown on either side of the valve, however small the labels are
_SAMPLES = (2, 2, 2)  # against aliasing, for scans of 0.5 mm and more


@dataclass(frozen=True, eq=False)
class Box:
    """scan is uint8[z, y, x] on grid, WINDOW_HU mapped to 0..255; the axes of grid are the patient's."""

    scan: NDArray[np.uint8] = field(repr=False)
    grid: Grid


def cut_box(volume: Volume, labels: NDArray[np.uint8], valve_mm: Triple, *, threads: int) -> Box:
    """Cuts the scan around its labels (uint8[z, y, x] on the scan's grid) and the valve (x, y, z in mm, LPS)."""
    low, high = _bounds(labels, volume.grid, np.asarray(valve_mm), threads)
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


def _bounds(
    labels: NDArray[np.uint8], grid: Grid, valve: NDArray[np.float64], threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest (x, y, z) of what is shown, from a coarse look at the labels."""
    count = (2 * _REACH / _COARSE_MM).astype(int)
    first = valve - _REACH + _COARSE_MM / 2.0
    coarse = Grid(
        (int(count[2]), int(count[1]), int(count[0])),
        (_COARSE_MM,) * 3,
        (float(first[0]), float(first[1]), float(first[2])),
    )
    seen = np.empty(coarse.shape, np.uint8)
    _kernels.resample_nearest(labels, seen, index_map(coarse, grid), 0, threads=threads)
    low, high = valve - _LEAST_MM, valve + _LEAST_MM
    for axis in range(3):
        present = np.flatnonzero(seen.any(axis=tuple(other for other in range(3) if other != 2 - axis)))
        if len(present):
            low[axis] = min(low[axis], first[axis] + present[0] * _COARSE_MM - _MARGIN_MM)
            high[axis] = max(high[axis], first[axis] + present[-1] * _COARSE_MM + _MARGIN_MM)
    edges = grid.box_mm
    low = np.maximum(low, np.maximum(edges[0], valve - _REACH))
    high = np.minimum(high, np.minimum(edges[1], valve + _REACH))
    return low, np.maximum(high, low + SPACING_MM)


def _upright_grid(count: NDArray[np.int64], spacing_mm: float, origin_mm: NDArray[np.float64]) -> Grid:
    x, y, z = (int(n) for n in count)
    return Grid((z, y, x), (spacing_mm,) * 3, (float(origin_mm[0]), float(origin_mm[1]), float(origin_mm[2])))

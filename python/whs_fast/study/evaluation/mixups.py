"""Warns when a bad score has a simple cause: labels that are exchanged, or a map that is mirrored.

Both are mistakes in the files, not in the segmentation, and both give scores that look like a poor network. Nothing is
corrected: the figures describe the maps as they are, and the warning says what would match much better.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from whs_fast import _kernels
from whs_fast.structures import STRUCTURES, Structure
from whs_fast.study.evaluation.overlap import count_pairs, dice_matrix, overall_figures
from whs_fast.volume import Grid, index_map

# What counts as much better: a gain in Dice of this much, up to a Dice that a real match would have.
_BETTER_BY, _AT_LEAST = 0.3, 0.5
_COARSE_MM = 3.0
_WAYS = ("left to right", "front to back", "head to foot")


def find_exchanged(counts: NDArray[np.int64], structures: Sequence[Structure]) -> list[str]:
    """Warnings where a permutation of the labels would match much better; counts as count_pairs gives them.

    The best permutation is the assignment with the highest sum of Dice.
    """
    labels = [structure.label for structure in structures]
    dice = np.nan_to_num(dice_matrix(counts)[np.ix_(labels, labels)])
    own, other = linear_sum_assignment(dice, maximize=True)
    moved = [
        f"{structures[i].name.lower()} ({labels[i]}) to {structures[j].name.lower()} ({labels[j]})"
        for i, j in zip(own, other, strict=True)
        if i != j and dice[i, j] >= max(_AT_LEAST, dice[i, i] + _BETTER_BY)
    ]
    if not moved:
        return []
    return [f"labels look exchanged; these would match much better, prediction to reference: {', '.join(moved)}"]


def find_mirrored(
    prediction: NDArray[np.uint8],
    prediction_grid: Grid,
    reference: NDArray[np.uint8],
    reference_grid: Grid,
    *,
    threads: int,
) -> list[str]:
    """Warnings where the prediction would match much better if it were mirrored or turned by half.

    Both are uint8[z, y, x] on their grids, before any resampling; they are compared every few millimetres. It tries
    a flip of each array axis, and x and y of the header negated (RAS taken for LPS) or both axes flipped.
    """
    coarse, coarse_grid = _thin(reference, reference_grid)
    to_prediction = index_map(coarse_grid, prediction_grid)
    last = np.subtract(prediction_grid.shape, 1)
    along = _patient_axes(prediction_grid)
    level = [axis for axis in range(3) if along[axis] != 2]
    tried = [
        *((f"mirrored {_WAYS[along[axis]]}", _flip(to_prediction, last, [axis])) for axis in range(3)),
        ("flipped along both x and y (RAS taken for LPS)", _flip(to_prediction, last, level)),
        (
            "with x and y of its header negated (RAS taken for LPS)",
            index_map(coarse_grid, turned_half(prediction_grid)),
        ),
    ]

    def match(matrix: NDArray[np.float64]) -> float:
        sampled = np.empty(coarse.shape, np.uint8)
        _kernels.resample_nearest(prediction, sampled, np.ascontiguousarray(matrix), 0, threads=threads)
        counts = count_pairs(sampled, coarse, len(STRUCTURES) + 1)
        return overall_figures(counts, [structure.label for structure in STRUCTURES])["overall_pooled"] or 0.0

    found, best = max((match(matrix), name) for name, matrix in tried)
    before = match(to_prediction)
    if found < max(_AT_LEAST, before + _BETTER_BY):
        return []
    better = f"Dice {found:.2f} instead of {before:.2f}"
    return [f"the prediction looks mirrored; {best}, it would match much better ({better})"]


def turned_half(grid: Grid) -> Grid:
    """The grid with x and y of its header negated, which is what RAS taken for LPS looks like."""
    x, y, z = grid.origin_mm
    xx, xy, xz, yx, yy, yz, zx, zy, zz = grid.direction
    return Grid(grid.shape, grid.spacing_mm, (-x, -y, z), (-xx, -xy, -xz, -yx, -yy, -yz, zx, zy, zz))


def _thin(labels: NDArray[np.uint8], grid: Grid) -> tuple[NDArray[np.uint8], Grid]:
    """Every n-th voxel along each axis, and the grid of what is left."""
    steps = [max(1, round(_COARSE_MM / spacing)) for spacing in grid.spacing_mm]
    thinned = np.ascontiguousarray(labels[:: steps[2], :: steps[1], :: steps[0]])
    x, y, z = (spacing * step for spacing, step in zip(grid.spacing_mm, steps, strict=True))
    depth, height, width = thinned.shape
    return thinned, Grid((depth, height, width), (x, y, z), grid.origin_mm, grid.direction)


def _patient_axes(grid: Grid) -> list[int]:
    """The patient axis (x, y, z as 0, 1, 2) nearest to each array axis z, y, x."""
    columns = np.abs(np.reshape(grid.direction, (3, 3)))[:, ::-1]
    return [int(axis) for axis in columns.argmax(axis=0)]


def _flip(matrix: NDArray[np.float64], last: NDArray[np.int64], axes: Sequence[int]) -> NDArray[np.float64]:
    flipped = matrix.copy()
    for axis in axes:
        flipped[axis] *= -1.0
        flipped[axis, 3] += last[axis]
    return flipped

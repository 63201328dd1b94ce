"""Light, smooth surfaces of the structures, for the eye only: surface nets on a blurred mask.

S. F. F. Gibson, MICCAI 1998, doi 10.1007/BFb0056277: every cell of 2 x 2 x 2 samples that the surface crosses gets one
vertex, the mean of the points where the surface cuts the cell's edges; every crossed edge between two samples gets one
face, between the four cells around it. The mask is blurred first, so that its voxels do not show, and cut at the level
that keeps its volume, so that thin vessels do not waste away.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

STEP = 2  # voxels of the mask from sample to sample: a quarter of the faces

_BLURS = 5  # of (1, 2, 1) / 4 along each axis: a standard deviation of 1.6 voxels
_ROOM = _BLURS + STEP


def make_surface(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Closed surface of a mask, bool[z, y, x]: vertices, float64[n, 3], x, y, z in voxels, and faces, int64[m, 3].

    Faces are triangles that turn counter-clockwise seen from outside. What is smaller than two or three voxels may
    vanish; both arrays are then empty.
    """
    inside = np.argwhere(mask)
    if not len(inside):
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    first, last = inside.min(axis=0), inside.max(axis=0) + 1
    part = mask[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    blurred = _blur(np.pad(part.astype(np.float32), _ROOM))
    outer = blurred.size - len(inside)
    level = float(np.partition(blurred, outer, axis=None)[outer])
    field = blurred[::STEP, ::STEP, ::STEP] - level
    cells, vertices = _place_vertices(field)
    faces = _join(field > 0.0, cells)
    return (vertices * STEP + (first - _ROOM))[:, ::-1], faces


def _blur(field: NDArray[np.float32]) -> NDArray[np.float32]:
    for axis in range(3):
        lines = np.moveaxis(field, axis, 0)
        for _ in range(_BLURS):
            middle = 2.0 * lines[1:-1] + lines[:-2] + lines[2:]
            lines[1:-1] = middle / np.float32(4.0)
    return field


def _place_vertices(field: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number of the vertex of each cell, -1 where it has none, and the vertices: z, y, x in samples."""
    corners = list(product((0, 1), repeat=3))
    shape = tuple(n - 1 for n in field.shape)
    inside = field > 0.0
    filled = sum(
        inside[tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))].astype(int) for corner in corners
    )
    crossed = np.argwhere((filled > 0) & (filled < 8))
    cells = np.full(shape, -1, np.int64)
    cells[tuple(crossed.T)] = np.arange(len(crossed))
    values = {corner: field[tuple((crossed + corner).T)].astype(np.float64) for corner in corners}
    total, cuts = np.zeros((len(crossed), 3)), np.zeros((len(crossed), 1))
    for corner, axis in product(corners, range(3)):
        if corner[axis]:
            continue
        low, high = values[corner], values[tuple(c + (a == axis) for a, c in enumerate(corner))]
        cut = (low > 0.0) != (high > 0.0)
        place = np.tile(np.asarray(corner, np.float64), (len(crossed), 1))
        place[:, axis] = low / np.where(cut, low - high, 1.0)
        total += place * cut[:, None]
        cuts += cut[:, None]
    return cells, crossed + total / cuts


def _join(inside: NDArray[np.bool_], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two triangles for each edge of the grid that leaves or enters the structure."""
    faces = []
    for axis in range(3):
        before, after = np.moveaxis(inside, axis, 0)[:-1], np.moveaxis(inside, axis, 0)[1:]
        edges = np.argwhere(before != after)
        leaving = np.moveaxis(inside, axis, 0)[tuple(edges.T)]
        along, u, v = edges.T
        around = np.moveaxis(cells, axis, 0)
        # The four cells around the edge; moving an axis to the front keeps the hand of (z, y, x) for z and x only.
        ring = np.stack(
            [around[along, u - 1, v - 1], around[along, u, v - 1], around[along, u, v], around[along, u - 1, v]]
        )
        turned = leaving == (axis == 1)
        ring[:, turned] = ring[::-1, turned]
        faces += [ring[[0, 2, 1]].T, ring[[0, 3, 2]].T]
    return np.concatenate(faces)

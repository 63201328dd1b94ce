"""Arrays in the order that viewers of NIfTI keep them in: along the voxel axes nearest to right, front and head.

A viewer turns what is stored otherwise, and counts voxels its own way. In this order there is nothing to turn, so that
the index of a voxel in the page is its index here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.volume import Grid

_AHEAD = (-1.0, -1.0, 1.0)  # right, front, head in LPS


@dataclass(frozen=True)
class Order:
    """How a grid's arrays are turned: axes[i] is the voxel axis (0 for x) that takes the place i; which run against."""

    grid: Grid
    axes: tuple[int, int, int]
    against: tuple[bool, bool, bool]

    @classmethod
    def of(cls, grid: Grid) -> "Order":
        direction = np.reshape(grid.direction, (3, 3))
        # Of the ways to pair voxel axes with the patient's, the one that keeps them nearest to each other.
        ways = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
        axes = max(ways, key=lambda way: sum(abs(direction[place, axis]) for place, axis in enumerate(way)))
        x, y, z = (bool(direction[place, axis] * _AHEAD[place] < 0) for place, axis in enumerate(axes))
        return cls(grid, axes, (x, y, z))

    def turn(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of an array [z, y, x] of the grid, in the upright order."""
        turned = array.transpose([2 - axis for axis in reversed(self.axes)])
        return turned[tuple(slice(None, None, -1) if against else slice(None) for against in reversed(self.against))]

    def turned_grid(self) -> Grid:
        """The grid of what `turn` gives."""
        affine, counts = self.grid.affine, self.grid.shape[::-1]
        direction = np.reshape(self.grid.direction, (3, 3))[:, self.axes] * np.where(self.against, -1.0, 1.0)
        corner = np.zeros(4)
        corner[3] = 1.0
        for axis, against in zip(self.axes, self.against, strict=True):
            corner[axis] = counts[axis] - 1 if against else 0
        x, y, z = (affine @ corner)[:3].tolist()
        i, j, k = self.axes
        spacing = self.grid.spacing_mm
        a, b, c, d, e, f, g, h, n = direction.ravel().tolist()
        return Grid(
            (counts[k], counts[j], counts[i]),
            (spacing[i], spacing[j], spacing[k]),
            (x, y, z),
            (a, b, c, d, e, f, g, h, n),
        )

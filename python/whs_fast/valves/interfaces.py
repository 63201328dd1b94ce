"""Where two structures of a label map touch: the faces between their voxels, in patient mm."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whs_fast.valves.contours import Points
from whs_fast.volume import Grid


@dataclass(frozen=True)
class Interface:
    """points_mm: centres of the faces [n, 3]. areas_mm2: their vector areas [n, 3], from the first structure on."""

    points_mm: Points
    areas_mm2: Points

    def part(self, kept: NDArray[np.bool_]) -> "Interface":
        return Interface(self.points_mm[kept], self.areas_mm2[kept])

    @cached_property
    def weights(self) -> Points:
        return np.asarray(np.linalg.norm(self.areas_mm2, axis=1))


def find_voxels(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices [n, 3] of what is true, as np.argwhere gives them, which takes several times as long."""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), -1)


def find_interface(
    labels: NDArray[np.uint8],
    grid: Grid,
    first: int,
    second: int,
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
) -> Interface:
    """The faces between voxels of two labels; empty where they do not touch.

    labels, uint8[z, y, x], lie on grid. lowest and highest, int64[label, 3], are the first and last voxel (z, y, x) of
    each label, -1 where it is absent.
    """
    empty = Interface(np.empty((0, 3)), np.empty((0, 3)))
    if lowest[first, 0] < 0 or lowest[second, 0] < 0:
        return empty
    low = np.maximum(np.maximum(lowest[first], lowest[second]) - 1, 0)
    high = np.minimum(highest[first], highest[second]) + 2
    if (high - low < 2).any():
        return empty
    part = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    one, two = part == first, part == second
    steps = grid.affine[:3, :3].T[::-1]  # of one voxel along z, y and x, in mm
    points, areas = [], []
    for axis in range(3):
        area = np.cross(steps[(axis + 1) % 3], steps[(axis + 2) % 3])
        area *= np.sign(area @ steps[axis])
        lower, upper = (np.moveaxis(mask, axis, 0) for mask in (one, two))
        for here, there, sign in ((lower[:-1], upper[1:], 1.0), (upper[:-1], lower[1:], -1.0)):
            at = find_voxels(np.moveaxis(here & there, 0, axis))
            points.append(at + low + 0.5 * (np.arange(3) == axis))
            areas.append(np.broadcast_to(sign * area, (len(at), 3)))
    index = np.concatenate(points)
    return Interface(index @ steps + np.asarray(grid.origin_mm), np.concatenate(areas))

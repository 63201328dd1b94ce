"""Label maps of the phantom's balls on grids of any kind, for tests that compare label maps."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from support.phantom import BALLS, VALVE_MM
from whs_fast.volume import IDENTITY_DIRECTION, Direction, Grid, Triple


def make_grid(
    spacing_mm: Triple = (2.0, 2.0, 2.5),
    shape: tuple[int, int, int] = (56, 72, 66),
    direction: Direction = IDENTITY_DIRECTION,
    offset_mm: Triple = (0.0, 0.0, 0.0),
) -> Grid:
    """A grid whose middle is the phantom's valve plus an offset (x, y, z)."""
    axes = np.reshape(direction, (3, 3)) * np.asarray(spacing_mm)
    origin = np.add(VALVE_MM, offset_mm) - axes @ ((np.asarray(shape[::-1]) - 1) / 2.0)
    return Grid(shape, spacing_mm, tuple(float(value) for value in origin), direction)


def make_heart(grid: Grid, *, shift_mm: Triple = (0.0, 0.0, 0.0), grow_mm: float = 0.0) -> NDArray[np.uint8]:
    """Labels 1 to 10, uint8[z, y, x], of the balls, shifted and grown."""
    z, y, x = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    axes = grid.affine
    from_valve = [
        axes[i, 0] * x + axes[i, 1] * y + axes[i, 2] * z + (axes[i, 3] - VALVE_MM[i] - shift_mm[i]) for i in range(3)
    ]
    labels = np.zeros(grid.shape, np.uint8)
    for label, (place, radius) in BALLS.items():
        labels[sum((d - p) ** 2 for d, p in zip(from_valve, place, strict=True)) < (radius + grow_mm) ** 2] = label
    return labels


def write_map(path: Path, labels: NDArray[np.generic], grid: Grid) -> Path:
    """Writes a label map by SimpleITK, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    sitk.WriteImage(image, path, useCompression=True)
    return path

"""The part of the scan around the aortic root, resampled for measuring, and the HU of what lies in it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY
from whs_fast.valves.contours import Plane, Points, rounded
from whs_fast.volume import AIR_HU, Grid, Volume, axis_aligned_grid, index_map

SPACING_MM = 0.4
SIDE = 160  # voxels: 64 mm
UPWARDS_MM = 8.0  # from the annulus to the middle of the crop; more is above it than below
BLOOD = tuple(BY_KEY[key].label for key in ("left_ventricle_cavity", "aorta"))
MUSCLE = BY_KEY["left_ventricle_myocardium"].label
USUAL_MUSCLE_HU = 100.0  # where the crop shows no muscle
LEAST_CONTRAST_HU = 80.0
METAL_HU, LEAST_METAL_MM3 = 1800.0, 150.0  # calcium is less dense
METAL_EDGE = 30  # voxels: metal nearer to the crop's faces is not in the root


@dataclass(frozen=True)
class Crop:
    """hu: float32 [z, y, x] on an upright grid, lightly smoothed; labels: uint8 on the same; blood, muscle and noise
    (sd) in HU of the smoothed crop."""

    hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    grid: Grid
    blood: float
    muscle: float
    noise: float

    @property
    def contrast(self) -> float:
        return self.blood - self.muscle

    def index(self, points_mm: Points) -> Points:
        """Continuous voxel indices (z, y, x) of points [..., 3] in mm, LPS."""
        return np.asarray(((points_mm - np.asarray(self.grid.origin_mm)) / self.grid.spacing_mm)[..., ::-1])

    def at(self, points: Points, plane: Plane | None = None) -> NDArray[np.float32]:
        """HU, trilinear, at points [..., 3] in mm: x, y, z in LPS, or across, along and over a plane; the edge value
        outside."""
        values = _kernels.sample_linear(self.hu, points.reshape(-1, 3), self._map(plane))
        return values.reshape(points.shape[:-1])

    def in_blood(self, points: Points, plane: Plane | None = None) -> NDArray[np.bool_]:
        """Whether the voxel at each of such points is labelled as blood of the left ventricle or the aorta."""
        labels = _kernels.sample_nearest(self.labels, points.reshape(-1, 3), self._map(plane))
        cavity, aorta = BLOOD
        return np.asarray((labels == cavity) | (labels == aorta)).reshape(points.shape[:-1])

    def _map(self, plane: Plane | None) -> Points:
        """Matrix [3, 4] from such points to indices z, y, x."""
        return self._to_index if plane is None else self._to_index @ plane.frame

    @cached_property
    def _to_index(self) -> Points:
        return np.asarray(np.linalg.inv(self.grid.affine)[2::-1])


def cut_crop(scan: Volume, labels: NDArray[np.uint8], annulus: Plane, *, threads: int) -> Crop | str:
    """The crop around an annulus, or why the root cannot be measured in it. labels, uint8, lie on the scan's grid."""
    middle = annulus.moved(UPWARDS_MM).centre_mm
    grid = axis_aligned_grid(rounded(middle, 3), (SIDE,) * 3, (SPACING_MM,) * 3)
    hu, tint = resample(scan, labels, grid, threads=threads)
    crop = Crop(hu, tint, grid, 0.0, 0.0, 0.0)
    core = annulus.moved(-6).lift(_disc(8.0))[:, None] + np.arange(0, 20, 0.8)[:, None] * annulus.normal
    in_blood = crop.in_blood(core)
    if in_blood.mean() < 0.5:
        return "the label map does not show the root"
    crop = compared(crop, crop.at(core)[in_blood])
    if crop.contrast < LEAST_CONTRAST_HU:
        return "the blood of the root is hardly brighter than muscle: no contrast medium in it"
    inner = hu[METAL_EDGE:-METAL_EDGE:2, METAL_EDGE:-METAL_EDGE:2, METAL_EDGE:-METAL_EDGE:2]
    if (inner > METAL_HU).sum() * (2 * SPACING_MM) ** 3 > LEAST_METAL_MM3:
        return "metal in the root, such as a prosthesis"
    return crop


def resample(
    scan: Volume, labels: NDArray[np.uint8], grid: Grid, *, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """HU, lightly smoothed, and labels on another grid; air beyond the scan."""
    to_scan = index_map(grid, scan.grid)
    raw, tint = np.empty(grid.shape, np.int16), np.empty(grid.shape, np.uint8)
    _kernels.resample_linear(scan.array, raw, to_scan, (1, 1, 1), AIR_HU, 0, threads=threads)
    _kernels.resample_nearest(labels, tint, to_scan, 0, threads=threads)
    hu = np.empty(grid.shape, np.float32)
    _kernels.smooth(raw, hu, threads=threads)
    return hu, tint


def compared(crop: Crop, found: NDArray[np.float32]) -> Crop:
    """The crop with the HU of its blood, some of which was found, and of its muscle."""
    blood = float(np.median(found))
    noise = float(1.48 * np.median(np.abs(found - blood)))
    wall = crop.hu[::2, ::2, ::2][crop.labels[::2, ::2, ::2] == MUSCLE]
    muscle = float(np.median(wall)) if len(wall) > 500 else USUAL_MUSCLE_HU
    return replace(crop, blood=blood, muscle=muscle, noise=noise)


def seen_in(grid: Grid, points_mm: Points) -> NDArray[np.bool_]:
    """Which of points [n, 3], mm, LPS, lie between the voxels of a scan's grid."""
    to_index = np.linalg.inv(grid.affine)
    index = points_mm @ to_index[:3, :3].T + to_index[:3, 3]
    return np.asarray(((index >= 0) & (index <= np.array(grid.shape[::-1]) - 1)).all(1))


def _disc(radius_mm: float) -> Points:
    """Points [n, 2] of a disc, 1 mm apart."""
    y, x = np.mgrid[-radius_mm : radius_mm + 1, -radius_mm : radius_mm + 1]
    return np.asarray(np.stack([x, y], -1)[np.hypot(x, y) <= radius_mm])

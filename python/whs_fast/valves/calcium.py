"""Calcium of the aortic valve on contrast CT: volume of what is brighter than the blood around it, by cusp.

Blooming makes dense calcium look larger, and the threshold decides how much: the figures compare scans of one kind.
They are no Agatston score, which is defined for scans without contrast.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from whs_fast import _kernels
from whs_fast.valves.contours import Plane, Points
from whs_fast.valves.crop import SPACING_MM, Crop
from whs_fast.valves.edges import RAYS, Wall
from whs_fast.valves.hinges import CUSPS
from whs_fast.valves.interfaces import find_voxels

ABOVE_BLOOD_HU = 100.0
NOISES = 4.0  # or so many sd above blood, where noise is strong
DENSE_HU = 850.0
LEAST_MM3 = 2.0  # of a connected part: less is noise
MARGIN_MM = 0.5  # beyond the wall, where calcium sticks in it


def describe_calcium(
    crop: Crop, plane: Plane, walls: Sequence[Wall], heights: Points, hinge_angles: Points
) -> dict[str, Any]:
    """`calcium` of measurements.json: mm3 between the annulus and the highest wall, by cusp. Arguments as for ostia."""
    threshold = crop.blood + max(ABOVE_BLOOD_HU, NOISES * crop.noise)
    bright = crop.hu > threshold
    parts = np.empty(bright.shape, np.uint32)
    _kernels.connected_components(bright.view(np.uint8), parts, 26)
    at = find_voxels(bright)
    part = parts[tuple(at.T)]
    at = at[np.bincount(part)[part] * SPACING_MM**3 > LEAST_MM3]
    points = at[:, ::-1] * SPACING_MM + np.asarray(crop.grid.origin_mm)
    height, flat = plane.height(points), plane.flat(points)
    angle = np.arctan2(flat[:, 1], flat[:, 0])
    level = np.clip(np.rint(np.interp(height, heights, np.arange(len(heights)))).astype(int), 0, len(walls) - 1)
    ray = np.rint(angle % (2 * np.pi) / (2 * np.pi) * RAYS).astype(int) % RAYS
    radius = np.array([wall.radii for wall in walls])[level, ray]
    within = (height >= 0) & (height <= heights[-1]) & (np.linalg.norm(flat, axis=1) < radius + MARGIN_MM)
    cusp = np.cos(angle[:, None] - hinge_angles).argmax(1)
    dense = crop.hu[tuple(at.T)] > DENSE_HU

    def volumes(counted: Points) -> dict[str, float]:
        by_cusp = np.bincount(cusp[counted], minlength=len(CUSPS)) * SPACING_MM**3
        return {name: round(float(v), 1) for name, v in zip(CUSPS, by_cusp, strict=True)} | {
            "total": round(float(by_cusp.sum()), 1)
        }

    return {
        "threshold_hu": round(threshold),
        "volume_mm3": volumes(within),
        "above_850_hu_mm3": volumes(within & dense),
    }

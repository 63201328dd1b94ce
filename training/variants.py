"""Variants of the atlas that no smooth deformation reaches: two to five pulmonary veins, trunks, papillary muscles.

They are drawn into a copy of the label map before it is deformed. Millimetres are x, y, z from the aortic valve.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

PV, LA, LVC, LVM = 1, 2, 3, 4
WALL, ARTERIES, LUNG, FAT = 12, 13, 17, 20

# Mouth and tip of each vein.
LEFT_LOWER, RIGHT_LOWER = ((3.0, 46.0, 11.0), (47.0, 47.0, -4.0)), ((-44.0, 52.0, 1.0), (-78.0, 66.0, -3.0))
RIGHT_UPPER, LEFT_UPPER = ((-51.0, 32.0, 11.0), (-90.0, 18.0, 18.0)), ((11.0, 35.0, 22.0), (48.0, 13.0, 19.0))
VEINS = (LEFT_LOWER, RIGHT_LOWER, RIGHT_UPPER, LEFT_UPPER)
MIDDLE = ((-44.0, 43.0, 6.0), (-82.0, 43.0, 5.0))
APEX, MITRAL = np.array([38.0, -10.0, -48.0]), np.array([12.0, 6.0, -12.0])


@dataclass(frozen=True)
class VariantRanges:
    """Chances of each variant, and bounds of radii in mm."""

    hidden_vein: float = 0.08  # each of the four
    common_left_trunk: float = 0.2
    middle_vein: float = 0.25
    papillary: float = 0.5
    middle_vein_radius_mm: tuple[float, float] = (2.5, 5.0)
    papillary_radius_mm: tuple[float, float] = (2.5, 5.5)


def _segment(
    shape: tuple[int, ...], start: NDArray[np.float64], end: NDArray[np.float64], reach: float
) -> tuple[tuple[slice, slice, slice], torch.Tensor]:
    """A box around a segment (voxels, x, y, z) and the distance of its voxels to the segment, float32."""
    low = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, end) + reach) + 1, shape[::-1]).astype(int)
    axes = [torch.arange(a, b, dtype=torch.float32) for a, b in zip(low, high, strict=True)]
    z, y, x = torch.meshgrid(*axes[::-1], indexing="ij")
    away = torch.stack([x, y, z], -1) - torch.from_numpy(start).float()
    along = torch.from_numpy(end - start).float()
    share = (away @ along / along.square().sum().clamp_min(1e-6)).clamp(0, 1)
    box = (slice(low[2], high[2]), slice(low[1], high[1]), slice(low[0], high[0]))
    return box, (away - share[..., None] * along).norm(dim=-1)


def draw_variant(
    rng: np.random.Generator,
    tissues: torch.Tensor,
    nearest: torch.Tensor,
    valve_voxel: NDArray[np.float64],
    ranges: VariantRanges,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Copies of the atlas's tissues and nearest structures, both uint8 [z, y, x], with variants drawn in."""
    tissues, nearest = tissues.clone(), nearest.clone()

    def tube(
        start: NDArray[np.float64], end: NDArray[np.float64], radius: float, old: tuple[int, ...], new: int
    ) -> None:
        box, distance = _segment(tissues.shape, start + valve_voxel, end + valve_voxel, radius)
        here = tissues[box]
        here[(distance < radius) & torch.isin(here, torch.tensor(old, dtype=torch.uint8))] = new

    surroundings = (WALL, ARTERIES, LUNG, FAT)
    for vein in VEINS:
        if rng.random() < ranges.hidden_vein:
            start, end = (np.array(p) + valve_voxel for p in vein)
            box, distance = _segment(tissues.shape, start, end + 0.3 * (end - start), 14.0)
            gone = (tissues[box] == PV) & (distance < 14)
            tissues[box][gone] = LUNG
            nearest[box][(nearest[box] == PV) & (distance < 14)] = 0
            wall = gone & (_distance_to(tissues[box] == LA) <= 2)
            tissues[box][wall] = WALL
    if rng.random() < ranges.common_left_trunk:
        radius, length = rng.uniform(4.0, 6.5), rng.uniform(8.0, 20.0)
        for share in np.linspace(0, 1, 6):
            start, end = (share * np.subtract(a, b) + b for a, b in zip(LEFT_UPPER, LEFT_LOWER, strict=True))
            out = (end - start) / np.linalg.norm(end - start)
            tube(start - 4 * out, start + length * out, radius, surroundings, PV)
    if rng.random() < ranges.middle_vein:
        end = np.array(MIDDLE[1]) + rng.normal(0, 4, 3)
        tube(np.array(MIDDLE[0]), end, rng.uniform(*ranges.middle_vein_radius_mm), surroundings, PV)
    if rng.random() < ranges.papillary:
        axis = (MITRAL - APEX) / np.linalg.norm(MITRAL - APEX)
        for turn in (rng.uniform(-0.5, 0.5), rng.uniform(2.0, 3.2)):
            # Lateral is away from the septum: mostly +x, and the two stand in front and behind.
            first = np.cross(axis, [0.0, 0.0, 1.0])
            first /= np.linalg.norm(first)
            side = np.cos(turn) * first + np.sin(turn) * np.cross(axis, first)
            radius = rng.uniform(*ranges.papillary_radius_mm)
            root = APEX + axis * rng.uniform(8, 18) + side * rng.uniform(16, 20)
            tip = APEX + axis * rng.uniform(26, 40) + side * rng.uniform(7, 11)
            tube(root, tip, radius, (LVC,), LVM)
    return tissues, nearest


def _distance_to(mask: torch.Tensor) -> torch.Tensor:
    """Chessboard distance up to 2 to a mask, cheaply: 0 inside, 3 where farther."""
    near = mask[None, None].float()
    out = torch.full(mask.shape, 3)
    for steps in (2, 1):
        out[torch.nn.functional.max_pool3d(near, 2 * steps + 1, 1, steps)[0, 0] > 0] = steps
    out[mask] = 0
    return out

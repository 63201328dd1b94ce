"""Settles the borders of blood by the scan: half-way between the HU of the blood and those of muscle.

The network's logits lie on a lattice twice as coarse as its region, and it draws blood too small rather than too large.
A wall, of muscle or vessel, surrounds all blood, so that what is nearer to blood than to muscle is blood: borders move
outwards, into muscle and background, by one step of that lattice at most, and only where blood stands out. Between the
left ventricle's cavity and its muscle, which are both labelled, they move inwards as well. Those of the right heart do
not: blood that has not mixed may be as dark as muscle.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.steps.region import REGION_SPACING_MM
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Volume

CAVITY = BY_KEY["left_ventricle_cavity"]
MUSCLE = BY_KEY["left_ventricle_myocardium"]
NEVER = np.iinfo(np.int16).max
STEP_MM = 2 * np.array(REGION_SPACING_MM)  # of the logits' lattice, x, y, z
# Half of it lies between muscle and the limit: 2.5 sd of the mean that is judged, or 1.5 where noise is as grainy as
# that mean is wide. A muscle's voxel in 15 beside blood passes then at most, which moves the border by a 15th of one.
LEAST_CONTRAST_TO_NOISE = 2.0


def settle_borders(
    volume: Volume, labels: NDArray[np.uint8], contrast: dict[str, Any], *, threads: int
) -> NDArray[np.uint8]:
    """Moves the borders of labels, uint8[z, y, x] on the volume's grid, in place, and returns the same array.

    contrast: as `measure_contrast` gives it for these labels.
    """
    axes = volume.grid.affine[:3, :3]
    spacing_mm = np.linalg.norm(axes, axis=0)
    reach_mm = np.linalg.norm(axes / spacing_mm * STEP_MM[:, None], axis=0)
    steps = np.rint(reach_mm / spacing_mm).astype(int)[::-1].tolist()
    limits = _limits(contrast)
    _kernels.grow_labels(labels, volume.array, limits, steps, threads=threads)
    inwards = np.full_like(limits, NEVER)
    inwards[CAVITY.label, MUSCLE.label] = limits[MUSCLE.label, CAVITY.label]
    _kernels.grow_labels(labels, volume.array, inwards, steps, below=True, threads=threads)
    return labels


def _limits(contrast: dict[str, Any]) -> NDArray[np.int16]:
    """What HU must exceed for one label to become another, which is blood: int16[label, label]."""
    limits = np.full((len(STRUCTURES) + 1,) * 2, NEVER, np.int16)
    muscle, noise = contrast["structures"][MUSCLE.key], contrast["noise_hu"]
    if muscle is None or noise is None:
        return limits
    for structure in STRUCTURES:
        blood = contrast["structures"][structure.key]
        if blood is None or blood["mean_hu"] - muscle["mean_hu"] <= LEAST_CONTRAST_TO_NOISE * noise:
            continue
        limits[[0, MUSCLE.label], structure.label] = round((blood["mean_hu"] + muscle["mean_hu"]) / 2)
    return limits

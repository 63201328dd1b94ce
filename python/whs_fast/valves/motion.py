"""Steps between heart beats: neighbouring slices at the valve that do not fit together.

A scan is put together from slabs of several heart beats. Where the heart lay elsewhere in one of them, two neighbouring
slices differ much more than those around them, and a contour across them belongs to no heart.
"""

import numpy as np

from whs_fast.valves.contours import Plane, rounded
from whs_fast.volume import Volume, mm_to_index

REACH_MM = 28.0  # around the valve
WINDOW_HU = (-100, 400)
BLOCK_MM = 1.6  # that is averaged within a slice, against noise
NEAR_MM = 5.0  # on either side, of slices to compare with
RATIO = 1.9  # drawn scans without steps have at most 1.4, with steps of 4 mm 2.3 and more


def has_steps(scan: Volume, valve: Plane) -> bool:
    """Whether slices across the patient's long axis do not fit together near a valve."""
    axes = np.array(scan.direction).reshape(3, 3).T[::-1]  # of z, y and x of the array
    spacing = np.array(scan.spacing_mm[::-1])
    middle = np.array(mm_to_index(scan.grid, rounded(valve.centre_mm)))
    low, high = np.maximum(middle - REACH_MM / spacing, 0).astype(int), (middle + REACH_MM / spacing).astype(int)
    part = scan.array[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
    stack = int(np.abs(axes[:, 2]).argmax())
    slices = np.moveaxis(np.clip(part, *WINDOW_HU), stack, 0).astype(np.float32)
    for axis, step in zip((1, 2), np.delete(spacing, stack), strict=True):
        block = max(1, round(BLOCK_MM / step))
        whole = slices.shape[axis] // block * block
        slices = np.add.reduceat(slices.take(range(whole), axis), range(0, whole, block), axis) / block
    steps = np.abs(np.diff(slices, axis=0)).mean((1, 2))
    near = max(2, round(NEAR_MM / spacing[stack]))
    if len(steps) <= near:
        return False
    around = np.lib.stride_tricks.sliding_window_view(np.pad(steps, near, mode="reflect"), 2 * near + 1)
    return bool((steps > RATIO * np.median(around, 1)).any())

"""What the networks see of a scan: the HU window, and the region around the aortic valve that is segmented.

Region, voxel size and window are those of Sharobeem et al., J Cardiovasc Transl Res 2021,
doi 10.1007/s12265-021-10166-0.
"""

from dataclasses import replace

import numpy as np

from whs_fast.volume import Grid, Triple, axis_aligned_grid

WINDOW_HU = (-300.0, 800.0)  # becomes 0 to 255

REGION_SHAPE = (320, 320, 320)  # z, y, x
REGION_SPACING_MM = (0.7, 0.7, 1.0)  # x, y, z
# From the middle of the region to its faces, x, y, z.
REACH_MM = (
    REGION_SHAPE[2] * REGION_SPACING_MM[0] / 2,
    REGION_SHAPE[1] * REGION_SPACING_MM[1] / 2,
    REGION_SHAPE[0] * REGION_SPACING_MM[2] / 2,
)
LATTICE_MM = 2.0


def region_grid(scan: Grid, valve_mm: Triple) -> Grid:
    """Grid of the region around a valve centre (x, y, z) in mm, LPS.

    Its centre is the valve's to within 1 mm an axis: it keeps to a lattice of LATTICE_MM about the middle of the scan,
    so that float noise in a header, which can move the valve by 0.1 mm, gives the same region and the same labels.
    """
    low, high = np.array(scan.box_mm)
    middle = (low + high) / 2
    x, y, z = middle + np.rint((np.array(valve_mm) - middle) / LATTICE_MM) * LATTICE_MM
    return axis_aligned_grid((x, y, z), REGION_SHAPE, REGION_SPACING_MM)


def shift_region(region: Grid) -> Grid:
    """The region moved by one of its voxels along each axis, which is half a voxel of the logits.

    A network that is sure of what it sees says the same of it.
    """
    x, y, z = np.add(region.origin_mm, region.spacing_mm)
    return replace(region, origin_mm=(float(x), float(y), float(z)))

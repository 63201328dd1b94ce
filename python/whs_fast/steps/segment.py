"""Labels every voxel of a scan from one region of fixed size around the aortic valve.

The region lies along the patient axes, so the network always sees the heart the same way round however the scan is
stored. It goes from the int16 scan to the network's uint8 in one kernel, and from the network's half-resolution logits
to labels on the scan's own grid in another: neither a float region nor full-resolution logits ever exist.

Region, voxel size and the choice of half resolution follow Sharobeem et al., J Cardiovasc Transl Res 2021,
doi 10.1007/s12265-021-10166-0, and the Dense V-Net of Gibson et al., IEEE Trans Med Imaging 2018,
doi 10.1109/TMI.2018.2806309.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.steps.region import WINDOW_HU
from whs_fast.volume import AIR_HU, Grid, Volume, index_map, samples_per_voxel

Progress = Callable[[float], None]


class Network(Protocol):
    def __call__(self, region: NDArray[np.uint8], *, progress: Progress | None = None) -> NDArray[np.int8]: ...


def segment(
    volume: Volume, region: Grid, network: Network, *, threads: int, progress: Progress | None = None
) -> NDArray[np.uint8]:
    """Labels 0 to 10, uint8[z, y, x], on the scan's own grid.

    volume is the scan, int16 HU; region as region_grid has it. network takes the region as read_region gives it to int8
    logits [z/2, y/2, x/2, 11] on one shared integer scale, and tells progress which share of its work is done. Outside
    the region all is 0.
    """
    logits = network(read_region(volume, region, threads=threads), progress=progress)
    labels = np.empty(volume.grid.shape, np.uint8)
    _kernels.upsample_argmax(logits, labels, index_map(volume.grid, region), threads=threads)
    return labels


def read_region(volume: Volume, region: Grid, *, threads: int) -> NDArray[np.uint8]:
    """The region as the network sees it, uint8[z, y, x]: the HU window on 0 to 255, air outside the scan."""
    to_scan = index_map(region, volume.grid)
    out = np.empty(region.shape, np.uint8)
    _kernels.resample_window(
        volume.array, out, to_scan, samples_per_voxel(to_scan), *WINDOW_HU, AIR_HU, threads=threads
    )
    return out

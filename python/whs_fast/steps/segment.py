"""Labels every voxel of a scan from one region of fixed size around the aortic valve.

The region lies along the patient axes, so the network always sees the heart the same way round however the scan is
stored. It goes from the int16 scan to the network's uint8 in one kernel, and from the network's half-resolution logits
to labels on the scan's own grid in another: neither a float region nor full-resolution logits ever exist.

The choice of half resolution follows Sharobeem et al., J Cardiovasc Transl Res 2021, doi 10.1007/s12265-021-10166-0,
and the Dense V-Net of Gibson et al., IEEE Trans Med Imaging 2018, doi 10.1109/TMI.2018.2806309.
"""

import itertools
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.steps.region import WINDOW_HU
from whs_fast.volume import AIR_HU, Box, Grid, Volume, index_map, samples_per_voxel

Progress = Callable[[float], None]


class Network(Protocol):
    """Dense V-Net, whatever runs it; wanted is the box of logits that will be looked at."""

    def __call__(
        self, region: NDArray[np.uint8], wanted: Box | None = None, *, progress: Progress | None = None
    ) -> NDArray[np.int8]: ...


def segment(
    volume: Volume, region: Grid, network: Network, *, threads: int, progress: Progress | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Labels 0 to 10, uint8[z, y, x], on the scan's own grid, and how clearly the logits decide.

    The latter counts the logits' voxels by best label, second label and the margin between: int64[11, 11, 256].
    volume is the scan, int16 HU; region as region_grid has it. network takes the region as read_region gives it, and
    the box of logits that are wanted, to int8 logits [z/2, y/2, x/2, 11] on one shared integer scale, and tells
    progress which share of its work is done. Outside the region all is 0.
    """
    wanted = wanted_logits(volume.grid, region)
    logits = network(read_region(volume, region, threads=threads), wanted, progress=progress)
    labels = np.empty(volume.grid.shape, np.uint8)
    _kernels.upsample_argmax(logits, labels, index_map(volume.grid, region), threads=threads)
    return labels, _kernels.count_margins(logits, wanted=wanted, threads=threads)


def wanted_logits(scan: Grid, region: Grid) -> Box:
    """The box of logits from which the labels of a scan are sampled; empty where it lies outside the region."""
    to_region = index_map(scan, region)
    ends = np.array([-0.001, 0.001]) + np.array([0.0, 1.0]) * (np.array(scan.shape)[:, None] - 1)
    corners = np.array(list(itertools.product(*ends))) @ to_region[:, :3].T + to_region[:, 3]
    lowest = np.maximum(corners.min(axis=0), -0.5)
    highest = np.minimum(corners.max(axis=0), np.array(region.shape) - 0.5)
    if (lowest > highest).any():
        return (0, 0), (0, 0), (0, 0)
    # Voxel c of the region lies at (c + 0.5) / 2 - 0.5 among the logits, between its neighbours on both sides.
    first = np.floor((lowest + 0.5) / 2 - 0.5).clip(0).astype(int).tolist()
    last = np.minimum(np.floor((highest + 0.5) / 2 - 0.5) + 2, np.array(region.shape) // 2).astype(int).tolist()
    return (first[0], last[0]), (first[1], last[1]), (first[2], last[2])


def read_region(volume: Volume, region: Grid, *, threads: int) -> NDArray[np.uint8]:
    """The region as the network sees it, uint8[z, y, x]: the HU window on 0 to 255, air outside the scan."""
    to_scan = index_map(region, volume.grid)
    out = np.empty(region.shape, np.uint8)
    _kernels.resample_window(
        volume.array, out, to_scan, samples_per_voxel(to_scan), *WINDOW_HU, AIR_HU, threads=threads
    )
    return out

"""The box around the labelled heart on a coarse lattice: what contrast and confidence are measured on.

Every n-th voxel of scan and labels, so that steps are about 1 to 1.6 mm. Nothing is averaged: noise stays what it is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast.structures import STRUCTURES
from whs_fast.volume import Volume

COARSEST_MM = 1.6
ERODED_MM = 2.0  # a voxel this thick or less is taken off a pool's rim, against partial volume
LABELS = len(STRUCTURES) + 1


@dataclass(frozen=True, eq=False)
class HeartBox:
    """Labels, uint8, and HU, int16, both [slice, row, column] with a rim of background where the scan has one.

    steps_mm are the distances along the three axes. axes, float64[3, 3], holds their directions in the patient as rows
    (x, y, z; LPS). at_edge says whether the box ends with the scan, [axis, low or high]. The first axis is that of the
    scan which lies nearest to the patient's long axis.
    """

    labels: NDArray[np.uint8]
    hu: NDArray[np.int16]
    steps_mm: NDArray[np.float64]
    axes: NDArray[np.float64]
    at_edge: NDArray[np.bool_]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel of the lattice."""
        return float(np.prod(self.steps_mm)) / 1000.0

    def core(self) -> NDArray[np.bool_]:
        """Voxels of a structure whose neighbours along all axes have the same label; of thick voxels none is asked."""
        core = self.labels > 0
        for axis, step in enumerate(self.steps_mm):
            if step > ERODED_MM:
                continue
            labels, inner = np.moveaxis(self.labels, axis, 0), np.moveaxis(core, axis, 0)
            same = labels[1:] == labels[:-1]
            inner[1:] &= same
            inner[:-1] &= same
        return core


def cut_heart_box(volume: Volume, labels: NDArray[np.uint8]) -> HeartBox | None:
    """The box around all labels of a scan, uint8[z, y, x] on its grid; None where nothing was labelled."""
    affine = volume.grid.affine[:3, :3]
    spacing_mm = np.linalg.norm(affine, axis=0)[::-1]  # of the array's axes
    axes = (affine / np.linalg.norm(affine, axis=0)).T[::-1]
    order = np.argsort(-np.abs(axes[:, 2]), kind="stable")[:1].tolist()
    order += [axis for axis in range(3) if axis not in order]
    strides = np.maximum(1, (COARSEST_MM / spacing_mm).astype(int))
    coarse = tuple(slice(None, None, stride) for stride in strides)
    own_labels, own_hu = labels[coarse], volume.array[coarse]
    box, at_edge = [], np.zeros((3, 2), bool)
    for axis in range(3):
        held = np.flatnonzero(own_labels.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(held):
            return None
        first, last = max(0, int(held[0]) - 1), min(own_labels.shape[axis], int(held[-1]) + 2)
        at_edge[axis] = first == held[0], last == held[-1] + 1
        box.append(slice(first, last))
    own_labels, own_hu = (
        np.ascontiguousarray(array[tuple(box)].transpose(order)) for array in (own_labels, own_hu)
    )
    return HeartBox(own_labels, own_hu, (spacing_mm * strides)[order], axes[order], at_edge[order])

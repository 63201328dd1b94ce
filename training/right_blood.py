"""Where in the blood of the right heart a voxel lies: from the wall, from the valves, from the venae cavae.

All is measured on a coarse grid, so that a crop costs tenths of a second. Volumes are indexed z, y, x; spacings and
places are x, y, z in mm.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from training.artefacts import Spacing
from training.deformation import stretch
from training.details import RIGHT
from training.heart import LVM, PA, RA, RVC

Vector = NDArray[np.float64]

COARSE_MM = 1.6  # about the step of the coarse grid
ROOM_MM = 18.0  # around the chambers, for their walls and fat
SEPTAL_MM = 5.0  # most tissue between the septum's blood and the left ventricle's muscle
BASE_MM = 14.0  # what lies this near to the tricuspid or pulmonary valve is not apical at all


@dataclass(frozen=True)
class RightHeart:
    """Right atrium and ventricle in their box, measured on a coarse grid.

    box: where they lie in the volume. labels: uint8 on the coarse grid. step_mm: of the coarse grid, x, y, z. steps:
    its voxels for one of the volume, z, y, x. depth_mm: from the wall, in blood. septal: whether the left
    ventricle's muscle is hardly farther than the wall. apical: 0 at the valves to 1 at the apex of the right ventricle.
    """

    box: tuple[slice, slice, slice]
    labels: torch.Tensor
    step_mm: Vector
    steps: tuple[float, float, float]
    depth_mm: torch.Tensor
    septal: torch.Tensor
    apical: torch.Tensor

    def places(self, mask: torch.Tensor) -> Vector:
        """Where the voxels of a coarse mask lie in the box: mm [n, 3]."""
        return mask.nonzero().double().numpy()[:, ::-1] * self.step_mm

    def mouth(self, vessel: int) -> Vector:
        """Voxels of the right atrium beside those of a vessel: mm [n, 3]."""
        beside = F.max_pool3d((self.labels == vessel)[None, None].float(), 3, 1, 1)[0, 0] > 0
        return self.places(beside & (self.labels == RA))


@dataclass(frozen=True)
class Voxels:
    """Voxels of one chamber: index in the volume, mm from the box's first voxel [n, 3], and as in RightHeart [n]."""

    index: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    places: torch.Tensor
    depth_mm: torch.Tensor
    septal: torch.Tensor
    apical: torch.Tensor


def distance_mm(mask: torch.Tensor, step_mm: Vector) -> torch.Tensor:
    """From each voxel to the mask, or 0 everywhere where the mask is empty."""
    if not mask.any():
        return torch.zeros(mask.shape)
    return torch.from_numpy(ndimage.distance_transform_edt(~mask.numpy(), sampling=step_mm[::-1])).float()


def find(tissues: torch.Tensor, spacing_mm: Spacing) -> RightHeart | None:
    """The right heart in its tissues, or None where there is too little of it."""
    chambers = torch.isin(tissues[::4, ::4, ::4], torch.tensor([RA, RVC], dtype=torch.uint8)).nonzero()
    if len(chambers) < 20:
        return None
    low, high = chambers.amin(0) * 4, chambers.amax(0) * 4
    room = [int(ROOM_MM / s) for s in spacing_mm[::-1]]
    z, y, x = (
        slice(max(0, int(a) - r), min(n, int(b) + r + 1))
        for a, b, r, n in zip(low, high, room, tissues.shape, strict=True)
    )
    every = [max(1, round(COARSE_MM / s)) for s in spacing_mm[::-1]]
    labels = tissues[z, y, x][:: every[0], :: every[1], :: every[2]].contiguous()
    step_mm = np.array(spacing_mm) * every[::-1]

    blood = torch.isin(labels, torch.tensor(RIGHT, dtype=torch.uint8))
    if blood.all():
        return None
    depth_mm, from_muscle = distance_mm(~blood, step_mm), distance_mm(labels == LVM, step_mm)
    from_valves = distance_mm((labels == RA) | (labels == PA), step_mm)
    ventricle = from_valves[labels == RVC]
    far = float(ventricle.max()) if len(ventricle) else 1.0
    apical = ((from_valves - BASE_MM) / max(far - BASE_MM, 20.0)).clamp(0, 1)
    return RightHeart(
        box=(z, y, x),
        labels=labels,
        step_mm=step_mm,
        steps=(1 / every[0], 1 / every[1], 1 / every[2]),
        depth_mm=depth_mm,
        septal=(from_muscle > 0) & (from_muscle < depth_mm + SEPTAL_MM),
        apical=apical,
    )


def voxels_of(heart: RightHeart, tissues: torch.Tensor, spacing_mm: Spacing, chamber: int) -> Voxels:
    here = tissues[heart.box] == chamber
    measured = torch.stack([heart.depth_mm, heart.septal.float(), heart.apical])
    depth, septal, apical = stretch(measured, tuple(here.shape), heart.steps)[:, here]
    index = here.nonzero()
    places = index.flip(1) * torch.tensor(spacing_mm)
    z, y, x = (i + s.start for i, s in zip(index.T, heart.box, strict=True))
    return Voxels((z, y, x), places, depth, septal, apical)

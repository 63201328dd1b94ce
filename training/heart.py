"""Anatomies: the atlas heart, deformed at random, sampled on any grid.

One label map of 22 tissues (training/anatomy, CC BY 4.0) becomes a population by a random affine map, smooth
displacements, local growth or shrinkage of each chamber, and moving walls (cavities that empty or fill, calibres of
vessels). Everything is a backward map from patient millimetres to the atlas, so that a patch, a thorax at 2 mm and a
scan at 0.4 mm of one anatomy agree, and only the voxels asked for are ever computed.

Patient millimetres are x, y, z in LPS with the undeformed aortic valve at the origin; arrays are indexed z, y, x.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

ATLAS_FILE = Path(__file__).parent / "anatomy" / "vhf_thorax_labels.nii.gz"
ATLAS_VALVE_MM = np.array([28.6, -2.8, 427.7])  # centre of the interface of LV cavity and aorta, LPS

(PV, LA, LVC, LVM, AO, CS, SVC, RA, RVC, PA, VEINS, WALL, ARTERIES, AIRWAY, OESOPHAGUS, LIVER, LUNG, SPINE, RIBS, FAT,
 SKIN_FAT, SOFT) = range(1, 23)  # fmt: skip
TISSUES = 23
STRUCTURES = 11  # 0 and the ten labels that the network learns

MARGIN_STEP_MM = 0.25  # step of Atlas.margin
NODE_MM = 8.0  # spacing of the nodes of the displacement field
COARSE = 4  # the backward map is evaluated at every 4th voxel and interpolated between


@dataclass(frozen=True)
class Atlas:
    """The label map on its 1 mm LPS grid with what moving its walls needs.

    tissues: uint8 [z, y, x]. nearest: the structure (1..10) whose surface is nearest, uint8. margin: distance in
    MARGIN_STEP_MM to that surface, negative inside the structure, int8. origin_mm: LPS of voxel 0.
    centres: centroid in mm of the chambers that grow and shrink.
    """

    tissues: torch.Tensor
    nearest: torch.Tensor
    margin: torch.Tensor
    origin_mm: NDArray[np.float64]
    centres: dict[int, NDArray[np.float64]]


def _signed_margins(tissues: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Distance of each voxel to the wall that bounds the nearest structure; valve planes are not walls."""
    blood = (tissues >= 1) & (tissues <= 10) & (tissues != LVM)
    inside = ndimage.distance_transform_edt(blood)
    muscle_depth = ndimage.distance_transform_edt((tissues >= 1) & (tissues <= 10))
    outside, index = ndimage.distance_transform_edt(~blood, return_indices=True)
    nearest = tissues[tuple(index)]
    del index
    margin = np.where(blood, -(inside - 0.5), outside - 0.5)
    # Muscle next to the cavity belongs to the cavity's margin; elsewhere its own surface counts.
    outer = (tissues > 10) | (tissues == 0)
    to_muscle = ndimage.distance_transform_edt(tissues != LVM)
    muscle_nearer = outer & (to_muscle < outside)
    nearest[muscle_nearer] = LVM
    margin[muscle_nearer] = to_muscle[muscle_nearer] - 0.5
    epicardial = (tissues == LVM) & (muscle_depth < outside)
    nearest[epicardial] = LVM
    margin[epicardial] = -(muscle_depth[epicardial] - 0.5)
    return nearest, np.clip(np.rint(margin / MARGIN_STEP_MM), -127, 127).astype(np.int8)


@cache
def load_atlas() -> Atlas:
    """Read the atlas and measure its margins (about half a minute; kept for the life of the process)."""
    image = sitk.DICOMOrient(sitk.ReadImage(str(ATLAS_FILE)), "LPS")
    tissues = sitk.GetArrayFromImage(image)
    origin = np.array(image.GetOrigin())
    margins = ATLAS_FILE.parent / "margins.npz"  # ignored by git
    if margins.exists():
        with np.load(margins) as stored:
            nearest, margin = stored["nearest"], stored["margin"]
    else:
        nearest, margin = _signed_margins(tissues)
        np.savez(margins, nearest=nearest, margin=margin)
    groups = {LA: (LA,), LVM: (LVC, LVM), RA: (RA,), RVC: (RVC,), PA: (PA,), SVC: (SVC,)}
    centres = {key: np.argwhere(np.isin(tissues, labels)).mean(0)[::-1] + origin for key, labels in groups.items()}
    ascending = np.argwhere(tissues[170:230, :140] == AO).mean(0) + (170, 0, 0)
    centres[AO] = ascending[::-1] + origin
    return Atlas(torch.from_numpy(tissues), torch.from_numpy(nearest), torch.from_numpy(margin), origin, centres)


@dataclass(frozen=True)
class Anatomy:
    """One drawn heart in its thorax.

    to_atlas: float64 [3, 4], patient mm -> atlas mm. displacement: float32 [1, 3, z, y, x], xyz mm on nodes of NODE_MM
    from the atlas origin. growth_mm: per structure, how far its wall moves outwards. valve_mm: patient mm (x, y, z).
    """

    atlas: Atlas
    to_atlas: NDArray[np.float64]
    displacement: torch.Tensor
    growth_mm: NDArray[np.float64]
    valve_mm: tuple[float, float, float]


def smooth_noise(
    shape: tuple[int, ...], nodes: tuple[int, ...], generator: torch.Generator, channels: int = 1
) -> torch.Tensor:
    """Unit-variance noise on `nodes`, interpolated to `shape`: float32 [1, channels, z, y, x]."""
    coarse = torch.randn((1, channels, *nodes), generator=generator)
    return F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def rotation(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        c, s = np.cos(angle), np.sin(angle)
        one = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        one[i, i], one[i, j], one[j, i], one[j, j] = c, -s, s, c
        matrix = one @ matrix
    return matrix


# Bounds of the local scaling of each chamber (share of its size at the centre) and its reach in mm.
CHAMBER_SCALING = {
    LVM: (-0.35, 0.30, 36.0),
    LA: (-0.30, 0.35, 30.0),
    RA: (-0.30, 0.35, 28.0),
    RVC: (-0.30, 0.30, 30.0),
    AO: (-0.25, 0.30, 22.0),
    PA: (-0.25, 0.30, 24.0),
    SVC: (-0.30, 0.30, 18.0),
}
# Bounds of the movement of each wall in mm. The LV cavity runs from nearly empty to diastole.
WALL_GROWTH_MM = {
    PV: (-0.8, 1.5), LA: (-1.0, 1.0), LVC: (-2.5, 5.0), LVM: (-1.5, 2.5), AO: (-2.0, 4.0), CS: (-0.7, 1.5),
    SVC: (-1.5, 1.0), RA: (-1.0, 1.5), RVC: (-2.0, 1.5), PA: (-1.5, 2.5),
}  # fmt: skip


def draw_anatomy(rng: np.random.Generator, atlas: Atlas) -> Anatomy:
    """A random anatomy; the same generator state gives the same heart."""
    linear = rotation(rng.normal(0, 0.2, 3)) @ np.diag(np.exp(-rng.normal(0, 0.1) - rng.normal(0, 0.08, 3)))
    to_atlas = np.concatenate([linear, ATLAS_VALVE_MM[:, None]], 1)

    size_mm = np.array(atlas.tissues.shape[::-1], float)
    nodes_xyz = np.ceil(size_mm / NODE_MM).astype(int) + 1
    nodes = tuple(int(n) for n in nodes_xyz[::-1])
    generator = torch_generator(rng)
    strength = rng.uniform(0.3, 1.3)
    field = torch.zeros((1, 3, *nodes))
    for node_mm, amplitude_mm in ((80.0, 6.0), (40.0, 3.0), (20.0, 1.0)):
        count = tuple(int(np.ceil(s / node_mm)) + 1 for s in size_mm[::-1])
        field += strength * amplitude_mm * smooth_noise(nodes, count, generator, 3)

    axes = [torch.arange(n) * NODE_MM + o for n, o in zip(nodes, atlas.origin_mm[::-1], strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    points = torch.stack([x, y, z])
    for chamber, (low, high, reach_mm) in CHAMBER_SCALING.items():
        strain = rng.normal(0, 0.08, (3, 3))
        strain = (strain + strain.T) / 2 + np.eye(3) * rng.uniform(low, high)
        away = points - torch.tensor(atlas.centres[chamber])[:, None, None, None]
        reach = torch.exp(-(away**2).sum(0) / (2 * reach_mm**2))
        field[0] -= torch.einsum("ij,jzyx->izyx", torch.tensor(strain), away).float() * reach.float()

    growth = np.zeros(STRUCTURES)
    for structure, (low, high) in WALL_GROWTH_MM.items():
        growth[structure] = rng.uniform(low, high)
    drawn = Anatomy(atlas, to_atlas, field, growth, (0.0, 0.0, 0.0))
    return Anatomy(atlas, to_atlas, field, growth, _find_valve(drawn))


def _atlas_points(anatomy: Anatomy, points_mm: torch.Tensor) -> torch.Tensor:
    """Patient mm [..., 3] -> atlas mm [..., 3], both xyz, double."""
    matrix = torch.from_numpy(anatomy.to_atlas)
    points = points_mm @ matrix[:, :3].T + matrix[:, 3]
    nodes = torch.tensor(anatomy.displacement.shape[:1:-1], dtype=torch.float64)
    unit = (points - torch.from_numpy(anatomy.atlas.origin_mm)) / NODE_MM / (nodes - 1) * 2 - 1
    grid = unit.reshape(1, 1, 1, -1, 3).float()
    shift = F.grid_sample(anatomy.displacement, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return points + shift.reshape(3, -1).T.reshape(points.shape).double()


def _find_valve(anatomy: Anatomy) -> tuple[float, float, float]:
    """Invert the backward map at the valve by fixed-point iteration."""
    point = np.zeros(3)
    inverse = np.linalg.inv(anatomy.to_atlas[:, :3])
    for _ in range(40):
        there = _atlas_points(anatomy, torch.from_numpy(point)[None])[0].numpy()
        point = point + 0.7 * inverse @ (ATLAS_VALVE_MM - there)
    return (float(point[0]), float(point[1]), float(point[2]))


def sample_tissues(
    anatomy: Anatomy,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
    direction: NDArray[np.float64] | None = None,
) -> torch.Tensor:
    """Tissues of an anatomy on a grid: uint8 [z, y, x]. Beyond the atlas its outermost voxels go on."""
    cosines = np.eye(3) if direction is None else np.asarray(direction).reshape(3, 3)
    step = cosines * np.asarray(spacing_mm)
    coarse = [torch.arange(0, n + COARSE, COARSE, dtype=torch.float64) for n in shape]
    z, y, x = torch.meshgrid(*coarse, indexing="ij")
    points = torch.stack([x, y, z], -1) @ torch.from_numpy(step).T + torch.tensor(origin_mm, dtype=torch.float64)
    mapped = (_atlas_points(anatomy, points) - torch.from_numpy(anatomy.atlas.origin_mm)).float()
    size = [(len(c) - 1) * COARSE + 1 for c in coarse]
    atlas = anatomy.atlas
    limits = atlas.tissues.shape
    flat = torch.zeros(shape, dtype=torch.int64)
    for axis, stride in ((2, limits[1] * limits[2]), (1, limits[2]), (0, 1)):
        full = F.interpolate(mapped[None, None, ..., axis], size=size, mode="trilinear", align_corners=True)
        index = full[0, 0, : shape[0], : shape[1], : shape[2]].round_().clamp_(0, limits[2 - axis] - 1)
        flat += index.to(torch.int64).mul_(stride)
    tissues = atlas.tissues.view(-1)[flat]
    nearest = atlas.nearest.view(-1)[flat]
    margin = atlas.margin.view(-1)[flat]
    del flat

    growth = torch.from_numpy(np.rint(anatomy.growth_mm / MARGIN_STEP_MM).astype(np.int8))[nearest.int()]
    yields = torch.zeros(TISSUES, dtype=torch.bool)  # tissues that a growing structure may push aside
    yields[[0, WALL, LUNG, FAT, SOFT]] = True
    grown = yields[tissues.int()] & (margin > 0) & (margin < growth)
    cavity_grown = (tissues == LVM) & (nearest == LVC) & (margin > 0) & (margin < growth)
    shrunk = (margin < 0) & (margin > growth) & (tissues == nearest)
    out = torch.where(grown | cavity_grown, nearest, tissues)
    out[shrunk] = WALL
    out[shrunk & (nearest == LVC)] = LVM
    out[shrunk & (nearest == LVM)] = FAT
    return out

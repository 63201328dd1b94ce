"""Anatomies: the atlas heart, deformed at random, sampled on any grid.

One label map of 22 tissues (training/anatomy, CC BY 4.0) becomes a population by variants drawn into it
(variants.py), a random affine map and a smooth invertible deformation that grows and shrinks each chamber
(deformation.py), and moving walls (cavities that empty or fill, calibres of vessels, fat). Everything is a backward map
from patient millimetres to the atlas, so that a patch, a thorax at 2 mm and a scan at 0.4 mm of one anatomy agree, and
only the voxels asked for are ever computed.

Patient millimetres are x, y, z in LPS with the undeformed aortic valve at the origin; arrays are indexed z, y, x.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from training.deformation import ShapeRanges, draw_displacement, rotation, stretch, torch_generator
from training.variants import VariantRanges, draw_variant

ATLAS_FILE = Path(__file__).parent / "anatomy" / "vhf_thorax_labels.nii.gz"
KEPT = ATLAS_FILE.parent / "kept"  # ignored by git
ATLAS_VALVE_MM = np.array([28.6, -2.8, 427.7])  # centre of the interface of LV cavity and aorta, LPS

(PV, LA, LVC, LVM, AO, CS, SVC, RA, RVC, PA, VEINS, WALL, ARTERIES, AIRWAY, OESOPHAGUS, LIVER, LUNG, SPINE, RIBS, FAT,
 SKIN_FAT, SOFT, CUSP, LEAFLET, CALCIUM) = range(1, 26)  # fmt: skip
TISSUES = 26
STRUCTURES = 11  # 0 and the ten labels that the network learns
# What lies in a pool of blood is labelled as the pool.
_LABELS = torch.tensor([*range(STRUCTURES), *[0] * (SOFT - STRUCTURES + 1), AO, LVC, AO], dtype=torch.uint8)

MARGIN_STEP_MM = 0.25  # step of the stored margins
NODE_MM = 8.0  # spacing of the nodes of the displacement field
SLAB = 32  # slices sampled at a time, a multiple of COARSE
COARSE = 4  # the backward map is evaluated at every 4th voxel and interpolated between


def structures_of(tissues: torch.Tensor) -> torch.Tensor:
    """The label 0..10 of each tissue, uint8 of the same shape."""
    return _LABELS[tissues.int()]


@dataclass(frozen=True)
class Atlas:
    """The label map on its 1 mm LPS grid with what moving its walls needs.

    tissues: uint8 [z, y, x]. nearest: the structure (1..10) whose surface is nearest, uint8. margin_mm: distance to
    that surface, negative inside the structure, float32. origin_mm, valve_mm: LPS of voxel 0 and of the valve.
    """

    tissues: torch.Tensor
    nearest: torch.Tensor
    margin_mm: torch.Tensor
    origin_mm: NDArray[np.float64]
    valve_mm: NDArray[np.float64]


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


def kept(name: str, build: Callable[[], tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]]) -> Atlas:
    """The atlas of that name. `build` makes tissues, origin and valve at the first call, and a file keeps them all."""
    file = KEPT / f"{name}.npz"
    if not file.exists():
        tissues, origin, valve = build()
        nearest, margin = _signed_margins(tissues)
        KEPT.mkdir(exist_ok=True)
        part = file.with_suffix(".part.npz")
        np.savez_compressed(part, tissues=tissues, nearest=nearest, margin=margin, origin=origin, valve=valve)
        part.replace(file)
    with np.load(file) as stored:
        tissues, nearest = (torch.from_numpy(stored[key]) for key in ("tissues", "nearest"))
        margin_mm = torch.from_numpy(stored["margin"]).float().mul_(MARGIN_STEP_MM)
        return Atlas(tissues, nearest, margin_mm, stored["origin"], stored["valve"])


@cache
def load_atlas() -> Atlas:
    """The atlas heart, kept for the life of the process; half a minute at the first call."""

    def read() -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
        import SimpleITK as sitk  # not where a GPU is and the kept file suffices

        image = sitk.DICOMOrient(sitk.ReadImage(str(ATLAS_FILE)), "LPS")
        return sitk.GetArrayFromImage(image), np.array(image.GetOrigin()), ATLAS_VALVE_MM

    return kept("atlas", read)


@dataclass(frozen=True)
class Anatomy:
    """One drawn heart in its thorax.

    atlas: with the variants of this heart drawn in. to_atlas: float64 [3, 4], patient mm -> atlas mm.
    displacement: float32 [1, 4, z, y, x] on nodes of NODE_MM from the atlas origin: xyz in mm, then noise of unit
    variance for the walls. growth_mm: per structure, how far its wall moves outwards. roughness_mm: per structure, how
    far the noise moves it. fat_mm: lung this near to the heart is fat. valve_mm: patient mm (x, y, z).
    """

    atlas: Atlas
    to_atlas: NDArray[np.float64]
    displacement: torch.Tensor
    growth_mm: NDArray[np.float64]
    roughness_mm: NDArray[np.float64]
    fat_mm: float
    valve_mm: tuple[float, float, float]


MOST_GROWTH_MM = 4.8  # half of the myocardium, less what interpolation needs

# Bounds of the movement of each wall in mm. The LV cavity runs from nearly empty to diastole.
WALL_GROWTH_MM = {
    PV: (-1.2, 1.4), LA: (-1.5, 1.5), LVC: (-3.0, 5.0), LVM: (-0.8, 3.0), AO: (-2.5, 3.0), CS: (-0.8, 1.2),
    SVC: (-2.0, 1.5), RA: (-1.5, 2.0), RVC: (-2.0, 3.0), PA: (-2.0, 2.5),
}  # fmt: skip
WALL_ROUGHNESS_MM = {PV: 0.5, LA: 0.6, LVC: 1.5, LVM: 0.4, AO: 0.3, CS: 0.4, SVC: 0.4, RA: 1.0, RVC: 1.0, PA: 0.4}


@dataclass(frozen=True)
class AnatomyRanges:
    """How far drawn anatomies go; the defaults are those of training."""

    shape: ShapeRanges = field(default_factory=ShapeRanges)
    variants: VariantRanges = field(default_factory=VariantRanges)
    wall_growth_mm: dict[int, tuple[float, float]] = field(default_factory=lambda: dict(WALL_GROWTH_MM))
    wall_roughness_mm: dict[int, float] = field(default_factory=lambda: dict(WALL_ROUGHNESS_MM))
    fat_mm: float = 10.0


def draw_anatomy(rng: np.random.Generator, atlas: Atlas, ranges: AnatomyRanges | None = None) -> Anatomy:
    """A random anatomy; the same generator state gives the same heart."""
    ranges = AnatomyRanges() if ranges is None else ranges
    shape = ranges.shape
    tilt = rotation(rng.normal(0, shape.tilt_sd, 3))
    if rng.random() < 0.125:
        axis = rng.normal(0, 1, 3)
        tilt = rotation(axis / np.linalg.norm(axis) * rng.uniform(0, shape.wild_tilt)) @ tilt
    log_size = rng.normal(0, shape.chest_log_size_sd) + rng.normal(0, shape.chest_log_stretch_sd, 3)
    to_atlas = np.concatenate([np.diag(np.exp(-log_size)) @ tilt, atlas.valve_mm[:, None]], 1)

    nodes_xyz = np.ceil(np.array(atlas.tissues.shape[::-1]) / NODE_MM).astype(int) + 1
    nodes = tuple(int(n) for n in nodes_xyz[::-1])
    from_valve = (atlas.origin_mm - atlas.valve_mm)[::-1]
    axes = [torch.arange(n, dtype=torch.float32) * NODE_MM + o for n, o in zip(nodes, from_valve, strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    displacement = draw_displacement(rng, torch.stack([x, y, z]), NODE_MM, shape)
    noise = torch.randn((1, *nodes), generator=torch_generator(rng))

    growth, roughness = np.zeros(STRUCTURES), np.zeros(STRUCTURES)
    for structure, (low, high) in ranges.wall_growth_mm.items():
        growth[structure] = rng.uniform(low, high)
        roughness[structure] = rng.uniform(0, ranges.wall_roughness_mm[structure])
    fat_mm = float(rng.uniform(0, ranges.fat_mm)) if rng.random() < 0.6 else 0.0
    valve_voxel = atlas.valve_mm - atlas.origin_mm
    tissues, nearest = draw_variant(rng, atlas.tissues, atlas.nearest, valve_voxel, ranges.variants)
    drawn = Anatomy(
        atlas=replace(atlas, tissues=tissues, nearest=nearest),
        to_atlas=to_atlas,
        displacement=torch.cat([displacement, noise])[None],
        growth_mm=growth,
        roughness_mm=roughness,
        fat_mm=fat_mm,
        valve_mm=(0.0, 0.0, 0.0),
    )
    return replace(drawn, valve_mm=_find_valve(drawn))


def _atlas_points(anatomy: Anatomy, points_mm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Patient mm [..., 3] -> atlas mm [..., 3], both xyz, double, and the walls' noise there [...], float."""
    matrix = torch.from_numpy(anatomy.to_atlas)
    points = points_mm @ matrix[:, :3].T + matrix[:, 3]
    nodes = torch.tensor(anatomy.displacement.shape[:1:-1], dtype=torch.float64)
    unit = (points - torch.from_numpy(anatomy.atlas.origin_mm)) / NODE_MM / (nodes - 1) * 2 - 1
    grid = unit.reshape(1, 1, 1, -1, 3).float()
    shift = F.grid_sample(anatomy.displacement, grid, mode="bilinear", padding_mode="border", align_corners=True)
    shift = shift.reshape(4, -1).T.reshape(*points.shape[:-1], 4)
    return points + shift[..., :3].double(), shift[..., 3]


def _find_valve(anatomy: Anatomy) -> tuple[float, float, float]:
    """Invert the backward map at the valve by fixed-point iteration."""
    point = np.zeros(3)
    inverse = np.linalg.inv(anatomy.to_atlas[:, :3])
    for _ in range(60):
        there = _atlas_points(anatomy, torch.from_numpy(point)[None])[0][0].numpy()
        point = point + 0.6 * inverse @ (anatomy.atlas.valve_mm - there)
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
    mapped, noise = _atlas_points(anatomy, points)
    voxels = (mapped - torch.from_numpy(anatomy.atlas.origin_mm)).float()
    nodes = torch.cat([voxels, noise[..., None]], -1).permute(3, 0, 1, 2)
    out = torch.empty(shape, dtype=torch.uint8)
    for first in range(0, shape[0], SLAB):  # slabs stay in the cache
        rows = min(SLAB, shape[0] - first)
        part = nodes[:, first // COARSE : (first + rows - 1) // COARSE + 2]
        out[first : first + rows] = _tissues_at(
            anatomy, stretch(part, (rows, *shape[1:]), (1 / COARSE, 1 / COARSE, 1 / COARSE))
        )
    return out


def _tissues_at(anatomy: Anatomy, places: torch.Tensor) -> torch.Tensor:
    """Tissues with walls moved at float32 [4, z, y, x]: atlas voxels x, y, z, and the walls' noise."""
    atlas = anatomy.atlas
    depth, height, width = atlas.tissues.shape
    limits = torch.tensor([width - 1, height - 1, depth - 1], dtype=torch.float32)
    grid = (places[:3].flatten(1).T * (2 / limits) - 1).view(1, *places.shape[1:], 3)
    margin = F.grid_sample(atlas.margin_mm[None, None], grid, padding_mode="border", align_corners=True)[0, 0]
    flat = places[2].round_().clamp_(0, depth - 1).mul_(height).add_(places[1].round_().clamp_(0, height - 1))
    flat = flat.to(torch.int32).mul_(width).add_(places[0].round_().clamp_(0, width - 1).to(torch.int32))
    flat = flat.view(-1)
    shape = places.shape[1:]
    tissues = atlas.tissues.view(-1).index_select(0, flat).view(shape)
    nearest = atlas.nearest.view(-1).index_select(0, flat).view(shape)
    rounded = atlas.margin_mm.view(-1).index_select(0, flat).view(shape)
    outside = rounded > 0
    # Between voxels walls are smooth, but in the middle of a wall, where the margin jumps from one surface to another,
    # interpolation would meet a surface that is not there.
    margin = torch.clamp(margin, rounded - 1, rounded.add_(1))

    structure = nearest.view(-1).int()
    growth = torch.from_numpy(anatomy.growth_mm).float().index_select(0, structure)
    rough = torch.from_numpy(anatomy.roughness_mm).float().index_select(0, structure)
    growth.addcmul_(rough, places[3].reshape(-1)).clamp_max_(MOST_GROWTH_MM)
    within = margin < growth.view(shape)
    yields = torch.zeros(TISSUES, dtype=torch.bool)  # tissues that a growing structure may push aside
    yields[[0, WALL, LUNG, FAT, SOFT]] = True
    may_yield = yields.index_select(0, tissues.view(-1).int()).view(shape)
    # The left ventricle grows into its muscle alone, or it would leave its cup at the base.
    may_grow = torch.where(nearest == LVC, tissues == LVM, may_yield)
    grown = may_grow & outside & within
    shrunk = ~(outside | within) & (tissues == nearest)
    out = torch.where(grown, nearest, tissues)
    out.masked_fill_(shrunk, WALL)
    out.masked_fill_(shrunk & (nearest == LVC), LVM)
    out.masked_fill_(shrunk & (nearest == LVM), FAT)
    if anatomy.fat_mm:
        out.masked_fill_((tissues == LUNG) & ~grown & (margin < anatomy.fat_mm), FAT)
    return out

"""What stands in the blood of the right heart and is counted as blood: trabeculae, ridges, folds; and fat around it.

Readers draw the right ventricle's border smoothly outside its trabeculae, and leave the atrium's crista terminalis,
pectinate muscles and Eustachian valve within the atrium. So none of it changes a label: it is a share of muscle in the
voxels of blood, which lets strands be thinner than a voxel. All is found on the grid at hand, whatever source the
tissues came from. Volumes are indexed z, y, x; spacings and points are x, y, z in mm, with x to the left, y to the
back and z up.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from training.artefacts import Spacing
from training.deformation import smooth_noise, stretch, torch_generator
from training.heart import FAT, LUNG, RA, RVC, SOFT, SVC, VEINS, WALL
from training.right_blood import RightHeart, Vector, Voxels, distance_mm, find, voxels_of

Bounds = tuple[float, float]

UNDER_FAT_MM = 3.0  # about the wall between blood and fat


@dataclass(frozen=True)
class RightHeartRanges:
    """Chances, and bounds in mm of thickness (across), of height (from the wall) and of gaps between ridges.

    Trabeculae of the right ventricle are coarse, 1 to 5 mm thick; the crista terminalis is 3 to 6 mm thick, the
    Eustachian valve about 1 mm, and from a rim to more than 10 mm high.
    """

    trabeculae: float = 0.9
    trabecula_mm: Bounds = (1.0, 3.5)
    trabecula_gap_mm: Bounds = (3.0, 7.0)
    trabecula_height_mm: Bounds = (4.0, 12.0)
    moderator_band: float = 0.6
    moderator_band_mm: Bounds = (2.5, 6.0)
    crista: float = 0.8
    crista_mm: Bounds = (3.0, 6.0)
    pectinate: float = 0.6
    pectinate_mm: Bounds = (1.0, 2.5)
    pectinate_gap_mm: Bounds = (3.0, 7.0)
    pectinate_height_mm: Bounds = (1.5, 4.0)
    eustachian: float = 0.5
    eustachian_mm: Bounds = (0.7, 1.8)
    eustachian_height_mm: Bounds = (3.0, 15.0)
    fat: float = 0.7
    fat_mm: Bounds = (3.0, 14.0)  # at its thickest
    fatty_wall: float = 0.25


def _draw(rng: np.random.Generator, *bounds: Bounds) -> list[float]:
    return [float(rng.uniform(*each)) for each in bounds]


def _unit(vector: Vector) -> Vector:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _covered(distance_mm: torch.Tensor, half_mm: torch.Tensor | float, voxel_mm: float) -> torch.Tensor:
    """Share of a voxel within a sheet, `half_mm` to either side, whose middle lies `distance_mm` away."""
    half = torch.as_tensor(half_mm)
    outer = torch.minimum(half, distance_mm + voxel_mm / 2)
    return ((outer - torch.maximum(-half, distance_mm - voxel_mm / 2)) / voxel_mm).clamp_(0, 1)


def _from_sheets(
    places: torch.Tensor, along: Vector, gap_mm: float, stretched: float, channels: int, generator: torch.Generator
) -> torch.Tensor:
    """About how far in mm points are from `channels` sets of winding sheets, drawn out in one direction: [c, n]."""
    side = _unit(np.cross(along, np.eye(3)[np.argmin(np.abs(along))]))
    axes = np.stack([along / stretched, side, np.cross(along, side)])
    node_mm, count = 0.4 * gap_mm, 48
    noise = F.avg_pool3d(torch.randn((1, channels, count, count, count), generator=generator), 3, 1, 1)
    slope = 2**0.5 * float(noise.diff(dim=-1).std()) / node_mm
    nodes = (places - places.mean(0)) @ torch.from_numpy(axes / node_mm).float().T
    grid = (nodes * (2 / (count - 1))).view(1, 1, 1, -1, 3)
    return F.grid_sample(noise, grid, padding_mode="reflection", align_corners=True)[0, :, 0, 0] / slope


def _trabeculae(
    heart: RightHeart, blood: Voxels, voxel_mm: float, rng: np.random.Generator, ranges: RightHeartRanges
) -> torch.Tensor:
    """Ridges on the free wall and the floor, and strands between them towards the apex: share of muscle [n]."""
    generator = torch_generator(rng)
    ventricle = heart.labels == RVC
    apex, base = (heart.places(ventricle & part) for part in (heart.apical > 0.6, heart.apical < 0.1))
    thick, gap, height = _draw(rng, ranges.trabecula_mm, ranges.trabecula_gap_mm, ranges.trabecula_height_mm)
    if not len(apex) or not len(base):
        return torch.zeros_like(blood.depth_mm)
    along = _unit(apex.mean(0) - base.mean(0))
    one, two = _from_sheets(blood.places, along, gap + thick, float(rng.uniform(1.5, 4)), 2, generator)
    uneven = _from_sheets(blood.places, along, 25.0, 1.0, 1, generator)[0].div_(12).add_(1).clamp_(0.3, 1.7)
    z = blood.places[:, 2]
    low, high = float(z.min()), float(z.max())
    floor = 1.3 - 0.9 * (z - low) / max(high - low, 1.0)
    reach = height * uneven * floor * (1.7 * blood.apical).clamp(max=1) * (1 - 0.7 * blood.septal)
    half_mm = 0.5 * thick * (reach / 3).clamp(max=1)
    rising = (1 - blood.depth_mm / reach.clamp_min(1e-3)).clamp(0, 1)
    ridges = _covered(one, half_mm * rising.sqrt(), voxel_mm)
    free = (1.5 - blood.depth_mm / (1.3 * reach).clamp_min(1e-3)).clamp(0, 1)
    strands = _covered(torch.hypot(one, two), 1.2 * half_mm * free, voxel_mm)
    return torch.maximum(ridges, strands)


def _moderator_band(
    heart: RightHeart, blood: Voxels, voxel_mm: float, rng: np.random.Generator, ranges: RightHeartRanges
) -> torch.Tensor:
    """A band from the septum through the deepest blood to the free wall: share of muscle [n]."""
    edge = (heart.labels == RVC) & (heart.depth_mm <= 1.5 * heart.step_mm.max()) & (heart.apical > 0.3)
    septum, free = heart.places(edge & heart.septal), heart.places(edge & ~heart.septal)
    septum = septum[septum[:, 2] < float(blood.places[:, 2].mean())]  # its lower half
    if not len(septum) or not len(free):
        return torch.zeros_like(blood.depth_mm)
    start = septum[rng.integers(len(septum))]
    ends = free[rng.integers(len(free), size=200)]
    middle = np.rint((start + ends) / 2 / heart.step_mm).astype(int)
    deep = heart.depth_mm[tuple(torch.from_numpy(middle[:, ::-1].T.copy()))].numpy()
    end = ends[np.argmax(deep - 0.25 * np.linalg.norm(ends - start, axis=1))]
    bend = rng.normal(0, 0.08, 3) * np.linalg.norm(end - start)
    line = torch.from_numpy(end - start).float()
    away = blood.places - torch.from_numpy(start).float()
    share = (away @ line / line.square().sum().clamp_min(1)).clamp(0, 1)
    arch = 4 * share * (1 - share)
    away = away - share[:, None] * line - arch[:, None] * torch.from_numpy(bend).float()
    (thick,) = _draw(rng, ranges.moderator_band_mm)
    return _covered(away.norm(dim=1), 0.5 * thick * (1.5 - 0.5 * arch), voxel_mm)


def _crista(
    heart: RightHeart, blood: Voxels, voxel_mm: float, rng: np.random.Generator, ranges: RightHeartRanges
) -> torch.Tensor:
    """A ridge along the lateral wall from vena cava to vena cava, and pectinate muscles before it: share [n]."""
    generator = torch_generator(rng)
    out = torch.zeros_like(blood.depth_mm)
    upper, lower = heart.mouth(SVC), heart.mouth(VEINS)
    if min(len(upper), len(lower)) < 4:
        return out
    foot, line = lower.mean(0), upper.mean(0) - lower.mean(0)
    length, up = float(np.linalg.norm(line)), _unit(line)
    lateral = np.array([-1.0, rng.uniform(-0.1, 0.6), 0.0])
    lateral = _unit(lateral - up * (lateral @ up))
    forward = np.cross(up, lateral)
    forward = forward if forward[1] < 0 else -forward
    frame = torch.from_numpy(np.stack([up, lateral, forward])).float()
    rise, side, before = frame @ (blood.places - torch.from_numpy(foot).float()).T
    before = before - float(rng.normal(0, 4)) * torch.sin(np.pi / max(length, 1.0) * rise)
    if rng.random() < ranges.crista:
        width, height = _draw(rng, ranges.crista_mm, ranges.crista_mm)
        round_off = (1 - (blood.depth_mm / height).square()).clamp_min(0).sqrt()
        here = (side > 0) & (rise > -3) & (rise < length + 3)
        out = torch.where(here, _covered(before, 0.5 * width * round_off, voxel_mm), out)
    if rng.random() < ranges.pectinate:
        thick, gap, height = _draw(rng, ranges.pectinate_mm, ranges.pectinate_gap_mm, ranges.pectinate_height_mm)
        ridges = _from_sheets(blood.places, forward, gap + thick, 4.0, 1, generator)[0]
        rising = (1 - blood.depth_mm / height).clamp(0, 1).sqrt()
        here = (side > 0) & (before > 0)
        out = torch.maximum(out, torch.where(here, _covered(ridges, 0.5 * thick * rising, voxel_mm), 0.0))
    return out


def _eustachian(
    heart: RightHeart, blood: Voxels, voxel_mm: float, rng: np.random.Generator, ranges: RightHeartRanges
) -> torch.Tensor:
    """A fold that goes on upwards from the front lip of the inferior vena cava's mouth: share of muscle [n]."""
    rim = heart.mouth(VEINS)
    cava = heart.places(heart.labels == VEINS)
    cava = cava[np.linalg.norm(cava - rim.mean(0), axis=1) < 20] if len(rim) >= 4 else cava[:0]
    if len(cava) < 4:
        return torch.zeros_like(blood.depth_mm)
    mouth = rim.mean(0)
    up = _unit(mouth - cava.mean(0))
    front = np.array([rng.uniform(-0.6, 0.3), -1.0, 0.0])
    front = _unit(front - up * (front @ up))
    spread = rim - mouth
    radius = float(np.sqrt(2 * np.mean((spread**2).sum(1) - (spread @ up) ** 2)))
    frame = torch.from_numpy(np.stack([up, front, np.cross(up, front)])).float()
    rise, before, aside = frame @ (blood.places - torch.from_numpy(mouth).float()).T
    angle = torch.atan2(aside, before) / float(rng.uniform(0.8, 1.4))  # 1 where the fold ends
    thick, height = _draw(rng, ranges.eustachian_mm, ranges.eustachian_height_mm)
    lean = float(rng.normal(0, 0.3)) * rise.clamp_min(0)
    sheet = _covered(torch.hypot(before, aside) - radius + lean, 0.5 * thick, voxel_mm)
    top = height * torch.cos(angle.clamp(-1, 1) * (np.pi / 2))
    return torch.where((rise > -3) & (rise < top) & (angle.abs() < 1), sheet, 0.0)


def _draw_fat(tissues: torch.Tensor, heart: RightHeart, rng: np.random.Generator, ranges: RightHeartRanges) -> None:
    """Fat of uneven thickness over the right ventricle, and within its wall towards the apex; in place."""
    generator = torch_generator(rng)
    here = tissues[heart.box]
    away = distance_mm(heart.labels == RVC, heart.step_mm)
    size = np.array(heart.labels.shape) * heart.step_mm[::-1]
    nodes = tuple(max(2, int(n / rng.uniform(15, 35)) + 1) for n in size)
    noise = smooth_noise(tuple(heart.labels.shape), nodes, generator)[0, 0]
    away, noise, apical = stretch(torch.stack([away, noise, heart.apical]), tuple(here.shape), heart.steps)
    (most,) = _draw(rng, ranges.fat_mm)
    thickness = most * noise.mul(0.5).add_(0.4).clamp_(0, 1)
    soft = (here == LUNG) | (here == SOFT)
    fat = soft & (away > 0) & (away < UNDER_FAT_MM + thickness) & (thickness > 0)
    if rng.random() < ranges.fatty_wall:
        inner = float(rng.uniform(0.8, 2.5))
        fat |= (here == WALL) & (away > inner) & (away < 8) & (apical > 0.3) & (noise > float(rng.uniform(-0.5, 1)))
    here.masked_fill_(fat, FAT)


def draw_right_heart(
    tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator, ranges: RightHeartRanges | None = None
) -> torch.Tensor:
    """Draw fat into the tissues around the right ventricle, and return the share of muscle in each voxel of blood.

    tissues: uint8 [z, y, x], of which nothing but WALL, LUNG and SOFT changes, to FAT. Returns float32 [z, y, x], 0
    outside the right ventricle and atrium.
    """
    ranges = RightHeartRanges() if ranges is None else ranges
    muscle = torch.zeros(tissues.shape)
    heart = find(tissues, spacing_mm)
    if heart is None:
        return muscle
    if rng.random() < ranges.fat:
        _draw_fat(tissues, heart, rng, ranges)
    voxel_mm = float(np.mean(spacing_mm))
    parts = {
        RVC: ((_trabeculae, ranges.trabeculae), (_moderator_band, ranges.moderator_band)),
        RA: ((_crista, 1.0), (_eustachian, ranges.eustachian)),
    }
    for chamber, drawings in parts.items():
        blood = voxels_of(heart, tissues, spacing_mm, chamber)
        if not len(blood.depth_mm):
            continue
        for part, chance in drawings:
            if rng.random() < chance:
                drawn = part(heart, blood, voxel_mm, rng, ranges)
                muscle[blood.index] = torch.maximum(muscle[blood.index], drawn)
    return muscle

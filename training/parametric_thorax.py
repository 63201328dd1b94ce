"""The thorax around the parametric heart: walls, fat, lungs, liver dome, spine, ribs, airways and oesophagus.

Plain shapes with random sizes, placed around the drawn heart so that each organ has its usual neighbours.
"""

from dataclasses import dataclass

import numpy as np
import torch

from training.heart import (
    AIRWAY,
    FAT,
    LIVER,
    LUNG,
    OESOPHAGUS,
    RIBS,
    SKIN_FAT,
    SOFT,
    SPINE,
    WALL,
)
from training.parametric_heart import Heart, unit, vec
from training.parametric_placing import MIDLINE_X
from training.parametric_shapes import Lattice, Tube, Vector, curve, ellipsoid, smooth_union, tube

# Thickness of each wall in mm; that of the right ventricle is drawn.
WALLS_MM = {"pv": 1.3, "la": 1.8, "aorta": 1.8, "cs": 1.0, "svc": 1.2, "ra": 1.7, "pa": 1.6,
            "veins": 0.5, "arteries": 0.5}  # fmt: skip


@dataclass(frozen=True)
class Thorax:
    """What is drawn of the surroundings; mm."""

    spine: Tube
    disc_phase: float
    airways: list[Tube]
    oesophagus: Tube
    chest_centre: Vector  # x, y of the middle of the ribcage, z of its widest section
    chest_semi: Vector  # left-right, front, back
    chest_top: float
    muscle: float
    skin_fat: float
    rib_pitch: float
    rib_phase: float
    dome: Vector  # heights of the right dome, of the left dome and of the tendon under the heart
    pericardial_fat: float
    fat_pads: list[tuple[Vector, Vector]]
    liver_left: float


@dataclass(frozen=True)
class Room:
    """What the heart takes up, mm: least and greatest x, y, z of ventricles and right atrium, walls included."""

    low: Vector
    high: Vector
    back_of_left_atrium: float
    right_atrium_x: float


def room_of(heart: Heart) -> Room:
    outer, wall = heart.lv_radius + heart.lv_wall, heart.sizes.rv_wall
    frame = np.stack([heart.septal, heart.upper, heart.apex])
    left = vec(outer, outer, 0.75 * heart.lv_length + heart.lv_wall)
    right = vec(0.55 * outer + heart.rv_depth, outer + 0.12 * heart.rv_depth, 0.74 * heart.lv_length) + wall
    boxes = []
    for centre, axes, semi in (
        (heart.equator, frame, left),
        (heart.rv_centre, frame, right),
        (heart.ra_centre, np.eye(3), heart.ra_semi + 2),
    ):
        reach = np.sqrt(((axes * semi[:, None]) ** 2).sum(0))
        boxes += [centre - reach, centre + reach]
    boxes.append(heart.pulmonic - vec(0, heart.sizes.pulmonary + 4, 0))
    back = float(heart.la_centre[1] + heart.la_semi[1])
    return Room(np.min(boxes, axis=0), np.max(boxes, axis=0), back, float(heart.ra_centre[0]))


def draw_thorax(room: Room, rng: np.random.Generator) -> Thorax:
    lowest, foremost, leftmost = float(room.low[2]), float(room.low[1]), float(room.high[0])
    back_of_atrium = room.back_of_left_atrium
    middle = MIDLINE_X + rng.normal(0, 2)
    spine_y = float(max(90 + rng.normal(0, 4), back_of_atrium + 31))
    bend = rng.normal(0, 6, 2)
    spine = curve([vec(middle + bend[0], spine_y + 5, -280), vec(middle - 0.3 * bend[0], spine_y + 8, -150),
                   vec(middle + 0.4 * bend[1], spine_y + 3, -40), vec(middle + bend[1], spine_y - 1, 60),
                   vec(middle, spine_y - 18, 150), vec(middle, spine_y - 40, 240)],
                  [19.0, 17.5, 16.0, 15.0, 13.0, 11.0], 8.0)  # fmt: skip
    carina = vec(middle + rng.normal(1, 2), rng.normal(48, 2), rng.normal(60, 4))
    wide = rng.uniform(7, 10)
    airways = [
        curve([vec(middle, 30, 240), vec(middle + 1, 38, 120), carina], [wide, wide, wide]),
        curve([carina, carina + vec(-20, 1, -13), carina + vec(-44, 0, -24)], [0.8 * wide, 0.72 * wide, 0.55 * wide]),
        curve([carina, carina + vec(26, 4, -13), carina + vec(52, 8, -22)], [0.8 * wide, 0.66 * wide, 0.5 * wide]),
        curve([carina + vec(-40, 0, -22), carina + vec(-52, 8, -48)], [0.5 * wide, 0.35 * wide]),
        curve([carina + vec(48, 8, -20), carina + vec(58, 14, -45)], [0.5 * wide, 0.35 * wide]),
    ]
    behind = max(back_of_atrium + 6.5, 55.0)
    wide = rng.uniform(5, 8)
    oesophagus = curve(
        [
            vec(middle + 3, 50, 240),
            vec(middle + 4, carina[1] + 15, 110),
            vec(middle + 6, carina[1] + 14, 55),
            vec(middle + 8, behind + 2, 12),
            vec(middle + 13, behind, -30),
            vec(middle + 26, behind - 8, -75),
            vec(middle + 34, behind - 16, -110),
        ],
        [share * wide for share in (1, 1, 0.9, 0.75, 0.9, 1.1, 1.6)],
    )
    centre = vec(middle, rng.normal(25, 3), rng.normal(-40, 15))
    semi = vec(max(float(rng.normal(132, 8)), leftmost - middle + 24), 0, float(rng.normal(94, 4)) + spine_y - 90)
    semi[1] = max(rng.normal(86, 6), centre[1] - foremost + rng.uniform(4, 12))
    tendon = lowest + 3
    dome = tendon + float(rng.uniform(-2, 34))
    pads = []
    for x, size in ((room.right_atrium_x + 4, 22), (leftmost - 28, 18)):
        if rng.random() < 0.6:
            extent = size * rng.uniform(0.7, 1.4) * vec(0.9, 1, 0.9)
            pads.append((vec(x, foremost + 30, lowest + 14), extent))
    return Thorax(
        spine=spine,
        disc_phase=float(rng.uniform(0, 27)),
        airways=airways,
        oesophagus=oesophagus,
        chest_centre=centre,
        chest_semi=semi,
        chest_top=float(rng.normal(150, 8)),
        muscle=float(rng.uniform(16, 30)),
        skin_fat=float(np.exp(rng.normal(np.log(16), 0.5))),
        rib_pitch=float(rng.uniform(24, 30)),
        rib_phase=float(rng.uniform(0, 30)),
        dome=vec(dome, dome - float(rng.uniform(4, 22)), tendon),
        pericardial_fat=float(rng.uniform(1.5, 9)),
        fat_pads=pads,
        liver_left=float(rng.uniform(0, 70)),
    )


def _oval(
    lattice: Lattice, centre: Vector, side: torch.Tensor, front: torch.Tensor, back: torch.Tensor
) -> torch.Tensor:
    """Distance to an upright oval whose half-axes vary with z."""
    x, y = lattice.axis(0) - float(centre[0]), lattice.axis(1) - float(centre[1])
    depth = torch.where(y < 0, front, back)
    first = ((x / side).square() + (y / depth).square()).sqrt_()
    second = ((x / side.square()).square() + (y / depth.square()).square()).sqrt_().clamp_(min=1e-6)
    return first * (first - 1) / second


def thorax_fields(
    thorax: Thorax, rv_wall: float, lattice: Lattice, fields: dict[str, torch.Tensor]
) -> list[tuple[int, torch.Tensor]]:
    """Tissue and field of everything that is not blood or myocardium; earlier ones hide later ones."""
    x, y, z = (lattice.axis(i) for i in range(3))
    walls = lattice.start()
    for name, thickness in (WALLS_MM | {"rv": rv_wall}).items():
        walls = torch.minimum(walls, fields[name] - thickness)
    airway = tube(lattice, *thorax.airways)
    oesophagus = tube(lattice, thorax.oesophagus)

    spine_tube = tube(lattice, thorax.spine, reach_mm=26)
    centre_x, centre_y = (_along_z(thorax.spine, lattice, i) for i in (0, 1))
    radius = _along_z(thorax.spine, lattice, 3)
    sideways, backward = x - centre_x, y - centre_y
    body = ((sideways / 1.12).square() + backward.square()).sqrt() - radius
    disc = ((z + thorax.disc_phase) % 27.0 - 13.5).abs() - 11.0
    body = torch.maximum(body, disc)
    level = ((z + thorax.disc_phase) % 27.0 - 13.5).abs()
    arch = ((sideways / 1.3).square() + (backward - radius - 9).square()).sqrt()
    arch = torch.maximum((arch - 10.5).abs() - 2.6, level - 8.5)
    spinous = torch.maximum(torch.maximum(sideways.abs() - 3, level - 8), (backward - radius - 33).abs() - 15)
    transverse = torch.maximum(torch.maximum((backward - radius - 11).abs() - 4, level - 5), sideways.abs() - 30)
    transverse = torch.maximum(transverse, 9 - sideways.abs())
    spine = torch.minimum(torch.minimum(body, arch), torch.minimum(spinous, transverse))

    c, semi = thorax.chest_centre, thorax.chest_semi
    rise = ((z - float(c[2])).clamp(min=0) / (thorax.chest_top - float(c[2]))).clamp(max=0.999)
    narrow = (1 - rise.square()).sqrt().clamp(min=0.05)
    slope = 0.25 * (float(c[2]) - z).clamp(max=0)  # the front wall recedes upwards
    front = (float(semi[1]) + slope).clamp(min=35) * narrow
    chest = _oval(lattice, c, float(semi[0]) * narrow, front, float(semi[2]) * narrow)
    broad = (1 - rise.square() * 0.25).sqrt()
    m, f = thorax.muscle, thorax.skin_fat
    trunk = [(float(s) + m) * broad for s in semi]
    trunk[1] = torch.maximum(trunk[1] + 0.6 * slope, trunk[1] * 0.55)
    trunk[2] = trunk[2] + 12
    muscle = _oval(lattice, c, *trunk)
    skin = _oval(lattice, c, *(t + extra for t, extra in zip(trunk, (1.2 * f, 0.8 * f, f), strict=True)))

    tilt = 0.55 * (y - float(c[1])) - 0.12 * (x - float(c[0])).abs()  # ribs fall from the spine forwards
    ring = ((z - 0 + tilt + thorax.rib_phase) % thorax.rib_pitch - thorax.rib_pitch / 2).abs() - 5.5
    shell = (chest - 6.5).abs() - 3.6
    cartilage = 48 - (x - float(c[0])).abs() + 0.25 * (y - float(c[1]) + float(semi[1]))
    ribs = torch.maximum(torch.maximum(shell, ring), torch.where(y < float(c[1]), cartilage, -1.0))
    sternum = torch.maximum((x - float(c[0])).abs() - 17, (z - 18).abs() - 82)
    sternum = torch.maximum(torch.maximum(sternum, (chest - 7).abs() - 5), (y - float(c[1])).expand_as(chest))
    ribs = torch.minimum(ribs, sternum)
    for side in (-1.0, 1.0):  # shoulder blades
        blade = vec(float(c[0]) + side * 0.62 * semi[0], c[1] + 0.82 * semi[2] + 12, 85)
        normal = unit(vec(0.55 * side, 1, 0.25))
        across = unit(np.cross(normal, vec(0, 0, 1)))
        plate = ellipsoid(lattice, blade, np.stack([normal, across, np.cross(normal, across)]), vec(3.5, 38, 62))
        ribs = torch.minimum(ribs, torch.maximum(plate, 11 - chest))

    right, left, tendon = (float(h) for h in thorax.dome)
    deep = ((y - float(c[1]) + 12) / float(semi[2])).square()
    half = 0.5 * float(semi[0])
    right_dome = right - 40 * ((x - float(c[0]) + half) / half).square().square() - 40 * deep
    left_dome = left - 40 * ((x - float(c[0]) - half) / half).square().square() - 40 * deep
    centre = tendon - 2 - 25 * deep - 0.004 * (x - float(c[0]) - 10).square()
    roof = torch.maximum(torch.maximum(right_dome, left_dome), centre.expand_as(right_dome))
    below = z - roof
    liver = smooth_union(
        ellipsoid(lattice, vec(float(c[0]) - 0.45 * semi[0], c[1] - 2, right - 95), np.eye(3),
                  vec(0.62 * semi[0], 0.85 * semi[2], 112)),
        ellipsoid(lattice, vec(float(c[0]) + 0.3 * thorax.liver_left, c[1] - 0.5 * semi[1], tendon - 50), np.eye(3),
                  vec(60 + 0.4 * thorax.liver_left, 45, 45)), 20.0)  # fmt: skip
    liver = torch.maximum(torch.maximum(liver, below + 1.5), chest + 1)
    abdomen = torch.maximum(below, chest)

    heart_blob = fields["filled_lv"]
    for name in ("la", "ra", "rv"):
        heart_blob = smooth_union(heart_blob, fields[name] - 1.5, 10.0)
    vessels = lattice.start()
    for name in ("aorta", "pa", "svc", "pv"):
        vessels = smooth_union(vessels, fields[name] - 1.5, 10.0)
    fat = smooth_union(heart_blob - thorax.pericardial_fat, vessels - 2.0, 14.0)
    for other in (airway - 1.5, oesophagus - 2.0):
        fat = smooth_union(fat, other - 1.0, 10.0)
    fat = smooth_union(fat, spine_tube - 5.0, 10.0)
    thymus = ellipsoid(lattice, vec(float(c[0]) + 2, c[1] - 0.62 * semi[1], 25), np.eye(3), vec(11, 42, 85))
    upper = ellipsoid(lattice, vec(float(c[0]), 22, 105), np.eye(3), vec(27, 34, 55))
    fat = smooth_union(smooth_union(fat, thymus, 16.0), upper, 12.0)
    for where, extent in thorax.fat_pads:
        fat = smooth_union(fat, ellipsoid(lattice, where, np.eye(3), extent), 14.0)
    fat = torch.maximum(fat, chest)
    lung = torch.maximum(chest + 1.5, -below)
    visceral = ((0.11 * x).sin() + (0.09 * y + 1).sin() + (0.1 * z).sin()) * 6 - 2  # gut, spleen and fat, without shape
    return [
        (WALL, walls), (AIRWAY, airway), (OESOPHAGUS, oesophagus), (SPINE, spine), (RIBS, ribs),
        (SOFT, torch.minimum(airway - 1.5, spine_tube - 0.5)),
        (FAT, fat), (LUNG, lung), (LIVER, liver), (FAT, torch.maximum(abdomen, visceral)), (SOFT, muscle),
        (SKIN_FAT, skin),
    ]  # fmt: skip


def _along_z(tube_: Tube, lattice: Lattice, which: int) -> torch.Tensor:
    """x (0), y (1) or radius (3) of an upright tube at each z of the lattice, shaped to broadcast."""
    values = tube_.radii if which == 3 else tube_.points[:, which]
    z = lattice.axis(2).flatten().numpy()
    order = np.argsort(tube_.points[:, 2])
    return torch.from_numpy(np.interp(z, tube_.points[order, 2], values[order])).float().reshape(-1, 1, 1)

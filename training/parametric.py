"""Parametric anatomies: a heart of implicit surfaces in a parametric thorax, the second source beside the atlas.

One anatomy is not a population, so this source shares nothing with the atlas but the ids of the tissues and the way it
is asked: `draw_parametric` draws, `sample_parametric` fills any grid in patient millimetres, and the valve is known.
Fields are evaluated on a fixed lattice of 1.5 mm under the voxels asked for and interpolated, so that the same anatomy
comes out on every grid. A smooth random displacement makes shapes irregular without tearing them.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from training.deformation import rotation, smooth_noise, torch_generator
from training.heart import (
    AO,
    ARTERIES,
    CS,
    LA,
    LVC,
    LVM,
    PA,
    PV,
    RA,
    RVC,
    SVC,
    VEINS,
)
from training.parametric_heart import Heart, chamber_fields, draw_sizes
from training.parametric_placing import place_heart
from training.parametric_root import REACH_MM, Root, draw_root, paint_root, tilted_axis, with_root
from training.parametric_shapes import Lattice, add_tube, lattice_around, span_of, tube
from training.parametric_thorax import Thorax, draw_thorax, room_of, thorax_fields

STEP_MM = 1.5
ROUGH_STEP_MM = 3.0  # for grids as coarse as that: volumes of many draws
COARSE = 4  # the backward map is evaluated at every 4th voxel and interpolated between
SLAB_NODES = 1_500_000  # of the lattice, sampled at a time: fields stay in the cache
NODE_MM = 10.0
BOX_MM = np.array([-200.0, -150.0, -260.0]), np.array([200.0, 200.0, 240.0])  # of the displacement and roughness
ROUGH_BOX_MM = np.array([-90.0, -90.0, -110.0]), np.array([100.0, 90.0, 80.0])
ROUGH_NODE_MM = 5.0
HEART_BOX_MM = np.array([-115.0, -110.0, -140.0]), np.array([125.0, 125.0, 125.0])  # holds all but long vessels
BLOOD = {"aorta": AO, "lv": LVC, "la": LA, "rv": RVC, "ra": RA, "pa": PA, "svc": SVC, "pv": PV, "cs": CS,
         "veins": VEINS, "arteries": ARTERIES}  # fmt: skip


@dataclass(frozen=True)
class ParametricAnatomy:
    """One drawn heart in its thorax.

    to_canonical: float64 [3, 3], patient mm -> canonical mm. displacement: float32 [1, 3, z, y, x], xyz mm on nodes of
    NODE_MM over BOX_MM. roughness: float32 [1, 1, z, y, x] over ROUGH_BOX_MM. valve_mm: patient mm (x, y, z). root:
    drawn over the simple aorta, if any.
    """

    heart: Heart
    thorax: Thorax
    to_canonical: NDArray[np.float64]
    displacement: torch.Tensor
    roughness: torch.Tensor
    valve_mm: tuple[float, float, float]
    root: Root | None = None


def draw_parametric(rng: np.random.Generator) -> ParametricAnatomy:
    """A random anatomy; the same generator state gives the same one."""
    return deformed(place_heart(draw_sizes(rng), rng), None, rng)


def draw_rooted(rng: np.random.Generator) -> ParametricAnatomy:
    """A random anatomy whose aortic root has sinuses, cusps and coronary ostia, and may lie as flat as roots do."""
    heart = place_heart(draw_sizes(rng), rng, tilted_axis(rng))
    root = draw_root(heart, rng)
    return deformed(with_root(heart, root), root, rng)


def deformed(heart: Heart, root: Root | None, rng: np.random.Generator) -> ParametricAnatomy:
    """A heart in a drawn thorax, made irregular."""
    thorax = draw_thorax(room_of(heart), rng)
    linear = rotation(rng.normal(0, 0.08, 3)) @ np.diag(np.exp(-rng.normal(0, 0.02) - rng.normal(0, 0.02, 3)))
    generator = torch_generator(rng)
    extent = BOX_MM[1] - BOX_MM[0]
    nodes = tuple(int(n) for n in np.round(extent / NODE_MM)[::-1] + 1)
    field = torch.zeros((1, 3, *nodes))
    strength = rng.uniform(0.4, 1.2)
    for node_mm, amplitude_mm in ((80.0, 4.0), (40.0, 1.8), (20.0, 0.6)):
        count = tuple(int(np.ceil(e / node_mm)) + 1 for e in extent[::-1])
        field += strength * amplitude_mm * smooth_noise(nodes, count, generator, 3)
    rough = tuple(int(n) for n in np.round((ROUGH_BOX_MM[1] - ROUGH_BOX_MM[0]) / ROUGH_NODE_MM)[::-1] + 1)
    roughness = rng.uniform(0.4, 1.3) * torch.randn((1, 1, *rough), generator=generator)
    drawn = ParametricAnatomy(heart, thorax, linear, field, roughness, (0.0, 0.0, 0.0), root)
    x, y, z = (float(v) for v in to_patient(drawn, np.zeros((1, 3)))[0])
    return replace(drawn, valve_mm=(x, y, z))


def to_patient(anatomy: ParametricAnatomy, canonical_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Canonical mm [n, 3] -> patient mm [n, 3]: the backward map, inverted by fixed-point iteration."""
    points = np.zeros_like(canonical_mm)
    inverse = np.linalg.inv(anatomy.to_canonical)
    for _ in range(40):
        points = points - 0.7 * (to_canonical(anatomy, torch.from_numpy(points)).numpy() - canonical_mm) @ inverse.T
    return points


def to_canonical(anatomy: ParametricAnatomy, points_mm: torch.Tensor) -> torch.Tensor:
    """Patient mm [..., 3] -> canonical mm [..., 3], both xyz, double."""
    points = points_mm @ torch.from_numpy(anatomy.to_canonical).T
    unit = (points - torch.from_numpy(BOX_MM[0])) / torch.from_numpy(BOX_MM[1] - BOX_MM[0]) * 2 - 1
    grid = unit.reshape(1, 1, 1, -1, 3).float()
    shift = F.grid_sample(anatomy.displacement, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return points + shift.reshape(3, -1).T.reshape(points.shape).double()


def _roughness(anatomy: ParametricAnatomy, lattice: Lattice) -> torch.Tensor:
    low, high = ROUGH_BOX_MM
    axes = [(lattice.axis(i).flatten() - low[i]) / (high[i] - low[i]) * 2 - 1 for i in range(3)]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    grid = torch.stack([x, y, z], -1)[None].float()
    return F.grid_sample(anatomy.roughness, grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0, 0]


def _fields(anatomy: ParametricAnatomy, lattice: Lattice) -> tuple[list[tuple[int, torch.Tensor]], ...]:
    """Blood (the deepest wins) and everything else (the first wins) as pairs of tissue and field."""
    heart = anatomy.heart
    fields = {name: lattice.start() for name in BLOOD} | {"filled_lv": lattice.start()}
    near = span_of(lattice, *HEART_BOX_MM)
    if near is not None:
        part = lattice.part(near)
        for name, field in chamber_fields(heart, part, _roughness(anatomy, part)).items():
            fields[name][near] = field
    add_tube(fields["aorta"], lattice, heart.tubes["aorta"][0])
    for name in ("veins", "arteries"):
        own = tube(lattice, *heart.tubes[name], reach_mm=8)
        for other in fields:
            if other not in ("veins", "arteries"):
                own = torch.maximum(own, (1.0 if other in ("filled_lv", "rv") else 0.0) - fields[other])
        fields[name] = own
    fields["pv"] = torch.maximum(fields["pv"], -fields["la"])
    fields["cs"] = torch.maximum(fields["cs"], -fields["ra"])
    blood = [(label, fields[name]) for name, label in BLOOD.items()]
    return blood, [(LVM, fields["filled_lv"]), *thorax_fields(anatomy.thorax, heart.sizes.rv_wall, lattice, fields)]


def sample_parametric(
    anatomy: ParametricAnatomy,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
    direction: NDArray[np.float64] | None = None,
    *,
    rough: bool = False,
) -> torch.Tensor:
    """Tissues of an anatomy on a grid: uint8 [z, y, x], as heart.sample_tissues. rough: on the coarser lattice."""
    cosines = np.eye(3) if direction is None else np.asarray(direction).reshape(3, 3)
    step = cosines * np.asarray(spacing_mm)
    lattice_mm = ROUGH_STEP_MM if rough or min(spacing_mm) >= ROUGH_STEP_MM else STEP_MM
    plane = np.prod(np.abs(step[:2, :2]) @ np.array(shape[2:0:-1]) / lattice_mm + 8)
    height = max(COARSE, int(SLAB_NODES / plane * lattice_mm / spacing_mm[2]) // COARSE * COARSE)
    slabs = []
    for start in range(0, shape[0], height):
        origin = np.asarray(origin_mm) + step @ np.array([0.0, 0.0, float(start)])
        slabs.append(_sample_slab(anatomy, (min(height, shape[0] - start), *shape[1:]), step, origin, lattice_mm))
    return torch.cat(slabs)


def _sample_slab(
    anatomy: ParametricAnatomy,
    shape: tuple[int, int, int],
    step: NDArray[np.float64],
    origin: NDArray[np.float64],
    lattice_mm: float,
) -> torch.Tensor:
    coarse = [torch.arange(0, n + COARSE, COARSE, dtype=torch.float64) for n in shape]
    z, y, x = torch.meshgrid(*coarse, indexing="ij")
    points = torch.stack([x, y, z], -1) @ torch.from_numpy(step).T + torch.from_numpy(origin)
    mapped = to_canonical(anatomy, points)
    flat = mapped.reshape(-1, 3).numpy()
    lattice = lattice_around(flat.min(0), flat.max(0), lattice_mm)
    nodes = torch.tensor(lattice.shape[::-1], dtype=torch.float64)
    unit = (mapped - torch.tensor(lattice.first_mm, dtype=torch.float64)) / lattice_mm / (nodes - 1) * 2 - 1
    size = [(len(c) - 1) * COARSE + 1 for c in coarse]
    grid = torch.empty((*shape, 3))
    for axis in range(3):
        full = F.interpolate(unit[None, None, ..., axis].float(), size=size, mode="trilinear", align_corners=True)
        grid[..., axis] = full[0, 0, : shape[0], : shape[1], : shape[2]]
    index = ((unit + 1) / 2 * (nodes - 1)).float()  # lattice coordinates at the coarse points

    def reached(field: torch.Tensor) -> tuple[slice, slice, slice] | None:
        """The part of the grid in which the field can be negative."""
        inside = field < 0
        span = []
        for axis in range(3):
            hit = inside.any(-1).any(-1) if axis == 0 else inside.any(0).any(1 - (axis - 1))
            where = hit.nonzero()
            if len(where) == 0:
                return None
            span.append((float(where[0]) - 1, float(where[-1]) + 1))
        near = torch.ones(index.shape[:3], dtype=torch.bool)
        for axis, (low, high) in enumerate(span):
            along = index[..., 2 - axis]
            slack = sum(float(along.diff(dim=d).abs().max()) for d in range(3))
            near &= (along > low - slack) & (along < high + slack)
        out = []
        for axis in range(3):
            other = [a for a in range(3) if a != axis]
            where = near.any(other[1]).any(other[0]).nonzero()
            if len(where) == 0:
                return None
            out.append(slice(int(where[0]) * COARSE, min(shape[axis], int(where[-1]) * COARSE + 1)))
        return out[0], out[1], out[2]

    def at(field: torch.Tensor, part: tuple[slice, slice, slice]) -> torch.Tensor:
        return F.grid_sample(field[None, None], grid[part][None], mode="bilinear", padding_mode="border",
                             align_corners=True)[0, 0]  # fmt: skip

    blood, others = _fields(anatomy, lattice)
    deepest = torch.zeros(shape)
    tissues = torch.zeros(shape, dtype=torch.uint8)
    for label, field in blood:
        part = reached(field)
        if part is not None:
            value = at(field, part)
            wins = value < deepest[part]
            deepest[part] = torch.where(wins, value, deepest[part])
            tissues[part] = torch.where(wins, torch.tensor(label, dtype=torch.uint8), tissues[part])
    free = tissues == 0
    for label, field in others:
        part = reached(field)
        if part is not None:
            wins = (at(field, part) < 0) & free[part]
            tissues[part] = torch.where(wins, torch.tensor(label, dtype=torch.uint8), tissues[part])
            free[part] &= ~wins
    if anatomy.root is not None:
        part = reached(lattice.around(np.zeros(3), REACH_MM))
        if part is not None:
            scale = (nodes - 1).float() / 2 * lattice_mm
            paint_root(anatomy.root, tissues[part], (grid[part] + 1) * scale + torch.tensor(lattice.first_mm))
    return tissues

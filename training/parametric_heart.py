"""The parametric heart: sizes from clinical distributions, chambers and vessels as signed distance fields.

Canonical millimetres are LPS with the centre of the aortic valve at the origin. The left ventricle hangs on a frame of
three directions: `apex` from base to apex (left, anterior, inferior), `septal` towards the right ventricle (right,
anterior) and `upper` (their normal, cranial). The annuli are placed in that frame, the great vessels around the
ascending aorta and each other, so that dilated ones displace their neighbours. Chambers are cut at flat planes through
the annuli; outside an annulus the cut opens into a wedge, which is the atrioventricular groove with its fat.

Sizes: the paper's Table 3 (end-systolic, before TAVI; doi 10.1007/s12265-021-10166-0) up to diastolic, dilated and
hypertrophied hearts; the ranges and their sources stand in population.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from training.parametric_shapes import (
    FAR_MM,
    Lattice,
    Tube,
    Vector,
    carve,
    ellipsoid,
    lattice_around,
    plane,
    smooth_union,
    tube,
    volume_ml,
)

ORIGIN = np.zeros(3)
SOLVE_STEP_MM = 4.0
SOLVE_BOX = np.array([-100.0, -90.0, -110.0]), np.array([110.0, 100.0, 70.0])


def vec(*xyz: float) -> Vector:
    return np.array(xyz, float)


def unit(vector: Vector) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector))


@dataclass(frozen=True)
class Sizes:
    """What is drawn first. Volumes in mL, mass in g, lengths in mm; a heart is solved to match the volumes."""

    lv_cavity_ml: float
    lv_mass_g: float
    rv_ml: float
    la_ml: float
    ra_ml: float
    annulus: float  # radii of annuli and vessels
    mitral: float
    tricuspid: float
    pulmonary: float
    ascending: float
    descending: float
    svc: float
    vein: float
    sinus: float  # coronary sinus at its mouth
    rv_wall: float
    septal_asymmetry: float
    apical_thinning: float
    elongation: float  # length over width of the LV cavity


def draw_sizes(rng: np.random.Generator) -> Sizes:
    """End-systole, the phase of planning scans, in most draws; diastole in the others."""
    systolic = rng.random() < 0.6
    dilated = rng.random() < 0.15
    lv = np.exp(rng.normal(np.log(34 if systolic else 105), 0.42 if systolic else 0.28)) * (1.7 if dilated else 1.0)
    rv = np.exp(rng.normal(np.log(48 if systolic else 115), 0.32)) * (1.5 if rng.random() < 0.12 else 1.0)
    la = np.exp(rng.normal(np.log(76), 0.38)) * (1.5 if rng.random() < 0.15 else 1.0)
    ra = np.exp(rng.normal(np.log(80), 0.32)) * (1.5 if rng.random() < 0.12 else 1.0)
    lv, rv, la, ra = np.clip(lv, 9, 290), np.clip(rv, 18, 280), np.clip(la, 30, 260), np.clip(ra, 28, 240)
    annulus = float(np.clip(rng.normal(12.0, 1.1), 9.5, 15))
    return Sizes(
        lv_cavity_ml=float(lv),
        lv_mass_g=float(np.clip(np.exp(rng.normal(np.log(135), 0.28)) * (1.15 if dilated else 1.0), 65, 270)),
        rv_ml=float(rv),
        la_ml=float(la),
        ra_ml=float(ra),
        annulus=annulus,
        mitral=float(np.clip(rng.normal(14.5, 1.3) * (la / 84) ** 0.12, 11, 20)),
        tricuspid=float(np.clip(rng.normal(16.0, 1.5) * (ra / 80) ** 0.12, 12, 22)),
        pulmonary=float(np.clip(rng.normal(11.5, 1.4), 8.5, 18)),
        ascending=float(np.clip(annulus * rng.normal(1.16, 0.15), 10.5, 25)),
        descending=float(np.clip(rng.normal(10.2, 1.4), 7.5, 17)),
        svc=float(np.clip(rng.normal(8.0, 1.4), 5, 12)),
        vein=float(np.clip(rng.normal(6.4, 0.9), 4.2, 9.5)),
        sinus=float(np.clip(rng.normal(4.8, 0.9), 3.0, 8)),
        rv_wall=float(rng.uniform(1.8, 4.5)),
        septal_asymmetry=float(rng.uniform(-0.1, 0.35)),
        apical_thinning=float(rng.uniform(0.15, 0.5)),
        elongation=float(np.clip(1.85 * (lv / 80) ** -0.1 * np.exp(rng.normal(0, 0.09)), 1.35, 2.7)),
    )


@dataclass(frozen=True)
class Heart:
    """Placed shapes; all points in canonical mm. `tubes` by name of what they are part of."""

    sizes: Sizes
    apex: Vector
    septal: Vector
    upper: Vector
    aortic_axis: Vector
    mitral: Vector
    mitral_axis: Vector  # towards the left atrium
    tricuspid: Vector
    tricuspid_axis: Vector  # towards the right atrium
    pulmonic: Vector
    pulmonic_axis: Vector
    lv_radius: float
    lv_wall: float
    rv_depth: float
    la_scale: float
    ra_scale: float
    svc_plane: tuple[Vector, Vector]
    tubes: dict[str, list[Tube]]
    papillary: list[Tube]

    @property
    def lv_length(self) -> float:
        return 2 * self.lv_radius * self.sizes.elongation

    @property
    def equator(self) -> Vector:
        """Centre of the widest section of the left ventricle."""
        return np.asarray(0.5 * self.mitral + 0.25 * self.lv_length * self.apex)

    @property
    def la_centre(self) -> Vector:
        return np.asarray(self.mitral + self.la_scale * (15 * self.mitral_axis + vec(-9, 1, 10)))

    @property
    def la_semi(self) -> Vector:
        return np.asarray(self.la_scale * vec(29, 18.5, 23))

    @property
    def ra_centre(self) -> Vector:
        return np.asarray(self.tricuspid + self.ra_scale * (17 * self.tricuspid_axis + vec(0, 7, 3)))

    @property
    def ra_semi(self) -> Vector:
        return np.asarray(self.ra_scale * vec(19, 22, 26))

    @property
    def rv_centre(self) -> Vector:
        return np.asarray(self.equator + 0.45 * (self.lv_radius + self.lv_wall) * self.septal - 0.05 * self.upper)


def lv_raw(heart: Heart, lattice: Lattice) -> torch.Tensor:
    """The blood of the left ventricle before its planes: a bullet, its inflow and its outflow tract."""
    radius, length, centre = heart.lv_radius, heart.lv_length, heart.equator
    axes = np.stack([heart.septal, heart.upper, heart.apex])
    body = ellipsoid(lattice, centre, axes, vec(0.95 * radius, radius, 0.75 * length), 0.375 * length)
    inflow = Tube(
        np.stack([heart.mitral + 4 * heart.mitral_axis, heart.mitral - 4 * heart.mitral_axis, centre]),
        vec(heart.sizes.mitral, heart.sizes.mitral, 0.7 * radius),
    )
    out = heart.aortic_axis
    outflow = Tube(np.stack([4 * out, -7 * out, centre]), vec(heart.sizes.annulus, heart.sizes.annulus, 0.6 * radius))
    valves = tube(lattice, inflow, reach_mm=FAR_MM), tube(lattice, outflow, reach_mm=FAR_MM)
    return smooth_union(smooth_union(body, valves[0], 5.0), valves[1], 5.0)


def lv_wall(heart: Heart, lattice: Lattice, blood: torch.Tensor) -> torch.Tensor:
    """The filled left ventricle, cavity and muscle, cut at the base."""
    along = lattice.along(heart.equator, heart.apex) / (0.75 * heart.lv_length)
    across = lattice.along(heart.equator, heart.septal) / (heart.lv_radius + heart.lv_wall)
    thickness = heart.lv_wall * (
        1
        + heart.sizes.septal_asymmetry * across.clamp(-1, 1)
        - heart.sizes.apical_thinning * (along - 0.3).clamp_(0, 1)
        - 0.45 * (-along - 0.05).clamp_(0, 0.6)
    )
    mitral, _ = plane(lattice, heart.mitral, heart.mitral_axis)
    aortic, off = plane(lattice, ORIGIN, heart.aortic_axis)
    base = torch.maximum(mitral, aortic - 0.4 * (off - heart.sizes.annulus).clamp_(min=0))
    return torch.maximum(torch.where(blood < FAR_MM, blood - thickness, blood), base)


def lv_cavity(heart: Heart, lattice: Lattice, blood: torch.Tensor) -> torch.Tensor:
    mitral, off_mitral = plane(lattice, heart.mitral, heart.mitral_axis)
    aortic, off_aortic = plane(lattice, ORIGIN, heart.aortic_axis)
    cut_mitral = mitral + 0.8 * (off_mitral - heart.sizes.mitral).clamp_(min=0)
    cut_aortic = aortic + 0.8 * (off_aortic - heart.sizes.annulus).clamp_(min=0)
    # Between the two annuli there is no muscle: each cut ends where the other annulus begins.
    both = torch.maximum(mitral, aortic)
    near = torch.minimum(off_mitral - heart.sizes.mitral, off_aortic - heart.sizes.annulus) < 1.5
    return torch.maximum(blood, torch.where(near, both, torch.maximum(cut_mitral, cut_aortic)))


def rv_body(heart: Heart, lattice: Lattice) -> torch.Tensor:
    """Inflow and body of the right ventricle, cut at the tricuspid plane; the left ventricle is not yet carved."""
    outer = heart.lv_radius + heart.lv_wall
    axes = np.stack([heart.septal, heart.upper, heart.apex])
    semi = vec(0.55 * outer + heart.rv_depth, 0.98 * outer + 0.12 * heart.rv_depth, 0.74 * heart.lv_length + 1)
    body = ellipsoid(lattice, heart.rv_centre, axes, semi, 0.5 * heart.lv_length + 6)
    t, radius = heart.tricuspid_axis, heart.sizes.tricuspid
    inner = heart.rv_centre + (0.35 * outer + 0.4 * heart.rv_depth) * heart.septal - 0.15 * outer * heart.upper
    neck = Tube(np.stack([heart.tricuspid + 4 * t, heart.tricuspid - 8 * t, inner]), vec(radius, radius, 0.6 * radius))
    height, off = plane(lattice, heart.tricuspid, t)
    raw = smooth_union(body, tube(lattice, neck), 8.0)
    beyond_base = 2.0 - lattice.along(ORIGIN - 8 * heart.apex, heart.apex)
    around_wall = -0.3 * outer - lattice.along(heart.equator, heart.septal)
    raw = -smooth_union(-raw, -torch.maximum(beyond_base, around_wall), 18.0)  # a rounded shoulder
    return torch.maximum(raw, height + 0.4 * (off - radius).clamp_(0, 40))


def rv_field(heart: Heart, lattice: Lattice) -> torch.Tensor:
    """The right ventricle's body and outflow tract, up to the pulmonary valve; the left one is not yet carved."""
    outflow = tube(lattice, *heart.tubes["rvot"])
    raw = smooth_union(rv_body(heart, lattice), outflow, 6.0)
    height, off = plane(lattice, heart.pulmonic, heart.pulmonic_axis)
    return torch.maximum(raw, height + 0.5 * (off - heart.sizes.pulmonary).clamp_(0, 12))


def _atrium(
    lattice: Lattice, centre: Vector, semi: Vector, annulus: tuple[Vector, Vector, float], wedge: float
) -> torch.Tensor:
    """An ellipsoid with a neck to its annulus (centre, axis towards the atrium, radius), cut at the annulus's plane."""
    at, axis, radius = annulus
    neck = Tube(np.stack([at - 4 * axis, at + 5 * axis, centre]), vec(radius, radius, 0.9 * radius))
    height, off = plane(lattice, at, axis)
    raw = smooth_union(ellipsoid(lattice, centre, np.eye(3), semi), tube(lattice, neck), 8.0)
    return torch.maximum(raw, wedge * (off - radius).clamp_(0, 12) - height)


def la_body(heart: Heart, lattice: Lattice) -> torch.Tensor:
    annulus = heart.mitral, heart.mitral_axis, heart.sizes.mitral
    return _atrium(lattice, heart.la_centre, heart.la_semi, annulus, 0.4)


def ra_body(heart: Heart, lattice: Lattice) -> torch.Tensor:
    annulus = heart.tricuspid, heart.tricuspid_axis, heart.sizes.tricuspid
    return _atrium(lattice, heart.ra_centre, heart.ra_semi, annulus, 0.45)


def chamber_fields(heart: Heart, lattice: Lattice, roughness: torch.Tensor) -> dict[str, torch.Tensor]:
    """Fields of chambers and vessels; `roughness` is unit noise on the lattice (trabeculae, pectinate muscles)."""
    s, tubes = heart.sizes, heart.tubes
    out: dict[str, torch.Tensor] = {}
    height, _ = plane(lattice, ORIGIN, heart.aortic_axis)
    root = smooth_union(tube(lattice, *tubes["root"]), tube(lattice, *tubes["cusps"]), 3.0)
    out["aorta"] = torch.minimum(torch.maximum(root, -height), tube(lattice, *tubes["aorta"]))

    blood = lv_raw(heart, lattice)
    filled = lv_wall(heart, lattice, blood)
    deep = (lattice.along(heart.equator, heart.apex) / heart.lv_length + 0.3).clamp_(0, 1)
    cavity = lv_cavity(heart, lattice, blood + 1.2 * deep * roughness)
    for muscle in heart.papillary:
        cavity = carve(cavity, tube(lattice, muscle, reach_mm=8))
    out["filled_lv"], out["lv"] = filled, cavity

    height, _ = plane(lattice, heart.pulmonic, heart.pulmonic_axis)
    trunk = torch.maximum(tube(lattice, *tubes["trunk"]), -height)
    out["pa"] = carve(smooth_union(trunk, tube(lattice, *tubes["pa_branches"]), 4.0), out["aorta"], 2.0)

    out["cs"] = tube(lattice, *tubes["cs"], reach_mm=12)
    # Above the base the muscle is cut, but the right ventricle still keeps out of where it would be.
    beyond = torch.minimum(filled, blood - 0.6 * heart.lv_wall)
    out["rv"] = carve(carve(rv_field(heart, lattice) + 0.9 * deep * roughness, beyond), out["aorta"], 2.2)

    la = carve(la_body(heart, lattice), out["cs"], 1.3)
    veins = tube(lattice, *tubes["pv"])
    la = smooth_union(la, carve(tube(lattice, *tubes["ostia"]), filled, 2.0), 6.0)
    laa = tube(lattice, *tubes["laa"]) + 0.9 * roughness
    laa = carve(carve(laa, filled, 1.5), out["pa"], 2.2)
    mitral, _ = plane(lattice, heart.mitral, heart.mitral_axis)
    out["la"] = carve(carve(torch.maximum(la, -mitral), out["aorta"], 2.2), out["pa"], 2.2)
    out["la"] = torch.minimum(out["la"], carve(laa, out["aorta"], 2.2))
    out["pv"] = carve(carve(carve(veins, out["pa"], 2.0), filled, 2.0), out["aorta"], 2.0)

    above, _ = plane(lattice, *heart.svc_plane)
    caval = tube(lattice, *tubes["svc"])
    svc = torch.maximum(caval, -above)
    body = smooth_union(ra_body(heart, lattice), torch.maximum(caval, above), 6.0)
    tricuspid, off = plane(lattice, heart.tricuspid, heart.tricuspid_axis)
    body = torch.maximum(body, torch.where(off < s.tricuspid + 20, -tricuspid, body))
    body = torch.maximum(body, above)
    raa = carve(tube(lattice, *tubes["raa"]) + 1.1 * roughness, out["rv"], s.rv_wall)
    body = torch.minimum(carve(body, tube(lattice, *tubes["rvot"]), s.rv_wall), raa)
    for other, gap in (("la", 2.4), ("aorta", 2.2), ("filled_lv", 1.0), ("pa", 2.2), ("pv", 2.0)):
        body = carve(body, out[other], gap)
        svc = carve(svc, out[other], 1.8)
    out["ra"], out["svc"] = body, svc
    return out


def _solve(measure: Callable[[float], float], target: float, low: float, high: float) -> float:
    """The argument at which a rising measure meets its target, by bisection."""
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if measure(middle) < target else (low, middle)
    return (low + high) / 2


def solve_chambers(heart: Heart) -> Heart:
    """Cavity radius, wall, right ventricle and atria to the drawn volumes, on a coarse lattice."""
    lattice = lattice_around(*SOLVE_BOX, SOLVE_STEP_MM)
    s = heart.sizes

    def cavity(radius: float) -> float:
        trial = replace(heart, lv_radius=radius)
        return volume_ml(lv_cavity(trial, lattice, lv_raw(trial, lattice)), lattice)

    heart = replace(heart, lv_radius=_solve(cavity, s.lv_cavity_ml * 1.1, 6.0, 42.0))  # papillary muscles take a tenth
    blood = lv_raw(heart, lattice)
    whole = s.lv_cavity_ml + s.lv_mass_g / 1.05

    def wall(thickness: float) -> float:
        return volume_ml(lv_wall(replace(heart, lv_wall=thickness), lattice, blood), lattice)

    heart = replace(heart, lv_wall=_solve(wall, whole, 3.0, 28.0))
    filled = lv_wall(heart, lattice, blood)
    heart = replace(
        heart,
        la_scale=_solve(
            lambda scale: volume_ml(la_body(replace(heart, la_scale=scale), lattice), lattice), s.la_ml * 0.88, 0.5, 2.0
        ),
    )
    heart = replace(
        heart,
        ra_scale=_solve(
            lambda scale: volume_ml(ra_body(replace(heart, ra_scale=scale), lattice), lattice), s.ra_ml * 0.92, 0.5, 2.0
        ),
    )

    root = Tube(np.stack([ORIGIN, 40 * heart.aortic_axis]), vec(1.25, 1.25) * s.annulus)
    taken = torch.minimum(filled, tube(lattice, root) - 2.2)

    def right(depth: float) -> float:
        trial = replace(heart, rv_depth=depth)
        return volume_ml(carve(rv_body(trial, lattice), taken), lattice)

    return replace(heart, rv_depth=_solve(right, 0.95 * s.rv_ml, 0.0, 60.0))

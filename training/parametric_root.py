"""The aortic root of the parametric heart: sinuses, commissures, cusps, calcium and the first part of the coronaries.

Everything is a function of points in canonical mm, evaluated where it is asked for and not on the lattice of the other
fields, so that cusps of a millimetre survive and the true sizes are known as exactly as the arithmetic. A point has a
height over the annulus, a distance from the axis and an angle around it. The lumen is an ellipse that turns into the
circle of the sinotubular junction; it bulges behind each cusp, above the crown-shaped line along which the cusps are
attached. Cusps come in the order right, left, non-coronary; the left and the non-coronary one meet above the mitral
valve. Sizes: figures of planning CT (annulus 24.9 mm, eccentricity 0.19, sinuses 1.2 to 1.4 annuli, ostia 11 to 18 mm
high) and somewhat beyond.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from training.heart import AO, ARTERIES, CALCIUM, CUSP, LA, LEAFLET, LVC, LVM, PA, PV, RA, RVC, SVC, WALL
from training.parametric_heart import Heart, unit, vec
from training.parametric_shapes import Tube, Vector, curve

CUSPS = ("right", "left", "non_coronary")
DEEPEST_MM = 11.0  # below the annulus, where the outflow tract is the ventricle's again
OUTFLOW_MM = 8.0  # below the annulus, where it has its own shape
REACH_MM = 40.0  # a ball around the annulus that holds the root
WALL_THICK_MM = 1.8
LEAFLET_MM = 1.0  # of the anterior mitral leaflet, which bounds the outflow tract behind
MUSCLE_MM = 2.5
CLEAR_MM = 5.0  # from the lumen's wall to the middle of a coronary artery that runs around the root
MITRAL_SIDE = np.deg2rad(75)  # on either side of the middle of the mitral valve
FIRM = torch.tensor((LVM, ARTERIES), dtype=torch.uint8)
POOLS = torch.tensor((PV, LA, LVC, AO, SVC, RA, RVC, PA), dtype=torch.uint8)


@dataclass(frozen=True)
class Ostium:
    """Mouth of a coronary artery: angle (rad) and height (mm) of its centre, radius, way out as u, v, w."""

    angle: float
    height: float
    radius: float
    way: Vector


@dataclass(frozen=True)
class Root:
    """Sizes of a root. frame: rows u (long axis), v (towards the mitral valve), w (up the aorta), canonical.

    annulus, outflow: semi-axes along u and v. bulges: of the three sinuses, mm. nadirs: their angles, rad. opening: of
    the cusps, 0 closed, 1 a triangle. ostia: right, left. calcium: balls [n, 4] of u, v, w, radius for each cusp.
    """

    frame: Vector
    annulus: Vector
    outflow: Vector
    junction_mm: float  # height of the sinotubular junction
    junction: float  # its radius
    bulges: Vector
    nadirs: Vector
    commissure_mm: float
    opening: float
    cusp_mm: float
    ostia: tuple[Ostium, Ostium]
    calcium: tuple[Vector, Vector, Vector]

    def place(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Distance from the axis, angle and height of canonical points [..., 3]."""
        u, v, w = (points @ torch.from_numpy(self.frame).to(points).T).unbind(-1)
        return torch.hypot(u, v), torch.atan2(v, u), w

    def sector(self, angle: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which cusp lies at an angle, and where in it: 0 at its nadir, -1 and 1 at its commissures."""
        across = []
        for k in range(3):
            turn = torch.remainder(angle - self.nadirs[k] + np.pi, 2 * np.pi) - np.pi
            gaps = np.mod(np.delete(self.nadirs, k) - self.nadirs[k], 2 * np.pi)
            across.append(torch.where(turn > 0, turn / (gaps.min() / 2), turn / ((2 * np.pi - gaps.max()) / 2)))
        stacked = torch.stack(across)
        which = stacked.abs().argmin(0)
        return which, stacked.gather(0, which[None])[0].clamp(-1, 1)

    def radius(self, angle: torch.Tensor, height: torch.Tensor) -> torch.Tensor:
        """Distance of the lumen's wall from the axis."""
        up = (height / self.junction_mm).clamp(0, 1)
        down = (-height / OUTFLOW_MM).clamp(0, 1)
        semi = [n + (self.junction - n) * up + (o - n) * down for n, o in zip(self.annulus, self.outflow, strict=True)]
        base = semi[0] * semi[1] / torch.hypot(semi[1] * angle.cos(), semi[0] * angle.sin())
        which, across = self.sector(angle)
        crown = self.commissure_mm * across.square()
        risen = ((height - crown) / (self.junction_mm - crown)).clamp(0, 1)
        bulge = torch.from_numpy(self.bulges).to(base)[which] * (np.pi / 2 * across).cos().square()
        return base + bulge * (np.pi * risen).sin()

    def sheet(self, angle: torch.Tensor, height: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Distance of the cusp from the axis, and the share of its height from attachment (0) to free edge (1)."""
        _, across = self.sector(angle)
        crown = self.commissure_mm * across.square()
        edge = self.commissure_mm * (1 - 0.28 * (np.pi / 2 * across).cos().square())
        share = (height - crown) / (edge - crown).clamp_min(0.3)
        attached = self.radius(angle, crown)
        free = self.opening * attached * 0.5 / (np.pi / 3 * across).cos()
        radius = attached - (attached - free) * (np.pi / 2 * share.clamp(0, 1)).sin()
        return torch.minimum(radius, self.radius(angle, height)), share


def tilted_axis(rng: np.random.Generator) -> Vector:
    """A root between upright and horizontal, leaning to the right and a little forward."""
    tilt, turn = np.deg2rad(rng.uniform(18, 58)), np.arctan2(-0.14, -0.46) + rng.normal(0, 0.2)
    return vec(np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt))


def draw_root(heart: Heart, rng: np.random.Generator) -> Root:
    """A root for a placed heart; half of them are calcified."""
    w = heart.aortic_axis
    v = unit(heart.mitral - (heart.mitral @ w) * w)
    turn = rng.normal(0, 0.25)
    u = np.cross(v, w)
    u, v = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
    mean = heart.sizes.annulus
    ratio = np.sqrt(1 / (1 - rng.uniform(0.06, 0.32)))
    deeper = rng.uniform(0.93, 1.04) * mean, ratio * rng.uniform(1.0, 1.07)
    opposite = -np.pi / 2 - turn + rng.normal(0, 0.15)  # the right cusp faces away from the mitral valve
    nadirs = opposite + np.arange(3) * 2 * np.pi / 3 + rng.normal(0, 0.07, 3)  # counter-clockwise from the aorta
    junction_mm = float(rng.uniform(17, 24) * mean / 12)
    opening = float(rng.uniform(0.3, 1.2))
    ostia = []
    for k, low in ((0, 0.58), (1, 0.52)):
        angle, height = float(nadirs[k] + rng.normal(0, 0.2)), float(junction_mm * rng.uniform(low, 0.85))
        way = unit(vec(np.cos(angle), np.sin(angle), rng.normal(0, 0.2)))
        ostia.append(Ostium(angle, height, float(rng.uniform(1.5, 2.3)), way))
    root = Root(
        frame=np.stack([u, v, w]),
        annulus=mean * vec(ratio, 1 / ratio),
        outflow=deeper[0] * vec(deeper[1], 1 / deeper[1]),
        junction_mm=junction_mm,
        junction=float(mean * rng.uniform(1.08, 1.3)),
        bulges=mean * rng.uniform(0.25, 0.5) * np.exp(rng.normal(0, 0.12, 3)),
        nadirs=nadirs,
        commissure_mm=float(junction_mm * rng.uniform(0.82, 0.95)),
        opening=opening,
        cusp_mm=float(rng.uniform(0.7, 1.4)),
        ostia=(ostia[0], ostia[1]),
        calcium=(np.empty((0, 4)),) * 3,
    )
    return replace(root, calcium=_draw_calcium(root, rng)) if rng.random() < 0.5 else root


def _draw_calcium(root: Root, rng: np.random.Generator) -> tuple[Vector, Vector, Vector]:
    """Clusters of balls on the cusps, from a few mm3 to more than half a mL."""
    cusps = []
    for k in range(3):
        balls = []
        for _ in range(int(rng.integers(0, 9))):
            angle = torch.tensor(root.nadirs[k] + rng.uniform(-0.7, 0.7))
            _, across = root.sector(angle)
            crown = root.commissure_mm * float(across) ** 2
            height = crown + rng.uniform(0.05, 0.9) * (root.commissure_mm * 0.8 - crown)
            away = float(root.sheet(angle, torch.tensor(height))[0])
            place = vec(away * np.cos(float(angle)), away * np.sin(float(angle)), height)
            for _ in range(int(rng.integers(1, 6))):
                balls.append([*(place + rng.normal(0, 1.2, 3)), rng.uniform(0.6, 2.2)])
        cusps.append(np.array(balls).reshape(-1, 4))
    return cusps[0], cusps[1], cusps[2]


def with_root(heart: Heart, root: Root) -> Heart:
    """The heart with an aorta that begins at the root's junction and coronary arteries that begin at its ostia."""
    axis, tubes = heart.aortic_axis, dict(heart.tubes)
    narrow, wide = 0.9 * float(root.annulus[1]), heart.sizes.ascending
    top, end = root.junction_mm * axis, tubes["aorta"][0].points[0]
    points, radii = [top, top + 9 * axis, end], [root.junction, 0.4 * root.junction + 0.6 * wide, wide]
    if (end - top) @ axis > 25:  # there is room for a bow to the side
        points.insert(2, 0.5 * (top + 9 * axis + end) + 0.1 * np.linalg.norm(end - top) * vec(-1, -0.4, 0))
        radii.insert(2, wide)
    tubes["root"] = [Tube(np.stack([-5 * axis, 0.7 * top]), vec(narrow, narrow)), curve(points, radii)]
    tubes["cusps"] = []
    *others, left, side, right = tubes["arteries"]
    right_ostium, left_ostium = root.ostia
    branches = (left, left_ostium), (side, left_ostium), (right, right_ostium)
    tubes["arteries"] = [*others, *(_joined(root, stem, ostium) for stem, ostium in branches)]
    return replace(heart, tubes=tubes)


def _joined(root: Root, stem: Tube, ostium: Ostium) -> Tube:
    """A coronary artery from the end of its first part on: around the root, to where its stem has left the wall."""
    points = np.concatenate([coronary(root, ostium)[1:] @ root.frame, stem.points[2:]])  # a stem begins elsewhere
    away, angle, height = (part.numpy() for part in root.place(torch.from_numpy(points)))
    outside = away - root.radius(torch.from_numpy(angle), torch.from_numpy(height)).numpy()
    near = np.flatnonzero((outside[1:-1] < CLEAR_MM) & (height[1:-1] > -DEEPEST_MM))
    first = near[-1] + 2 if len(near) else 1
    share = np.arange(0, 1, 0.1)
    turn = (angle[first] - angle[0] + np.pi) % (2 * np.pi) - np.pi
    angles = angle[0] + share * turn
    heights = height[0] + share * (height[first] - height[0])
    radius = root.radius(torch.from_numpy(angles), torch.from_numpy(heights)).numpy()
    radius += outside[0] + share * (max(outside[first], CLEAR_MM) - outside[0])
    around = np.stack([radius * np.cos(angles), radius * np.sin(angles), heights], -1) @ root.frame
    radii = stem.radii[2:][first - 1 :]
    return Tube(
        np.concatenate([around, points[first:]]), np.r_[np.linspace(ostium.radius, radii[0], len(share)), radii]
    )


def coronary(root: Root, ostium: Ostium) -> Vector:
    """Both ends of the first part of a coronary artery, from within the lumen to 7 mm outside: [2, 3] u, v, w."""
    wall = float(root.radius(torch.tensor(ostium.angle), torch.tensor(ostium.height)))
    mouth = vec(wall * np.cos(ostium.angle), wall * np.sin(ostium.angle), ostium.height)
    return np.stack([mouth - 2.5 * ostium.way, mouth + 7 * ostium.way])


def in_coronary(root: Root, ostium: Ostium, points: torch.Tensor) -> torch.Tensor:
    """Distance of canonical points from the surface of the first part of a coronary artery, negative inside."""
    start, end = (torch.from_numpy(p).to(points) for p in coronary(root, ostium) @ root.frame)
    along = ((points - start) @ (end - start) / (end - start).square().sum()).clamp(0, 1)
    return (points - start - along[..., None] * (end - start)).norm(dim=-1) - ostium.radius


def cusp_depth(root: Root, points: torch.Tensor) -> torch.Tensor:
    """Distance of canonical points from the surface of the cusps, negative inside."""
    away, angle, height = root.place(points)
    radius, share = root.sheet(angle, height)
    step = 0.05
    up = (root.sheet(angle, height + step)[0] - radius) / step
    around = (root.sheet(angle + step, height)[0] - radius) / step / away.clamp_min(1.0)
    distance = (away - radius).abs() / (1 + up.square() + around.square()).sqrt() - root.cusp_mm / 2
    return torch.where((share >= 0) & (share <= 1), distance, torch.full_like(distance, 9.0))


def in_calcium(root: Root, cusp: int, points: torch.Tensor) -> torch.Tensor:
    """Canonical points [..., 3] in the calcium of a cusp: bool."""
    placed = points @ torch.from_numpy(root.frame).to(points).T
    inside = torch.zeros(points.shape[:-1], dtype=torch.bool)
    for u, v, w, radius in root.calcium[cusp].tolist():
        inside |= (placed - torch.tensor([u, v, w]).to(points)).square().sum(-1) < radius**2
    away, angle, height = root.place(points)
    return inside & (height >= 0) & (away < root.radius(angle, height))


def paint_root(root: Root, tissues: torch.Tensor, points: torch.Tensor) -> None:
    """Draw the root over tissues, uint8 [z, y, x], at canonical points [z, y, x, 3]; in place."""
    up = points @ torch.from_numpy(root.frame[2]).to(points)
    zone = (up > -DEEPEST_MM) & (up < root.junction_mm) & (points.square().sum(-1) < REACH_MM**2)
    points, here = points[zone], tissues[zone]
    away, angle, height = root.place(points)
    outside = away - root.radius(angle, height)
    above, below, lumen = height >= 0, height < 0, outside < 0
    wall = ~lumen & (outside < WALL_THICK_MM)
    behind = (angle - np.pi / 2).abs() < MITRAL_SIDE
    cavity = below & ~lumen & (here == LVC)
    here[wall & (above & ~torch.isin(here, FIRM) | below & torch.isin(here, POOLS) & ~cavity)] = WALL
    here[cavity & behind & (outside < LEAFLET_MM)] = LEAFLET
    here[cavity & ~behind & (outside < MUSCLE_MM)] = LVM
    here[above & lumen] = AO
    here[below & lumen] = LVC
    for ostium in root.ostia:
        depth = in_coronary(root, ostium, points)
        here[~lumen & (depth < 1) & torch.isin(here, POOLS)] = WALL
        here[~lumen & (depth < 0)] = ARTERIES
    valve = (above & lumen).nonzero()[:, 0]
    blood, points = here[valve], points[valve]
    blood[cusp_depth(root, points) < 0] = CUSP
    for cusp in range(3):
        blood[in_calcium(root, cusp, points)] = CALCIUM
    here[valve] = blood
    tissues[zone] = here

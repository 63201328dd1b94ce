"""Vessels that go on where a heart's label map ends, and a coronary sinus where it has none; for placed_heart.py."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.heart import AO, LA, LVC, PA, PV, RA, SVC, VEINS
from training.parametric_heart import unit, vec
from training.parametric_placing import MIDLINE_X, lung_tree
from training.parametric_shapes import Tube, Vector, curve

PV_MM = 30.0  # of each pulmonary vein that count as it; beyond it is a vein of the lung


@dataclass(frozen=True)
class Case:
    """A heart's label map: uint8 [z, y, x], its step and the place of voxel 0 from the valve, mm."""

    labels: NDArray[np.uint8]
    step_mm: float
    origin_mm: Vector

    def points(self, mask: NDArray[np.bool_]) -> Vector:
        return np.asarray(np.argwhere(mask)[:, ::-1] * self.step_mm + self.origin_mm)

    def interface(self, one: int, other: int) -> Vector:
        return self.points(ndimage.binary_dilation(self.labels == one) & (self.labels == other))

    def end(self, label: int, way: Vector, among: Vector | None = None) -> tuple[Vector, float]:
        """Where a vessel ends along a direction: the middle of its last 2 mm and its radius there."""
        points = self.points(self.labels == label) if among is None else among
        height = points @ unit(way)
        last = points[height > height.max() - 2]
        return last.mean(0), float(np.sqrt(len(last) * self.step_mm**3 / 2 / np.pi))


def lung_veins(case: Case, rng: np.random.Generator) -> tuple[list[Tube], list[Tube]]:
    """Each pulmonary vein, continued to PV_MM from the atrium, and its branches in the lung."""
    near = case.step_mm * ndimage.distance_transform_edt(case.labels != LA)
    veins, branches = [], []
    pieces, count = ndimage.label(case.labels == PV, np.ones((3, 3, 3)))
    for piece in range(1, count + 1):
        longest = near[pieces == piece].max()
        stubs, many = ndimage.label((pieces == piece) & (near > 0.55 * longest), np.ones((3, 3, 3)))
        for stub in range(1, many + 1):
            here = stubs == stub
            if here.sum() < 60:
                continue
            points, reach = case.points(here), near[here]
            tip, foot = points[reach > reach.max() - 2].mean(0), points[reach < reach.min() + 2].mean(0)
            radius = float(np.clip(np.sqrt((reach > reach.max() - 2).sum() * case.step_mm**3 / 2 / np.pi), 2.5, 8.0))
            side = float(np.sign(tip[0] + 12))
            way = unit(unit(tip - foot) + vec(0.7 * side, 0, 0))
            end = tip + max(6.0, PV_MM - float(reach.max())) * way
            veins.append(Tube(np.stack([tip - 3 * way, tip, end]), vec(radius, radius, 0.85 * radius)))
            for _ in range(2):
                on = unit(way + vec(0.4 * side, *rng.normal(0, 0.5, 2)))
                middle, r = end + rng.uniform(14, 24) * on, 0.65 * radius
                branches.append(curve([end - 3 * way, middle, middle + 25 * unit(on + rng.normal(0, 0.3, 3))],
                                      [r, 0.6 * r, 0.3 * r]))  # fmt: skip
    return veins, branches


def aorta(case: Case) -> tuple[list[Tube], list[Tube]]:
    """What the scan cut off: arch and descending aorta, or the lower descending aorta alone; and arch branches."""
    points = case.points(case.labels == AO)
    behind = points[points[:, 1] > 40]
    if len(behind):  # a descending aorta
        foot, r = case.end(AO, vec(0, 0, -1), behind[behind[:, 2] < behind[:, 2].min() + 4])
        r = max(r, 8.0)
        way = [foot + vec(0, 0, 8), foot, vec(0.8 * foot[0] - 1, foot[1] + 3, foot[2] - 40),
               vec(MIDLINE_X + 14, foot[1] + 2, -150), vec(MIDLINE_X + 8, foot[1], -260)]  # fmt: skip
        return [curve(way, [r, r, r, 0.9 * r, 0.8 * r])], []
    top, wide = case.end(AO, vec(0, 0, 1))
    a, d = min(wide, 17.0), 11.5
    height = float(top[2]) + 30
    way = [top - vec(0, 0, 8), top, vec(top[0] + 4, top[1] + 5, top[2] + 14), vec(2, 16, height), vec(14, 34, height),
           vec(20, 56, height - 22), vec(20, 68, height - 50), vec(19, 70, -10), vec(16, 68, -75), vec(4, 64, -150),
           vec(0, 62, -260)]  # fmt: skip
    radii = [0.9 * wide, wide, a, 0.93 * a, 0.5 * (a + d), 1.05 * d, d, d, 0.95 * d, 0.9 * d, 0.8 * d]
    branches = [
        curve([vec(-2, 10, height), vec(-16, 6, height + 28), vec(-30, 4, 210)], [6.0, 5.5, 4.5]),
        curve([vec(6, 22, height), vec(9, 16, height + 30), vec(14, 12, 220)], [4.0, 3.5, 3.5]),
        curve([vec(13, 33, height), vec(24, 28, height + 28), vec(62, 14, height + 64)], [5.0, 4.5, 4.0]),
    ]
    return [curve(way, radii)], branches


def lung_arteries(case: Case, rng: np.random.Generator) -> tuple[list[Tube], list[Tube]]:
    """Branches of the pulmonary artery where the scan holds its trunk alone, and the tree in the lungs."""
    right, wide = case.end(PA, vec(-1, 0, 0))
    left, _ = case.end(PA, vec(0.6, 0.8, 0))
    tubes = []
    if right[0] > -30:
        top, wide = case.end(PA, vec(0, 0, 1))
        points = case.points(case.labels == AO)
        beside = points[points[:, 2] > points[:, 2].max() - 6]
        behind = float(beside[:, 1].max()) + 14
        right, left = vec(-58, behind + 6, top[2] + 4), vec(50, behind + 14, top[2] + 12)
        fork = vec(top[0] + 2, behind - 8, top[2] + 8)
        tubes = [
            curve([top - vec(0, 0, 6), top, fork], [wide, wide, 12.0]),
            curve([fork, vec(-14, behind + 2, top[2] + 6), right], [9.5, 9.0, 8.0]),
            curve([fork, fork + vec(14, 14, 6), left], [10.0, 9.5, 8.0]),
        ]
        wide = 8.0
    trees: list[Tube] = []
    for end, side in ((right, -1), (left, 1)):
        lung_tree(trees, end, side, 0.62 * float(np.clip(wide, 7, 10)), rng)
    return tubes, trees


def caval_veins(case: Case) -> tuple[list[Tube], list[Tube]]:
    """The upper vena cava to its confluence, and what joins it; the lower one through the liver."""
    top, r = case.end(SVC, vec(0, 0, 1))
    r = float(np.clip(r, 5, 10))
    svc, end = [], top
    if top[2] < 75:
        end = vec(top[0] + 4, top[1] - 3, 80)
        svc = [curve([top - vec(0, 0, 4), top, 0.5 * (top + end), end], [r, r, r, 0.95 * r])]
    foot, wide = case.end(VEINS, vec(0, 0, -1))
    wide = float(np.clip(wide, 9, 14))
    v = 0.75 * r
    azygos = vec(MIDLINE_X - 8, 70, 40)
    back = end + vec(0, 0, -12)
    return svc, [
        curve([end - vec(0, 0, 3), end + vec(-6, -2, 24), end + vec(-22, 2, 50), end + vec(-70, -2, 62)], [v, v, v, v]),
        curve([end - vec(0, 0, 3), end + vec(24, -14, 10), end + vec(58, -10, 26), end + vec(105, 0, 40)],
              [v, v, v, 0.8 * v]),
        curve([azygos + vec(0, 2, -260), azygos, vec(MIDLINE_X - 12, 62, 62), 0.5 * (vec(-22, 56, 68) + back), back],
              [2.5, 3.0, 3.5, 3.8, 3.8]),
        curve([foot + vec(0, 0, 6), foot, foot + vec(6, 9, -26), vec(MIDLINE_X - 16, 48, -150),
               vec(MIDLINE_X - 18, 56, -260)], [wide, wide, 1.05 * wide, wide, wide]),
    ]  # fmt: skip


def coronary_sinus(
    case: Case, distances: Mapping[str, NDArray[np.float32]], low_mm: Vector, rng: np.random.Generator
) -> Tube:
    """In the groove below the mitral annulus, from the left to the right atrium, on the heart's surface.

    distances: signed, of the heart's parts, [z, y, x] from low_mm. Where the aorta leaves no room it dents the atrium.
    """
    mitral = case.interface(LA, LVC)
    centre = mitral.mean(0)
    axis = np.linalg.svd(mitral - centre, full_matrices=False)[2][2]
    axis = axis * np.sign(axis @ (case.points(case.labels == LA).mean(0) - centre))
    right = case.points(case.labels == RA)
    lateral = centre - right.mean(0)
    lateral = unit(lateral - (lateral @ axis) * axis)
    below = np.cross(axis, lateral)
    below *= np.sign(below @ vec(0, 0.5, -1))
    radius = rng.uniform(3.6, 5.0)

    def free(place: Vector, dent: float) -> bool:
        z, y, x = np.rint((place - low_mm) / case.step_mm).astype(int)[::-1]
        room = {name: float(distances[name][z, y, x]) - radius for name in ("la", "filled_lv", "aorta")}
        return room["filled_lv"] > 0.8 and room["aorta"] > 1.2 and room["la"] > 0.8 - dent

    ring = []
    for angle in np.deg2rad(np.linspace(rng.uniform(-5, 20), 125, 7)):
        out = np.cos(angle) * lateral + np.sin(angle) * below
        ways = [(dent, away, lift) for dent in (0, 3, 6) for away in np.arange(10, 34, 0.5) for lift in (4, 8, 0)]
        places = (centre + away * out + lift * axis for dent, away, lift in ways
                  if free(centre + away * out + lift * axis, dent))  # fmt: skip
        place = next(places, None)
        if place is not None:
            ring.append(place)
    mouth = right[np.argmin(np.linalg.norm(right - (ring[-1] + vec(-6, 0, 0)), axis=1))]
    inside = mouth + 6 * unit(right.mean(0) - mouth)
    taper = np.linspace(0.5, 1.0, len(ring)) * radius
    return curve([*ring, mouth, inside], [*taper.tolist(), 1.1 * radius, 1.1 * radius], 3.0)


def vessels(case: Case, rng: np.random.Generator) -> dict[str, list[Tube]]:
    """All that is continued, by the names of placed_heart.BLOOD."""
    aorta_below, arch = aorta(case)
    pulmonary_veins, veins_of_lungs = lung_veins(case, rng)
    pulmonary, arteries_of_lungs = lung_arteries(case, rng)
    upper, cavals = caval_veins(case)
    return {"aorta": aorta_below, "pv": pulmonary_veins, "pa": pulmonary, "svc": upper,
            "veins": [*cavals, *arteries_of_lungs], "arteries": [*arch, *veins_of_lungs]}  # fmt: skip

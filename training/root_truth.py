"""What is true of a drawn aortic root: every figure that the engine measures, in patient mm.

Points of the root are mapped through the anatomy's deformation, and contours are traced on its lumen in patient planes,
so that a bent annulus is measured in the plane of its three hinge points, as a planner would.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from whs_fast.valves.contours import Plane, Shape, measure_contour

from training.parametric import ParametricAnatomy, to_canonical, to_patient
from training.parametric_root import CUSPS, Root, in_calcium, in_coronary

ANGLES = np.arange(360) * 2 * np.pi / 360
STEP_MM = 0.2
LVOT_MM = 4.0


@dataclass(frozen=True)
class Contour:
    """A contour of the lumen: its plane, its corners [360, 2] in it, and its sizes."""

    plane: Plane
    flat: NDArray[np.float64]
    shape: Shape


@dataclass(frozen=True)
class RootTruth:
    """hinges_mm: right, left, non-coronary [3, 3]. ostia_mm: right, left [2, 3], the lower rims. calcium_mm3: [3]."""

    hinges_mm: NDArray[np.float64]
    annulus: Contour
    lvot: Contour
    junction: Contour
    junction_height_mm: float
    sinus_mm: NDArray[np.float64]  # cusp to commissure: right, left, non-coronary, in the plane of greatest mean
    ostia_mm: NDArray[np.float64]
    ostium_heights_mm: NDArray[np.float64]
    calcium_mm3: NDArray[np.float64]

    def figures(self) -> dict[str, Any]:
        """Plain numbers by name, for tables and files."""
        return {
            "hinges_mm": self.hinges_mm.tolist(),
            "centre_mm": self.annulus.plane.lift(self.annulus.shape.centre).tolist(),
            "normal": self.annulus.plane.normal.tolist(),
            "ostia_mm": self.ostia_mm.tolist(),
            "ostium_heights_mm": self.ostium_heights_mm.tolist(),
            "sinus_mm": self.sinus_mm.tolist(),
            "junction_height_mm": self.junction_height_mm,
            "calcium_mm3": dict(zip(CUSPS, self.calcium_mm3.tolist(), strict=True)),
        } | {
            name: {"area_mm2": s.area_mm2, "perimeter_mm": s.perimeter_mm, "dmin_mm": s.dmin_mm, "dmax_mm": s.dmax_mm}
            for name, s in (("annulus", self.annulus.shape), ("lvot", self.lvot.shape),
                            ("junction", self.junction.shape))
        }  # fmt: skip


def root_truth(anatomy: ParametricAnatomy) -> RootTruth:
    """The figures of an anatomy that was drawn with a root."""
    root = anatomy.root
    if root is None:
        raise ValueError("found an anatomy without a root, expected one of draw_rooted")
    hinges = to_patient(anatomy, _on_wall(root, root.nadirs, np.zeros(3)))
    centre, up = to_patient(anatomy, np.stack([np.zeros(3), root.frame[2]]))
    plane = _plane_through(hinges, centre, up - centre)
    annulus = _trace(anatomy, plane)
    ring = to_patient(anatomy, _on_wall(root, ANGLES, np.full(360, root.junction_mm - 0.01)))
    junction = _trace(anatomy, _plane_through(ring, ring.mean(0), up - centre), 0.5)
    height = float(plane.height(junction.plane.lift(junction.shape.centre)))
    sinuses = [_sinus_diameters(anatomy, plane.moved(mm), hinges) for mm in np.arange(2, root.junction_mm, 0.5)]
    rims = np.stack([_lower_rim(anatomy, plane, ostium) for ostium in root.ostia])
    return RootTruth(
        hinges_mm=hinges,
        annulus=annulus,
        lvot=_trace(anatomy, plane.moved(-LVOT_MM)),
        junction=junction,
        junction_height_mm=height,
        sinus_mm=max(sinuses, key=np.mean),
        ostia_mm=rims,
        ostium_heights_mm=plane.height(rims),
        calcium_mm3=np.array([_calcium_mm3(anatomy, cusp) for cusp in range(3)]),
    )


def _on_wall(root: Root, angles: NDArray[np.float64], heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Canonical mm [n, 3] of the lumen's wall."""
    away = root.radius(torch.from_numpy(angles), torch.from_numpy(heights)).numpy()
    return np.asarray(np.stack([away * np.cos(angles), away * np.sin(angles), heights], -1) @ root.frame)


def _plane_through(points: NDArray[np.float64], centre: NDArray[np.float64], up: NDArray[np.float64]) -> Plane:
    """The plane that fits points best, through the foot of `centre` in it; its normal points up."""
    mean = points.mean(0)
    normal = np.linalg.svd(points - mean)[2][2]
    normal = normal * np.sign(normal @ up)
    return Plane.through(centre - ((centre - mean) @ normal) * normal, normal)


def _radii(anatomy: ParametricAnatomy, plane: Plane, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of the lumen's wall from the plane's centre at angles in the plane."""
    assert anatomy.root is not None
    steps = np.arange(2, 30, STEP_MM)
    flat = np.stack([np.cos(angles), np.sin(angles)], -1)[:, None] * steps[:, None]
    away, angle, height = anatomy.root.place(to_canonical(anatomy, torch.from_numpy(plane.lift(flat))))
    outside = (away - anatomy.root.radius(angle, height)).numpy()
    first = (outside > 0).argmax(1)
    here, before = (np.take_along_axis(outside, i[:, None], 1)[:, 0] for i in (first, first - 1))
    return np.asarray(steps[first] - STEP_MM * here / (here - before))


def _trace(anatomy: ParametricAnatomy, plane: Plane, below_mm: float = 0.0) -> Contour:
    """below_mm: the contour is traced so far below the plane, where the lumen still is the root's."""
    radii = _radii(anatomy, plane.moved(-below_mm), ANGLES)
    flat = radii[:, None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], -1)
    return Contour(plane, flat, measure_contour(flat))


def _sinus_diameters(anatomy: ParametricAnatomy, plane: Plane, hinges: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = plane.flat(hinges)
    angles = np.arctan2(flat[:, 1], flat[:, 0])
    return _radii(anatomy, plane, angles) + _radii(anatomy, plane, angles + np.pi)


def _lower_rim(anatomy: ParametricAnatomy, plane: Plane, ostium: Any) -> NDArray[np.float64]:
    """The lowest point over the annulus plane of the line in which a coronary artery leaves the lumen."""
    assert anatomy.root is not None
    turns = np.linspace(-0.4, 0.4, 321) + ostium.angle
    heights = np.linspace(-5, 5, 201) + ostium.height
    grid = np.stack(np.meshgrid(turns, heights, indexing="ij"), -1).reshape(-1, 2)
    wall = _on_wall(anatomy.root, grid[:, 0], np.minimum(grid[:, 1], anatomy.root.junction_mm))
    mouth = wall[in_coronary(anatomy.root, ostium, torch.from_numpy(wall)).numpy() < 0]
    points = to_patient(anatomy, mouth)
    return np.asarray(points[plane.height(points).argmin()])


def _calcium_mm3(anatomy: ParametricAnatomy, cusp: int) -> float:
    root, step = anatomy.root, 0.25
    assert root is not None
    balls = root.calcium[cusp]
    if not len(balls):
        return 0.0
    low, high = (balls[:, :3] - balls[:, 3:]).min(0), (balls[:, :3] + balls[:, 3:]).max(0)
    axes = [np.arange(a, b, step) + step / 2 for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) @ root.frame
    inside = int(in_calcium(root, cusp, torch.from_numpy(points)).sum())
    corner = balls[:, :3].mean(0) @ root.frame
    axes_mm = to_patient(anatomy, np.stack([corner, *(corner + np.eye(3))]))
    return inside * step**3 * abs(float(np.linalg.det(axes_mm[1:] - axes_mm[0])))

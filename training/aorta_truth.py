"""What is true of a drawn ascending aorta: its diameters across the line along which it was drawn, in patient mm."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from whs_fast.valves.contours import Plane, Shape, measure_contour

from training.parametric import ParametricAnatomy, to_canonical, to_patient
from training.parametric_shapes import Tube

ANGLES = np.arange(90) * 2 * np.pi / 90
RADII_MM = np.arange(4.0, 48.0, 0.25)
APART_MM = 1.0
SMOOTH_MM = 8.0  # of the drawn line's direction: it has corners, and at the root bends within less than a radius
SHARPEST = 2.0  # bend times diameter, beyond which planes meet within the lumen: none is across it
STEEP = 0.5  # sine of the rise, below which the aorta is the arch


@dataclass(frozen=True)
class AortaTruth:
    """planes and shapes from the junction to the arch, a millimetre apart."""

    planes: list[Plane]
    shapes: list[Shape]

    def figures(self) -> list[dict[str, Any]]:
        """Plain numbers of each plane, for files."""
        return [
            {"centre_mm": plane.centre_mm.tolist(), "area_mm2": s.area_mm2, "dmin_mm": s.dmin_mm, "dmax_mm": s.dmax_mm}
            for plane, s in zip(self.planes, self.shapes, strict=True)
        ]


def aorta_truth(anatomy: ParametricAnatomy, junction: Plane) -> AortaTruth:
    """The ascending aorta of an anatomy that was drawn with a root, from the plane of its junction on."""
    ascending, arch = anatomy.heart.tubes["root"][1], anatomy.heart.tubes["aorta"][0]
    line = to_patient(anatomy, np.concatenate([ascending.points, arch.points[1:]]))
    along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
    at = np.arange(0.0, along[-1], APART_MM)
    line = np.stack([np.interp(at, along, v) for v in line.T], -1)
    kernel = np.exp(-0.5 * (np.arange(-24, 25) / SMOOTH_MM) ** 2)
    ways = np.gradient(line, axis=0)
    ways = np.stack([np.convolve(np.pad(w, 24, mode="edge"), kernel / kernel.sum(), "valid") for w in ways.T], -1)
    top = int(line[:, 2].argmax())
    last = np.flatnonzero(ways[: top + 1, 2] >= STEEP * np.linalg.norm(ways[: top + 1], axis=1))[-1]
    first = int((junction.height(line) >= 0).argmax())
    planes = [Plane.through(p, w) for p, w in zip(line[first : last + 1], ways[first : last + 1], strict=True)]
    shapes = [_trace(anatomy, plane, [ascending, arch]) for plane in planes]
    bends = np.linalg.norm(np.gradient([plane.normal for plane in planes], APART_MM, axis=0), axis=1)
    sound = [i for i, (bend, shape) in enumerate(zip(bends, shapes, strict=True)) if bend * shape.dmax_mm < SHARPEST]
    return AortaTruth([planes[i] for i in sound], [shapes[i] for i in sound])


def _trace(anatomy: ParametricAnatomy, plane: Plane, tubes: list[Tube]) -> Shape:
    flat = np.stack([np.cos(ANGLES), np.sin(ANGLES)], -1)
    points = to_canonical(anatomy, torch.from_numpy(plane.lift(flat[:, None] * RADII_MM[:, None]))).numpy()
    outside = np.minimum.reduce([_distance(tube, points) for tube in tubes])
    first = (outside > 0).argmax(1)
    here, before = (np.take_along_axis(outside, i[:, None], 1)[:, 0] for i in (first, first - 1))
    radii = RADII_MM[first] - (RADII_MM[1] - RADII_MM[0]) * here / (here - before)
    return measure_contour(radii[:, None] * flat)


def _distance(tube: Tube, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of points [..., 3] from the surface of a tube, negative inside."""
    least = np.full(points.shape[:-1], np.inf)
    for start, end, r0, r1 in zip(tube.points[:-1], tube.points[1:], tube.radii[:-1], tube.radii[1:], strict=True):
        share = np.clip((points - start) @ (end - start) / max(float((end - start) @ (end - start)), 1e-6), 0, 1)
        away = np.linalg.norm(points - start - share[..., None] * (end - start), axis=-1)
        least = np.minimum(least, away - r0 - share * (r1 - r0))
    return least

"""The planes of the four valves, from the interfaces of the chambers in the label map.

A plane is fitted to the faces between the voxels of two structures by least squares, area-weighted, after stray
contacts are dropped. Its contour holds, in each direction, as much area as the faces there project onto the plane; so
the contour's area is that of the interface, whatever its steps. Normals point with the stream of blood.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.valves.contours import Plane, Points, measure_contour, rounded
from whs_fast.valves.interfaces import Interface, find_interface
from whs_fast.volume import Grid

# Upstream and downstream structure, and a radius that no annulus exceeds, mm.
VALVES: dict[str, tuple[str, str, float]] = {
    "aortic": ("left_ventricle_cavity", "aorta", 20.0),
    "mitral": ("left_atrium", "left_ventricle_cavity", 28.0),
    "tricuspid": ("right_atrium", "right_ventricle_cavity", 30.0),
    "pulmonary": ("right_ventricle_cavity", "pulmonary_artery", 22.0),
}
LEAST_AREA_MM2 = 100.0  # a quarter of a normal aortic annulus
STRAY_MM = 4.0  # from the plane; interfaces of chambers are flat by the definition of the labels
SECTORS = 36  # of the contour
WAVES = 4  # of the contour's radius that are kept; finer ones are steps of voxels
PARTS = 8  # left out one after the other to see how far the plane depends on each


@dataclass(frozen=True)
class ValvePlane:
    """A valve's plane. contour: corners [SECTORS, 2] in it.

    rms_mm: distance of the interface from the plane. uncertainty_mm and uncertainty_deg: standard errors, by leaving
    out an eighth of the interface at a time, of the plane's height at its centre and of its normal.
    """

    plane: Plane
    contour: Points
    area_mm2: float
    rms_mm: float
    uncertainty_mm: float
    uncertainty_deg: float


def find_planes(labels: NDArray[np.uint8], grid: Grid, *, threads: int) -> dict[str, ValvePlane | str]:
    """Each valve's plane, or why there is none. labels, uint8[z, y, x], lie on grid."""
    _, lowest, highest = _kernels.label_statistics(labels, len(STRUCTURES) + 1, threads=threads)
    found: dict[str, ValvePlane | str] = {}
    for name, (upstream, downstream, reach_mm) in VALVES.items():
        first, second = BY_KEY[upstream], BY_KEY[downstream]
        faces = find_interface(labels, grid, first.label, second.label, lowest, highest)
        plane = fit_valve(faces, reach_mm)
        found[name] = f"{first.name} and {second.name.lower()} do not meet" if plane is None else plane
    return found


def fit_valve(faces: Interface, reach_mm: float) -> ValvePlane | None:
    """The plane of one valve; None where the faces hold less than LEAST_AREA_MM2, look all ways (a blob), or are fewer
    than the parts that are left out in turn (voxels of a centimetre)."""
    if faces.weights.sum() < LEAST_AREA_MM2:
        return None
    centre = np.median(faces.points_mm, axis=0)
    for _ in range(3):
        near = np.linalg.norm(faces.points_mm - centre, axis=1) < reach_mm
        if faces.weights[near].sum() < LEAST_AREA_MM2:
            return None
        plane = _fit_plane(faces.part(near))
        near &= np.abs(plane.height(faces.points_mm)) < STRAY_MM
        if faces.weights[near].sum() < LEAST_AREA_MM2:
            return None
        plane = _fit_plane(faces.part(near))
        centre = plane.centre_mm
    faces = faces.part(near)
    height, flat = plane.height(faces.points_mm), plane.flat(faces.points_mm)
    turn = np.arctan2(flat[:, 1], flat[:, 0]) / (2 * np.pi) % 1
    area = faces.areas_mm2 @ plane.normal
    if area.sum() < LEAST_AREA_MM2 or len(area) < PARTS:
        return None
    contour = _contour(turn, area)
    parts = [_fit_plane(faces.part((turn * PARTS).astype(int) != i)) for i in range(PARTS)]
    scale = (PARTS - 1) / np.sqrt(PARTS)  # standard error of a jackknife, from the spread of its estimates
    return ValvePlane(
        plane,
        contour,
        measure_contour(contour).area_mm2,
        float(np.sqrt(np.average(height**2, weights=faces.weights))),
        float(scale * np.std([_height_at(part, plane) for part in parts])),
        float(scale * np.degrees(np.sqrt(np.mean([np.sum((p.normal - plane.normal) ** 2) for p in parts])))),
    )


def _height_at(part: Plane, plane: Plane) -> float:
    """How far `part` lies over the centre of `plane`, along its normal."""
    away = part.centre_mm - plane.centre_mm
    return float(away @ part.normal / (plane.normal @ part.normal))


def _fit_plane(faces: Interface) -> Plane:
    weights = faces.weights
    centre = np.average(faces.points_mm, axis=0, weights=weights)
    away = faces.points_mm - centre
    normal = np.linalg.eigh((away * weights[:, None]).T @ away)[1][:, 0]
    return Plane.through(centre, normal * np.copysign(1.0, normal @ faces.areas_mm2.sum(0)))


def _contour(turn: Points, area: Points) -> Points:
    """Corners [SECTORS, 2] of a contour with this area in each sector; turn: 0 to 1 around the centre."""
    sums = np.bincount((turn * SECTORS).astype(int) % SECTORS, weights=area, minlength=SECTORS)
    waves = np.fft.rfft(np.sqrt(np.maximum(sums, 0) * 2 * SECTORS / (2 * np.pi)))
    waves[WAVES + 1 :] = 0
    radii = np.fft.irfft(waves, SECTORS)
    angles = (np.arange(SECTORS) + 0.5) * 2 * np.pi / SECTORS
    contour = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    return np.asarray(contour * np.sqrt(max(area.sum(), 0.0) / measure_contour(contour).area_mm2))


def describe_planes(planes: Mapping[str, ValvePlane | str]) -> dict[str, Any]:
    """The planes as `valves` of measurements.json."""
    return {name: {"not_measurable": p} if isinstance(p, str) else _describe(p) for name, p in planes.items()}


def _describe(valve: ValvePlane) -> dict[str, Any]:
    return {
        "centre_mm": rounded(valve.plane.centre_mm, 1),
        "normal": rounded(valve.plane.normal, 4),
        "area_mm2": round(valve.area_mm2),
        "contour_mm": [rounded(point, 1) for point in valve.plane.lift(valve.contour)],
        "rms_mm": round(valve.rms_mm, 2),
        "uncertainty_mm": round(valve.uncertainty_mm, 2),
        "uncertainty_deg": round(valve.uncertainty_deg, 1),
    }

"""The aortic root as planners of valve procedures measure it, on the scan, from the annulus up.

The labels give a first plane. Hinge points are found on the image, twice, and the plane through them is the annulus;
contours are traced on the image in planes parallel to it. Definitions and sources stand in docs/valves.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.valves.calcium import describe_calcium
from whs_fast.valves.contours import Plane, Points, describe_shape, measure_contour, rounded
from whs_fast.valves.crop import Crop, cut_crop, seen_in
from whs_fast.valves.edges import LEVELS, SHARP, Wall, size_errors, trace_wall
from whs_fast.valves.hinges import CUSPS, NOT_THREE, Hinges, find_hinges, has_two_lobes, place_hinges, plane_through
from whs_fast.valves.motion import has_steps
from whs_fast.valves.ostia import Mouth, find_ostium
from whs_fast.valves.planes import ValvePlane
from whs_fast.valves.projection import describe_deployment
from whs_fast.volume import Volume

ROUNDS = 4  # of looking for the hinge points, each from the plane of the last
SETTLED_MM = 0.5  # of a hinge point off that plane
FARTHEST_MM = 15.0  # from the valve of the labels, where a reader's annulus may lie
LEAST_SEEN = 2  # hinge points, without which the plane is that of the labels
LVOT_MM = 4.0
RISE_MM = 1.0  # between the planes of the root
SINUS_LEVELS = 19  # of the planes, in every second of which the lobes of the sinuses are counted
SINUSES = 22  # planes, among which the sinuses are widest
HIGHEST_MM = 30.0
JUNCTION_MM = np.arange(1.0, 16.0, 0.25)  # above the place where the sinuses bulge most, their end has come
BEND_MM = 4.0  # below and above, over which the wall's two directions are told
LEAST_BEND = 0.15  # between them, in mm of radius per mm
BULGE = np.deg2rad([-18, -9, 0, 9, 18])  # around the middle of a sinus
JUNCTION_ERROR_MM = 0.8  # of itself, as seen on drawn scans


@dataclass(frozen=True)
class Root:
    """planes, walls and heights_mm: from the annulus (0) up, each plane centred in its lumen."""

    crop: Crop
    hinges: Hinges
    by_reader: bool
    annulus: Plane
    wall: Wall
    planes: list[Plane]
    walls: list[Wall]
    heights_mm: Points

    @property
    def others(self) -> list[Plane]:
        """The annulus with one hinge point each as far up as it may lie."""
        shifts = np.diag(self.hinges.uncertainty_mm)[..., None] * self.annulus.normal
        centre, up = self.annulus.centre_mm, self.annulus.normal
        return [plane_through(self.hinges.points_mm + shift, centre, up) for shift in shifts]


def find_root(
    scan: Volume,
    labels: NDArray[np.uint8],
    planes: Mapping[str, ValvePlane | str],
    *,
    hinges_mm: Points | None = None,
    threads: int,
) -> Root | str:
    """The root, or why it cannot be measured. labels, uint8[z, y, x], lie on the scan's grid.

    hinges_mm: right, left and non-coronary hinge point [3, 3] by a reader, which are looked for where None.
    """
    valve, mitral = planes["aortic"], planes["mitral"]
    if isinstance(valve, str):
        return valve
    if not _inside(scan, valve.plane):
        return "the scan ends within the root"
    if has_steps(scan, valve.plane):
        return "neighbouring slices of the root do not fit together (steps between heart beats)"
    crop = cut_crop(scan, labels, valve.plane, threads=threads)
    if isinstance(crop, str):
        return crop
    if hinges_mm is not None:
        if np.linalg.norm(hinges_mm.mean(0) - valve.plane.centre_mm) > FARTHEST_MM:
            return f"the hinge points of the reader lie more than {FARTHEST_MM:.0f} mm from the aortic valve"
        hinges = Hinges(hinges_mm, np.zeros(3), np.ones(3, bool))
        plane = _centred(crop, plane_through(hinges_mm, hinges_mm.mean(0), valve.plane.normal))
    else:
        mitral_mm = None if isinstance(mitral, str) else mitral.plane.centre_mm
        found = _find_annulus(crop, valve.plane, mitral_mm)
        if isinstance(found, str):
            return found
        plane, hinges = found
        if hinges.seen.sum() < LEAST_SEEN:
            plane = _centred(crop, valve.plane)
            placed = place_hinges(crop, plane, mitral_mm)
            if isinstance(placed, str):
                return placed
            hinges = placed
    wall = trace_wall(crop, plane)
    if wall.sharp < SHARP:
        return "the border of the annulus is not seen (noise, motion, or little contrast)"
    rising, walls, heights = [plane], [wall], np.arange(0, HIGHEST_MM, RISE_MM)
    for _ in heights[1:]:
        centre = rising[-1].lift(measure_contour(walls[-1].flat).centre)
        rising.append(Plane(centre, plane.normal, plane.across, plane.along).moved(RISE_MM))
        walls.append(trace_wall(crop, rising[-1]))
    if hinges_mm is None and has_two_lobes(walls[1:SINUS_LEVELS:2]):
        return NOT_THREE
    return Root(crop, hinges, hinges_mm is not None, plane, wall, rising, walls, heights)


def _find_annulus(crop: Crop, plane: Plane, mitral_mm: Points | None) -> tuple[Plane, Hinges] | str:
    """The plane through the hinge points, and them, from a plane near it on."""
    for left in reversed(range(ROUNDS)):
        hinges = find_hinges(crop, plane, mitral_mm)
        if isinstance(hinges, str):
            return hinges
        moved_mm = np.abs(plane.height(hinges.points_mm)).max()
        plane = _centred(crop, plane_through(hinges.points_mm, plane.centre_mm, plane.normal))
        if moved_mm < SETTLED_MM or not left:
            return plane, hinges
    raise AssertionError


def _inside(scan: Volume, plane: Plane) -> bool:
    corners = [plane.moved(h).centre_mm + 16 * s * way for h in (-8, 20) for way in (plane.across, plane.along)
               for s in (-1, 1)]  # fmt: skip
    return bool(seen_in(scan.grid, np.array(corners)).all())


def _centred(crop: Crop, plane: Plane) -> Plane:
    """The same plane about the centre of the lumen in it."""
    centre = measure_contour(trace_wall(crop, plane).flat).centre
    return Plane(plane.lift(centre), plane.normal, plane.across, plane.along)


def describe_root(root: Root | str) -> dict[str, Any]:
    """The root as `aortic_root` of measurements.json."""
    if isinstance(root, str):
        return {"not_measurable": root}
    junction_mm = _junction_mm(root)
    top = len(root.walls) if junction_mm is None else min(len(root.walls), int(junction_mm) + 4)
    sinuses = [_diameters(root, level) for level in range(min(top, SINUSES))]
    widest = int(np.mean(sinuses, 1).argmax())
    part = root.planes[:top], root.walls[:top], root.heights_mm[:top]
    flat = root.annulus.flat(root.hinges.points_mm)
    angles = np.arctan2(flat[:, 1], flat[:, 0])
    return {
        "annulus": _describe_annulus(root),
        "lvot": _describe_lvot(root),
        "sinuses": _describe_sinuses(root, sinuses[widest], widest),
        "sinotubular_junction": _describe_junction(root, junction_mm),
        "coronary_ostia": {
            name: _describe_ostium(root, find_ostium(root.crop, *part, angles[k])) for k, name in enumerate(CUSPS[:2])
        },
        "calcium": describe_calcium(root.crop, root.annulus, *part[1:], angles),
        "deployment": describe_deployment(root.annulus.normal, root.hinges.points_mm, root.hinges.uncertainty_mm),
    }


def _diameters(root: Root, level: int) -> list[float]:
    """From each cusp to the opposite commissure, through the centre, in one of the root's planes."""
    plane, wall = root.planes[level], root.walls[level]
    flat = plane.flat(root.hinges.points_mm)
    turns = np.arctan2(flat[:, 1], flat[:, 0])
    return [float(d) for d in wall.at(turns) + wall.at(turns + np.pi)]


def _describe_annulus(root: Root) -> dict[str, Any]:
    plane, hinges, others = root.annulus, root.hinges, root.others
    shape = measure_contour(root.wall.flat)
    return describe_shape(shape) | {
        "centre_mm": rounded(plane.lift(shape.centre), 1),
        "normal": rounded(plane.normal, 4),
        "hinge_points_mm": {name: rounded(p, 1) for name, p in zip(CUSPS, hinges.points_mm, strict=True)},
        "hinge_uncertainty_mm": {n: round(float(u), 1) for n, u in zip(CUSPS, hinges.uncertainty_mm, strict=True)},
        "hinge_points_by_reader": root.by_reader,
        "hinge_points_seen": int(hinges.seen.sum()),
        "contour_mm": [rounded(point, 1) for point in plane.lift(root.wall.flat)],
        "uncertainty": size_errors(root.crop, shape, plane, others)
        | {
            "height_mm": round(float(np.linalg.norm(hinges.uncertainty_mm) / 3), 1),
            "normal_deg": round(float(np.degrees(np.linalg.norm([np.linalg.norm(o.normal - plane.normal)
                                                                  for o in others]))), 1),
        },
    }  # fmt: skip


def _height_error(root: Root, point: Points, own_mm: float) -> float:
    """Standard error of a point's height over the annulus, of which own_mm is the point's own."""
    height = root.annulus.height(point)
    shifts = [float(other.height(point) - height) for other in root.others]
    return round(float(np.linalg.norm([own_mm, *shifts])), 1)


def _describe_lvot(root: Root) -> dict[str, Any]:
    wall = root.wall
    for below in np.arange(1, LVOT_MM + 0.1):
        wall = trace_wall(root.crop, root.annulus.moved(-below), border=wall.radii)
    if wall.sharp < SHARP:
        return {"not_measurable": "its border is not seen"}
    shape, others = measure_contour(wall.flat), [other.moved(-LVOT_MM) for other in root.others]
    errors = size_errors(root.crop, shape, root.annulus.moved(-LVOT_MM), others, border=wall.radii)
    return describe_shape(shape) | {"uncertainty": errors}


def _describe_sinuses(root: Root, diameters: Sequence[float], level: int) -> dict[str, float]:
    edges = [trace_wall(root.crop, root.planes[level], level=share).radii.mean() for share in LEVELS]
    return (
        {"height_mm": round(float(root.heights_mm[level]), 1)}
        | {f"{name}_mm": round(d, 1) for name, d in zip(CUSPS, diameters, strict=True)}
        | {"mean_mm": round(float(np.mean(diameters)), 1), "uncertainty_mm": round(float(edges[0] - edges[1]), 1)}
    )


def _junction_mm(root: Root) -> float | None:
    """Height over the annulus where the sinuses end: where their wall, which comes inwards, turns upwards most."""
    flat = root.annulus.flat(root.hinges.points_mm)
    middles = np.arctan2(flat[:, 1], flat[:, 0])[:, None] + BULGE
    sinus = np.array([wall.at(middles).mean() for wall in root.walls])
    excess = sinus - [wall.at(middles + np.pi).mean() for wall in root.walls]  # over the commissures
    heights = root.heights_mm
    best: tuple[float, float | None] = (LEAST_BEND, None)
    for at in heights[excess[:SINUSES].argmax()] + JUNCTION_MM:
        near = np.abs(heights - at) <= BEND_MM
        if at + BEND_MM > heights[-1]:
            break
        lines = np.stack([np.ones(near.sum()), heights[near], np.maximum(heights[near] - at, 0)], 1)
        bend = np.linalg.lstsq(lines, sinus[near])[0][2]
        if bend > best[0]:
            best = bend, float(at)
    return best[1]


def _describe_junction(root: Root, height_mm: float | None) -> dict[str, Any]:
    if height_mm is None:
        return {"not_measurable": "no end of the sinuses is seen"}
    level = int(height_mm / RISE_MM)
    low, high = max(level - 3, 0), min(level + 3, len(root.planes) - 1)
    along = root.planes[high].centre_mm - root.planes[low].centre_mm
    plane = _centred(root.crop, Plane.through(root.planes[level].moved(height_mm - level * RISE_MM).centre_mm, along))
    shape = measure_contour(trace_wall(root.crop, plane).flat)
    others = [plane.moved(mm) for mm in (-JUNCTION_ERROR_MM, JUNCTION_ERROR_MM)]
    error_mm = _height_error(root, plane.centre_mm, JUNCTION_ERROR_MM)
    return (
        {"height_mm": round(float(root.annulus.height(plane.centre_mm)), 1)}
        | describe_shape(shape)
        | {"uncertainty": size_errors(root.crop, shape, plane, others) | {"height_mm": error_mm}}
    )


def _describe_ostium(root: Root, mouth: Mouth | str) -> dict[str, Any]:
    if isinstance(mouth, str):
        return {"not_measurable": mouth}
    return {
        "rim_mm": rounded(mouth.rim_mm, 1),
        "height_mm": round(float(root.annulus.height(mouth.rim_mm)), 1),
        "uncertainty_mm": _height_error(root, mouth.rim_mm, mouth.error_mm),
    }

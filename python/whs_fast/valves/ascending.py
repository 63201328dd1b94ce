"""The greatest diameter of the ascending aorta, in planes across its centreline, on the scan.

The centreline of the labels gives first planes; the middles of the contours that are traced in them on the image give a
smoother line, and the planes across that are measured. Definitions and sources stand in docs/valves.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.valves.centreline import find_centreline
from whs_fast.valves.contours import Plane, Points, Shape, describe_shape, measure_contour, rounded
from whs_fast.valves.crop import LEAST_CONTRAST_HU, Crop, compared, resample, seen_in
from whs_fast.valves.edges import SHARP, STEP_MM, Wall, size_errors, trace_wall
from whs_fast.valves.planes import ValvePlane
from whs_fast.volume import Grid, Volume, axis_aligned_grid

SPACING_MM = 0.6
APART_MM = 2.0  # planes along the centreline
USUAL_MM = 24.0  # of the junction over the annulus, where it is not seen
BELOW_MM = 12.0  # the start, where the line begins already, so that its direction at the start is told from both sides
WALL_HU = 50.0  # of the aorta, which takes up little contrast medium
MARGIN_MM = 10.0  # around the aorta in the crop
WIDEST = 1.6  # times the distance of the labels' wall, that far the image's is looked for
STEEP = np.sin(np.deg2rad(30))  # a centreline that rises less is the arch's
BENDS = 4  # degree of the polynomials that smooth the middles along the line
LEAST_MM = 12.0  # of the ascending aorta, of which nothing can be told if less is seen
TILT = np.tan(np.deg2rad(4))  # standard error of a plane's direction, as seen on drawn scans
INNER, DARK, LEAST_DARK = 0.8, 0.35, 0.05  # of the radius; of the contrast below blood; of the lumen's area
DARK_PLANES = 4  # in a row

_SHORT = "the scan ends within 2 cm above the root"
_UNSEEN = "the border of the ascending aorta is not seen (noise, motion, thrombus, or little contrast)"


@dataclass(frozen=True)
class Section:
    """The lumen across the centreline."""

    plane: Plane
    wall: Wall
    shape: Shape
    radii: Points  # at which its wall was looked for


def describe_ascending(
    scan: Volume, labels: NDArray[np.uint8], valve: ValvePlane | str, root: Mapping[str, Any], *, threads: int
) -> dict[str, Any]:
    """`ascending_aorta` of measurements.json.

    labels, uint8[z, y, x], lie on the scan's grid. valve: the aortic valve's plane by the labels. root: `aortic_root`,
    at whose junction the ascending aorta begins.
    """
    junction = root.get("sinotubular_junction", {})
    if "height_mm" in junction:
        begins_at, annulus = "sinotubular_junction", root["annulus"]
        start = Plane.through(np.array(annulus["centre_mm"]), np.array(annulus["normal"])).moved(junction["height_mm"])
    elif isinstance(valve, str):
        return {"not_measurable": valve}
    else:
        begins_at, start = "usual_height", valve.plane.moved(USUAL_MM)
    found = _measure(scan, labels, start, threads)
    return {"not_measurable": found} if isinstance(found, str) else {"begins_at": begins_at} | found


def _measure(scan: Volume, labels: NDArray[np.uint8], start: Plane, threads: int) -> dict[str, Any] | str:
    line = find_centreline(labels, scan.grid, start.moved(-BELOW_MM).centre_mm)
    if line is None:
        return "the label map does not show the ascending aorta"
    points, depth = _ascending(*line)
    seen = seen_in(scan.grid, points)
    if seen.sum() < 2:
        return _SHORT
    points, depth = points[seen], depth[seen]
    crop = _cut(scan, labels, points, depth, threads)
    if crop.contrast < LEAST_CONTRAST_HU:
        return "the blood of the aorta is hardly brighter than muscle: no contrast medium in it"
    rough = _planes(points, np.arange(0.0, _length(points), 2 * APART_MM))
    first, shown = _sections(crop, scan.grid, rough, points, depth)
    whole = shown and bool(seen.all())
    if len(first) * 2 * APART_MM < LEAST_MM + BELOW_MM:
        return _UNSEEN if whole else _SHORT
    middles = np.array([section.plane.lift(section.shape.centre) for section in first])
    smooth = _smoothed(middles)
    planes = _planes(smooth, np.arange(0.0, _length(smooth), APART_MM))
    above = [plane for plane in planes if start.height(plane.centre_mm) >= 0]
    sections, _ = _sections(crop, scan.grid, above, points, depth)
    if len(sections) * APART_MM < LEAST_MM:
        return _UNSEEN if whole else _SHORT
    if _uneven(crop, sections):
        return "the lumen is not filled evenly (dissection, thrombus, or an artefact)"
    return _describe(crop, sections, whole)


def _ascending(line: Points, depth: Points) -> tuple[Points, Points]:
    """A centreline up to where it turns into the arch, at the latest at its highest point."""
    top = int(line[:, 2].argmax())
    rise = np.gradient(line, axis=0)[: top + 1]
    steep = np.flatnonzero(rise[:, 2] >= STEEP * np.linalg.norm(rise, axis=1))
    last = int(steep[-1]) if len(steep) else top
    return line[: last + 1], depth[: last + 1]


def _cut(scan: Volume, labels: NDArray[np.uint8], points: Points, depth: Points, threads: int) -> Crop:
    reach = WIDEST * depth.max() + MARGIN_MM
    low, high = points.min(0) - reach, points.max(0) + reach
    x, y, z = np.ceil((high - low) / SPACING_MM).astype(int)
    grid = axis_aligned_grid(rounded((low + high) / 2, 3), (int(z), int(y), int(x)), (SPACING_MM,) * 3)
    hu, tint = resample(scan, labels, grid, threads=threads)
    crop = Crop(hu, tint, grid, 0.0, 0.0, 0.0)
    return replace(compared(crop, crop.at(points)), muscle=WALL_HU)


def _along(points: Points) -> Points:
    """How far each point of a line lies from the first, along it."""
    return np.asarray(np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _length(points: Points) -> float:
    return float(_along(points)[-1])


def _planes(points: Points, at_mm: Points) -> list[Plane]:
    """Planes across a line of points at distances along it."""
    along = _along(points)
    way = np.gradient(points, along, axis=0)
    centres, normals = (np.stack([np.interp(at_mm, along, v[:, i]) for i in range(3)], -1) for v in (points, way))
    return [Plane.through(centre, normal) for centre, normal in zip(centres, normals, strict=True)]


def _smoothed(middles: Points) -> Points:
    """A smooth line through the middles of contours."""
    along = _along(middles)
    fine = np.linspace(0, along[-1], 4 * len(along))
    degree = min(BENDS, len(along) - 2)
    return np.stack([np.polynomial.Polynomial.fit(along, m, degree)(fine) for m in middles.T], -1)


def _sections(crop: Crop, grid: Grid, planes: list[Plane], points: Points, depth: Points) -> tuple[list[Section], bool]:
    """The lumen in each plane where its border is clear, and whether the scan shows it in all of them."""
    found: list[Section] = []
    for plane in planes:
        reach = WIDEST * depth[np.linalg.norm(points - plane.centre_mm, axis=1).argmin()] + MARGIN_MM / 2
        radii = np.arange(3.0, reach, STEP_MM)
        wall = trace_wall(crop, plane, radii=radii)
        if not seen_in(grid, plane.lift(wall.flat)).all():
            return found, False
        if wall.sharp >= SHARP:
            found.append(Section(plane, wall, measure_contour(wall.flat), radii))
    return found, True


def _uneven(crop: Crop, sections: list[Section]) -> bool:
    """Whether much of the lumen is darker than its blood in some planes in a row, as by a membrane or a clot."""
    run = 0
    for section in sections:
        shares = np.sqrt(np.arange(0.5, 20) / 20) * INNER  # rings of equal area
        hu = crop.at(section.plane.lift(shares[:, None, None] * section.wall.flat))
        dark = float((hu < crop.blood - DARK * crop.contrast).mean()) > LEAST_DARK
        run = run + 1 if dark else 0
        if run == DARK_PLANES:
            return True
    return False


def _describe(crop: Crop, sections: list[Section], whole: bool) -> dict[str, Any]:
    areas = np.pad([section.shape.area_mm2 for section in sections], 1, mode="edge")
    widest = int(np.convolve(areas, np.ones(3) / 3, "valid").argmax())
    plane, shape, radii = sections[widest].plane, sections[widest].shape, sections[widest].radii
    tilted = [Plane.through(plane.centre_mm, plane.normal + TILT * way) for way in (plane.across, plane.along)]
    line = np.array([section.plane.lift(section.shape.centre) for section in sections])
    return {
        "ends_at": "arch" if whole else "scan_edge",
        "length_mm": round(_length(line), 1),
        "centreline_mm": [rounded(point, 1) for point in line],
        "along_mm": round(_length(line[: widest + 1]), 1),
        "centre_mm": rounded(line[widest], 1),
        "normal": rounded(plane.normal, 4),
        "contour_mm": [rounded(point, 1) for point in plane.lift(sections[widest].wall.flat)],
        **describe_shape(shape),
        "uncertainty": size_errors(crop, shape, plane, tilted, radii=radii),
    }

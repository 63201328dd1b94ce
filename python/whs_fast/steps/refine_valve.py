"""Refines the valve point by the labels: the centre of the plane where the LV cavity meets the aorta.

The localiser needs only be near enough for the region to hold the heart; once the region is labelled, the annulus is
known to a fraction of that error. This goes beyond Sharobeem et al. (doi 10.1007/s12265-021-10166-0), who report the
localiser's point itself.
"""

import numpy as np
from numpy.typing import NDArray

from whs_fast.structures import BY_KEY
from whs_fast.volume import Grid, Triple, index_to_mm, mm_to_index

REACH_MM = 40.0  # from the localiser's point to the box in which the interface is looked for
RADIUS_MM = 20.0  # of an annulus, amply: what lies further from the centre of the interface is a stray contact
LEAST_AREA_MM2 = 100.0  # a quarter of a normal annulus


def refine_valve(labels: NDArray[np.uint8], grid: Grid, near_mm: Triple | None) -> Triple | None:
    """Centre (x, y, z) in mm, LPS, of the interface of LV cavity and aorta near a point, rounded to 0.1 mm.

    labels is uint8[z, y, x] on the grid; near_mm None stands for anywhere. None where the two structures do not meet
    there.
    """
    spacing_mm = np.array(grid.spacing_mm[::-1])
    low, high = np.zeros(3, int), np.array(grid.shape)
    if near_mm is not None:
        at = np.array(mm_to_index(grid, near_mm))
        low = np.maximum(np.floor(at - REACH_MM / spacing_mm), 0).astype(int)
        high = np.maximum(np.ceil(at + REACH_MM / spacing_mm), 0).astype(int) + 1
    part = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    cavity, aorta = (part == BY_KEY[key].label for key in ("left_ventricle_cavity", "aorta"))
    # They meet where the boxes around them do, a voxel wider: a small part, on which the rest is quick.
    cavity_box, aorta_box = (
        [np.flatnonzero(structure.any(axis=across)) for across in ((1, 2), (0, 2), (0, 1))]
        for structure in (cavity, aorta)
    )
    if not (len(cavity_box[0]) and len(aorta_box[0])):
        return None
    first = [max(0, max(a[0], b[0]) - 1) for a, b in zip(cavity_box, aorta_box, strict=True)]
    shared = tuple(
        slice(start, min(a[-1], b[-1]) + 2) for start, a, b in zip(first, cavity_box, aorta_box, strict=True)
    )
    cavity, aorta, low = cavity[shared], aorta[shared], low + first

    faces, areas = [], []
    for axis in range(3):
        below, above = (np.moveaxis(structure, axis, 0) for structure in (cavity, aorta))
        touching = np.moveaxis((below[:-1] & above[1:]) | (above[:-1] & below[1:]), 0, axis)
        centres = np.argwhere(touching) + low + 0.5 * (np.arange(3) == axis)
        faces.append(centres * spacing_mm)
        areas.append(np.full(len(centres), np.delete(spacing_mm, axis).prod()))
    points, area = np.concatenate(faces), np.concatenate(areas)
    if area.sum() < LEAST_AREA_MM2:
        return None
    centre = np.average(points, axis=0, weights=area)
    disc = np.linalg.norm(points - centre, axis=1) < RADIUS_MM
    if area[disc].sum() < LEAST_AREA_MM2:
        return None
    x, y, z = index_to_mm(grid, tuple(np.average(points[disc], axis=0, weights=area[disc]) / spacing_mm))
    return (round(x, 1), round(y, 1), round(z, 1))

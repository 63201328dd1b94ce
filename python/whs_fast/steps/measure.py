"""Volumes, myocardial mass and cut edges of a label map: the figures of measurements.json that anatomy decides."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY, CHAMBERS, MYOCARDIUM_DENSITY_G_PER_ML, STRUCTURES, Structure
from whs_fast.volume import Grid, Triple, index_map, mm_to_index

SCHEMA = 1

_NEAR_EDGE_MM = 25.0

# A label may end this far before the edge of the scan that cuts its structure off: the larger side of a voxel of the
# logits, which see the air outside.
CUT_MM = 2.0


def measure(
    labels: NDArray[np.uint8], grid: Grid, valve_mm: Triple | None, *, region: Grid | None, threads: int
) -> dict[str, Any]:
    """The part of measurements.json that the label map decides.

    labels, uint8[z, y, x], lie on grid; valve_mm is (x, y, z), LPS; region is the grid that was segmented; both are
    None, and what depends on them is, where they are not known. A structure touches the edge of the scan where it
    comes within CUT_MM of the scan's outer faces or has a voxel in its outermost layer, and the edge of the region
    where it has a voxel within one voxel (of the scan or of the region, the larger) of the region's outer faces.
    """
    voxels, lowest, highest = _kernels.label_statistics(labels, len(STRUCTURES) + 1, threads=threads)
    beyond_mm = np.minimum(lowest, np.subtract(grid.shape, 1) - highest) * grid.spacing_mm[::-1]
    cut = (beyond_mm <= CUT_MM + 1e-6).any(axis=1) & (voxels > 0)
    structures: dict[str, Any] = {}
    for structure in STRUCTURES:
        label = structure.label
        box = (lowest[label], highest[label]) if voxels[label] else None
        structures[structure.key] = {
            "label": label,
            "volume_ml": _volume_ml(voxels[label], grid),
            "touches_scan_edge": bool(cut[label]),
            "touches_region_edge": None if region is None else _touches_region(labels, label, box, grid, region),
        }
    myocardium = BY_KEY["left_ventricle_myocardium"].label
    return {
        "schema": SCHEMA,
        "aortic_valve_mm": None if valve_mm is None else [round(coordinate, 1) for coordinate in valve_mm],
        "structures": structures,
        "lv_myocardium_mass_g": round(int(voxels[myocardium]) * grid.voxel_ml * MYOCARDIUM_DENSITY_G_PER_ML, 3),
    }


def _volume_ml(voxels: int, grid: Grid) -> float:
    return round(int(voxels) * grid.voxel_ml, 3)


def _touches_region(
    labels: NDArray[np.uint8],
    label: int,
    box: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    grid: Grid,
    region: Grid,
) -> bool:
    if box is None:
        return False
    low, high = box
    to_region = index_map(grid, region)
    matrix, offset = to_region[:, :3], to_region[:, 3]
    margin = np.maximum(np.abs(matrix).max(axis=1), 1.0)
    # Coordinates that are safely inside; the float noise of a header must not decide about a voxel on the line.
    inner = np.stack([margin - 0.5 + 1e-6, np.asarray(region.shape) - 0.5 - margin - 1e-6], axis=1)
    # Lowest and highest region coordinate of any voxel of the box: where both are inside, so is the structure.
    middle = matrix @ ((low + high) / 2.0) + offset
    reach = np.abs(matrix) @ ((high - low) / 2.0)
    near = np.flatnonzero((middle - reach < inner[:, 0]) | (middle + reach > inner[:, 1]))
    if not len(near):
        return False
    y, x = np.ogrid[low[1] : high[1] + 1, low[2] : high[2] + 1]
    for z in range(int(low[0]), int(high[0]) + 1):
        own = labels[z, low[1] : high[1] + 1, low[2] : high[2] + 1] == label
        for axis in near:
            along = matrix[axis, 0] * z + matrix[axis, 1] * y + matrix[axis, 2] * x + offset[axis]
            if np.any(own & ((along < inner[axis, 0]) | (along > inner[axis, 1]))):
                return True
    return False


def find_doubts(measured: dict[str, Any], grid: Grid) -> list[str]:
    """Warnings in plain words that the measurements give reason for: a valve near the edge or whose cusps are not seen,
    cut or missing structures.

    measured is what `measure` gave for labels on grid. The aorta is never complete and not named as cut off.
    """
    doubts = []
    point = measured["aortic_valve_mm"]
    distance = float("inf") if point is None else _distance_to_edge(grid, point)
    if distance < _NEAR_EDGE_MM:
        place = f"{distance:.0f} mm from the edge of the scan" if distance >= 0 else "outside the scan"
        doubts.append(
            f"the aortic valve was found {place}: the scan may not show the whole heart, or the point is wrong"
        )
    missing = [s for s in STRUCTURES if not measured["structures"][s.key]["volume_ml"]]
    if any(s.key in CHAMBERS for s in missing):
        doubts.append(f"nothing was found of: {_names(missing)}; the scan may show no contrast-filled heart")
    elif missing:
        doubts.append(f"nothing was found of: {_names(missing)}")
    for edge in ("scan", "region"):
        cut = [s for s in STRUCTURES if s.key != "aorta" and measured["structures"][s.key][f"touches_{edge}_edge"]]
        if cut:
            doubts.append(f"cut off by the edge of the {edge}, volumes are of the part inside: {_names(cut)}")
    if measured.get("aortic_root", {}).get("annulus", {}).get("hinge_points_seen") == 0:
        doubts.append(
            "the cusps of the aortic valve are not seen: the aortic root is measured from the plane of the labels, "
            "with wide errors; look at the plane, and correct it with --annulus-plane"
        )
    return doubts


def _distance_to_edge(grid: Grid, point: Sequence[float]) -> float:
    steps = np.linalg.norm(grid.affine[:3, :3], axis=0)[::-1]
    index = np.asarray(mm_to_index(grid, point))
    return float(np.min(np.minimum(index + 0.5, np.asarray(grid.shape) - 0.5 - index) * steps))


def _names(structures: list[Structure]) -> str:
    return ", ".join(structure.name.lower() for structure in structures)

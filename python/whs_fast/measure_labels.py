"""Measures an existing label map: one that we wrote, or one that was corrected by hand; with its scan, as a result.

It composes reading and measuring, as the engine does for a scan.
"""

from collections.abc import Mapping
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.machine import choose_threads
from whs_fast.reading.labels import read_labels
from whs_fast.reading.markups import read_hinge_points
from whs_fast.reading.naming import printable
from whs_fast.reading.scan import read
from whs_fast.reading.slicer import Segmentation, is_segmentation, read_segmentation
from whs_fast.result import Result
from whs_fast.steps import measure as measuring
from whs_fast.steps.contrast import find_contrast_doubts, measure_contrast
from whs_fast.steps.heart_box import cut_heart_box
from whs_fast.steps.refine_valve import refine_valve
from whs_fast.structures import STRUCTURES
from whs_fast.valves.ascending import describe_ascending
from whs_fast.valves.describing import describe_valves
from whs_fast.valves.planes import ValvePlane, describe_planes, find_planes
from whs_fast.valves.root import describe_root, find_root
from whs_fast.valves.wall import describe_wall
from whs_fast.volume import Grid, Volume, same_voxels


def measure(
    labels: str | PathLike[str],
    *,
    scan: str | PathLike[str] | None = None,
    annulus_plane: str | PathLike[str] | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Measures a label map, for instance one that was corrected by hand.

    Args:
        labels: a NIfTI, NRRD or MetaImage file with our label values (0 to 10), or a segmentation of 3D Slicer, whose
            segments are known by name or SNOMED CT code.
        scan: the scan that they were drawn on, as `run` reads it; with it the aortic root is measured as well.
        annulus_plane: a .mrk.json of 3D Slicer with the hinge points of the aortic valve by a reader, labelled right,
            left and non_coronary; left out, they are found. It asks for the scan.
        threads: CPU threads; None uses all that are available.

    Returns:
        The part of measurements.json that a label map can give: valve (x, y, z in mm, LPS), structures (volumes in mL),
        LV mass in g, planes of the valves, LV wall, with a scan the aortic root, warnings and version. The valve is
        where the LV cavity meets the aorta, and None where they do not meet. touches_region_edge is None, and so is
        touches_scan_edge where the file is cropped and does not hold the scan's grid.

    Raises:
        InputError: a file cannot be read, or holds other values, segments or points than expected; or the labels do not
            lie on the scan's grid.
    """
    path, threads = Path(labels), choose_threads(threads)
    if annulus_plane is not None and scan is None:
        raise InputError("annulus plane: found no scan beside it, expected the one that it was placed on")
    hinges_mm = None if annulus_plane is None else read_hinge_points(annulus_plane)
    if is_segmentation(path):
        found = read_segmentation(path)
    else:
        array, grid = read_labels(path, {structure.label: structure.label for structure in STRUCTURES})
        found = Segmentation((array,), grid, True, ())
    volume = None if scan is None else read(scan, threads=threads)
    if volume is not None and not same_voxels(found.grid, volume.grid):
        raise InputError(f"{printable(path)}: found labels on another grid than the scan's, expected the same voxels")
    measured: dict[str, Any] = {}
    planes: dict[str, ValvePlane | str] = {}
    shown: dict[str, NDArray[np.uint8]] = {}  # the map that shows each
    for own_labels in found.maps:
        own, own_planes = _measure(own_labels, found.grid, threads)
        for name, plane in own_planes.items():
            if isinstance(planes.get(name, ""), str):
                planes[name], shown[name] = plane, own_labels
        if not measured:
            measured = own
            continue
        for key, entry in own["structures"].items():
            if entry["volume_ml"]:
                measured["structures"][key] = entry
        measured["lv_myocardium_mass_g"] = max(measured["lv_myocardium_mass_g"], own["lv_myocardium_mass_g"])
    warnings = list(found.notes)
    if not found.whole:
        for entry in measured["structures"].values():
            entry["touches_scan_edge"] = None
        warnings.append("the file does not hold the scan's grid: whether its edge cuts a structure off is unknown")
    if volume is not None:
        root = find_root(volume, shown["aortic"], planes, hinges_mm=hinges_mm, threads=threads)
        measured["aortic_root"] = describe_root(root)
        measured["ascending_aorta"] = describe_ascending(
            volume, shown["aortic"], planes["aortic"], measured["aortic_root"], threads=threads
        )
    muscle = measured["structures"]["left_ventricle_myocardium"]
    return measured | {
        "left_ventricle_wall": describe_wall(shown["mitral"], found.grid, planes["mitral"], muscle),
        "valves": describe_planes(planes),
        "warnings": [*warnings, *measuring.find_doubts(measured, found.grid)],
        "version": version("whs_fast"),
    }


def correct(
    labels: NDArray[np.uint8],
    scan: Volume,
    before: NDArray[np.uint8],
    measurements: Mapping[str, Any],
    *,
    by: str,
    threads: int | None = None,
) -> Result:
    """The result of a label map that was corrected by hand, measured as `measure` does, and with the scan's help.

    Args:
        labels: the corrected map, uint8[z, y, x], on the scan's grid.
        scan: the scan.
        before: the map that was corrected.
        measurements: what measurements.json held for it.
        by: who corrected it, as measurements.json will tell.
        threads: CPU threads; None uses all that are available.

    Returns:
        The result. Its measurements hold what was known of the scan and the run, all that follows from the labels anew,
        and one more entry in `corrected`: by whom, and mL that were added to and taken from each structure. They hold
        no confidence, which is that of labels as the network left them. Where the valve is no longer to be found, its
        point is that of before.
    """
    threads, grid = choose_threads(threads), scan.grid
    measured, planes = _measure(labels, grid, threads)
    point = measured["aortic_valve_mm"] or measurements["aortic_valve_mm"] or np.mean(grid.box_mm, axis=0)
    x, y, z = (round(float(value), 1) for value in point)
    measured["aortic_valve_mm"] = [x, y, z]
    contrast = measure_contrast(scan, cut_heart_box(scan, labels))
    entry = {"by": by, "structures": _changes(labels, before, grid)}
    told = {key: value for key, value in measurements.items() if key != "confidence"} | measured
    told |= describe_valves(scan, labels, planes, measured["structures"], threads=threads)
    told |= {
        "contrast": contrast,
        "warnings": [*scan.notes, *measuring.find_doubts(measured, grid), *find_contrast_doubts(contrast)],
        "corrected": [*measurements.get("corrected", ()), entry],
        "timings_s": dict(measurements["timings_s"]),
        "version": version("whs_fast"),
    }
    return Result(labels, (x, y, z), told, scan, _threads=threads)


def _measure(labels: NDArray[np.uint8], grid: Grid, threads: int) -> tuple[dict[str, Any], dict[str, ValvePlane | str]]:
    """What labels alone tell, and the planes of the valves."""
    valve_mm = refine_valve(labels, grid, None)
    measured = measuring.measure(labels, grid, valve_mm, region=None, threads=threads)
    return measured, find_planes(labels, grid, threads=threads)


def _changes(labels: NDArray[np.uint8], before: NDArray[np.uint8], grid: Grid) -> dict[str, dict[str, float]]:
    """mL that were added to and removed from each structure that changed."""
    places = np.nonzero(labels != before)
    added, removed = (np.bincount(each[places], minlength=len(STRUCTURES) + 1) for each in (labels, before))
    return {
        structure.key: {
            "added_ml": round(int(added[structure.label]) * grid.voxel_ml, 3),
            "removed_ml": round(int(removed[structure.label]) * grid.voxel_ml, 3),
        }
        for structure in STRUCTURES
        if added[structure.label] or removed[structure.label]
    }

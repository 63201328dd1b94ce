"""Measures an existing label map: one that we wrote, or one that was corrected by hand.

It composes reading and measuring, as the engine does for a scan.
"""

from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from whs_fast.machine import choose_threads
from whs_fast.reading.labels import read_labels
from whs_fast.reading.slicer import Segmentation, is_segmentation, read_segmentation
from whs_fast.steps import measure as measuring
from whs_fast.steps.refine_valve import refine_valve
from whs_fast.structures import STRUCTURES
from whs_fast.valves.planes import ValvePlane, describe_planes, find_planes


def measure(labels: str | PathLike[str], *, threads: int | None = None) -> dict[str, Any]:
    """Measures a label map, for instance one that was corrected by hand.

    Args:
        labels: a NIfTI, NRRD or MetaImage file with our label values (0 to 10), or a segmentation of 3D Slicer, whose
            segments are known by name or SNOMED CT code.
        threads: CPU threads; None uses all that are available.

    Returns:
        The part of measurements.json that a label map can give: valve (x, y, z in mm, LPS), structures (volumes in mL),
        LV mass in g, planes of the valves, warnings and version. The valve is where the LV cavity meets the aorta, and
        None where they do not meet. touches_region_edge is None, and so is touches_scan_edge where the file is cropped
        and does not hold the scan's grid.

    Raises:
        InputError: the file cannot be read, or holds other values or segments than expected.
    """
    path, threads = Path(labels), choose_threads(threads)
    if is_segmentation(path):
        found = read_segmentation(path)
    else:
        array, grid = read_labels(path, {structure.label: structure.label for structure in STRUCTURES})
        found = Segmentation((array,), grid, True, ())
    measured: dict[str, Any] = {}
    planes: dict[str, ValvePlane | str] = {}
    for own_labels in found.maps:
        valve_mm = refine_valve(own_labels, found.grid, None)
        for name, plane in find_planes(own_labels, found.grid, threads=threads).items():
            if isinstance(planes.get(name, ""), str):
                planes[name] = plane
        own = measuring.measure(own_labels, found.grid, valve_mm, region=None, threads=threads)
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
    return measured | {
        "valves": describe_planes(planes),
        "warnings": [*warnings, *measuring.find_doubts(measured, found.grid)],
        "version": version("whs_fast"),
    }

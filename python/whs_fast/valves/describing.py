"""All that is told of valves, aortic root and wall of the left ventricle: of a run, and of labels corrected by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.valves.ascending import describe_ascending
from whs_fast.valves.planes import ValvePlane, describe_planes
from whs_fast.valves.root import describe_root, find_root
from whs_fast.valves.wall import describe_wall
from whs_fast.volume import Volume


def describe_valves(
    scan: Volume,
    labels: NDArray[np.uint8],
    planes: Mapping[str, ValvePlane | str],
    structures: Mapping[str, Mapping[str, Any]],
    *,
    hinges_mm: NDArray[np.float64] | None = None,
    threads: int,
) -> dict[str, Any]:
    """Their entries of measurements.json.

    labels: uint8[z, y, x] on the scan's grid. planes: those of find_planes. structures: the entry of the measurements.
    hinges_mm: hinge points by a reader, as find_root takes them.
    """
    root = describe_root(find_root(scan, labels, planes, hinges_mm=hinges_mm, threads=threads))
    muscle = structures["left_ventricle_myocardium"]
    return {
        "valves": describe_planes(planes),
        "aortic_root": root,
        "ascending_aorta": describe_ascending(scan, labels, planes["aortic"], root, threads=threads),
        "left_ventricle_wall": describe_wall(labels, scan.grid, planes["mitral"], muscle),
    }

"""Valves and aortic root in a Measurement Report: contours and points in the patient, without an image (SCOORD3D).

A contour or a point is a planar region of interest (TID 1410 of PS3.16) in the scan's frame of reference.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ImageRegion3D,
    Measurement,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from whs_fast.writing.dicom.coding import (
    AORTIC_ANNULUS,
    AREA,
    CORONARY_OSTIUM,
    HEIGHT,
    HINGE_POINT,
    MILLIMETER,
    PERIMETER,
    SQUARE_MILLIMETER,
    VALVES,
)
from whs_fast.writing.dicom.header import NAME


def valve_groups(
    measurements: Mapping[str, Any], frame_of_reference: str
) -> list[PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Groups for what `valves` and `aortic_root` of measurements.json hold; none where they were not measured."""
    groups = []

    def add(key: str, finding: CodedConcept, points: Sequence[Any], values: list[Measurement]) -> None:
        kind = "POINT" if len(points) == 1 else "POLYGON"
        corners = np.array(points, np.float64) if kind == "POINT" else _closed(points)
        groups.append(
            PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=TrackingIdentifier(generate_uid(prefix=None), key),
                referenced_region=ImageRegion3D(kind, corners, frame_of_reference),
                finding_type=finding,
                algorithm_id=AlgorithmIdentification(NAME, version("whs_fast")),
                measurements=values or None,
            )
        )

    for name, valve in measurements.get("valves", {}).items():
        if "contour_mm" in valve:
            area = Measurement(AREA, valve["area_mm2"], SQUARE_MILLIMETER)
            add(f"{name}_valve", VALVES[name], valve["contour_mm"], [area])
            add(f"{name}_valve_centre", VALVES[name], [valve["centre_mm"]], [])
    root = measurements.get("aortic_root", {})
    if "annulus" in root:
        annulus = root["annulus"]
        sizes = [
            Measurement(AREA, annulus["area_mm2"], SQUARE_MILLIMETER),
            Measurement(PERIMETER, annulus["perimeter_mm"], MILLIMETER),
        ]
        add("aortic_annulus", AORTIC_ANNULUS, annulus["contour_mm"], sizes)
        for cusp, point in annulus["hinge_points_mm"].items():
            add(f"hinge_point_{cusp}", HINGE_POINT, [point], [])
        for side, ostium in root["coronary_ostia"].items():
            if "rim_mm" in ostium:
                height = Measurement(HEIGHT, ostium["height_mm"], MILLIMETER)
                add(f"coronary_ostium_{side}", CORONARY_OSTIUM, [ostium["rim_mm"]], [height])
    return groups


def _closed(contour_mm: Sequence[Any]) -> NDArray[np.float64]:
    """The corners of a polygon, the first again at the end, in one plane: rounded to 0.1 mm, they lie beside theirs."""
    points = np.array(contour_mm, np.float64)
    away = points - points.mean(axis=0)
    normal = np.linalg.svd(away)[2][-1]
    flat = points - (away @ normal)[:, None] * normal
    return np.vstack([flat, flat[:1]])

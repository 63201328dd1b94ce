"""Planes of the valves and points of the aortic root as markups of 3D Slicer: one .mrk.json, in LPS and mm.

Slicer loads it beside the scan. The hinge points may be moved there, saved, and given back (`reading.markups`). Planes
hold both forms in which Slicer keeps one, a centre with a normal and a matrix.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whs_fast.errors import InputError
from whs_fast.valves.contours import Plane, Points

HINGE_POINTS = "Hinge points"
SCHEMA = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
SCHEMA += "markups-schema-v1.0.3.json#"


def write_markups(file: Path, measurements: Mapping[str, Any]) -> None:
    """Writes what measurements.json holds of valves, aortic root and ascending aorta; InputError where no plane is."""
    markups: list[dict[str, Any]] = []
    for name, valve in measurements.get("valves", {}).items():
        if "normal" in valve:
            markups += _plane(f"{name.capitalize()} valve", valve)
    root = measurements.get("aortic_root", {})
    if "annulus" in root:
        annulus = root["annulus"]
        markups += _plane("Aortic annulus", annulus)
        markups.append(_points("Fiducial", HINGE_POINTS, annulus["hinge_points_mm"]))
        ostia = {side: part["rim_mm"] for side, part in root["coronary_ostia"].items() if "rim_mm" in part}
        if ostia:
            markups.append(_points("Fiducial", "Coronary ostia", ostia))
    if "normal" in measurements.get("ascending_aorta", {}):
        markups += _plane("Ascending aorta", measurements["ascending_aorta"])
    if not markups:
        raise InputError("markups: found no valve that was measured, expected at least one")
    file.write_text(json.dumps({"@schema": SCHEMA, "markups": markups}, indent=1) + "\n", encoding="utf-8")


def _plane(name: str, part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plane and the contour in it."""
    plane = Plane.through(np.array(part["centre_mm"]), np.array(part["normal"]))
    axes = np.stack([plane.across, plane.along, plane.normal], 1)
    placed = np.eye(4)
    placed[:3, :3], placed[:3, 3] = axes, plane.centre_mm
    side = 2.4 * float(np.linalg.norm(plane.flat(np.array(part["contour_mm"])), axis=1).max())
    contour = {f"{i + 1}": point for i, point in enumerate(part["contour_mm"])}
    square = _points("Plane", f"{name}, plane", {"centre": part["centre_mm"]}) | {
        "planeType": "pointNormal",
        "sizeMode": "absolute",
        "size": [round(side, 1), round(side, 1), 0.0],
        "center": list(part["centre_mm"]),
        "normal": _numbers(plane.normal),
        "orientation": _numbers(axes.ravel()),
        "objectToBase": np.eye(4).ravel().tolist(),
        "baseToNode": _numbers(placed.ravel()),
    }
    return [square, _points("ClosedCurve", f"{name}, contour", contour)]


def _points(kind: str, name: str, points: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    return {
        "type": kind,
        "name": name,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "controlPoints": [
            {"id": str(i + 1), "label": label, "position": list(point), "positionStatus": "defined"}
            for i, (label, point) in enumerate(points.items())
        ],
    }


def _numbers(values: Points) -> list[float]:
    return [round(float(v), 6) + 0.0 for v in values]

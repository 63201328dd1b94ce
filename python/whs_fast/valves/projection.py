"""Angles of the X-ray system that show the aortic valve as planners want it.

In LPS, with LAO alpha and cranial beta positive, the direction to the detector is
d = (sin a cos b, -cos a cos b, sin b). The annulus, of normal n, is seen edge-on where d . n = 0, which gives one
cranial angle for each LAO angle: tan b = (n_y cos a - n_x sin a) / n_z, the S-curve. Looking along the line between two
hinge points overlaps them: the cusp-overlap view looks from the right cusp at the left one. In the three-cusp
(coplanar) view the right cusp lies in the middle, in front.
"""

from typing import Any

import numpy as np

from whs_fast.valves.contours import Points

CURVE_LAO_DEG = range(-60, 61, 5)


def s_curve(normal: Points, lao_deg: float) -> float:
    """Cranial angle (caudal is negative), degrees, that shows a plane with this normal edge-on at a LAO angle."""
    a = np.deg2rad(lao_deg)
    return float(np.degrees(np.arctan2(normal[1] * np.cos(a) - normal[0] * np.sin(a), normal[2])))


def angles_of(direction: Points) -> tuple[float, float]:
    """LAO and cranial angle, degrees, of a direction to the detector, taken from the front side of the patient."""
    d = direction / np.linalg.norm(direction)
    if d[1] > 0:
        d = -d
    return float(np.degrees(np.arctan2(d[0], -d[1]))), float(np.degrees(np.arcsin(np.clip(d[2], -1, 1))))


def describe_deployment(normal: Points, hinges: Points, errors_mm: Points) -> dict[str, Any]:
    """`deployment` of measurements.json.

    hinges: right, left and non-coronary hinge point [3, 3] in mm, LPS. errors_mm: of their heights along the normal.
    """
    views = _directions(hinges)
    moved = [_directions(hinges + shift) for shift in np.diag(errors_mm)[..., None] * normal]
    errors = {name: np.linalg.norm([_angle_deg(way, other[name]) for other in moved]) for name, way in views.items()}
    return {
        "angle_to_horizontal_deg": round(float(np.degrees(np.arccos(abs(normal[2])))), 1),
        "coronal_angle_deg": round(float(np.degrees(np.arctan2(abs(normal[0]), abs(normal[2])))), 1),
        **{
            name: _view(*angles_of(direction)) | {"uncertainty_deg": round(float(errors[name]), 1)}
            for name, direction in views.items()
        },
        "s_curve": [_view(float(lao), s_curve(normal, lao)) for lao in CURVE_LAO_DEG],
    }


def _directions(hinges: Points) -> dict[str, Points]:
    """Of the two views, from the three hinge points."""
    right, left, other = hinges
    return {"coplanar": right - (left + other) / 2, "cusp_overlap": right - left}


def _angle_deg(one: Points, other: Points) -> float:
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _view(lao: float, cranial: float) -> dict[str, float]:
    return {"lao_deg": round(lao, 1) + 0.0, "cranial_deg": round(cranial, 1) + 0.0}

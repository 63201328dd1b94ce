"""Hinge points of the aortic valve that a reader placed or moved in 3D Slicer, from a .mrk.json.

Slicer saves one list of points a file; `writing.markups` puts ours among others. It is known by its three labels.
"""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.naming import printable

LABELS = ("right", "left", "non_coronary")
LARGEST_BYTES = 1 << 24
TO_LPS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}
APART_MM = (5.0, 60.0)  # of hinge points of one valve


def read_hinge_points(path: str | PathLike[str]) -> NDArray[np.float64]:
    """Right, left and non-coronary hinge point [3, 3] in mm, LPS. Raises InputError where the file does not hold them.

    Points of a markup without a coordinate system are LPS, as Slicer reads them.
    """
    path = Path(path)
    name = printable(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{name}: found {path.stat().st_size} bytes, expected a small .mrk.json of 3D Slicer")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: found no JSON, expected a .mrk.json of 3D Slicer") from error
    try:
        lists = [_placed(markup) for markup in content["markups"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{name}: found JSON of another kind, expected markups of 3D Slicer") from error
    found = [points for points in lists if set(points) == set(LABELS)]
    if len(found) != 1:
        raise InputError(
            f"{name}: found {len(found)} lists of points labelled right, left and non_coronary, expected 1"
        )
    points = np.array([found[0][label] for label in LABELS])
    apart = np.linalg.norm(points - np.roll(points, 1, 0), axis=1)
    if not (APART_MM[0] < apart.min() and apart.max() < APART_MM[1]):
        raise InputError(
            f"{name}: found hinge points {apart.min():.0f} to {apart.max():.0f} mm apart, expected "
            f"{APART_MM[0]:.0f} to {APART_MM[1]:.0f} mm"
        )
    return points


def _placed(markup: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Points of one markup by label, in LPS."""
    to_lps = np.array(TO_LPS[markup.get("coordinateSystem", "LPS")])
    placed = {}
    for point in markup.get("controlPoints", []):
        position = np.array(point["position"], dtype=np.float64)
        if position.shape != (3,) or not np.isfinite(position).all():
            raise ValueError
        placed[str(point.get("label", ""))] = to_lps * position
    return placed

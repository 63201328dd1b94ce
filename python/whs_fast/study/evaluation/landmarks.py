"""How far a predicted landmark, the centre of the aortic valve, lies from the true one.

A landmark file holds one point per case, in mm, DICOM patient coordinates (LPS), under the names of the cases:

    JSON   {"case_01": [12.5, -31.0, 204.2], ...}
    CSV    case,x_mm,y_mm,z_mm

A prediction may instead come from the measurements.json that `whs-fast run` writes beside its label map.
"""

import json
from dataclasses import dataclass
from math import dist, isfinite
from pathlib import Path
from typing import Any

from whs_fast.errors import InputError
from whs_fast.study.evaluation.pairing import Case, read_table
from whs_fast.volume import Triple

_COLUMNS = ("case", "x_mm", "y_mm", "z_mm")
_MEASUREMENTS = "measurements.json"
_POINT = "expected three numbers: x, y, z in mm, LPS"


@dataclass(frozen=True)
class LandmarkError:
    """Prediction minus reference in mm: along x (to the left), y (to the back) and z (to the head), and in 3D."""

    offset_mm: Triple
    distance_mm: float


def read_landmarks(path: Path) -> dict[str, Triple]:
    """Points by case from a JSON or CSV file. Raises InputError for a file of another form, or a case named twice."""
    if path.suffix.lower() == ".json":
        content = _read_json(path)
        if not isinstance(content, dict):
            raise InputError(f"{path}: is not a JSON object, expected case names with x, y, z")
        return {name: _point(value, f"{path}: {name}") for name, value in content.items()}
    points: dict[str, Triple] = {}
    for number, row in read_table(path, _COLUMNS):
        if row["case"] in points:
            raise InputError(f"{path}: line {number} repeats the case {row['case']}, expected each case once")
        points[row["case"]] = _point([row[column] for column in _COLUMNS[1:]], f"{path}: line {number}")
    return points


def find_measured(cases: tuple[Case, ...]) -> dict[str, Triple]:
    """The aortic valve of each case from the measurements.json beside its predicted map, where there is one."""
    points = {}
    for case in cases:
        path = case.prediction.parent / _MEASUREMENTS
        # In a folder of many maps, nothing says to which of them it belongs.
        if path.is_file() and case.prediction.name.startswith("labels."):
            content = _read_json(path)
            point = content.get("aortic_valve_mm") if isinstance(content, dict) else None
            points[case.name] = _point(point, f"{path}: aortic_valve_mm")
    return points


def compare_landmark(prediction: Triple, reference: Triple) -> LandmarkError:
    """Error of one point (x, y, z) in mm, LPS."""
    x, y, z = (own - other for own, other in zip(prediction, reference, strict=True))
    return LandmarkError((x, y, z), dist(prediction, reference))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not JSON"
        raise InputError(f"{path}: cannot be read ({reason.lower()}), expected JSON") from error


def _point(value: Any, where: str) -> Triple:
    try:
        x, y, z = (float(coordinate) for coordinate in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: found {str(value)[:40]!r}, {_POINT}") from error
    if not (isfinite(x) and isfinite(y) and isfinite(z)):
        raise InputError(f"{where}: a coordinate is not finite, {_POINT}")
    return x, y, z

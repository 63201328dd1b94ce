"""Function over the heart beat: volumes of the chambers in each phase, ejection fractions and stroke volumes.

End-diastole and end-systole are, for each chamber, the phases of its largest and smallest volume among those measured:
with few phases the true extremes lie between them, and ejection fractions come out too small. The mass of the left
ventricle does not change over the beat, so its spread says how far the volumes can be trusted.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

CHAMBERS = {
    "left_ventricle": "left_ventricle_cavity",
    "right_ventricle": "right_ventricle_cavity",
    "left_atrium": "left_atrium",
    "right_atrium": "right_atrium",
}
# Standard error of end-systolic over end-diastolic volume, relative, as drawn hearts in two phases have it. The right
# ventricle comes out too small in diastole: its free wall is thin, and its border is put inside it.
RATIO_ERROR = {"left_ventricle": 0.01, "right_ventricle": 0.06}
FUNCTION_FILES = ("function.csv", "function.png", "function.json")


def measure_function(phases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What function.json holds, from the measurements of two or more phases by their names, in their order."""
    masses = np.array([measured["lv_myocardium_mass_g"] for measured in phases.values()])
    return {
        "phases": list(phases),
        **{name: _chamber(phases, name, key) for name, key in CHAMBERS.items()},
        "lv_myocardium_mass_g": {
            "mean": round(float(masses.mean()), 1),
            "spread_percent": round(100 * float(np.ptp(masses) / masses.mean()), 1) if masses.any() else None,
        },
    }


def _chamber(phases: Mapping[str, Mapping[str, Any]], name: str, key: str) -> dict[str, Any]:
    entries = {phase: measured["structures"][key] for phase, measured in phases.items()}
    volumes = {phase: entry["volume_ml"] for phase, entry in entries.items()}
    for phase, entry in entries.items():
        if not entry["volume_ml"]:
            return {"volumes_ml": list(volumes.values()), "not_measurable": f"not found in phase {phase}"}
        if entry["touches_scan_edge"] or entry["touches_region_edge"]:
            return {"volumes_ml": list(volumes.values()), "not_measurable": f"cut off by an edge in phase {phase}"}
    largest, smallest = max(volumes, key=volumes.__getitem__), min(volumes, key=volumes.__getitem__)
    stroke = volumes[largest] - volumes[smallest]
    return {
        "volumes_ml": list(volumes.values()),
        "end_diastolic_ml" if "ventric" in key else "largest_ml": volumes[largest],
        "end_systolic_ml" if "ventric" in key else "smallest_ml": volumes[smallest],
        "phase_of_largest": largest,
        "phase_of_smallest": smallest,
        "stroke_volume_ml": round(stroke, 3),
        "ejection_fraction_percent": round(100 * stroke / volumes[largest], 1),
    } | _uncertainty(name, volumes[smallest] / volumes[largest])


def _uncertainty(name: str, ratio: float) -> dict[str, float]:
    """Standard error of the ejection fraction in points; of atria it is not known."""
    return {"uncertainty_percent": round(100 * RATIO_ERROR[name] * ratio, 1)} if name in RATIO_ERROR else {}


def function_table(function: Mapping[str, Any]) -> str:
    """function.csv: one line a phase, volumes in mL."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["phase", *(f"{name}_ml" for name in CHAMBERS)])
    writer.writerows(zip(function["phases"], *(function[name]["volumes_ml"] for name in CHAMBERS), strict=True))
    return text.getvalue()

"""One row a scan, or a phase: what measurements.json holds, laid flat under names that say the unit.

A row always has the identifying columns; one of a scan that failed has no others, and says why. Nothing in it tells
where the scan lies: a path can hold a patient's name.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from whs_fast.structures import STRUCTURES

# done: measured. refused: the scan cannot be used, and trying again would not help. failed: anything else.
DONE, REFUSED, FAILED = "done", "refused", "failed"
IDENTITY = ("id", "scan", "phase", "status", "reason", "files")
_AXES = ("x", "y", "z")
_BETWEEN = "; "


def lay_flat(measurements: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a scan that was measured."""
    structures = measurements["structures"]
    row: dict[str, Any] = {f"{s.key}_ml": structures[s.key]["volume_ml"] for s in STRUCTURES}
    row["lv_myocardium_mass_g"] = measurements["lv_myocardium_mass_g"]
    row |= _along_axes("aortic_valve_{}_mm", measurements["aortic_valve_mm"])
    for edge in ("scan", "region"):
        cut = [key for key, entry in structures.items() if entry[f"touches_{edge}_edge"]]
        row[f"cut_by_{edge}_edge"] = _BETWEEN.join(cut)
    row["warnings"] = _BETWEEN.join(measurements["warnings"])
    for key in ("confidence", "contrast"):
        if key in measurements:
            row |= dict(_nested(key, measurements[key]))
    source = measurements["source"]
    row["kind"] = source["kind"]
    row |= _along_axes("voxels_{}", source["size"]) | _along_axes("spacing_{}_mm", source["spacing_mm"])
    row |= {f"{step}_s": seconds for step, seconds in measurements["timings_s"].items()}
    row["peak_memory_mb"] = measurements["peak_memory_mb"]
    row["backend"] = measurements["backend"]["name"]
    row |= {f"sha256_{name}": digest for name, digest in measurements["models"].items()}
    row["version"] = measurements["version"]
    return row


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of a table: those of its rows in their order, the identifying ones first."""
    return list(dict.fromkeys([*IDENTITY, *(name for row in rows for name in row)]))


def _along_axes(name: str, values: Iterable[float]) -> dict[str, float]:
    return {name.format(axis): value for axis, value in zip(_AXES, values, strict=True)}


def _nested(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """One column a leaf that has a value, named by the keys that lead to it; a list is one text."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _nested(f"{name}_{key}", inner)
    elif value is not None:
        yield name, _BETWEEN.join(map(str, value)) if isinstance(value, list) else value

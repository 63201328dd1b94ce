"""Rows of a cohort's table, made up."""

import numpy as np
from support.pages import measurements
from whs_fast.batching.rows import lay_flat
from whs_fast.structures import STRUCTURES

SOURCE = {"kind": "nifti", "size": [3, 2, 1], "spacing_mm": [0.4, 0.5, 0.6], "phase": None}


def make_rows(count):
    rng = np.random.default_rng(0)
    base = lay_flat(measurements(source=SOURCE, backend={"name": "native"}))
    rows = []
    for number in range(count):
        own = {f"{s.key}_ml": round(80.0 * float(np.exp(rng.normal(0.0, 0.2))), 1) for s in STRUCTURES}
        name = f"scan_{number:05d}"
        rows.append(
            {"id": name, "scan": name, "phase": None, "status": "done", "reason": "", "files": name} | base | own
        )
    return rows

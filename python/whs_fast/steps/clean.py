"""Removes what cannot be part of a structure: islands, crumbs and holes, by one small table of rules.

Each structure has a number of parts that it may have, a smallest volume for a part, and at most one structure whose
neighbours among its parts stay before others do. What goes becomes background, and background wholly enclosed by one
structure becomes that structure. The rules know sizes and neighbours only, never places or directions, so a scan
stored the other way round is cleaned alike; parts of equal size stay or go together for the same reason.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY, STRUCTURES


@dataclass(frozen=True)
class Rule:
    """What may stay of one structure.

    Connected parts that touch `attached_to` stay, and the largest others until `parts` do; none below `smallest_ml`.
    """

    key: str
    parts: int
    smallest_ml: float
    attached_to: str | None
    reason: str


RULES: tuple[Rule, ...] = (
    Rule(
        "pulmonary_veins",
        0,
        0.2,
        "left_atrium",
        "three to six veins, each ends in the atrium; arteries of the lung do not",
    ),
    Rule("left_atrium", 1, 1.0, None, "one chamber with its appendage"),
    Rule("left_ventricle_cavity", 1, 1.0, None, "one chamber, in end-systole a few mL at least"),
    Rule(
        "left_ventricle_myocardium", 1, 0.1, "left_ventricle_cavity", "one wall, and papillary muscles cut off from it"
    ),
    Rule("aorta", 2, 1.0, None, "ascending and descending are apart where the scan ends below the arch"),
    Rule("coronary_sinus", 1, 0.1, None, "one vessel of a few mL"),
    Rule("superior_vena_cava", 1, 0.2, None, "one vessel, of which a short scan holds a few slices only"),
    Rule(
        "right_atrium",
        1,
        1.0,
        "right_ventricle_cavity",
        "one chamber with its appendage, open to its ventricle; marrow of the spine, which looks alike, is not",
    ),
    Rule("right_ventricle_cavity", 1, 1.0, None, "one chamber"),
    Rule("pulmonary_artery", 2, 0.5, None, "trunk, and a branch that streaks or the scan's edge may cut off from it"),
)


def clean(labels: NDArray[np.uint8], *, voxel_ml: float, threads: int) -> NDArray[np.uint8]:
    """Applies the rules to labels, uint8[z, y, x], in place, and returns the same array.

    voxel_ml is the volume of a voxel in mL. Two passes, over runs of equal voxels: parts, then holes.
    """
    rules = np.zeros((len(STRUCTURES) + 1, 3), np.int64)
    for rule in RULES:
        attached_to = BY_KEY[rule.attached_to].label if rule.attached_to else 0
        # The float noise of a header must not cost a part that is just large enough.
        least_voxels = ceil(rule.smallest_ml / voxel_ml - 1e-6)
        rules[BY_KEY[rule.key].label] = rule.parts, least_voxels, attached_to
    _kernels.keep_parts(labels, rules, threads=threads)
    _kernels.fill_holes(labels, 0, 6, threads=threads)  # 0: cavities in any one structure
    return labels

"""Removes what cannot be part of a structure: islands, crumbs and holes, by one small table of rules.

Each structure has a number of parts that it may have, a smallest volume for a part, and at most one structure that
further parts must touch in order to stay. What goes becomes background, and background wholly enclosed by one
structure becomes that structure. The rules know sizes and neighbours only, never places or directions, so a scan
stored the other way round is cleaned alike; parts of equal size stay or go together for the same reason.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY, STRUCTURES

# Thin vessels in thick slices hang together by edges and corners only.
_CONNECTIVITY = 26


@dataclass(frozen=True)
class Rule:
    """What may stay of one structure.

    The `parts` largest connected parts stay; others only where they touch `attached_to`; none below `smallest_ml`.
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
    Rule("right_atrium", 1, 1.0, None, "one chamber with its appendage"),
    Rule("right_ventricle_cavity", 1, 1.0, None, "one chamber"),
    Rule("pulmonary_artery", 2, 0.5, None, "trunk, and a branch that streaks or the scan's edge may cut off from it"),
)


def clean(labels: NDArray[np.uint8], *, voxel_ml: float, threads: int) -> NDArray[np.uint8]:
    """Applies the rules to labels, uint8[z, y, x], in place, and returns the same array.

    voxel_ml is the volume of a voxel in mL.
    """
    _, lowest, highest, _, _ = _kernels.label_statistics(labels, len(STRUCTURES) + 1, threads=threads)
    present = [label for label in range(1, len(STRUCTURES) + 1) if lowest[label, 0] >= 0]
    if not present:
        return labels
    # Components take four bytes a voxel: only the box that holds a label is worth them.
    low, high = lowest[present].min(axis=0), highest[present].max(axis=0) + 1
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    part = np.ascontiguousarray(labels[box])
    # Structures that others must touch come first, so that nothing is held in place by an island about to go.
    _apply([rule for rule in RULES if rule.attached_to is None], part, voxel_ml, threads)
    _apply([rule for rule in RULES if rule.attached_to is not None], part, voxel_ml, threads)
    _kernels.fill_holes(part, 0, 6, threads=threads)  # 0: cavities in any one structure
    labels[box] = part
    return labels


def _apply(rules: Iterable[Rule], labels: NDArray[np.uint8], voxel_ml: float, threads: int) -> None:
    components = np.empty(labels.shape, np.uint32)
    count = _kernels.connected_components(labels, components, _CONNECTIVITY, threads=threads)
    owner, voxels, touched = _kernels.component_table(labels, components, count, _CONNECTIVITY, threads=threads)
    kept = owner.copy()
    for rule in rules:
        own = (owner == BY_KEY[rule.key].label) & (np.arange(count + 1) > 0)
        large = own & (voxels * voxel_ml >= rule.smallest_ml)
        stays = large & (voxels >= _nth_largest(voxels[large], rule.parts))
        if rule.attached_to is not None:
            stays |= large & ((touched >> np.uint32(BY_KEY[rule.attached_to].label)) & np.uint32(1)).astype(bool)
        kept[own & ~stays] = 0
    if not np.array_equal(kept, owner):
        _kernels.relabel_components(components, kept, labels, threads=threads)


def _nth_largest(sizes: NDArray[np.int64], number: int) -> int:
    """The size that a part needs to be among the largest `number`; beyond any size where the number is 0."""
    if number == 0:
        return int(np.iinfo(np.int64).max)
    descending = np.sort(sizes)[::-1]
    return int(descending[min(number, len(descending)) - 1]) if len(descending) else 0

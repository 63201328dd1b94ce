"""Removes what cannot be part of a structure: islands, crumbs and holes, by one small table of rules.

Each structure has a number of parts that it may have, a smallest volume for a part, and at most one structure that
further parts must touch in order to stay. What goes becomes background, and background wholly enclosed by one
structure becomes that structure. The rules know sizes and neighbours only, never places or directions, so a scan
stored the other way round is cleaned alike; parts of equal size stay or go together for the same reason.
"""

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
    voxels, lowest, highest, _, _ = _kernels.label_statistics(labels, len(STRUCTURES) + 1, threads=threads)
    # Structures that others must touch come first, so that nothing is held in place by an island about to go.
    for rule in sorted(RULES, key=lambda rule: rule.attached_to is not None):
        label = BY_KEY[rule.key].label
        if voxels[label]:
            _apply(rule, labels, (lowest[label], highest[label]), voxel_ml, threads)
    present = np.flatnonzero(voxels[1:]) + 1
    if len(present):
        # Whole slices, which need no copy: a cavity lies between them whatever its place in the slice.
        low, high = lowest[present, 0].min(), highest[present, 0].max() + 1
        _kernels.fill_holes(labels[low:high], 0, 6, threads=threads)  # 0: cavities in any one structure
    return labels


def _apply(
    rule: Rule,
    labels: NDArray[np.uint8],
    box: tuple[NDArray[np.int64], NDArray[np.int64]],
    voxel_ml: float,
    threads: int,
) -> None:
    """Applies one rule to labels in place; box is the first and last index (z, y, x) of its structure.

    Components take four bytes a voxel, so they are made of one structure at a time, in its own box.
    """
    own = BY_KEY[rule.key].label
    margin = 0 if rule.attached_to is None else 1  # for the neighbours that the structure touches
    low, high = np.maximum(box[0] - margin, 0), box[1] + 1 + margin
    inside = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    mask = (inside == own).view(np.uint8)
    components = np.empty(mask.shape, np.uint32)
    count = _kernels.connected_components(mask, components, _CONNECTIVITY, threads=threads)
    if rule.attached_to is not None:
        np.maximum(mask, (inside == BY_KEY[rule.attached_to].label).view(np.uint8) << 1, out=mask)
    # Bit 2 of touched: the structure to be touched, which is in no component here. Faces alone are quicker to look at.
    reach = 6 if rule.attached_to is None else _CONNECTIVITY
    _, voxels, touched = _kernels.component_table(mask, components, count, reach, threads=threads)
    large = voxels * voxel_ml >= rule.smallest_ml
    large[0] = False
    stays = large & (voxels >= _nth_largest(voxels[large], rule.parts))
    if rule.attached_to is not None:
        stays |= large & ((touched & np.uint32(1 << 2)) != 0)
    if not stays[1:].all():
        goes = np.append(False, ~stays[1:]).astype(np.uint8)
        _kernels.relabel_components(components, goes, mask, threads=threads)
        inside[mask.view(bool)] = 0


def _nth_largest(sizes: NDArray[np.int64], number: int) -> int:
    """The size that a part needs to be among the largest `number`; beyond any size where the number is 0."""
    if number == 0:
        return int(np.iinfo(np.int64).max)
    descending = np.sort(sizes)[::-1]
    return int(descending[min(number, len(descending)) - 1]) if len(descending) else 0

"""Removes what cannot be part of a structure: islands, crumbs and holes, by one small table of rules.

Each structure has a number of parts that it may have, a smallest volume for a part, and at most one structure that
further parts must touch in order to stay. What goes becomes background, and background wholly enclosed by one
structure becomes that structure. The rules know sizes and neighbours only, never places or directions, so a scan
stored the other way round is cleaned alike; parts of equal size stay or go together for the same reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY, STRUCTURES

# Thin vessels in thick slices hang together by edges and corners only.
_CONNECTIVITY = 26
_PART_VOXELS = 4 << 20


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
    for attached in (False, True):
        rules = {BY_KEY[rule.key].label: rule for rule in RULES if (rule.attached_to is not None) == attached}
        present = [label for label in rules if voxels[label]]
        if present:
            # A voxel more on every side, for what a structure touches.
            low, high = np.maximum(lowest[present].min(axis=0) - 1, 0), highest[present].max(axis=0) + 2
            box = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
            _apply(rules, box, voxel_ml, threads)
    present = [label for label in range(1, len(STRUCTURES) + 1) if voxels[label]]
    if present:
        # Whole slices, which need no copy: what lies beside the labels is no cavity.
        slices = labels[lowest[present, 0].min() : highest[present, 0].max() + 1]
        _kernels.fill_holes(slices, 0, 6, threads=threads)  # 0: cavities in any one structure
    return labels


def _apply(rules: dict[int, Rule], box: NDArray[np.uint8], voxel_ml: float, threads: int) -> None:
    """Applies the rules, by label, to a box of the labels in place."""
    # Without a structure to touch nobody reads `touched`, and faces alone are quicker to look at.
    reach = 6 if all(rule.attached_to is None for rule in rules.values()) else _CONNECTIVITY
    tables, meetings, offset = [(np.zeros(1, np.uint8), np.zeros(1, np.int64), np.zeros(1, np.uint32))], [], 0
    above = np.zeros(box.shape[1:], np.int64)
    for part in _number_parts(box, tuple(rules), threads):
        table = _kernels.component_table(part.labels, part.components, part.count, reach, threads=threads)
        tables.append((table[0][1:], table[1][1:], table[2][1:]))
        first, last = (part.components[part.core][end].astype(np.int64) for end in (0, -1))
        meetings.append(_meetings(above, np.where(first > 0, first + offset, 0)))
        above = np.where(last > 0, last + offset, 0)
        offset += part.count
    owner, voxels, touched = (np.concatenate(columns) for columns in zip(*tables, strict=True))
    pairs = np.concatenate(meetings)
    root = _unite(len(owner), pairs[owner[pairs[:, 0]] == owner[pairs[:, 1]]])

    size = np.bincount(root, voxels, len(owner)).astype(np.int64)  # exact: doubles hold integers up to 2^53
    stays = np.zeros(len(owner), bool)
    for label, rule in rules.items():
        large = (owner == label) & (size > 0) & (size * voxel_ml >= rule.smallest_ml)
        stays |= large & (size >= _nth_largest(size[large], rule.parts))
        if rule.attached_to is not None:
            touches = (touched >> np.uint32(BY_KEY[rule.attached_to].label)) & np.uint32(1)
            stays |= large & (np.bincount(root, touches, len(owner)) > 0)
    kept = np.where(stays[root], owner, 0).astype(np.uint8)
    if np.array_equal(kept, owner):
        return
    offset = 0
    for part in _number_parts(box, tuple(rules), threads):
        new_label = np.append(np.uint8(0), kept[offset + 1 : offset + 1 + part.count])
        if not new_label[1:].all():
            core, components = part.labels[part.core], part.components[part.core]
            _kernels.relabel_components(components, new_label, core, threads=threads)
            np.copyto(box[part.start : part.stop], core, where=components > 0)
        offset += part.count


@dataclass(frozen=True)
class _Part:
    """Some slices of a box, start to stop: their labels and components, numbered from 1 to count.

    The arrays have a slice more on either side where the box has one; core are the slices themselves. Only these have
    components.
    """

    start: int
    stop: int
    core: slice
    labels: NDArray[np.uint8]
    components: NDArray[np.uint32]
    count: int


def _number_parts(box: NDArray[np.uint8], numbered: tuple[int, ...], threads: int) -> Iterator[_Part]:
    """Components of the labels to be numbered, some slices at a time in the same memory: they take 4 bytes a voxel."""
    depth, *plane = box.shape
    slices = min(depth, max(1, _PART_VOXELS // (plane[0] * plane[1])))
    all_labels, all_components = (np.empty((slices + 2, *plane), dtype) for dtype in (np.uint8, np.uint32))
    keeps = bytes(label if label in numbered else 0 for label in range(256))
    for start in range(0, depth, slices):
        stop = min(start + slices, depth)
        low, high = max(start - 1, 0), min(stop + 1, depth)
        core = slice(start - low, stop - low)
        labels, components = all_labels[: high - low], all_components[: high - low]
        labels[:] = box[low:high]
        components[: core.start] = 0
        components[core.stop :] = 0
        # bytes.translate is several times faster than indexing a table with an array.
        chosen = np.frombuffer(labels[core].tobytes().translate(keeps), np.uint8).reshape(stop - start, *plane)
        count = _kernels.connected_components(chosen, components[core], _CONNECTIVITY, threads=threads)
        yield _Part(start, stop, core, labels, components, count)


def _meetings(above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of numbers, int64[n, 2], of components that touch across two slices, with all 26 neighbours."""
    rows, columns = above.shape
    padded = np.pad(above, 1)
    found = []
    for dy in range(3):
        for dx in range(3):
            shifted = padded[dy : dy + rows, dx : dx + columns]
            both = (shifted > 0) & (below > 0)
            found.append(np.unique(shifted[both] << 32 | below[both]))
    pairs = np.unique(np.concatenate(found))
    return np.stack([pairs >> 32, pairs & 0xFFFFFFFF], axis=1)


def _unite(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest number, for each of 0 to count - 1, that pairs join it with."""
    parent = list(range(count))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for a, b in pairs.tolist():
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(number) for number in range(count)], np.int64)


def _nth_largest(sizes: NDArray[np.int64], number: int) -> int:
    """The size that a part needs to be among the largest `number`; beyond any size where the number is 0."""
    if number == 0:
        return int(np.iinfo(np.int64).max)
    descending = np.sort(sizes)[::-1]
    return int(descending[min(number, len(descending)) - 1]) if len(descending) else 0

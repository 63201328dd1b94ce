"""Removes what cannot be part of a structure: threads, islands, crumbs, what lies too low, and holes, by small tables.

First, spikes and threads of the atria go. Then the heart is found: of parts of chambers, muscle and pulmonary artery
that hang together, those with the most kinds among them. Then each structure keeps as many connected parts as it may,
none below a smallest volume, and those that touch the one structure they may hang on to. Then what lies far below the
left ventricle goes, and background wholly enclosed by one structure becomes that structure; all else that goes becomes
background. Sizes are mm and mL, and low is towards the patient's feet, so a scan that is stored in another order of
axes or the other way round is cleaned alike. Parts of equal size stay or go together for the same reason.
"""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.structures import BY_KEY, CHAMBERS, STRUCTURES
from whs_fast.volume import Grid


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
    Rule(
        "aorta",
        2,
        5.0,
        None,
        "ascending and descending are apart where the scan ends below the arch; 2 cm of either hold 6 mL",
    ),
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
    Rule("pulmonary_artery", 1, 0.5, None, "one tree, whose two branches spring from the trunk inside the region"),
)

# Atria are centimetres wide, and so are the lobes of their appendages. What is thinner than 3 mm and further than
# 4.5 mm from anything wider is a fold of fat, a wall or a small vein, and what hangs on to it is another structure.
# Nearer, it may be the chamber's own rough border. Ventricles have recesses between trabeculae that are as thin.
WIDE = ("left_atrium", "right_atrium")
HALF_WIDTH_MM = 1.5
BORDER_MM = 4.5

# A network can draw chambers into liver and bowel that are larger than the true ones, but not a whole heart. A part
# counts that could be the chamber: the left ventricle of a healthy adult holds 10 mL at least, others more.
HEART = (*CHAMBERS, "pulmonary_artery")
CHAMBER_ML = 10.0

# Both ventricles lie on the diaphragm, and the inferior vena cava, from the diaphragm to its mouth in the right atrium,
# is about 2 cm long: what lies further below the left ventricle lies in the abdomen and is the vein or the liver.
ABOVE_DIAPHRAGM = ("left_atrium", "right_atrium", "right_ventricle_cavity")
BELOW_MM = 20.0


def clean(labels: NDArray[np.uint8], grid: Grid, *, threads: int) -> NDArray[np.uint8]:
    """Applies the rules to labels, uint8[z, y, x] on the grid, in place, and returns the same array."""
    boxes = _boxes(labels, threads)
    for label in (BY_KEY[key].label for key in WIDE):
        if label in boxes:
            _kernels.remove_thin(labels, label, boxes[label], *_thinness(grid), threads=threads)
    members = {BY_KEY[key].label for key in HEART}
    chamber = _least_voxels(CHAMBER_ML, grid)
    _kernels.keep_group(
        labels, [chamber if label in members else 0 for label in range(len(STRUCTURES) + 1)], threads=threads
    )
    rules = np.zeros((len(STRUCTURES) + 1, 3), np.int64)
    for rule in RULES:
        attached_to = BY_KEY[rule.attached_to].label if rule.attached_to else 0
        rules[BY_KEY[rule.key].label] = rule.parts, _least_voxels(rule.smallest_ml, grid), attached_to
    _kernels.keep_parts(labels, rules, threads=threads)
    _cut_below(labels, grid, threads)
    _kernels.fill_holes(labels, 0, 6, threads=threads)  # 0: cavities in any one structure
    return labels


def _least_voxels(ml: float, grid: Grid) -> int:
    """The float noise of a header must not cost a part that is just large enough."""
    return ceil(ml / grid.voxel_ml - 1e-6)


def _cut_below(labels: NDArray[np.uint8], grid: Grid, threads: int) -> None:
    """Removes what of ABOVE_DIAPHRAGM lies more than BELOW_MM below the box around the left ventricle."""
    boxes = _boxes(labels, threads)
    head_mm = grid.affine[2, 2::-1]  # how far towards the head a step along z, y and x leads
    ventricle = [
        _lowest(boxes[label], head_mm)
        for label in (BY_KEY["left_ventricle_cavity"].label, BY_KEY["left_ventricle_myocardium"].label)
        if label in boxes
    ]
    if not ventricle:
        return
    lowest_mm = min(ventricle) - BELOW_MM - 1e-6
    for label in (BY_KEY[key].label for key in ABOVE_DIAPHRAGM):
        if label not in boxes or _lowest(boxes[label], head_mm) >= lowest_mm:
            continue
        planes, rows, columns = (slice(*ends) for ends in boxes[label])
        y, x = np.ogrid[rows, columns]
        for z in range(planes.start, planes.stop):
            part = labels[z, rows, columns]
            part[(part == label) & (head_mm[0] * z + head_mm[1] * y + head_mm[2] * x < lowest_mm)] = 0


def _lowest(box: list[tuple[int, int]], head_mm: NDArray[np.float64]) -> float:
    """Height of a box's lowest corner from that of the first voxel, mm."""
    return float(sum(min(step * first, step * (end - 1)) for (first, end), step in zip(box, head_mm, strict=True)))


def _boxes(labels: NDArray[np.uint8], threads: int) -> dict[int, list[tuple[int, int]]]:
    """First and last + 1 of the z, y and x of each label that is there."""
    voxels, lowest, highest = _kernels.label_statistics(labels, len(STRUCTURES) + 1, threads=threads)
    ends = highest + 1
    return {
        label: list(zip(lowest[label].tolist(), ends[label].tolist(), strict=True))
        for label in np.flatnonzero(voxels).tolist()
    }


def _thinness(grid: Grid) -> tuple[list[int], list[int]]:
    """Voxels along z, y and x in HALF_WIDTH_MM, to the nearest, and in BORDER_MM, to the next."""
    # The float noise of a header must not decide here either.
    reach = [floor(HALF_WIDTH_MM / step + 0.5 + 1e-6) for step in grid.spacing_mm[::-1]]
    return reach, [ceil(BORDER_MM / step - 1e-6) for step in grid.spacing_mm[::-1]]

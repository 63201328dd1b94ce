"""Compares the two label maps of one case: overlap, volumes and surfaces of every structure.

Both maps are uint8 from the first to the last step. Overlap and surfaces are measured on the reference's grid, onto
which the prediction is resampled (nearest voxel) where the two differ; volumes are those of each map on its own grid. A
structure is cropped to where either map has it before its surfaces are found, so that memory grows with the heart and
not with the scan.

What is not defined is None: Dice and surfaces of a structure that both maps lack; distances where one of them lacks it
(Dice and surface Dice are 0 then).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.errors import InputError
from whs_fast.reading.parallel import map_in_threads
from whs_fast.structures import STRUCTURES, Structure
from whs_fast.study.evaluation.maps import LabelMap, read_map, read_map_grid
from whs_fast.study.evaluation.mixups import find_exchanged, find_mirrored, turned_half
from whs_fast.study.evaluation.overlap import count_pairs, dice_matrix, overall_figures
from whs_fast.study.evaluation.pairing import Case
from whs_fast.study.evaluation.schemes import LabelSet
from whs_fast.study.evaluation.surfaces import TOLERANCES_MM, SurfaceMeasures, compare_surfaces, find_surface
from whs_fast.volume import Grid, index_map, same_voxels

_LABEL_COUNT = len(STRUCTURES) + 1


@dataclass(frozen=True)
class StructureScores:
    """One structure in one case; lengths in mm, volumes in mL on each map's own grid."""

    dice: float | None
    reference_ml: float
    prediction_ml: float
    hd95_mm: float | None
    msd_mm: float | None
    surface_dice: tuple[float | None, ...]


@dataclass(frozen=True)
class CaseScores:
    """One case: its structures by key, the overall figures by name, and notes that the reader needs."""

    name: str
    structures: dict[str, StructureScores]
    overall: dict[str, float | None]
    notes: tuple[str, ...]


def check_case(case: Case) -> None:
    """Reads both headers. Raises InputError where one cannot be read, or where the maps do not overlap in space."""
    prediction, reference = read_map_grid(case.prediction), read_map_grid(case.reference)
    if _boxes_meet(prediction, reference):
        return
    hint = "; if x and y of one header were negated (RAS taken for LPS), they would overlap"
    raise InputError(
        f"{case.prediction}: does not overlap with {case.reference} in space, expected maps of the same scan"
        f"{hint if _boxes_meet(turned_half(prediction), reference) else ''}"
    )


def score_case(
    case: Case,
    structures: Sequence[Structure],
    *,
    prediction_labels: LabelSet,
    reference_labels: LabelSet,
    threads: int,
) -> CaseScores:
    """Scores of one case. Raises InputError where a map cannot be read or has values that its label set lacks."""
    maps = ((case.prediction, prediction_labels), (case.reference, reference_labels))
    own, other = map_in_threads(lambda given: read_map(*given), maps, min(threads, 2))
    notes = [f"{name}: {note}" for name, found in (("prediction", own), ("reference", other)) for note in found.notes]
    empty = [name for name, found in (("prediction", own), ("reference", other)) if not found.labels.any()]
    notes += [f"nothing is labelled in the {name}" for name in empty]
    if not empty:
        notes += find_mirrored(own.labels, own.grid, other.labels, other.grid, threads=threads)
    own_ml, other_ml = _volumes_ml(own, threads), _volumes_ml(other, threads)
    prediction, reference = own.labels, other.labels
    if not same_voxels(own.grid, other.grid):
        notes.append("the grids differ: the prediction was resampled to the reference's grid (nearest voxel)")
        notes += _note_outside(own, other.grid, "prediction", "reference", threads)
        notes += _note_outside(other, own.grid, "reference", "prediction", threads)
        prediction = _sampled(prediction, own.grid, other.grid, threads)
    counts = count_pairs(prediction, reference, _LABEL_COUNT)
    notes += find_exchanged(counts, structures)
    dice = np.diag(dice_matrix(counts))
    labels = [structure.label for structure in structures]
    surfaces = _score_surfaces(prediction, reference, labels, other.grid, threads)
    scores = {}
    for structure, measured in zip(structures, surfaces, strict=True):
        label = structure.label
        absent = bool(np.isnan(dice[label]))
        scores[structure.key] = StructureScores(
            None if absent else float(dice[label]),
            float(other_ml[label]),
            float(own_ml[label]),
            None if measured is None else measured.hd95_mm,
            None if measured is None else measured.msd_mm,
            (None if absent else 0.0,) * len(TOLERANCES_MM) if measured is None else measured.dice,
        )
    return CaseScores(case.name, scores, overall_figures(counts, labels), tuple(notes))


def _score_surfaces(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], labels: Sequence[int], grid: Grid, threads: int
) -> list[SurfaceMeasures | None]:
    boxes = [_kernels.label_statistics(array, _LABEL_COUNT, threads=threads) for array in (prediction, reference)]

    def score(label: int) -> SurfaceMeasures | None:
        if not all(voxels[label] for voxels, *_ in boxes):
            return None
        surfaces = []
        for array, (_, lowest, highest) in zip((prediction, reference), boxes, strict=True):
            z, y, x = (slice(low, high + 1) for low, high in zip(lowest[label], highest[label], strict=True))
            surfaces.append(find_surface(array[z, y, x] == label, grid.spacing_mm, (z.start, y.start, x.start)))
        return compare_surfaces(*surfaces)

    # Large structures first, so that no thread is left with one at the end.
    order = sorted(labels, key=lambda label: -int(boxes[1][0][label]))
    found = dict(zip(order, map_in_threads(score, order, threads), strict=True))
    return [found[label] for label in labels]


def _volumes_ml(found: LabelMap, threads: int) -> NDArray[np.float64]:
    voxels = _kernels.label_statistics(found.labels, _LABEL_COUNT, threads=threads)[0]
    return voxels.astype(np.float64) * found.grid.voxel_ml


def _sampled(labels: NDArray[np.uint8], grid: Grid, target: Grid, threads: int) -> NDArray[np.uint8]:
    """Labels on another grid, 0 beyond their own."""
    out = np.empty(target.shape, np.uint8)
    _kernels.resample_nearest(labels, out, index_map(target, grid), 0, threads=threads)
    return out


def _boxes_meet(a: Grid, b: Grid) -> bool:
    (low_a, high_a), (low_b, high_b) = a.box_mm, b.box_mm
    return bool(np.all(np.less(low_a, high_b)) and np.all(np.less(low_b, high_a)))


def _note_outside(found: LabelMap, other: Grid, name: str, other_name: str, threads: int) -> list[str]:
    """A note where labelled voxels lie beyond the other map's grid."""
    covered = _sampled(np.ones(other.shape, np.uint8), other, found.grid, threads)
    outside_ml = np.count_nonzero((found.labels > 0) & (covered == 0)) * found.grid.voxel_ml
    if not outside_ml:
        return []
    return [f"{outside_ml:.1f} mL of the {name}'s labels lie outside the {other_name}'s grid and cannot match"]

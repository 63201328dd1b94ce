"""From the scores of the cases to those of the cohort: what the paper's Tables 2 and 3 hold, and more."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whs_fast.structures import MYOCARDIUM_DENSITY_G_PER_ML, Structure
from whs_fast.study.evaluation.cases import CaseScores
from whs_fast.study.evaluation.landmarks import LandmarkError
from whs_fast.study.evaluation.overlap import OVERALL
from whs_fast.study.evaluation.surfaces import TOLERANCES_MM
from whs_fast.study.statistics import (
    Agreement,
    Correlation,
    Paired,
    Summary,
    agree,
    correlate,
    signed_rank,
    summarise,
)

AXES = ("x", "y", "z")
NEAR_MM = 10.0


@dataclass(frozen=True)
class StructureCohort:
    """One structure over the cases.

    Sizes are volumes in mL, or masses in g for the left ventricular myocardium (see unit). A case in which both maps
    lack the structure is left out. only_reference counts cases in which the prediction lacks it, only_prediction those
    in which the reference does: they have a Dice and a size of 0, but no distances. log_correlation is that of the
    natural logarithms of the sizes, over cases in which neither is 0.
    """

    structure: Structure
    unit: str
    absent: int
    only_reference: int
    only_prediction: int
    dice: Summary
    hd95_mm: Summary
    msd_mm: Summary
    surface_dice: tuple[Summary, ...]
    reference: tuple[float, ...]
    prediction: tuple[float, ...]
    reference_size: Summary
    prediction_size: Summary
    difference: Summary
    signed_rank: Paired
    correlation: Correlation
    log_correlation: Correlation
    agreement: Agreement


@dataclass(frozen=True)
class LandmarkCohort:
    """Errors of one landmark over the cases, in mm; axes are x, y, z (LPS), prediction minus reference."""

    by_case: dict[str, LandmarkError]
    axes: tuple[Summary, ...]
    distance: Summary
    within_10_mm: int


@dataclass(frozen=True)
class Cohort:
    """Everything that was found over the cases."""

    cases: tuple[CaseScores, ...]
    structures: tuple[StructureCohort, ...]
    overall: dict[str, Summary]
    landmark: LandmarkCohort | None


def collect(
    cases: Sequence[CaseScores], structures: Sequence[Structure], landmarks: dict[str, LandmarkError]
) -> Cohort:
    """Figures over the cases; landmarks holds errors by case, and may be empty."""
    return Cohort(
        tuple(cases),
        tuple(_collect_structure(cases, structure) for structure in structures),
        {name: summarise(_numbers([case.overall[name] for case in cases])) for name in OVERALL},
        collect_landmark(landmarks) if landmarks else None,
    )


def collect_landmark(errors: dict[str, LandmarkError]) -> LandmarkCohort:
    """Summarises the errors of one landmark, given by case; at least one."""
    offsets = np.array([error.offset_mm for error in errors.values()])
    distances = [error.distance_mm for error in errors.values()]
    return LandmarkCohort(
        errors,
        tuple(summarise(offsets[:, axis]) for axis in range(len(AXES))),
        summarise(distances),
        sum(distance <= NEAR_MM for distance in distances),
    )


def size_unit(structure: Structure) -> tuple[str, float]:
    """The unit in which a structure's size is given, and its factor from mL: g for the left ventricular myocardium."""
    if structure.key == "left_ventricle_myocardium":
        return "g", MYOCARDIUM_DENSITY_G_PER_ML
    return "mL", 1.0


def _collect_structure(cases: Sequence[CaseScores], structure: Structure) -> StructureCohort:
    unit, factor = size_unit(structure)
    scores = [case.structures[structure.key] for case in cases]
    there = [own for own in scores if own.dice is not None]
    reference = np.array([own.reference_ml for own in there]) * factor
    prediction = np.array([own.prediction_ml for own in there]) * factor
    both = (reference > 0) & (prediction > 0)
    return StructureCohort(
        structure,
        unit,
        len(scores) - len(there),
        sum(own.prediction_ml == 0 for own in there),
        sum(own.reference_ml == 0 for own in there),
        summarise(_numbers([own.dice for own in scores])),
        summarise(_numbers([own.hd95_mm for own in scores])),
        summarise(_numbers([own.msd_mm for own in scores])),
        tuple(summarise(_numbers([own.surface_dice[i] for own in scores])) for i in range(len(TOLERANCES_MM))),
        tuple(reference.tolist()),
        tuple(prediction.tolist()),
        summarise(reference),
        summarise(prediction),
        summarise(prediction - reference),
        signed_rank(reference, prediction),
        correlate(reference, prediction),
        correlate(np.log(reference[both]), np.log(prediction[both])),
        agree(reference, prediction),
    )


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]

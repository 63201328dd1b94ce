"""Composes an evaluation: pairs, scores of every case, figures over the cases, and warnings for the reader."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from whs_fast.errors import InputError
from whs_fast.machine import choose_threads
from whs_fast.structures import Structure
from whs_fast.study.evaluation.cases import CaseScores, check_case, score_case
from whs_fast.study.evaluation.collecting import Cohort, collect
from whs_fast.study.evaluation.landmarks import LandmarkError, compare_landmark, find_measured, read_landmarks
from whs_fast.study.evaluation.pairing import Pairs, pair_folders
from whs_fast.study.evaluation.schemes import choose_structures, find_label_set

Progress: TypeAlias = Callable[[str, float], None]


@dataclass(frozen=True)
class Evaluation:
    """What was found, with which settings, and warnings for the reader."""

    cohort: Cohort
    scheme: str
    prediction_labels: str
    reference_labels: str
    warnings: tuple[str, ...]


def evaluate(
    predictions: str | PathLike[str],
    references: str | PathLike[str],
    *,
    scheme: str | None = None,
    prediction_labels: str = "whs-fast",
    reference_labels: str = "whs-fast",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Compares a folder of predicted label maps with one of references, paired by name as by `whs-fast evaluate`.

    Args:
        predictions: folder of label maps (NIfTI, NRRD, MetaImage), or of the folders that `Result.save` writes.
        references: the same for the references.
        scheme: "whs-fast" (the ten structures), "mm-whs", "baskaran" or "totalsegmentator"; None compares all
            structures that both label sets have.
        prediction_labels: what the values in the predictions mean: "whs-fast", "mm-whs" or "totalsegmentator".
        reference_labels: the same for the references.
        threads: CPU threads; None uses all that are available.
        progress: called with the name of each case and the share of the whole that is done (0 to 1); an exception that
            it raises ends the evaluation.

    Returns:
        The figures over all cases (`cohort`), with distances in mm and sizes in mL or g, and warnings for the reader
        (`warnings`).

    Raises:
        InputError: a file cannot be read, two maps do not overlap in space, or no names pair.
    """
    return evaluate_pairs(
        pair_folders(Path(predictions), Path(references)),
        scheme=scheme,
        prediction_labels=prediction_labels,
        reference_labels=reference_labels,
        threads=threads,
        progress=progress,
    )


def evaluate_pairs(
    pairs: Pairs,
    *,
    scheme: str | None = None,
    prediction_labels: str = "whs-fast",
    reference_labels: str = "whs-fast",
    landmarks: Path | None = None,
    predicted_landmarks: Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Scores every pair, one after another, and collects the figures over them.

    scheme is a name from SCHEMES, or None for all structures that both label sets (names from LABEL_SETS) have.
    landmarks is a file of true valve points; the predicted ones come from a file of the same form or, where that is
    None, from the measurements.json beside each prediction. progress is called with the name of each case and the share
    of the whole that is done. Raises InputError where something cannot be read or used, before the first case is scored
    if a header shows it.
    """
    own, other = find_label_set(prediction_labels), find_label_set(reference_labels)
    structures = choose_structures(scheme, own, other)
    errors, unlocated = _score_landmarks(pairs, landmarks, predicted_landmarks)
    for case in pairs.cases:
        check_case(case)
    scores = []
    for number, case in enumerate(pairs.cases):
        if progress is not None:
            progress(case.name, number / len(pairs.cases))
        scores.append(
            score_case(
                case,
                structures,
                prediction_labels=own,
                reference_labels=other,
                threads=choose_threads(threads),
            )
        )
    if progress is not None:
        progress("tables", 1.0)
    warnings = [
        *_left_out("no prediction", pairs.without_prediction),
        *_left_out("no reference", pairs.without_reference),
        *_left_out("no landmark in the prediction or the reference", unlocated),
        *dict.fromkeys(labels.note for labels in (own, other) if labels.note),
        *_never_there(scores, structures),
        *_gathered(scores),
    ]
    name = scheme or (own.name if own is other else f"shared by {own.name} and {other.name}")
    return Evaluation(collect(scores, structures, errors), name, own.name, other.name, tuple(warnings))


def _score_landmarks(
    pairs: Pairs, landmarks: Path | None, predicted: Path | None
) -> tuple[dict[str, LandmarkError], tuple[str, ...]]:
    """Errors by case, and the cases without a point on either side."""
    if landmarks is None:
        if predicted is not None:
            raise InputError(f"{predicted}: predicted landmarks need true ones to be scored against (--landmarks)")
        return {}, ()
    true = read_landmarks(landmarks)
    found = find_measured(pairs.cases) if predicted is None else read_landmarks(predicted)
    names = [case.name for case in pairs.cases]
    errors = {name: compare_landmark(found[name], true[name]) for name in names if name in found and name in true}
    if not errors:
        source = "measurements.json beside the predictions" if predicted is None else str(predicted)
        raise InputError(f"{landmarks}: no case has a point both here and in {source}, expected at least one")
    return errors, tuple(name for name in names if name not in errors)


def _left_out(what: str, names: Sequence[str]) -> list[str]:
    return [f"left out, {what}: {', '.join(names)}"] if names else []


def _never_there(scores: Sequence[CaseScores], structures: Sequence[Structure]) -> list[str]:
    """A structure that one side never has was probably not segmented there, and its Dice of 0 then means nothing."""
    warnings = []
    for structure in structures:
        reference = any(case.structures[structure.key].reference_ml for case in scores)
        prediction = any(case.structures[structure.key].prediction_ml for case in scores)
        if reference != prediction:
            side = "reference" if prediction else "prediction"
            warnings.append(
                f"{structure.name.lower()}: in no {side} at all; if it was not drawn there, a scheme without it gives "
                "fairer overall figures"
            )
    return warnings


def _gathered(scores: Sequence[CaseScores]) -> list[str]:
    """The notes of all cases, each once, with the cases that it holds for."""
    by_note: dict[str, list[str]] = {}
    for case in scores:
        for note in case.notes:
            by_note.setdefault(note, []).append(case.name)
    return [
        f"{', '.join(names) if len(names) < len(scores) else 'all cases'}: {note}" for note, names in by_note.items()
    ]

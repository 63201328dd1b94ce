"""Which results of a cohort to look at first: what is unlike the others, and what the engine itself doubts.

A volume is unlike the others where its modified z-score on natural logarithms exceeds 3.5 (Iglewicz and Hoaglin, How to
detect and handle outliers, 1993): distance from the median over 1.4826 times the median absolute deviation, which half
of the scans may spoil. Volumes are skewed and their logarithms are not. It says nothing of a patient's health.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.structures import STRUCTURES

MOST_SCORE = 3.5
_LEAST_ROWS = 8  # below, the spread of a cohort is not known
_SD_OF_MAD = 1.4826
# What one sign of trouble weighs; an engine that asks for review knows more than any of the others.
_REVIEW, _MISSING, _OUTLIER, _WARNING, _CUT = 10.0, 3.0, 2.0, 1.0, 0.5


@dataclass(frozen=True)
class Doubt:
    """How suspicious a row is, 0 for not at all, why, and the modified z-score of each volume."""

    score: float
    reasons: tuple[str, ...]
    z: tuple[float, ...]


def doubt_rows(rows: Sequence[Mapping[str, Any]]) -> list[Doubt]:
    """For each measured row its doubt."""
    volumes = np.array([[row[f"{s.key}_ml"] for s in STRUCTURES] for row in rows]).reshape(-1, len(STRUCTURES))
    scores = score_outliers(volumes)
    return [_doubt(row, own) for row, own in zip(rows, scores, strict=True)]


def score_outliers(volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Modified z-scores, float64[rows, columns], of volumes of that shape; 0 where a volume is 0 or few are not."""
    scores = np.zeros(volumes.shape)
    for values, out in zip(volumes.T, scores.T, strict=True):
        there = values > 0.0
        if there.sum() < _LEAST_ROWS:
            continue
        logs = np.log(values[there])
        away = logs - np.median(logs)
        spread = _SD_OF_MAD * np.median(np.abs(away))
        if spread > 0.0:
            out[there] = away / spread
    return scores


def _doubt(row: Mapping[str, Any], scores: NDArray[np.float64]) -> Doubt:
    total, reasons = 0.0, []
    if row.get("confidence_review"):
        total += _REVIEW
        reasons.append(f"review: {row.get('confidence_reasons') or 'the engine asks for it'}")
    for structure, score in zip(STRUCTURES, scores, strict=True):
        name = structure.name.split(",")[0]
        if not row[f"{structure.key}_ml"]:
            total += _MISSING
            reasons.append(f"{name}: not found")
        elif abs(score) > MOST_SCORE:
            total += _OUTLIER * abs(score) / MOST_SCORE
            reasons.append(f"{name}: {'large' if score > 0.0 else 'small'} for this cohort (z {score:+.1f})")
    warnings = [text for text in str(row["warnings"]).split("; ") if text]
    total += _WARNING * len(warnings) + _CUT * len([key for key in str(row["cut_by_scan_edge"]).split("; ") if key])
    return Doubt(total, (*reasons, *warnings), tuple(map(float, scores)))

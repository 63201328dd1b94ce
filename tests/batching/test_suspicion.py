"""What is unlike the others is found, whatever the units, and what is suspicious comes first."""

import numpy as np
import pytest
from support.pages import measurements
from whs_fast.batching.rows import lay_flat
from whs_fast.batching.suspicion import MOST_SCORE, doubt_rows, score_outliers
from whs_fast.structures import STRUCTURES

SOURCE = {"kind": "nifti", "size": [3, 2, 1], "spacing_mm": [0.4, 0.5, 0.6], "phase": None}


def flat(**changes):
    return lay_flat(measurements(source=SOURCE, backend={"name": "native"}, **changes))


def cohort(count=40):
    rng = np.random.default_rng(0)
    spread = 80.0 * np.exp(rng.uniform(-0.3, 0.3, (count, len(STRUCTURES))))
    return [flat() | {f"{s.key}_ml": ml for s, ml in zip(STRUCTURES, row, strict=True)} for row in spread]


def test_a_score_is_the_modified_one_on_logarithms():
    values = np.exp(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 20.0]))[:, None]
    expected = (np.log(values) - 5.0) / (1.4826 * 2.0)
    np.testing.assert_allclose(score_outliers(values), expected)


def test_the_unit_changes_no_score():
    values = np.random.default_rng(1).lognormal(4.0, 0.3, (50, 3))
    np.testing.assert_allclose(score_outliers(values), score_outliers(1000.0 * values), atol=1e-9)


@pytest.mark.parametrize("values", [np.zeros((20, 2)), np.full((20, 2), 7.0), np.ones((5, 2)), np.zeros((0, 2))])
def test_without_a_spread_nothing_is_unlike_the_others(values):
    assert not score_outliers(values).any()


def test_half_of_the_cohort_may_be_spoilt():
    values = np.concatenate([np.random.default_rng(2).lognormal(4.0, 0.1, 60), np.full(40, 5000.0)])[:, None]
    assert (score_outliers(values)[60:] > MOST_SCORE).all()


def test_volumes_that_were_not_found_are_no_part_of_the_spread():
    rows = cohort()
    with_zeros = [*rows, *({**row, "aorta_ml": 0.0} for row in rows)]
    before, after = doubt_rows(rows), doubt_rows(with_zeros)
    assert [doubt.z[4] for doubt in before] == pytest.approx([doubt.z[4] for doubt in after[: len(rows)]])
    assert "Aorta: not found" in after[-1].reasons


def test_each_sign_of_trouble_makes_a_row_more_suspicious_and_is_named():
    rows = cohort()
    rows[0] |= {"left_atrium_ml": 900.0}
    rows[1] |= {"aorta_ml": 0.0}
    rows[2] |= {"warnings": "no contrast in the left heart; cut off by the edge of the scan"}
    rows[3] |= {"confidence_review": True, "confidence_reasons": "the aorta is in two parts"}
    rows[4] |= {"cut_by_scan_edge": "aorta; left_atrium"}
    doubts = doubt_rows(rows)
    assert min(doubt.score for doubt in doubts[:5]) > max(doubt.score for doubt in doubts[5:]) == 0.0
    assert doubts[3].score == max(doubt.score for doubt in doubts)
    assert doubts[0].reasons[0].startswith("Left atrium: large for this cohort (z +")
    assert doubts[2].reasons == ("no contrast in the left heart", "cut off by the edge of the scan")
    assert doubts[3].reasons == ("review: the aorta is in two parts",)

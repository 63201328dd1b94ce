"""Statistics of an evaluation, against definitions written out, published data and scipy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from whs_fast.study.statistics import agree, correlate, describe, describe_p, signed, signed_rank, summarise

# Peak expiratory flow by two meters: Bland and Altman, Lancet 1986, doi 10.1016/S0140-6736(86)90837-8.
LARGE = (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427)
MINI = (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451)


def test_bland_and_altmans_own_example():
    found = agree(MINI, LARGE)
    assert found.n == 17
    assert found.mean == pytest.approx(-2.1, abs=0.05) and found.sd == pytest.approx(38.8, abs=0.05)
    assert found.mean_ci == pytest.approx((-22.0, 17.8), abs=0.1)
    assert (found.lower, found.upper) == pytest.approx((-2.12 - 1.96 * 38.77, -2.12 + 1.96 * 38.77), abs=0.05)
    width = 2.120 * 38.77 * math.sqrt(1 / 17 + 1.96**2 / 32)
    assert found.lower_ci == pytest.approx((found.lower - width, found.lower + width), abs=0.05)
    assert found.upper_ci == pytest.approx((found.upper - width, found.upper + width), abs=0.05)


def test_signed_rank_is_the_share_of_sign_patterns_as_extreme():
    x = np.array([10.0, 12.5, 9.0, 14.0, 20.0, 7.0, 11.0])
    difference = np.array([1.0, -0.5, 3.0, 2.2, 4.1, -1.7, 0.3])
    ranks = stats.rankdata(np.abs(difference))
    total = ranks.sum()
    seen = abs(ranks[difference > 0].sum() - total / 2)
    patterns = [ranks[np.array(signs)].sum() for signs in itertools.product((True, False), repeat=7)]
    expected = np.mean([abs(rank - total / 2) >= seen - 1e-9 for rank in patterns])
    assert signed_rank(x, x + difference).p == pytest.approx(expected)


def test_correlation_from_its_definition():
    x, y = np.array([1.0, 2.0, 4.0, 7.0, 9.0]), np.array([2.0, 1.0, 5.0, 6.0, 12.0])
    dx, dy = x - x.mean(), y - y.mean()
    r = (dx * dy).sum() / math.sqrt((dx**2).sum() * (dy**2).sum())
    found = correlate(x, y)
    assert found.r == pytest.approx(r) and found.slope == pytest.approx((dx * dy).sum() / (dx**2).sum())
    assert found.intercept == pytest.approx(y.mean() - found.slope * x.mean())
    t = r * math.sqrt(3 / (1 - r**2))
    assert found.p == pytest.approx(2 * stats.t.sf(t, 3))
    assert (found.r, found.p) == pytest.approx(tuple(stats.pearsonr(x, y)))


@given(st.lists(st.one_of(st.just(math.nan), st.floats(-1e3, 1e3)), max_size=30))
def test_a_summary_equals_numpy_and_counts_what_is_missing(values):
    found = summarise(values)
    there = sorted(value for value in values if not math.isnan(value))
    assert (found.n, found.missing) == (len(there), len(values) - len(there))
    if not there:
        assert found.median is None and describe(found, 1) == "–"
        return
    assert (found.low, found.high) == (there[0], there[-1])
    assert [found.q1, found.median, found.q3] == pytest.approx(np.percentile(there, [25, 50, 75]).tolist())
    assert found.mean == pytest.approx(sum(there) / len(there), abs=1e-9)
    assert found.sd is None if len(there) == 1 else found.sd == pytest.approx(np.std(there, ddof=1))
    varied = len(there) >= 3 and there[0] < there[-1]
    assert (found.shapiro_p is not None) == varied
    if varied:
        assert found.shapiro_p == pytest.approx(stats.shapiro(there).pvalue, abs=1e-9)


def test_shapiro_chooses_how_a_variable_is_described():
    normal = stats.norm.ppf((np.arange(40) + 0.5) / 40) * 2 - 10
    skewed = np.exp(normal)
    assert summarise(normal).normal and not summarise(skewed).normal
    assert describe(summarise(normal), 1) == "−10.0 ± 2.0"
    assert describe(summarise([1, 1, 1, 1, 50]), 0) == "1 (1–1)"
    assert describe(summarise([-3, -2, -1, -50]), 1) == "−2.5 (−14.8 to −1.8)"


def test_what_is_not_defined_is_none():
    assert signed_rank([1, 2], [1, 2]).p is None and signed_rank([], []).n == 0
    assert correlate([1, 2], [1, 2]).r is None and correlate([1, 1, 1], [1, 2, 3]).r is None
    assert agree([], []).mean is None
    one = agree([4], [7])
    assert (one.n, one.mean, one.sd, one.lower) == (1, 3, None, None)
    assert agree([1, math.nan, 3], [2, 5, 5]).n == 2
    assert agree([1, 2], [1, 2]).lower == 0


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="infinite"):
        summarise([1, math.inf])
    with pytest.raises(ValueError, match="found 1 and 2 values"):
        agree([1], [1, 2])


@pytest.mark.parametrize(
    ("p", "text"), [(None, "–"), (0.0004, "<0.001"), (0.0005, "0.001"), (0.04951, "0.050"), (1.0, "1.000")]
)
def test_p_values(p, text):
    assert describe_p(p) == text


@pytest.mark.parametrize(("value", "text"), [(-0.04, "0.0"), (-0.06, "−0.1"), (0.0, "0.0"), (2.25, "2.2")])
def test_minus_signs(value, text):
    assert signed(value, 1) == text

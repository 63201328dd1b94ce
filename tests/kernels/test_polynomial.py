"""The robust fit: known minima recovered, outliers forgotten, equal to NumPy's own least squares and roots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import references
from whs_fast import _kernels as kernels

SEED = st.integers(0, 2**32 - 1)


@given(
    st.floats(-500, 500), st.floats(20, 300), st.floats(0.1, 0.9), st.floats(0, 30), st.floats(1e-3, 0.1),
    st.integers(2, 6), st.integers(7, 60),
)  # fmt: skip
def test_the_minimum_of_a_parabola_is_recovered(low, width, where, value, curvature, degree, count):
    positions = np.linspace(low, low + width, count)
    minimum = low + where * width
    distances = value + curvature / 2 * (positions - minimum) ** 2
    got = kernels.fit_minimum(positions, distances, degree, low, low + width)
    assert got[0] == pytest.approx(minimum, abs=1e-5 * width)
    assert got[1] == pytest.approx(value, abs=1e-6)
    assert got[2] < 1e-6
    assert got[3] == pytest.approx(curvature, rel=1e-4)


@pytest.mark.parametrize("degree", range(1, 9))
@given(SEED, st.integers(10, 80), st.sampled_from([0.0, 0.3, 3.0]))
def test_equals_numpy(degree, seed, count, noise):
    rng = np.random.default_rng(seed)
    positions = np.sort(rng.uniform(-100, 200, count))
    assume(len(set(positions)) > degree + 1)
    valve = rng.uniform(-50, 150)
    distances = np.abs(positions - valve) + noise * rng.normal(size=count)
    low, high = sorted(rng.uniform(positions[0], positions[-1], 2))
    got = kernels.fit_minimum(positions, distances, degree, low, high)
    position, value, residual, curvature = references.fit_minimum(positions, distances, degree, low, high)
    assert got[1] == pytest.approx(value, abs=1e-5)  # two minima may tie; they then have the same value
    assert got[2] == pytest.approx(residual, abs=1e-5)
    assert low <= got[0] <= high
    if abs(got[0] - position) < 1:
        assert got[0] == pytest.approx(position, abs=1e-3)
        assert got[3] == pytest.approx(curvature, abs=1e-5, rel=1e-3)


@given(SEED, st.sampled_from([(2, 0.1), (2, 0.25), (3, 0.1), (4, 0.05)]))
def test_gross_outliers_do_not_move_the_minimum(seed, degree_and_part):
    degree, part = degree_and_part
    rng = np.random.default_rng(seed)
    positions = np.linspace(0, 160, 41)
    distances = 0.01 * (positions - 70) ** 2 + 2
    wrong = rng.choice(41, round(part * 41), replace=False)
    distances[wrong] += rng.uniform(20, 80, len(wrong)) * rng.choice([-1, 1], len(wrong))
    position, value, residual, curvature = kernels.fit_minimum(positions, distances, degree, 0, 160)
    assert position == pytest.approx(70, abs=0.5)
    assert value == pytest.approx(2, abs=0.1)
    assert residual < 0.1
    assert curvature == pytest.approx(0.02, rel=0.1)


def test_the_end_points_are_candidates():
    positions = np.linspace(0, 10, 21)
    assert kernels.fit_minimum(positions, positions, 1, 2, 8)[0] == 2
    assert kernels.fit_minimum(positions, -positions, 1, 2, 8)[0] == 8
    assert kernels.fit_minimum(positions, (positions - 1) ** 2, 2, 3, 8)[0] == 3
    assert kernels.fit_minimum(positions, -((positions - 4) ** 2), 2, 0, 10)[0] == 10
    assert kernels.fit_minimum(positions, (positions - 4) ** 2, 2, 7, 7)[0] == 7


def test_all_minima_of_a_high_degree_are_searched():
    positions = np.linspace(-3, 3, 61)
    wave = np.polynomial.Polynomial.fromroots([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    fine = np.linspace(-2.6, 2.6, 200001)
    position, value, *_ = kernels.fit_minimum(positions, wave(positions), 6, -2.6, 2.6)
    assert value == pytest.approx(wave(fine).min(), abs=1e-6)
    assert abs(position) == pytest.approx(abs(fine[wave(fine).argmin()]), abs=1e-3)


def test_the_order_of_the_points_does_not_matter():
    rng = np.random.default_rng(4)
    positions = rng.uniform(0, 100, 30)
    distances = np.abs(positions - 40) + rng.normal(size=30)
    shuffled = rng.permutation(30)
    one = kernels.fit_minimum(positions, distances, 4, 0, 100)
    other = kernels.fit_minimum(positions[shuffled], distances[shuffled], 4, 0, 100)
    assert one == pytest.approx(other, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"degree": 0}, "degree is 0"),
        ({"degree": 13}, "degree is 13"),
        ({"positions": np.arange(4.0)}, "differ in length: 4 and 5"),
        ({"positions": np.array([1.0, 1, 1, 2, 2])}, "needs 3 distinct positions, got 2"),
        ({"positions": np.array([])}, "differ in length: 0 and 5"),
        ({"distances": np.array([1.0, np.nan, 1, 2, 2])}, "not finite"),
        ({"positions": np.array([1.0, np.inf, 1, 2, 2])}, "not finite"),
        ({"low": 5.0, "high": 4.0}, "low <= high"),
        ({"low": np.nan}, "finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    arguments = {"positions": np.arange(5.0), "distances": np.arange(5.0), "degree": 2, "low": 0.0, "high": 4.0}
    with pytest.raises(ValueError, match=message):
        kernels.fit_minimum(**(arguments | change))

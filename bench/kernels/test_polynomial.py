"""The robust fit of distances over slice positions beside numpy.polyfit. Goal: no slower, although it fits many times.

numpy.polyfit is one least-squares fit; fit_minimum repeats it until its weights settle and finds the minimum. On
distances without outliers or noise both must find the same polynomial.
"""

from __future__ import annotations

import numpy as np
import pytest
from whs_fast import _kernels as kernels

GOAL = 1


@pytest.mark.parametrize("degree", [2, 4])
@pytest.mark.parametrize("noise_mm", [0.0, 2.0])
def test_fit(race, degree, noise_mm):
    positions = np.linspace(-80.0, 80.0, 24)
    distances = 0.01 * (positions - 12) ** 2 + 3 + np.random.default_rng(1).normal(0, noise_mm, 24)

    def ours() -> tuple[float, float, float, float]:
        return kernels.fit_minimum(positions, distances, degree, -80.0, 80.0)

    def peer() -> tuple[float, float]:
        polynomial = np.polyfit(positions, distances, degree)
        candidates = np.concatenate([[-80.0, 80.0], np.roots(np.polyder(polynomial)).real]).clip(-80, 80)
        values = np.polyval(polynomial, candidates)
        return float(candidates[values.argmin()]), float(values.min())

    tolerance_mm = 1e-6 if noise_mm == 0 else 2.0  # with noise the robust fit is another polynomial, near it
    np.testing.assert_allclose(ours()[:2], peer(), atol=tolerance_mm)
    race(f"fit_minimum, degree {degree}, noise {noise_mm:g} mm, numpy.polyfit", ours, peer, GOAL, rounds=500)

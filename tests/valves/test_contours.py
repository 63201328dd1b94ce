"""Sizes of contours against ellipses, planes against vectors."""

import numpy as np
import pytest
from whs_fast.valves.contours import Plane, measure_contour


@pytest.mark.parametrize("turn", [0.0, 0.7])
@pytest.mark.parametrize("clockwise", [False, True])
def test_an_ellipse_has_its_sizes(turn, clockwise):
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    flat = np.stack([14 * np.cos(angles), 11 * np.sin(angles)], -1)
    c, s = np.cos(turn), np.sin(turn)
    shape = measure_contour((flat[::-1] if clockwise else flat) @ [[c, s], [-s, c]] + [3.0, -2.0])
    assert shape.area_mm2 == pytest.approx(np.pi * 154, rel=1e-3)
    assert shape.perimeter_mm == pytest.approx(np.pi * (75 - np.sqrt(53 * 47)), abs=0.02)  # Ramanujan
    assert (shape.dmin_mm, shape.dmax_mm) == pytest.approx((22, 28), abs=0.02)
    np.testing.assert_allclose(shape.centre, (3, -2), atol=1e-6)


@pytest.mark.parametrize("normal", [(0, 0, 1), (1, 0, 0), (-3, 0.2, 0.1), (0.5, -0.6, 0.7)])
def test_a_plane_is_right_handed_and_comes_back(normal):
    plane = Plane.through(np.array([1.0, 2.0, 3.0]), np.array(normal, float))
    np.testing.assert_allclose(np.cross(plane.across, plane.along), plane.normal, atol=1e-12)
    flat = np.array([[1.0, 2.0], [-3.0, 0.5]])
    np.testing.assert_allclose(plane.flat(plane.lift(flat)), flat, atol=1e-12)
    np.testing.assert_allclose(plane.height(plane.moved(4).lift(flat)), 4, atol=1e-12)

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
    places = np.array([[1.0, 2.0, 4.0, 1.0], [-3.0, 0.5, 4.0, 1.0]])
    np.testing.assert_allclose((places @ plane.frame.T)[:, :3], plane.moved(4).lift(flat), atol=1e-12)


def test_a_turned_plane_turns_from_its_first_axis_to_its_second():
    plane = Plane.through(np.zeros(3), np.array([0.5, -0.6, 0.7]))
    np.testing.assert_allclose(plane.turned(np.pi / 2).across, plane.along, atol=1e-12)
    turned = plane.lift(2 * np.array([np.cos(0.3), np.sin(0.3)]))
    np.testing.assert_allclose(plane.turned(0.3).lift(np.array([2.0, 0.0])), turned, atol=1e-12)

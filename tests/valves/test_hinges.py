"""The crown that is fitted to what was found of the three cusps."""

import numpy as np
from whs_fast.valves.hinges import BEND, STRAY_MM, _fit_crown

MIDDLES = np.array([0.0, 2 * np.pi / 3, 4 * np.pi / 3])


def crown(points):
    return _fit_crown(MIDDLES, np.array(points, float).reshape(-1, 4))


def test_of_a_crown_that_lies_in_its_plane_all_three_nadirs_are_seen():
    turns = np.linspace(-0.4, 0.4, 9)
    lows, nadirs, errors, seen = crown([(k, t, BEND * t**2 + 1.5, STRAY_MM) for k in range(3) for t in turns])
    np.testing.assert_allclose(lows, 1.5, atol=0.2)
    np.testing.assert_allclose(nadirs, 0.0, atol=0.05)
    assert seen.all() and (errors < 0.6).all()


def test_where_nothing_was_found_no_hinge_point_is_seen_and_the_plane_stays():
    lows, nadirs, errors, seen = crown([])
    assert not seen.any() and (errors > 1.0).all()
    np.testing.assert_allclose(lows, 0.0, atol=1e-9)
    np.testing.assert_allclose(nadirs, 0.0, atol=1e-9)


def test_a_cusp_of_which_nothing_was_found_is_not_seen():
    turns = np.linspace(-0.4, 0.4, 9)
    _, _, errors, seen = crown([(k, t, BEND * t**2, STRAY_MM) for k in range(2) for t in turns])
    assert seen.tolist() == [True, True, False]
    assert errors[2] > errors[:2].max()

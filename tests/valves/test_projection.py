"""Angles of the X-ray system, against its geometry: what edge-on and overlapping mean."""

import numpy as np
import pytest
from whs_fast.valves.projection import CURVE_LAO_DEG, angles_of, describe_deployment, s_curve


def towards(lao_deg, cranial_deg):
    """Direction to the detector, LPS: from the front at 0, to the patient's left with LAO, up with cranial angles."""
    a, b = np.deg2rad([lao_deg, cranial_deg])
    return np.array([np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)])


@pytest.mark.parametrize(("view", "direction"), [((0, 0), (0, -1, 0)), ((90, 0), (1, 0, 0)), ((0, 90), (0, 0, 1)),
                                                 ((-30, 0), (-0.5, -np.sqrt(0.75), 0))])  # fmt: skip
def test_directions_of_simple_views(view, direction):
    np.testing.assert_allclose(towards(*view), direction, atol=1e-12)


def test_angles_come_back_from_directions():
    for view in ((20.0, -15.0), (-40.0, 30.0), (0.0, 0.0)):
        assert angles_of(towards(*view)) == pytest.approx(view)
        assert angles_of(-towards(*view)) == pytest.approx(view)  # seen from behind the patient is the same line


@pytest.mark.parametrize("normal", [(-0.5, -0.2, 0.8), (0.3, 0.4, 0.9), (-0.8, 0.1, 0.5)])
def test_every_view_of_the_curve_shows_the_annulus_edge_on(normal):
    for lao in CURVE_LAO_DEG:
        assert towards(lao, s_curve(np.array(normal), lao)) @ normal == pytest.approx(0, abs=1e-9)


def test_views_of_a_known_root():
    """An annulus that leans to the right, hinge points at known angles around it."""
    normal = np.array([-0.6, -0.2, 0.77])
    normal /= np.linalg.norm(normal)
    front = np.array([0.0, -1.0, 0.0]) - normal * (np.array([0.0, -1.0, 0.0]) @ normal)
    front /= np.linalg.norm(front)
    left = np.cross(normal, front)
    hinges = np.array([12 * (np.cos(a) * front + np.sin(a) * left) for a in np.deg2rad([0, 120, 240])])
    told = describe_deployment(normal, hinges, np.full(3, 0.6))
    coplanar, overlap = (towards(told[v]["lao_deg"], told[v]["cranial_deg"]) for v in ("coplanar", "cusp_overlap"))
    assert coplanar @ normal == pytest.approx(0, abs=2e-3) and overlap @ normal == pytest.approx(0, abs=2e-3)
    np.testing.assert_allclose(coplanar, front, atol=2e-3)
    along = hinges[0] - hinges[1]
    np.testing.assert_allclose(np.cross(overlap, along / np.linalg.norm(along)), 0, atol=2e-3)
    each = np.arctan(0.6 / np.linalg.norm(along))  # by moving one of the two hinge points
    assert told["cusp_overlap"]["uncertainty_deg"] == pytest.approx(np.degrees(np.sqrt(2) * each), abs=0.06)
    assert told["angle_to_horizontal_deg"] == pytest.approx(np.degrees(np.arccos(normal[2])), abs=0.05)
    assert told["coronal_angle_deg"] == pytest.approx(np.degrees(np.arctan(0.6 / 0.77)), abs=0.05)

"""Coronary mouths on a straight root of known shape: which bright places beside it are taken for an artery."""

import numpy as np
import pytest
from whs_fast.valves import ostia
from whs_fast.valves.contours import Plane
from whs_fast.valves.crop import SPACING_MM, Crop
from whs_fast.valves.edges import RAYS, Wall
from whs_fast.valves.ostia import NONE_SEEN, TWO_SEEN, Mouth, find_ostium
from whs_fast.volume import axis_aligned_grid

RADIUS = 14.0
BLOOD, MUSCLE = 400.0, 80.0
SHAPE = (76, 120, 75)  # the half of the root that x points to
GRID = axis_aligned_grid((15.0, 0.0, 15.0), SHAPE, (SPACING_MM,) * 3)
Z, Y, X = (np.arange(n) * SPACING_MM + start for n, start in zip(SHAPE, GRID.origin_mm[::-1], strict=True))
POINTS = np.stack(np.broadcast_arrays(X, Y[:, None], Z[:, None, None]), -1)


def tube(turn_deg, height, radius=1.8, length=12.0):
    """Distance from the surface of an artery that leaves the root at a turn from the x axis."""
    way = np.array([np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg)), 0])
    start = 12 * way + [0, 0, height]
    along = np.clip((POINTS - start) @ way, 0, length + 2)
    return np.linalg.norm(POINTS - start - along[..., None] * way, axis=-1) - radius


def ball(turn_deg, height, away, radius):
    centre = np.r_[away * np.cos(np.deg2rad(turn_deg)), away * np.sin(np.deg2rad(turn_deg)), height]
    return np.linalg.norm(POINTS - centre, axis=-1) - radius


def found(*shapes, noise=0.0):
    """The mouth near the x axis of an upright root with bright shapes beside it."""
    distance = np.minimum.reduce([np.hypot(POINTS[..., 0], POINTS[..., 1]) - RADIUS, *shapes])
    hu = MUSCLE + (BLOOD - MUSCLE) * np.clip(0.5 - distance / 0.9, 0, 1)
    hu += np.random.default_rng(1).normal(0, noise, hu.shape)
    crop = Crop(hu.astype(np.float32), np.zeros(hu.shape, np.uint8), GRID, BLOOD, MUSCLE, max(noise, 5.0))
    heights = np.arange(30.0)
    first = Plane.through(np.zeros(3), np.array([0.0, 0.0, 1.0]))
    walls = [Wall(np.full(RAYS, RADIUS), 1.0)] * len(heights)
    return find_ostium(crop, [first.moved(h) for h in heights], walls, heights, 0.0)


@pytest.mark.parametrize(("turn", "height", "radius", "noise"), [(0, 14, 1.8, 0), (-25, 9, 1.5, 25), (30, 19, 2.4, 25)])
def test_the_lowest_point_of_an_arterys_rim(turn, height, radius, noise):
    mouth = found(tube(turn, height, radius), noise=noise)
    assert mouth.height_mm == pytest.approx(height - radius, abs=0.7)
    np.testing.assert_allclose(mouth.rim_mm[2], mouth.height_mm, atol=1e-6)
    assert np.degrees(mouth.turn) == pytest.approx(turn, abs=4)
    assert np.hypot(*mouth.rim_mm[:2]) == pytest.approx(RADIUS, abs=0.1)


def test_what_does_not_go_on_as_a_tube_is_no_mouth():
    assert found() == NONE_SEEN
    assert found(ball(0, 14, 15, 2.5)) == NONE_SEEN  # a bump or calcium in the wall
    assert found(tube(0, 14, length=2)) == NONE_SEEN  # ends at once
    assert found(ball(0, 14, 24, 10.3)) == NONE_SEEN  # a chamber against the wall, which is not seen between them
    assert found(tube(0, 14, length=3), ball(0, 14, 29, 11)) == NONE_SEEN  # opens into a chamber
    assert found(tube(85, 14)) == NONE_SEEN  # in another sinus
    assert found(tube(0, 2)) == NONE_SEEN  # at the annulus, from where ventricle shines through


def test_an_artery_beside_a_chamber_is_found():
    assert isinstance(found(tube(10, 14), ball(-40, 10, 24, 10.3)), Mouth)


def test_two_arteries_are_no_answer_unless_one_lies_where_none_do():
    assert found(tube(-22, 15), tube(22, 12)) == TWO_SEEN
    mouth = found(tube(0, 15), tube(50, 6))
    assert np.degrees(mouth.turn) == pytest.approx(0, abs=4)
    lower = found(tube(-5, 16), tube(5, 13.5))  # an artery that begins as two
    assert lower.height_mm == pytest.approx(13.5 - 1.8, abs=0.7)


def test_a_mouth_in_an_unusual_place_has_a_large_error():
    usual, low = found(tube(0, 16)), found(tube(45, 6))
    assert ostia.RIM_ERROR_MM < usual.error_mm < 1.2 and low.error_mm > 2

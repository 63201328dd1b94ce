"""The preview: right sides, true scale, the same however the scan is stored."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from whs_fast.report import picture
from whs_fast.report.picture import PIXEL_MM, cut_planes, draw_picture
from whs_fast.steps.measure import measure
from whs_fast.steps.region import region_grid
from whs_fast.structures import BY_KEY
from whs_fast.volume import IDENTITY_DIRECTION, Grid, Volume

VALVE_MM = (3.0, -4.0, 5.0)
SPACING_MM = (2.0, 2.0, 2.0)
TILT = 0.5
OBLIQUE = (np.cos(TILT), -np.sin(TILT), 0.0, np.sin(TILT), np.cos(TILT), 0.0, 0.0, 0.0, 1.0)
FLIPPED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def grid_around(direction=IDENTITY_DIRECTION, shape=(90, 90, 90)):
    axes = np.reshape(direction, (3, 3)) * np.asarray(SPACING_MM)
    origin = np.asarray(VALVE_MM) - axes @ ((np.asarray(shape[::-1]) - 1) / 2.0)
    return Grid(shape, SPACING_MM, tuple(origin), direction)


def ball(grid, offset_mm, radius_mm):
    z, y, x = np.indices(grid.shape)
    place = np.tensordot(grid.affine, np.stack([x, y, z, np.ones_like(x)]), 1)[:3]
    centre = np.reshape(np.add(VALVE_MM, offset_mm), (3, 1, 1, 1))
    return ((place - centre) ** 2).sum(axis=0) < radius_mm**2


def centre_of(mask):
    return np.argwhere(mask).mean(axis=0)


@pytest.mark.parametrize("direction", [IDENTITY_DIRECTION, FLIPPED, OBLIQUE], ids=["upright", "turned", "oblique"])
@pytest.mark.parametrize(
    ("offset_mm", "plane", "towards"),
    [
        ((40, 0, 0), 0, (0, 1)),  # the patient's left is on the right of the axial image
        ((0, 40, 0), 0, (1, 0)),  # the back is below
        ((40, 0, 0), 1, (0, 1)),  # left on the right of the coronal image too
        ((0, 0, 40), 1, (-1, 0)),  # the head is above
        ((0, 40, 0), 2, (0, 1)),  # seen from the left, the back is on the right
        ((0, 0, 40), 2, (-1, 0)),
    ],
)
def test_sides_are_those_of_radiology(direction, offset_mm, plane, towards):
    grid = grid_around(direction)
    inside = ball(grid, offset_mm, 12.0)
    volume = Volume(np.where(inside, 600, -1000).astype(np.int16), grid.spacing_mm, grid.origin_mm, direction)
    labels = np.where(inside, 5, 0).astype(np.uint8)
    planes = cut_planes(volume, labels, VALVE_MM, threads=2)
    for images in (planes.scan, planes.labels):
        image = images[plane]
        away_mm = (centre_of(image > image.max() // 2) - planes.valve[plane]) * PIXEL_MM
        np.testing.assert_allclose(away_mm, np.multiply(towards, 40.0), atol=1.0)


def test_planes_end_with_the_scan_and_with_the_region():
    small, large = grid_around(shape=(30, 40, 50)), grid_around(shape=(200, 200, 200))

    def sizes(grid):
        volume = Volume(np.zeros(grid.shape, np.int16), grid.spacing_mm, grid.origin_mm, grid.direction)
        planes = cut_planes(volume, np.zeros(grid.shape, np.uint8), VALVE_MM, threads=1)
        assert [image.shape for image in planes.scan] == [image.shape for image in planes.labels]
        return [image.shape for image in planes.labels]

    assert sizes(small) == [(160, 200), (120, 200), (120, 160)]
    assert sizes(large) == [(448, 448), (640, 448), (640, 448)]


def sample(labels_of=None, shape=(90, 90, 90)):
    grid = grid_around(shape=shape)
    labels = np.zeros(shape, np.uint8)
    for key, offset, radius in labels_of or ():
        labels[ball(grid, offset, radius)] = BY_KEY[key].label
    volume = Volume(np.full(shape, 40, np.int16), grid.spacing_mm, grid.origin_mm)
    measurements = measure(labels, grid, VALVE_MM, region=region_grid(grid, VALVE_MM), threads=1)
    return Image.open(io.BytesIO(draw_picture(volume, labels, VALVE_MM, measurements, threads=1))).convert("RGB")


def test_a_ball_is_round_and_has_its_structures_colour():
    """On the flat grey of the phantom every tinted pixel belongs to the ball: as wide as high, in all three planes."""
    image = np.asarray(sample([("aorta", (0, 0, 0), 40.0)])).astype(int)
    red, green, blue = BY_KEY["aorta"].colour
    assert red > green > blue
    tinted = (image[..., 0] - image[..., 2] > 40)[:, : image.shape[1] - picture._LEGEND_WIDTH - 3 * picture._GAP]
    columns = np.flatnonzero(tinted.any(axis=0))
    balls = np.split(columns, np.flatnonzero(np.diff(columns) > 5) + 1)
    assert len(balls) == 3
    for ball_columns in balls:
        rows = np.flatnonzero(tinted[:, ball_columns].any(axis=1))
        assert abs(len(rows) - len(ball_columns)) <= 4
    assert max(len(b) for b in balls) - min(len(b) for b in balls) <= 4


def test_the_cross_marks_the_valve():
    plain = np.asarray(sample()).astype(int)
    bright = np.argwhere((plain[..., :] >= 250).all(axis=-1))
    # White is drawn for the cross alone: letters and legend are greyer.
    assert len(bright) > 50
    panels = np.split(np.unique(bright[:, 1]), np.flatnonzero(np.diff(np.unique(bright[:, 1])) > 100) + 1)
    assert len(panels) == 3


@pytest.mark.parametrize("shape", [(90, 90, 90), (30, 90, 90), (90, 30, 60), (60, 60, 30)])
def test_pictures_of_short_scans_are_drawn(shape):
    image = sample([("left_atrium", (0, 5, 0), 10.0)], shape=shape)
    assert 600 <= image.width <= 2200 and 500 <= image.height <= 1000


def test_the_same_gives_the_same_bytes():
    assert sample([("aorta", (0, 0, 0), 20.0)]).tobytes() == sample([("aorta", (0, 0, 0), 20.0)]).tobytes()


@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.floats(0.4, 3.0))
def test_a_structure_that_fills_the_picture_is_tinted_to_the_edge(shape, factor):
    size = tuple(max(1, round(side * factor)) for side in shape[::-1])
    tinted = np.asarray(picture._overlay(Image.new("RGB", size), np.full(shape, BY_KEY["aorta"].label, np.uint8)))
    assert (tinted == tinted[0, 0]).all() and tinted[0, 0].any()


def test_the_part_around_a_structure_is_drawn_as_the_whole_would_be():
    """A speck in the other corner makes the part the whole picture."""
    labels = np.zeros((120, 140), np.uint8)
    labels[30:70, 40:90] = BY_KEY["left_atrium"].label
    size = (311, 267)
    small = np.asarray(picture._overlay(Image.new("RGB", size), labels)).astype(int)
    labels[0, 0] = labels[-1, -1] = BY_KEY["left_atrium"].label
    whole = np.asarray(picture._overlay(Image.new("RGB", size), labels)).astype(int)
    middle = slice(20, -20), slice(20, -20)
    assert np.abs(small - whole)[middle].max() <= 3 and small[middle].any()

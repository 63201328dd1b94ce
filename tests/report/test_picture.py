"""The preview: right sides, true scale, the same however the scan is stored."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from whs_fast.report import picture
from whs_fast.report.picture import SIDE, cut, draw_picture
from whs_fast.report.views import body_views, heart_views, look
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


def views_of(labels, grid):
    return body_views(look(labels, grid, VALVE_MM, threads=2), VALVE_MM)


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
    view = views_of(labels, grid)[plane]
    column, row = (share * SIDE - 0.5 for share in view.place(np.array(VALVE_MM)))
    for image in map(np.asarray, cut(view, volume, labels, threads=2)):
        away_mm = (centre_of(image > image.max() // 2) - (row, column)) * view.side_mm / SIDE
        np.testing.assert_allclose(away_mm, np.multiply(towards, 40.0), atol=1.0)


# Middles of balls for chambers, and centres of valves, from the aortic valve in mm.
HEART_MM = {"left_ventricle_cavity": (40, -40, -40), "right_ventricle_cavity": (-20, -50, -30),
            "left_atrium": (0, 30, 0), "right_atrium": (-40, -10, -10)}  # fmt: skip
CENTRES_MM = {"aortic": (0.0, 0.0, 0.0), "mitral": (8.0, 8.0, -10.0), "tricuspid": (-30.0, -10.0, -20.0)}


@pytest.mark.parametrize("direction", [IDENTITY_DIRECTION, FLIPPED, OBLIQUE], ids=["upright", "turned", "oblique"])
def test_the_planes_of_the_heart_show_each_chamber_on_its_side(direction):
    grid = grid_around(direction)
    labels = np.zeros(grid.shape, np.uint8)
    for key, offset in HEART_MM.items():
        labels[ball(grid, offset, 18.0)] = BY_KEY[key].label
    valves = {name: {"centre_mm": np.add(VALVE_MM, away), "normal": [-0.6, -0.2, 0.8]}
              for name, away in CENTRES_MM.items()}  # fmt: skip
    views = {view.name: view for view in heart_views(look(labels, grid, VALVE_MM, threads=2), valves)}
    assert list(views) == ["Four-chamber", "Three-chamber", "Short axis", "Aortic valve"]

    def right_and_down(view, key):
        x, y = view.place(np.add(VALVE_MM, {**HEART_MM, **CENTRES_MM}[key]))
        return x - 0.5, y - 0.5

    for view in views.values():
        np.testing.assert_allclose([view.across @ view.down, view.across @ view.across], [0, 1], atol=1e-9)
        # Nothing is mirrored: seen along the normal, right and down are right-handed, as rows and columns are.
        assert np.linalg.det([view.across, view.down, view.normal]) == pytest.approx(1.0)
    for name, others in (("Four-chamber", ("mitral", "tricuspid")), ("Three-chamber", ("mitral", "aortic"))):
        view = views[name]
        assert right_and_down(view, "left_ventricle_cavity")[1] < right_and_down(view, "mitral")[1]  # apex above
        for valve in others:
            height = (np.add(VALVE_MM, CENTRES_MM[valve]) - view.centre_mm) @ view.normal
            assert abs(height) < 1e-6, (name, valve)
    four, three, short = (views[name] for name in ("Four-chamber", "Three-chamber", "Short axis"))
    assert right_and_down(four, "left_ventricle_cavity")[0] > right_and_down(four, "right_ventricle_cavity")[0]
    assert right_and_down(four, "mitral")[0] > right_and_down(four, "tricuspid")[0]
    assert right_and_down(three, "aortic")[0] > right_and_down(three, "mitral")[0]
    assert right_and_down(short, "left_ventricle_cavity")[0] > right_and_down(short, "right_ventricle_cavity")[0]
    # The short axis is seen from the apex, the four-chamber view from the feet, the valve from the aorta.
    assert short.normal @ (np.array(CENTRES_MM["mitral"]) - HEART_MM["left_ventricle_cavity"]) > 0
    assert four.normal[2] > 0 and views["Aortic valve"].normal @ (-0.6, -0.2, 0.8) < 0


@pytest.mark.parametrize("lacking", ["mitral", "tricuspid", "aortic"])
def test_only_the_planes_whose_valves_were_found_are_laid(lacking):
    grid = grid_around()
    labels = np.where(ball(grid, (40, -40, -40), 18.0), 3, 0).astype(np.uint8)
    valves = {name: {"centre_mm": np.add(VALVE_MM, away), "normal": [0.0, 0.0, 1.0]}
              for name, away in CENTRES_MM.items()} | {lacking: {"not_measurable": "they do not meet"}}  # fmt: skip
    found = [view.name for view in heart_views(look(labels, grid, VALVE_MM, threads=1), valves)]
    assert found == {"mitral": ["Aortic valve"], "tricuspid": ["Three-chamber", "Aortic valve"],
                     "aortic": ["Four-chamber", "Short axis"]}[lacking]  # fmt: skip
    assert heart_views(look(np.zeros_like(labels), grid, VALVE_MM, threads=1), valves)[:-1] == []


@pytest.mark.parametrize("bar_cm", [5, 2, 1])
def test_the_bar_is_as_long_as_it_says(bar_cm):
    """Two lines of pixels in the colour of text, at the lower left."""
    pixel_mm = {5: 0.6, 2: 0.25, 1: 0.1}[bar_cm]
    image = Image.new("RGB", (SIDE, SIDE))
    picture.draw_bar(ImageDraw.Draw(image), SIDE, pixel_mm)
    rows = (np.asarray(image) == picture.TEXT).all(axis=-1).sum(axis=1)
    assert abs(rows.max() * pixel_mm - 10 * bar_cm) <= 2 * pixel_mm


def sample(labels_of=None, shape=(90, 90, 90)):
    grid = grid_around(shape=shape)
    labels = np.zeros(shape, np.uint8)
    for key, offset, radius in labels_of or ():
        labels[ball(grid, offset, radius)] = BY_KEY[key].label
    volume = Volume(np.full(shape, 40, np.int16), grid.spacing_mm, grid.origin_mm)
    measurements = measure(labels, grid, VALVE_MM, region=region_grid(grid, VALVE_MM), threads=1)
    return Image.open(io.BytesIO(draw_picture(volume, labels, VALVE_MM, measurements, threads=1))).convert("RGB")


def panels(image):
    """The images with contours of the body's planes: the band at the bottom, above the plain ones."""
    top = image.height - picture._BAND + picture._TITLE
    lefts = [picture._GAP + column * (SIDE + picture._GAP) for column in range(3)]
    return [np.asarray(image.crop((left, top, left + SIDE, top + SIDE))).astype(int) for left in lefts]


def test_a_balls_contour_is_round_and_in_its_structures_colour_and_its_inside_is_the_scan():
    """On the flat grey of the phantom every tinted pixel is of the contour: as wide as high, in all three planes."""
    image = sample([("aorta", (0, 0, 0), 40.0)])
    red, green, blue = BY_KEY["aorta"].colour
    assert red > green > blue
    widths = []
    for panel in panels(image):
        tinted = panel[..., 0] - panel[..., 2] > 40
        rows, columns = (np.flatnonzero(tinted.any(axis=axis)) for axis in (1, 0))
        assert abs(np.ptp(rows) - np.ptp(columns)) <= 2
        widths.append(np.ptp(columns))
        assert tinted.sum() < 0.2 * np.ptp(rows) * np.ptp(columns)  # a line, not a filling
    assert max(widths) - min(widths) <= 2
    top = image.height - picture._BAND + picture._TITLE + SIDE + picture._GAP
    below = np.asarray(image.crop((0, top, 3 * SIDE, image.height))).astype(int)
    assert (below.max(axis=-1) - below.min(axis=-1)).max() < 10  # the plain images


def test_the_cross_marks_the_valve():
    for panel in panels(sample()):
        bright = np.argwhere((panel >= 250).all(axis=-1))  # for the cross alone: letters and bar are greyer
        np.testing.assert_allclose(bright.mean(axis=0), (SIDE - 1) / 2, atol=1.0)  # the middle, without labels


@pytest.mark.parametrize("shape", [(90, 90, 90), (30, 90, 90), (90, 30, 60), (60, 60, 30)])
def test_pictures_of_short_scans_are_drawn(shape):
    image = sample([("left_atrium", (0, 5, 0), 10.0)], shape=shape)
    assert image.width == 4 * SIDE + 5 * picture._GAP and image.height == picture._BAND + picture._GAP


def test_the_same_gives_the_same_bytes():
    assert sample([("aorta", (0, 0, 0), 20.0)]).tobytes() == sample([("aorta", (0, 0, 0), 20.0)]).tobytes()


def test_neighbours_keep_a_contour_each():
    """Side by side at a common border, so that neither hides the other."""
    labels = np.full((SIDE, SIDE), BY_KEY["aorta"].label, np.uint8)
    labels[:, SIDE // 2 :] = BY_KEY["left_atrium"].label
    row = np.asarray(picture._outline(Image.new("RGB", (SIDE, SIDE)), labels))[SIDE // 2].astype(int)
    for key, side in (("aorta", slice(SIDE // 2 - 6, SIDE // 2)), ("left_atrium", slice(SIDE // 2, SIDE // 2 + 6))):
        assert np.abs(row[side] - BY_KEY[key].colour).max(axis=-1).min() <= 3
    assert not row[: SIDE // 2 - 6].any() and not row[SIDE // 2 + 6 :].any()


def test_a_thumbnail_holds_the_contours_alone():
    stream = io.BytesIO()
    sample([("aorta", (0, 0, 0), 40.0)]).save(stream, "PNG")
    small = Image.open(io.BytesIO(picture.draw_thumbnail(stream.getvalue())))
    assert small.width == 420 and 3.5 < small.width / small.height < 4.5  # one band, as no valves were given
